"""Translates scans with a checkpoint and writes what came out; needs no training data."""

import os
from collections.abc import Sequence
from pathlib import Path

from cyclegan_jax import InputError
from cyclegan_jax.data import intensity
from cyclegan_jax.data.background import with_dark_air
from cyclegan_jax.data.formats import images, nifti, readers
from cyclegan_jax.data.preparation.contrast_names import without_trailing_contrast
from cyclegan_jax.domains import CONTRASTS, Direction
from cyclegan_jax.translation.preview import save_preview
from cyclegan_jax.translation.translator import Translator, load_translator
from cyclegan_jax.translation.volumes import translate_volume


def plan(inputs: Sequence[Path], out: Path, direction: Direction) -> list[tuple[Path, Path]]:
    """Returns every scan to read with the file to write for it; folders are expanded.

    The result is named after the subject with `_T1` or `_T2`; a JPEG becomes a PNG, a DICOM series
    becomes NIfTI.

    Raises:
      InputError: nothing to do, two results share a name, or `out` is the folder of an input.
    """
    if not inputs:
        raise InputError("name at least one image, volume or folder to translate")
    pairs: list[tuple[Path, Path]] = []
    for entry, path in ((e, p) for e in inputs for p in readers.list_scans(e)):
        row = readers.format_of(path)
        if row.translated is None:
            raise InputError(
                f"{path}: {row.kind}s are not translated; save it as NIfTI or as images"
            )
        suffix = row.translated or path.name.removeprefix(readers.stem(path))
        # a folder may be given as "."; a series may lie deeper than its patient's folder
        named = Path(os.path.abspath(entry), *path.relative_to(entry).parts[:1])
        pairs.append(
            (path, out / f"{without_trailing_contrast(named)}{_suffix(direction)}{suffix}")
        )
    writers: dict[Path, Path] = {}
    for source, target in pairs:
        if out.resolve() in (source.resolve(), source.resolve().parent):
            raise InputError(
                f"--out={out} is the folder of {source.name}: a translation could replace a scan "
                "there; choose another"
            )
        # what is written beside a volume has one name, whatever the volume's suffix
        written = _preview(target) if readers.format_of(source).kind == "volume" else target
        if writers.setdefault(written, source) != source:
            raise InputError(
                f"{writers[written]} and {source} would both be written to {written}; "
                "translate them into different folders"
            )
    return pairs


def translate_file(
    translator: Translator,
    source: Path,
    target: Path,
    frame: int | None = None,
    cycle_error: bool = False,
    resample: bool = False,
) -> list[str]:
    """Translates one image, NIfTI file or DICOM series' folder.

    A volume also gets a preview PNG beside it.

    Args:
      translator: of one checkpoint and direction.
      source: what to read.
      target: the file to write.
      frame: of a NIfTI file of several, from 0.
      cycle_error: whether `<subject>_cycle_error.nii.gz` is written too; volumes only.
      resample: whether a volume is translated at the voxel size of training, and resampled back to
        its own grid.

    Returns:
      What the user must know of the result, a line each.

    Raises:
      InputError: the scan cannot be read, used or written.
    """
    row = readers.format_of(source)
    if row.kind == "image":
        made, notes = translator.image(row.read(source))
        images.write_image(target, made)
        return notes
    volume = with_dark_air(source, readers.read_volume(source, frame))
    try:
        made = translate_volume(translator, volume, resample=resample, cycle_error=cycle_error)
    except ValueError as error:
        raise (
            error if isinstance(error, InputError) else InputError(f"{source}: {error}")
        ) from error
    nifti.write_volume(target, made.data, volume, translator.descrip)
    stem = readers.stem(target)
    way = translator.direction
    given, wanted = CONTRASTS[way.source], CONTRASTS[way.target]
    save_preview(
        _preview(target),
        [
            intensity.normalise(volume.data, made.source_range),
            intensity.normalise(made.data, translator.target_range),
        ],
        [f"{given}: {source.name}", f"{wanted} from it: {stem}"],
        volume.spacing,
    )
    if made.cycle_error is not None:
        subject = stem.removesuffix(_suffix(translator.direction))
        path = target.with_name(f"{subject}_cycle_error.nii.gz")
        nifti.write_volume(path, made.cycle_error, volume, translator.descrip)
    return [*volume.notes, *made.notes]


def translate(
    workdir: Path,
    direction: Direction,
    inputs: Sequence[Path],
    out: Path,
    checkpoint: str = "best",
    frame: int | None = None,
    cycle_error: bool = False,
    resample: bool = False,
) -> int:
    """Translates scans and folders of them; one that fails is reported, the rest continue.

    Args:
      workdir: of the run.
      direction: which contrast is made of which.
      inputs: images, NIfTI files, DICOM series' folders, and folders of these.
      out: folder of the results, made if need be.
      checkpoint: "best", "latest" or a step.
      frame: see `translate_file`.
      cycle_error: see `translate_file` and `Translator.cycle_error`.
      resample: see `translate_file`.

    Returns:
      The number of scans that failed.

    Raises:
      InputError: nothing can be translated at all.
    """
    pairs = plan(inputs, out, direction)
    translator = load_translator(workdir, direction, checkpoint)
    if resample:
        _check_resample(workdir, translator, [source for source, _ in pairs])
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out={out}: cannot be made a folder ({error.strerror})") from error
    failed, said = 0, set[str]()
    for index, (source, target) in enumerate(pairs, 1):
        try:
            notes = translate_file(translator, source, target, frame, cycle_error, resample)
            print(f"[{index}/{len(pairs)}] {source} -> {target}", flush=True)
            for note in notes:
                if note not in said:  # what holds for many scans is said once
                    print(f"  note: {note}", flush=True)
                said.add(note)
        except Exception as error:  # one scan's, whatever it is; the rest must continue
            failed += 1
            what = error if isinstance(error, InputError) else f"{source}: {error!r}"
            print(f"[{index}/{len(pairs)}] FAILED {what}", flush=True)
    return failed


def _check_resample(workdir: Path, translator: Translator, sources: Sequence[Path]) -> None:
    if translator.spacing_wanted((1, 1, 1)) is None:
        raise InputError(
            f"--resample: {workdir} was trained on images whose pixel size is not known; omit it, "
            "and bring the scans to the training images' pixel size yourself"
        )
    for source in sources:
        if readers.format_of(source).kind != "volume":
            raise InputError(f"--resample is for volumes, which {source} is not; omit it")


def _suffix(direction: Direction) -> str:
    return f"_{CONTRASTS[direction.target]}"


def _preview(target: Path) -> Path:
    return target.with_name(f"{readers.stem(target)}_preview.png")
