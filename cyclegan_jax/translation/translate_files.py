"""Translates scans with trained generators and writes what came out; needs no training data."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from cyclegan_jax import InputError
from cyclegan_jax.data import intensity
from cyclegan_jax.data.background import with_dark_air
from cyclegan_jax.data.formats import images, nifti, readers
from cyclegan_jax.data.formats.orientation import Volume
from cyclegan_jax.data.preparation.bids_names import Filter
from cyclegan_jax.domains import CONTRASTS, Direction
from cyclegan_jax.trained.origin import Origin
from cyclegan_jax.translation.derivative import (
    plan_derivative,
    write_description,
    write_sidecar,
)
from cyclegan_jax.translation.ensemble import Ensemble, check_level, ensemble_of, translated
from cyclegan_jax.translation.familiar import unlike_training
from cyclegan_jax.translation.inputs import check_header, plan, preview_of, result_suffix
from cyclegan_jax.translation.preview import save_preview
from cyclegan_jax.translation.record import DONE, FAILED, Record, record_of
from cyclegan_jax.translation.translator import Translator, load_translator
from cyclegan_jax.translation.volumes import TranslatedVolume


def translate_file(
    translator: Translator | Ensemble,
    source: Path,
    target: Path,
    frame: int | None = None,
    cycle_error: bool = False,
    resample: bool = True,
    strict: bool = False,
    level: float | None = None,
) -> list[str]:
    """Translates one image, NIfTI file or DICOM series' folder.

    A volume also gets a preview PNG beside it.

    Args:
      translator: of one direction; an ensemble also writes `<subject>_<contrast>_sd.nii.gz` for
        volumes, where its members differ.
      source: what to read.
      target: the file to write.
      frame: of a NIfTI file of several, from 0.
      cycle_error: whether `<subject>_cycle_error.nii.gz` is written too; volumes only.
      resample: see `translate_volume`.
      strict: whether a scan that is not like the training scans is refused, see `familiar`.
      level: of the interval whose ends are written too, as `<subject>_<contrast>_lower.nii.gz` and
        `_upper.nii.gz`; volumes only. None writes none.

    Returns:
      What the user must know of the result, a line each.

    Raises:
      InputError: the scan cannot be read, used or written, it is refused, or its header says that
        it already has the contrast to make.
    """
    row = readers.format_of(source)
    if row.kind == "image":
        pixels = row.read(source)
        unlike = unlike_training(translator, pixels, source, strict=strict)
        made, notes = translator.image(pixels)
        images.write_image(target, made)
        return [*unlike, *notes]
    volume = readers.read_volume(source, frame)
    volume, made = translate_scan(translator, source, volume, resample, cycle_error, strict, level)
    nifti.write_volume(target, made.data, volume, translator.descrip)
    stem = readers.stem(target)
    way = translator.direction
    given, wanted = CONTRASTS[way.source], CONTRASTS[way.target]
    save_preview(
        preview_of(target),
        [
            intensity.normalise(volume.data, made.source_range),
            intensity.normalise(made.data, translator.target_range),
        ],
        [f"{given}: {source.name}", f"{wanted} from it: {stem}"],
        volume.spacing,
    )
    if made.cycle_error is not None:
        subject = stem.removesuffix(result_suffix(translator.direction))
        path = target.with_name(f"{subject}_cycle_error.nii.gz")
        nifti.write_volume(path, made.cycle_error, volume, translator.descrip)
    if made.sd is not None:
        nifti.write_volume(
            target.with_name(f"{stem}_sd.nii.gz"), made.sd, volume, translator.descrip
        )
    for name, end in zip(("lower", "upper"), made.interval or (), strict=False):
        path = target.with_name(f"{stem}_{name}.nii.gz")
        nifti.write_volume(path, end, volume, translator.descrip)
    return [*volume.notes, *made.notes]


def translate_scan(
    translator: Translator | Ensemble,
    source: Path,
    volume: Volume,
    resample: bool = True,
    cycle_error: bool = False,
    strict: bool = False,
    level: float | None = None,
) -> tuple[Volume, TranslatedVolume]:
    """Checks and translates a volume that was read.

    Args:
      translator: of one direction.
      source: where the volume came from, for messages; its name may say a contrast.
      volume: as its reader returned it.
      resample: see `translate_volume`.
      cycle_error: whether the cycle error is computed too.
      strict: see `translate_file`.
      level: see `translate_volume`.

    Returns:
      The volume with dark air, and its translation.

    Raises:
      InputError: as `translate_file`.
    """
    check_header(source, volume, translator.direction)
    volume = with_dark_air(source, volume)
    unlike = unlike_training(translator, volume, source, strict=strict)
    try:
        made = translated(
            translator, volume, resample=resample, cycle_error=cycle_error, level=level
        )
    except ValueError as error:
        raise (
            error if isinstance(error, InputError) else InputError(f"{source}: {error}")
        ) from error
    return volume, dataclasses.replace(made, notes=[*unlike, *made.notes])


def translate(
    origins: Sequence[Origin],
    direction: Direction,
    inputs: Sequence[Path],
    out: Path,
    frame: int | None = None,
    cycle_error: bool = False,
    resample: bool = True,
    bids: Path | None = None,
    filters: Sequence[Filter] = (),
    strict: bool = False,
    level: float | None = None,
    moved: bool = False,
) -> int:
    """Translates scans and folders of them; one that fails is reported, the rest continue.

    Translations that an earlier call made in the same way are not made again, see `record.Record`.

    Args:
      origins: of the generators; of several, the mean of their translations is made.
      direction: which contrast is made of which.
      inputs: see `inputs.plan`.
      out: folder of the results, made if need be.
      frame: see `translate_file`.
      cycle_error: see `translate_file` and `Translator.cycle_error`.
      resample: see `translate_volume`.
      bids: instead of `inputs`: the root of a raw BIDS data set, of which `out` becomes a
        derivative one.
      filters: which of its scans are translated, see `derivative.plan_derivative`.
      strict: see `translate_file`.
      level: see `translate_file`.
      moved: whether the only model translates moved copies, see `ensemble.moved_copies`.

    Returns:
      The number of scans that failed.

    Raises:
      InputError: nothing can be translated at all.
    """
    notes: list[str] = []
    if bids is None:
        pairs = plan(inputs, out, direction, notes)
    else:
        pairs = plan_derivative(bids, out, direction, filters, notes)
    for note in notes:
        print(f"note: {note}", flush=True)
    translator = ensemble_of([load_translator(origin, direction) for origin in origins], moved)
    check_level(translator, level)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out={out}: cannot be made a folder ({error.strerror})") from error
    if bids is not None:
        write_description(bids, out)
    options = f"frame={frame} cycle_error={cycle_error} resample={resample}"
    if strict:  # a result that was made without it was not compared
        options += " strict=True"
    if level is not None:
        options += f" interval={level:g}"
    if moved:
        options += " moved_copies=True"
    record = record_of(out, translator, options, bids)
    there = {target for source, target in pairs if record.is_made(source, target)}
    _print_there(record, [target for _, target in pairs], there)

    def attempt(source: Path, target: Path) -> list[str]:
        target.parent.mkdir(parents=True, exist_ok=True)
        notes = translate_file(
            translator, source, target, frame, cycle_error, resample, strict, level
        )
        if bids is not None:
            write_sidecar(bids, source, target, translator, notes)
        return notes

    failed = _translate_all(pairs, there, attempt, record)
    if len(pairs) > 1:
        print(f"\n{record.summary()}", flush=True)
    return failed


def _translate_all(
    pairs: Sequence[tuple[Path, Path]],
    there: set[Path],
    attempt: Callable[[Path, Path], list[str]],
    record: Record,
) -> int:
    """Makes the results that are not there yet, and returns how many scans failed."""
    failed, said = 0, set[str]()
    for index, (source, target) in enumerate(pairs, 1):
        if target in there:
            record.add_there(source, target)
            continue
        start = time.monotonic()
        try:
            notes = attempt(source, target)
            record.add(source, target, DONE, time.monotonic() - start, notes)
            print(f"[{index}/{len(pairs)}] {source} -> {target}", flush=True)
            for note in notes:
                if note not in said:  # what holds for many scans is said once
                    print(f"  note: {note}", flush=True)
                said.add(note)
        except Exception as error:  # one scan's, whatever it is; the rest must continue
            failed += 1
            what = error if isinstance(error, InputError) else f"{source}: {error!r}"
            print(f"[{index}/{len(pairs)}] FAILED {what}", flush=True)
            record.add(source, target, FAILED, time.monotonic() - start, [str(what)])
    return failed


def _print_there(record: Record, targets: Sequence[Path], there: set[Path]) -> None:
    if there:
        print(f"{len(there)} of {len(targets)} are there already", flush=True)
    if again := sum(record.holds(target) for target in targets if target not in there):
        print(
            f"note: {record.out}: {again} result(s) are made again, since the model, its step, the "
            "options or the scan is another one, or the result was changed",
            flush=True,
        )
