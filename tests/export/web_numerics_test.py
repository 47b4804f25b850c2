"""The page's own numerics, in JavaScript under Node, give the results of the Python code."""

import gzip
import json
import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from cyclegan_jax.data.formats import nifti
from cyclegan_jax.data.phantom.head import make_phantom
from cyclegan_jax.translation.translate_files import translate_scan

ROOT = Path(__file__).parents[2]
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="no Node: apt-get install nodejs")

# Translates files with a network that is a formula, as `_generate` below.
_PROGRAM = """
import { readFileSync, writeFileSync } from "node:fs";
const place = new URL("web/src/numerics/", process.argv[1]);
const { read, write } = await import(new URL("nifti.js", place));
const { translateVolume } = await import(new URL("translate.js", place));
const generate = async (framed) => framed.map((v, i) => -0.9 * v * Math.abs(v) + 1e-5 * (i % 128));
for (const { path, facts } of JSON.parse(readFileSync(process.argv[2]))) {
  try {
    const volume = await read(new Blob([readFileSync(path)]));
    const made = await translateVolume(volume, facts, generate);
    writeFileSync(`${path}.made.nii`, write(made.data, volume, facts.descrip));
    console.log(JSON.stringify({ range: made.range, notes: made.notes }));
  } catch (error) {
    if (error.constructor.name !== "Refusal") throw error;
    console.log(JSON.stringify({ refused: error.message }));
  }
}
"""


def _generate(images: np.ndarray) -> np.ndarray:
    ramp = 1e-5 * (np.arange(images.size, dtype=np.float64) % 128).reshape(images.shape)
    return (-0.9 * images.astype(np.float64) * np.abs(images) + ramp).astype(np.float32)


@pytest.fixture
def page(tmp_path):
    """Runs the page's numerics on files; returns what they found of each."""

    def run(*scans: tuple[Path, dict]) -> list[dict]:
        listed = [{"path": str(path), "facts": facts} for path, facts in scans]
        (tmp_path / "scans.json").write_text(json.dumps(listed))
        line = [str(NODE), "--input-type=module", "-e", _PROGRAM, f"{ROOT.as_uri()}/", "scans.json"]
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return [json.loads(text) for text in done.stdout.splitlines()]

    return run


@pytest.fixture
def scan(tmp_path):
    """Writes a head as NIfTI in some voxel order, of some type."""

    def save(
        name: str,
        *,
        dtype: type = np.int16,
        order: str = "LPI",
        spacing: tuple[float, float, float] = (3.6, 3.6, 6.0),
        endian: str = "<",
        size: int = 64,
        change=lambda data: data,
        fill: float = 0.0,
        room: int = 0,
        slope: float | None = None,
        tilt: float = 0.1,
    ) -> Path:
        slices = make_phantom(1, size=size, slices=12).t1
        data = change(slices[:, ::-1, ::-1].transpose(2, 1, 0).astype(np.float64))
        noise = np.random.default_rng(0).normal(0, 8, (2, *data.shape))
        data = np.hypot(data + noise[0], noise[1]) if np.issubdtype(dtype, np.integer) else data
        data = np.pad(data, room, constant_values=fill)
        turn = np.eye(4)
        turn[:2, :2] = [[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]]
        affine = turn @ np.diag([*spacing, 1.0])
        affine[:3, 3] = -90, 12.5, 33
        codes = nib.orientations.axcodes2ornt(tuple(order))
        to = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt(("R", "A", "S")), codes)
        turned = nib.orientations.apply_orientation(data, to)
        affine = affine @ nib.orientations.inv_ornt_aff(to, data.shape)
        header = nib.Nifti1Header(endianness=endian)
        header.set_data_dtype(dtype)
        stored = turned if slope is None else (turned + 3.5) / slope
        image = nib.Nifti1Image(stored.round() if dtype is np.int16 else stored, affine, header)
        if slope is not None:  # nibabel writes the integers as they are given
            image.header.set_slope_inter(slope, -3.5)
        image.set_sform(affine, 1)
        image.set_qform(affine, 1)
        image.to_filename(tmp_path / name)
        return tmp_path / name

    return save


def _translated(translator, path: Path):
    volume = nifti.read_nifti(path)
    volume, made = translate_scan(translator, path, volume)
    return volume, made


def _facts(translator) -> dict:
    return {
        "source": translator.source,
        "target": translator.target,
        "axis": translator.axis,
        "fit": translator.mode,
        "image_size": translator.image_size,
        "image_size_multiple": translator.multiple,
        "descrip": translator.descrip,
        "slice_jump": translator.slice_jump,
    }


KNOWN = {"pixel_mm": [3.6, 3.6], "slice_mm": 6.0, "below_vertex_mm": 50.0}
HEADS = {
    "plain": {},
    "big_endian": {"endian": ">", "order": "ASR", "dtype": np.float32},
    "scaled": {"dtype": np.uint8, "slope": 2.0, "order": "RSP"},
    "float64": {"dtype": np.float64, "order": "PIR", "tilt": -0.6},
    "int8": {"dtype": np.int8, "slope": 4.0},
    "much_air": {"room": 40, "size": 64},
    "padding": {"room": 6, "fill": -3000.0, "dtype": np.float32},
    "z_scored": {"dtype": np.float32, "change": lambda d: np.where(d > 40, d / 100 - 3, 0.0)},
    "other_pixels": {"spacing": (1.9, 2.2, 3.0), "size": 96},
    "thick": {"spacing": (3.0, 3.0, 9.0)},
    "fading": {"change": lambda d: d * np.linspace(0.02, 1, 12)},
    "resized": {"size": 96, "mode": "resize"},
    "smoothed": {"spacing": (3.0, 3.0, 5.0), "slice_jump": 0.7},
    "slices_apart": {"spacing": (3.6, 3.6, 4.0), "slice_jump": 0.7},
    "coronal": {"axis": "coronal", "spacing": (3.6, 6.0, 3.6)},
}


@pytest.mark.parametrize("which", HEADS)
def test_a_head_is_translated_as_by_python(which, scan, page, translator):
    told = dict(HEADS[which])
    changed = {key: told.pop(key) for key in ("mode", "axis", "slice_jump") if key in told}
    known = {} if which == "resized" else KNOWN
    made_by = translator(
        _generate,
        image_size=80,
        source={"range": [0, 900.0], "least_head": {"pixels": 600, "share": 0.1}, **known},
        target={"range": [3.0, 700.0]},
        **changed,
    )
    path = scan(f"{which}.nii.gz", **told)
    (found,) = page((path, _facts(made_by)))
    volume, made = _translated(made_by, path)
    assert found["range"] == pytest.approx(list(made.source_range), rel=1e-6)
    np.testing.assert_allclose(made.data, _read(path).data, atol=1e-4 * 697)
    assert made.data.std() > 10
    assert len(found["notes"]) == len(volume.notes) + len(made.notes)
    nifti.write_volume(path.with_name("python.nii"), made.data, volume, made_by.descrip)
    ours, theirs = (
        nib.load(p).header for p in (Path(f"{path}.made.nii"), path.with_name("python.nii"))
    )
    assert ours.binaryblock == theirs.binaryblock


def _read(path: Path):
    return nifti.read_nifti(Path(f"{path}.made.nii"))


def test_wrong_files_are_refused_in_a_sentence(scan, page, translator, tmp_path):
    whole = scan("whole.nii").read_bytes()
    four = nib.Nifti1Image(np.random.default_rng(0).normal(size=(8, 8, 8, 3)), np.eye(4))
    rgb = nib.Nifti1Image(np.zeros((8, 8, 8), [(c, "u1") for c in "RGB"]), np.eye(4))
    plain = nib.Nifti1Image(np.ones((8, 8, 8), np.float32), np.eye(4))
    unset = nib.Nifti1Image(np.random.default_rng(0).normal(size=(8, 8, 8)), None)
    huge = nib.Nifti1Header()
    huge.set_data_shape((1024, 1024, 1024))
    huge.set_data_dtype(np.int16)
    huge["vox_offset"], huge["magic"] = 352, b"n+1"
    files = {
        "frames": four.to_bytes(),
        "colour": rgb.to_bytes(),
        "every voxel": plain.to_bytes(),
        "neither sform": unset.to_bytes(),
        "no NIfTI": b"this is text\n" * 100,
        "no NIfTI file": b"",
        "cut off": whole[:-1000],
        "cut off, so": gzip.compress(whole)[:-1000],
        "more than a page can hold": huge.binaryblock + bytes(4000),
        "longer than": whole + bytes(2**25),
        "NaN": nib.Nifti1Image(np.full((8, 8, 8), np.nan), np.eye(4)).to_bytes(),
    }
    facts = _facts(translator(_generate))
    paths = []
    for index, content in enumerate(files.values()):
        paths.append(tmp_path / f"{index}.nii")
        paths[-1].write_bytes(content)
    found = page(*((path, facts) for path in paths))
    for part, answer in zip(files, found, strict=True):
        assert part in answer["refused"]
        assert len(answer["refused"]) < 200
