"""What has changed in a run's config since its newest checkpoint: checked, recorded, described.

A checkpoint holds the config that its steps were trained with, and the record of all changes before
them. So a launch that is killed before its first save leaves no trace, and the next one finds the
same changes again.
"""

from pathlib import Path
from typing import Any

from cyclegan_jax import InputError
from cyclegan_jax import config as config_lib
from cyclegan_jax.checkpoints.contents import Checkpoint
from cyclegan_jax.optimizer import new_rates_in_words
from cyclegan_jax.system.workdir import check_changes

Change = dict[str, Any]  # {"step": number of steps done before, "changed": {key: [old, new]}}


def applied(
    saved: Checkpoint, config: config_lib.Config, workdir: Path
) -> tuple[list[Change], list[str]]:
    """Returns the record of a run's changes, with those of this launch, and lines that say these.

    Args:
      saved: the checkpoint that the run is resumed from.
      config: that it is resumed with.
      workdir: of the run, for messages.

    Raises:
      InputError: the run cannot train on with this config, or has done more steps already.
    """
    old, step = saved.config, saved.step
    check_changes(old, config, workdir)
    if config.steps < step:
        raise InputError(
            f"config.steps = {config.steps}: the run in {workdir} has done {step} steps; "
            "give more, or use a new --workdir"
        )
    record, changed = list(saved.meta.get("changes", ())), config_lib.changes(old, config)
    if not changed:
        return record, []
    lines = config_lib.as_lines(changed)
    if changed.keys() & {"steps", "optimizer.decay_from"}:
        lines.append(new_rates_in_words(old, config, step))
    end = config_lib.start_steps(config)
    started = changed.keys() & {"loss.start_weight", "loss.start_steps"}
    if config.loss.start_weight and (started or end != config_lib.start_steps(old)):
        left = max(0.0, 1 - step / end)
        lines.append(
            f"weight of the start: {left * config.loss.start_weight:g} at step {step}, and 0 from "
            f"step {end} of the run on"
        )
    record.append({"step": step, "changed": changed})
    return record, [f"changed from step {step} on:", *(f"  {line}" for line in lines)]
