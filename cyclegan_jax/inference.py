"""Trained generators: placed on the devices, compiled, and used in either direction."""

import jax
import numpy as np

from cyclegan_jax import InputError
from cyclegan_jax.checkpoints.contents import Checkpoint
from cyclegan_jax.config import Config
from cyclegan_jax.data.phantom.head import FIELD_OF_VIEW
from cyclegan_jax.data.through_plane import wanted_at
from cyclegan_jax.domains import DIRECTIONS, DOMAINS, Direction
from cyclegan_jax.models.networks import Networks, init_params
from cyclegan_jax.parallel.data_parallel import Parallel
from cyclegan_jax.state import build_recipe

_BATCH = 8  # images translated at once


class CompiledGenerators:
    """G and F, compiled. They take any parameters of their model, also while it trains."""

    def __init__(self, modules: Networks, parallel: Parallel, average_mirrored: bool):
        """Compiles nothing yet.

        Args:
          modules: the networks.
          parallel: where they run.
          average_mirrored: whether to average the translations of an image and its mirror image.
        """
        self._average_mirrored = average_mirrored
        self._steps = {
            direction: parallel.compile_translate_step(
                getattr(modules, direction.generator), _BATCH
            )
            for direction in DIRECTIONS
        }

    def translate(
        self, generators: Networks, direction: Direction, images: np.ndarray
    ) -> np.ndarray:
        """Returns the translations of host images, both `[N, H, W, 1]` in [-1, 1].

        Args:
          generators: parameters, on the devices; discriminators are not used.
          direction: decides which of the two generators translates.
          images: any number, of a size that the generator takes.
        """
        step, params = self._steps[direction], getattr(generators, direction.generator)
        translated = step(params, images)
        if self._average_mirrored:
            translated = (translated + _mirrored(step(params, _mirrored(images)))) / 2
        return translated


class TrainedGenerators:
    """Both generators of a checkpoint or a model; the averaged ones if the run averages."""

    def __init__(self, saved: Checkpoint, name: str, config: Config | None = None):
        """Places the parameters on all devices. Nothing is compiled yet.

        Args:
          saved: what `trained.origin.Origin.read` returned.
          name: of the model, for messages.
          config: of the run, where it is at hand already.

        Raises:
          InputError: the checkpoint is of another model than its config.
        """
        self.name, self.step = name, saved.step
        self.facts = saved._replace(items={})  # without the arrays, which are on the devices
        self.config = saved.config if config is None else config
        parallel = Parallel(self.config.parallel, precision=self.config.matmul_precision)
        modules = build_recipe(self.config).modules
        shapes = jax.eval_shape(lambda: init_params(self.config, modules, self.config.seed))
        self._params = parallel.place_state(saved.generators(shapes))
        self._compiled = CompiledGenerators(modules, parallel, self.config.average_mirrored)
        self.size_multiple: int = modules.generator_g.size_multiple

    def translate(self, direction: Direction, images: np.ndarray) -> np.ndarray:
        """Returns the translations of host images, both `[N, H, W, 1]` in [-1, 1].

        Raises:
          InputError: a translated value is not finite.
        """
        translated = self._compiled.translate(self._params, direction, images)
        if not np.isfinite(translated).all():
            raise InputError(
                f"checkpoint {self.step} of {self.name} translates {direction} to values that are "
                "not finite; choose another checkpoint or model"
            )
        return translated


def _mirrored(images: np.ndarray) -> np.ndarray:
    """Returns images `[N, H, W, 1]` with left and right interchanged."""
    return np.ascontiguousarray(images[:, :, ::-1])


def slice_jump_wanted(saved: Checkpoint, domain: str, between: float | None) -> float | None:
    """Returns how much a translation into `domain` shall change from slice to slice at most.

    See `data.through_plane`; it is None where this is not known.

    Args:
      saved: a checkpoint or model.
      domain: of the translation.
      between: the distance of its slices in mm, if it is known; it must be that of training.
    """
    facts = saved.meta.get("data", {})
    jump, trained = (facts.get(key, {}).get(domain) for key in ("slice_jump", "slice_mm"))
    return wanted_at(jump, between, trained)


def pixels_in_training(saved: Checkpoint) -> dict[str, tuple[float, float]]:
    """Returns height and width in mm of the pixels that the networks saw in training, by domain.

    Domains of which it is not known are left out.
    """
    config, facts = saved.config, saved.meta.get("data", {})
    if "pixel_seen_mm" in facts:
        return {domain: (h, w) for domain, (h, w) in facts["pixel_seen_mm"].items()}
    if not config.data.dir:  # an older checkpoint of phantoms
        size = FIELD_OF_VIEW / config.image_size
        return dict.fromkeys(DOMAINS, (size, size))
    if config.data.fit == "resize":
        return {}
    domains = facts.get("domains", {})
    known = {domain: domains.get(domain, {}).get("pixel_mm") for domain in DOMAINS}
    return {domain: (pixel[0], pixel[1]) for domain, pixel in known.items() if pixel}
