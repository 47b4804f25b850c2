"""Defines every option: its default, its check, and the numbers that are derived from it.

A file in `configs/` starts from `base_config()` and changes what differs. A new option is one line
in `base_config` and, where its values are limited, one line in `CHOICES` or `_AT_LEAST`.
docs/extending.md shows it for a loss term and for a generator. This module does not import jax, so
that `--help` and the refusal of a bad config take no time.
"""

import difflib
import importlib.util
import json
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from ml_collections import ConfigDict

from cyclegan_jax import InputError

# A ConfigDict. Its values are checked by `validate`; to a type checker they could be anything.
Config: TypeAlias = Any

# The classes that `config.generator.type` names. Their fields get the values of `config.generator`.
GENERATORS = {
    "unet": "cyclegan_jax.models.unet.UNetGenerator",
}

CHOICES = {
    "parallel": ("pmap", "jit"),
    "dtype": ("float32", "bfloat16"),
    "matmul_precision": ("default", "high", "highest"),
    "data.fit": ("pad", "resize"),
    "data.views": (1, 4),
    "data.phantom.unpaired": ("disjoint", "shared"),
    "data.phantom.lesions_in": ("both", "x", "y"),
    "generator.type": tuple(GENERATORS),
    "generator.upsampling": ("transpose", "resize", "pixel_shuffle"),
    "generator.norm": ("instance", "none"),
    "discriminator.norm": ("instance", "none"),
    "loss.adversarial": ("bce", "lsgan"),
    "on_nonfinite": ("stop", "skip"),
}

_AT_LEAST = {
    "seed": 0,
    "steps": 1,
    "batch_size": 1,
    "microbatches": 1,
    "steps_per_call": 1,
    "generator.kernel_size": 1,
    "discriminator.kernel_size": 1,
    "log_every": 1,
    "sample_every": 1,
    "eval_every": 1,
    "save_every": 1,
    "keep": 1,
    "history_size": 0,
    "data.shift": 0,
    "data.contrast": 0,
    "data.workers": 0,
    "data.phantom.slices": 1,
    "data.phantom.noise": 0,
    "data.phantom.bias": 0,
    "data.phantom.subjects": 2,
    "data.phantom.held_out": 1,
    "loss.start_steps": 0,
    "optimizer.generator_learning_rate": 0,
    "optimizer.discriminator_learning_rate": 0,
}

_WORK = ("log_every", "sample_every", "eval_every", "save_every")
_WHEN = (*_WORK, "keep")

# How the names of options end that a compiled step takes as arguments.
_ARGUMENTS = ("_weight", "_ratio", "_learning_rate")

# How the same step is computed.
_HOW = ("parallel", "remat", "microbatches", "steps_per_call", "augment_on_device")

# A run may be resumed with these changed: they change no result of a step whose numbers are finite.
FREE_ON_RESUME = (*_HOW, "on_nonfinite", "data.dir", "data.workers", *_WHEN)

# A run may also be resumed with these changed, and with those of `_ARGUMENTS`. They change the
# steps that follow, but neither the networks, nor the state, nor the frame of the images.
_APPLIED_ON_RESUME = (
    "steps",
    "batch_size",
    "data.views",
    "data.flip",
    "data.contrast",
    "data.shift",
    "loss.start_steps",
    "optimizer.decay_from",
)

# Options that the saved configs of earlier versions lack. Their default does what those did.
_ADDED = (
    "data.phantom.lesions_in",
    "generator.type",
    "matmul_precision",
    "loss.structure_weight",
    "loss.start_weight",
    "loss.start_steps",
    "remat",
    "microbatches",
    "steps_per_call",
    "augment_on_device",
    "average_mirrored",
)


def base_config() -> Config:
    """Returns the defaults: the reference recipe's networks and losses at 256x256, on phantoms."""
    c = ConfigDict()
    c.seed = 0
    c.steps = 10_000
    c.batch_size = 32  # images of each domain per step, over all devices, all views counted
    c.image_size = 256  # pixels, height and width seen by the networks
    c.parallel = "pmap"  # "pmap" or "jit": data parallelism over all devices
    c.dtype = "float32"  # of activations; parameters and optimizer states stay float32
    # Of products of float32 numbers on accelerators. "default": as fast as the device can, with
    # TF32 (10 bits) on newer NVIDIA GPUs and bfloat16 (7 bits) on TPUs; "highest": all 23 bits.
    c.matmul_precision = "default"
    c.remat = False  # computes the generators again in the backward pass: less memory, more work
    c.microbatches = 1  # parts of each device's images computed in turn: less memory, same step
    c.steps_per_call = 1  # steps between two returns to the host; log_every, ... are multiples
    # The step mirrors, shifts and changes the contrast of the images: less work for the host.
    c.augment_on_device = False

    c.data = ConfigDict()
    c.data.dir = ""  # folder made by `cyclegan-jax prepare`; "" is the embedded phantom
    c.data.fit = "pad"  # to image_size: "pad" (pad or crop, no resampling) or "resize"
    c.data.views = 1  # 4: every image plain, flipped, contrast-changed and both
    c.data.flip = True  # random left-right flip (with views=1); never of sagittal slices
    c.data.contrast = 0.0  # largest |log gamma| of the intensity change
    c.data.shift = 0  # largest random shift, pixels
    c.data.workers = 0  # worker processes of the input pipeline; 0: threads
    c.data.phantom = _phantom()

    c.generator = ConfigDict()
    c.generator.type = "unet"  # one of GENERATORS
    c.generator.features = (64, 128, 256, 512, 512, 512, 512)  # stride-2 encoder widths
    c.generator.head = 0  # hidden width of the per-pixel perceptron; 0: none
    c.generator.kernel_size = 3
    c.generator.upsampling = "transpose"  # or "resize", "pixel_shuffle"
    c.generator.norm = "instance"  # or "none"

    c.discriminator = ConfigDict()
    c.discriminator.features = (64, 128, 256, 512, 512, 512)
    c.discriminator.strides = (2, 2, 2, 2, 2, 2)
    c.discriminator.kernel_size = 4
    c.discriminator.norm = "instance"

    c.loss = ConfigDict()
    c.loss.adversarial = "bce"  # or "lsgan"
    # The weights of the other terms of the generators' loss, see `loss_weights`. A term whose
    # weight is 0 is not computed, apart from the cycle term.
    # of keeping edges where they are, whatever the contrast (`structure`)
    c.loss.structure_weight = 0.0
    # of reversing intensities (`polarity`); it falls to 0 in the first `start_steps` steps, and
    # with `start_steps = 0` until the end of the run
    c.loss.start_weight = 0.0
    c.loss.start_steps = 0
    c.loss.cycle_weight = 15.0  # lambda
    c.loss.identity_ratio = 0.25  # identity weight relative to lambda; 0: none

    c.optimizer = ConfigDict()  # Adam, one for each network
    c.optimizer.generator_learning_rate = 2e-4
    c.optimizer.discriminator_learning_rate = 2e-4
    c.optimizer.b1 = 0.5
    c.optimizer.b2 = 0.999
    c.optimizer.decay_from = 0.5  # fraction of steps after which the rate falls linearly to 0

    c.history_size = 0  # size of each domain's pool of generated images (`image_pool`); 0: off
    c.ema_decay = 0.0  # of the averaged generators used for evaluation; 0: off
    # Translations are the mean of those of the image and of its mirror image: less noise, twice the
    # time. Training is the same.
    c.average_mirrored = False
    c.on_nonfinite = "stop"  # or "skip": leaves out the update of a step that is not finite

    c.log_every = 50  # steps; so are the next three
    c.sample_every = 500
    c.eval_every = 500
    c.save_every = 500
    c.keep = 2  # newest checkpoints kept, beside the best one
    return c


def _phantom() -> Config:
    c = ConfigDict()
    c.subjects = 32  # training heads
    c.held_out = 4  # further heads to validate on, and as many to test on
    c.unpaired = "disjoint"  # or "shared": both domains train on all heads
    c.slices = 12  # axial slices of each head
    c.lesions = False  # in white matter, of training heads and of those held out
    c.lesions_in = "both"  # contrasts of the training heads: "both", "x" or "y"
    c.noise = 0.03  # sd, relative to white matter
    c.bias = 0.15  # largest relative change by the bias field
    return c


def load_file(path: str | Path) -> ModuleType:
    """Runs a config file and returns it as a module, whose attributes are what the file defines.

    A config that starts from another one reads it so:
    `load_file(Path(__file__).with_name("other.py")).get_config()`.

    Raises:
      InputError: the path does not name a Python file.
    """
    spec = importlib.util.spec_from_file_location("config_file", path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} is not a Python file; name one that ends in .py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def image_size_multiple(config: Config) -> int:
    """Returns the number that `image_size` must be a multiple of.

    Every entry of `generator.features` stands for at most one halving of the image, see
    docs/extending.md.
    """
    return 2 ** max(
        len(config.generator.features), sum(s == 2 for s in config.discriminator.strides)
    )


def nearest_multiples(value: int, multiple: int) -> str:
    """Returns the positive multiples just below and above `value` as words, "64 or 96"."""
    below = max(0, value) // multiple * multiple
    return " or ".join(str(n) for n in (below, below + multiple) if n > 0)


def loss_weights(config: Config) -> dict[str, float]:
    """Returns the absolute weight of each kind of term in the generators' loss, but adversarial.

    `config.loss.<kind>_weight` is the weight of the kind `<kind>` of `losses.generator_terms`. The
    identity weight is given relative to the cycle weight (Zhu et al. 2017, section 5.2).
    """
    suffix = "_weight"
    named = {k.removesuffix(suffix): v for k, v in config.loss.items() if k.endswith(suffix)}
    return named | {"identity": config.loss.identity_ratio * config.loss.cycle_weight}


def start_steps(config: Config) -> int:
    """Returns after how many steps of a run the weight of the start has fallen to 0."""
    return config.loss.start_steps or config.steps


def computed_terms(config: Config) -> tuple[str, ...]:
    """Returns the kinds of terms that a step computes: "cycle", and those that weigh something."""
    weights = loss_weights(config)
    return tuple(kind for kind, weight in weights.items() if weight > 0 or kind == "cycle")


def compilation_key(config: Config) -> str:
    """Returns a text that is equal for configs that share their compiled programs.

    It leaves out what the programs take as arguments, and what lies outside of them: the seed, the
    data, the loss weights, the learning rates, and how often something happens.
    """
    flat = flatten(config)
    inside = {
        key: value
        for key, value in flat.items()
        if not key.startswith("data.")
        and not key.endswith(_ARGUMENTS)
        and key not in ("seed", *_WHEN)
    }
    inside["terms"] = computed_terms(config)
    inside["type of images"] = config.augment_on_device and config.data.fit
    return json.dumps(inside, sort_keys=True)


def flatten(config: Config, prefix: str = "") -> dict[str, Any]:
    """Returns every value under its dotted name, `{"loss.cycle_weight": 15.0, ...}`.

    Tuples become lists, as they are in JSON.
    """
    flat = {}
    for key, value in config.items():
        if isinstance(value, ConfigDict | dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = list(value) if isinstance(value, tuple) else value
    return flat


def validate(config: Config) -> None:
    """Checks every value of a config, before anything is built.

    Raises:
      InputError: naming the key, its value and what it may be.
    """
    _check_values(config)
    # Runs of earlier versions may have it, and can still be read.
    views, contrast = config.data.views, config.data.contrast
    _require(
        views == 1 or contrast > 0,
        "data.views",
        views,
        "1 if data.contrast is 0, since two of the views would be copies of the other two; "
        "or give data.contrast, for example 0.2",
    )
    _require(
        not config.average_mirrored or config.data.flip or views > 1,
        "average_mirrored",
        config.average_mirrored,
        "False if data.flip is False, since the generators never see a mirrored image",
    )


def _check_values(config: Config) -> None:
    flat = flatten(config)
    _check_keys(flat)
    for key, default in flatten(base_config()).items():
        number = isinstance(default, int | float) and not isinstance(default, bool)
        wanted = (int, float) if isinstance(default, float) else type(default)
        right = isinstance(flat[key], wanted) and not (number and isinstance(flat[key], bool))
        _require(right, key, flat[key], f"of type {type(default).__name__}")
        _require(not number or abs(flat[key]) < 2**31, key, flat[key], "finite and below 2**31")
    for key, allowed in CHOICES.items():
        _require(flat[key] in allowed, key, flat[key], "one of " + ", ".join(map(repr, allowed)))
    weights = {key: 0 for key in flat if key.endswith(("_weight", "_ratio"))}
    for key, least in (_AT_LEAST | weights).items():
        _require(flat[key] >= least, key, flat[key], f"at least {least}")
    for key in ("ema_decay", "optimizer.b1", "optimizer.b2"):
        _require(0 <= flat[key] < 1, key, flat[key], "in [0, 1)")
    decay_from = config.optimizer.decay_from
    _require(0 <= decay_from <= 1, "optimizer.decay_from", decay_from, "in [0, 1]; 1 is no decay")
    head = config.generator.head
    _require(head == 0 or head >= 4, "generator.head", head, "0 (none) or at least 4")
    for key in ("generator.features", "discriminator.features"):
        widths_ok = len(flat[key]) > 0 and all(isinstance(w, int) and w > 0 for w in flat[key])
        widths_ok = widths_ok and len(flat[key]) <= 30  # what an image of 2**31 pixels can have
        _require(widths_ok, key, flat[key], "1 to 30 positive widths")
    strides = flat["discriminator.strides"]
    one_each = len(strides) == len(flat["discriminator.features"])
    strides_ok = one_each and all(s in (1, 2) for s in strides)
    _require(strides_ok, "discriminator.strides", strides, "1 or 2 for each of its features")
    _require(
        config.batch_size % config.data.views == 0,
        "batch_size",
        config.batch_size,
        f"a multiple of data.views = {config.data.views}",
    )
    _check_calls(config)
    multiple, size = image_size_multiple(config), config.image_size
    _require(
        size > 0 and size % multiple == 0,
        "image_size",
        size,
        f"a multiple of {multiple} (2 to the number of stride-2 layers), for example "
        + nearest_multiples(size, multiple),
    )
    # A 1x1 bottleneck has no norm, hence other parameters than a larger image would need.
    least = max(11, 2 ** (len(config.generator.features) + 1))
    _require(
        size >= least,
        "image_size",
        size,
        f"at least {least} (11 for SSIM, twice 2 to the number of generator.features for the norm)",
    )


def _check_calls(config: Config) -> None:
    """Checks that the parts of a batch are equal, and that all work is due between two calls."""
    _require(
        config.batch_size % config.microbatches == 0,
        "microbatches",
        config.microbatches,
        f"a divisor of batch_size = {config.batch_size}",
    )
    steps = config.steps_per_call
    for key in ("steps", *_WORK):
        near = nearest_multiples(config[key], steps)
        what = f"a multiple of config.steps_per_call = {steps}, for example {near}"
        _require(config[key] % steps == 0, key, config[key], what)


_KNOWN_AS = {  # names that users of other programs give to an option
    "lr": "learning_rate",
    "g_lr": "generator_learning_rate",
    "d_lr": "discriminator_learning_rate",
    "bs": "batch_size",
    "batch": "batch_size",
    "epochs": "steps",
    "n_epochs": "steps",
    "iterations": "steps",
    "max_steps": "steps",
    "lambda": "cycle_weight",
    "lambda_cycle": "cycle_weight",
    "lambda_identity": "identity_ratio",
    "beta1": "b1",
    "beta2": "b2",
    "size": "image_size",
    "resolution": "image_size",
    "crop_size": "image_size",
    "precision": "dtype",
    "pool_size": "history_size",
    "ema": "ema_decay",
    "num_workers": "workers",
    "data_dir": "dir",
    "model": "type",
}


def _close_keys(key: str, known: Iterable[str]) -> list[str]:
    """Returns the known keys that a wrong `key` may mean."""
    last = key.rsplit(".", 1)[-1].lower()
    last = _KNOWN_AS.get(last, last)
    same = [k for k in known if k.rsplit(".", 1)[-1] == last]
    same = same or [k for k in known if k.endswith(f"_{last}")]
    return same or difflib.get_close_matches(key, known, n=1)


def check_known(keys: Iterable[str]) -> None:
    """Raises `InputError` if one of the dotted `keys` is not a key of a config."""
    known = flatten(base_config())
    for key in keys:
        if key not in known:
            close = " or ".join(map(repr, _close_keys(key, known)))
            hint = f"; did you mean {close}?" if close else ""
            raise InputError(f"config has no key {key!r}{hint}")


def _with_added(flat: dict[str, Any]) -> dict[str, Any]:
    defaults = flatten(base_config())
    return {key: defaults[key] for key in _ADDED} | flat


def _check_keys(flat: dict[str, Any]) -> None:
    check_known(flat)
    known = flatten(base_config())
    for key, default in known.items():
        if key not in flat:
            raise InputError(f"config lacks the key {key!r} (default {default!r})")


def _require(condition: bool, key: str, value: Any, what: str) -> None:
    if not condition:
        raise InputError(f"config.{key} = {value!r}: must be {what}")


def to_json(config: Config) -> str:
    """Returns the config as indented JSON, the text of `config.json` in a workdir."""
    return json.dumps(config.to_dict(), indent=2)


def from_json(text: str) -> Config:
    """Reads the output of `to_json` back. The config is locked, and its values are checked.

    An option that the saved config's version did not have gets its default, see `_ADDED`.

    Raises:
      InputError: the text is not JSON, or has a key or value this version does not know.
    """
    config = base_config()
    try:
        saved = ConfigDict(json.loads(text))
        _check_keys(_with_added(flatten(saved)))
        config.update(saved)
    except InputError:
        raise
    except Exception as error:  # deep nesting, long numbers, whatever ConfigDict makes of the rest
        raise InputError(f"saved config cannot be read: {error}") from error
    _check_values(config)
    return config.lock()


def changes(old: Config, new: Config) -> dict[str, list[Any]]:
    """Returns `{key: [old value, new value]}` of every value that differs, sorted by key."""
    a, b = _with_added(flatten(old)), _with_added(flatten(new))
    return {
        key: [a.get(key), b.get(key)]
        for key in sorted(a.keys() | b.keys())
        if a.get(key) != b.get(key)
    }


def as_lines(changed: dict[str, list[Any]]) -> list[str]:
    """Returns a line `key: old -> new` for each of the `changes`."""
    return [f"{key}: {old!r} -> {new!r}" for key, (old, new) in changed.items()]


def differences(old: Config, new: Config) -> list[str]:
    """Returns a line `key: old -> new` for every value that changes a resumed run's numbers."""
    found = changes(old, new)
    return as_lines({key: pair for key, pair in found.items() if key not in FREE_ON_RESUME})


def may_change(key: str) -> bool:
    """Returns whether a run may be resumed with another value of `key`, a dotted name."""
    return key in FREE_ON_RESUME + _APPLIED_ON_RESUME or key.endswith(_ARGUMENTS)


def refused_changes(old: Config, new: Config) -> list[str]:
    """Returns a line `key: old -> new` for every change that a run cannot be resumed with."""
    return as_lines({key: pair for key, pair in changes(old, new).items() if not may_change(key)})
