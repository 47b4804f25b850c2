"""Names that data brings (of files, subjects, slices, splits) write nothing where they like."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from cyclegan_jax import InputError
from cyclegan_jax.data.dataset import open_dataset
from cyclegan_jax.data.formats.images import read_image, write_image
from cyclegan_jax.data.formats.readers import list_scans
from cyclegan_jax.data.intensity import IntensityRange
from cyclegan_jax.data.preparation import csv_list, file_source
from cyclegan_jax.data.preparation.scan import Scan, ScanImages, Source
from cyclegan_jax.data.preparation.splits import LONGEST_NAME, Item, divide
from cyclegan_jax.data.preparation.write import prepare
from cyclegan_jax.domains import Direction
from cyclegan_jax.evaluation import evaluate
from cyclegan_jax.report import page
from cyclegan_jax.trained.origin import Run
from cyclegan_jax.translation.translate_files import plan, translate_file

MARKUP = "<script>alert(1)</script><img src=x onerror=alert(1)>"
ELSEWHERE = ["../../evil", "/tmp/evil", "..", "~", "$HOME", MARKUP, "a" * LONGEST_NAME, "é"]
UNPRINTABLE = ["a\0b", "a\nb", "a\rb", "\x1b[2J", "\udcff", "a" * (LONGEST_NAME + 1)]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def source_of(names: list[str]) -> Source:
    """Scans of these subjects, paired in "test"; their facts have the last name as well."""

    def scan(name: str, seed: int) -> Scan:
        pixels = np.random.default_rng(seed).uniform(-1, 1, (16, 16)).astype(np.float32)
        images = {f"{name}#{i}": np.roll(pixels, i) for i in range(2)}
        return Scan(name, lambda: ScanImages(images, IntensityRange(0, 1), (2, 16, 16)))

    splits = {
        f"{split}_{d}": [scan(n, i + ord(d)) for i, n in enumerate(names)]
        for split in ("train", "test")
        for d in "xy"
    }
    facts = {"kind": "test", "from": names[-1]}
    return Source(splits, {"x": "float32", "y": "float32"}, facts, [f"note {names[-1]}"])


def test_hostile_names_are_scored_and_shown_in_the_workdir_alone(tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "in" / "run")
    place = tmp_path / "in" / f"{MARKUP.replace('/', '')}"
    dataset = prepare(source_of([*ELSEWHERE, MARKUP + "2"]), place)
    config = json.loads((run / "config.json").read_text())
    config["data"]["dir"] = str(dataset.folder)
    (run / "config.json").write_text(json.dumps(config))
    before = tree(tmp_path)
    folder = evaluate.evaluate(Run(run, "latest"), data_dir=str(dataset.folder))
    page.write(run)
    changed = {name for name, data in tree(tmp_path).items() if before.get(name) != data}
    made = {"scores.json", "images.csv", "subjects.csv", "grid.png", "best.png", "worst.png"}
    made.add("subjects.png")
    inside = folder.relative_to(tmp_path)
    assert changed == {str(inside / name) for name in made} | {"in/run/report.html"}
    text = (run / "report.html").read_text()
    assert "<script" not in text
    assert "<img src=x" not in text
    assert text.count("&lt;script&gt;") >= 3  # the folder, the facts, the note


@pytest.mark.parametrize("name", UNPRINTABLE)
def test_subjects_that_cannot_be_printed_are_refused(name):
    items = [Item(Path("a"), name, d, "train", "scans.csv line 2") for d in "xy"]
    with pytest.raises(InputError, match=r"scans\.csv line 2: subject '.*rename it") as refused:
        divide(items, unpaired="shared")
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("name", ["../../evil", "/tmp/evil", "train_z", "", "a\nb", "a" * 300])
def test_splits_of_other_names_are_refused(tmp_path, name, two_scans):
    folder = prepare(two_scans(), tmp_path / "out").folder
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["splits"][name] = manifest["splits"]["train_x"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="cannot read the manifest"):
        open_dataset(folder)


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2J", "\udcff", "a" * 501])
@pytest.mark.parametrize("place", ["names", "subjects"])
def test_slices_that_cannot_be_printed_are_refused(tmp_path, name, place, two_scans):
    folder = prepare(two_scans(), tmp_path / "out").folder
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["splits"]["train_x"][place] = [name]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="cannot read the manifest"):
        open_dataset(folder)


@pytest.mark.parametrize("file", ["a\0.png", "a" * 300 + ".png", "loop", "loop/a.png"])
def test_a_listing_of_impossible_files_is_refused(tmp_path, file, image_folder):
    image_folder(tmp_path / "x", ["a"])
    (tmp_path / "loop").symlink_to("loop")
    path = tmp_path / "scans.csv"
    path.write_text(f"file,subject,domain,split\nx/a.png,a,T1,train\n{file},b,T2,train\n")
    with pytest.raises(InputError, match=r"scans\.csv(: 1 of 2 files| line 3)"):
        csv_list.read_listing(path)


def test_a_listing_of_files_elsewhere_writes_into_its_folder_alone(tmp_path, image_folder):
    image_folder(tmp_path / "elsewhere", ["a", "b"])
    (tmp_path / "lists").mkdir()
    path = tmp_path / "lists" / "scans.csv"
    rows = f"../elsewhere/a.png,../../evil,T1,train\n{tmp_path}/elsewhere/b.png,/evil,T2,train\n"
    path.write_text(f"file,subject,domain,split\n{rows}")
    before = set(tree(tmp_path))
    prepare(
        file_source.scan_source(csv_list.read_listing(path), {"kind": "csv"}),
        tmp_path / "out" / "a",
    )
    assert all(name.startswith("out/a/") for name in tree(tmp_path).keys() - before)
    assert open_dataset(tmp_path / "out" / "a").names("train_x") == ["../../evil"]


@pytest.mark.parametrize(
    "name", ["..png", "...png", "_T1.png", " .png", "a\nb.png", "\x1b.png", "a" * 251 + ".png"]
)
def test_translations_stay_in_their_folder(tmp_path, name, image_folder, translator):
    folder = image_folder(tmp_path / "in", ["a"])
    (folder / "a.png").rename(folder / name)
    ((source, target),) = plan([folder / name], tmp_path / "out", Direction.T1_TO_T2)
    assert target.parent == tmp_path / "out"
    assert target.name not in (".", "..")
    (tmp_path / "out").mkdir()
    if len(target.name) > 255:
        with pytest.raises(InputError, match=r"cannot write.*File name too long"):
            translate_file(translator(), source, target)
        assert not os.listdir(tmp_path / "out")
    else:
        translate_file(translator(), source, target)
        assert os.listdir(tmp_path / "out") == [target.name]


def test_a_link_in_the_folder_of_results_is_replaced_not_followed(tmp_path):
    (tmp_path / "secret.png").write_text("mine")
    (tmp_path / "a.png").symlink_to("secret.png")
    write_image(tmp_path / "a.png", np.zeros((4, 4), np.uint8))
    assert (tmp_path / "secret.png").read_text() == "mine"
    assert not (tmp_path / "a.png").is_symlink()


def test_loops_of_links_are_refused(tmp_path):
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "loop").symlink_to("loop")
    for read, path in ((read_image, "loop.png"), (list_scans, "loop"), (open_dataset, "loop")):
        with pytest.raises(InputError, match=str(tmp_path / path)):
            read(tmp_path / path)
