"""Evaluation of a checkpoint: the files it writes and what the numbers in them are."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from PIL import Image
from scipy.stats import wasserstein_distance

from cyclegan_jax import InputError
from cyclegan_jax.checkpoints.manager import Checkpoints
from cyclegan_jax.config import base_config
from cyclegan_jax.data import from_config
from cyclegan_jax.data.phantom.head import TISSUES
from cyclegan_jax.data.phantom.source import phantom_source
from cyclegan_jax.data.preparation.write import prepare
from cyclegan_jax.evaluation import evaluate, unpaired
from cyclegan_jax.evaluation.evaluate import score_tables
from cyclegan_jax.evaluation.metrics import PROTOCOLS
from cyclegan_jax.evaluation.monitors import PairMonitor
from cyclegan_jax.evaluation.tables import polarity_verdicts, region_tables
from cyclegan_jax.inference import CompiledGenerators
from cyclegan_jax.render.image_grid import description
from cyclegan_jax.render.text_table import as_text
from cyclegan_jax.trained.origin import Run
from cyclegan_jax.training.compiled import Programs

METRICS = ["ssim", "psnr", "mae", "nmse", "intensity_error"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Untrained networks, their checkpoint and phantoms that are large enough for lesions."""
    place = tmp_path_factory.mktemp("evaluate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        c = base_config()
        c.image_size, c.batch_size = 64, 8
        c.data.phantom.subjects, c.data.phantom.held_out, c.data.phantom.slices = 4, 2, 4
        c.generator.features = c.discriminator.features = (4,)
        c.discriminator.strides = (2,)
        programs = Programs(c)
        state = programs.create_state(0)
        with Checkpoints(place, keep=1) as checkpoints:
            checkpoints.save(state, {"config": c.to_dict()}, None)
        yield place, c, programs, state


@pytest.fixture
def workdir(run):
    return run[0]


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_files_hold_the_same_numbers(workdir, capsys):
    folder = evaluate.evaluate(Run(workdir, "latest"))
    assert folder == workdir / "eval" / "0" / "test"
    scores = json.loads((folder / "scores.json").read_text())
    assert (scores["step"], scores["split"], scores["images"]) == (0, "test", 8)
    assert tuple(scores["protocols"]) == PROTOCOLS
    images, subjects = rows(folder / "images.csv"), rows(folder / "subjects.csv")
    assert len(images) == 8 * 4 * 5
    assert len(subjects) == 2 * 4 * 5
    assert list(images[0]) == ["name", "direction", "protocol", *METRICS, "correlation"]
    for protocol, directions in scores["protocols"].items():
        assert list(directions) == ["t1_to_t2", "t2_to_t1", "t1_as_t2", "t2_as_t1"]
        for direction, metrics in directions.items():
            own = [*METRICS[:-1], "correlation"] if protocol == "brain" else METRICS
            assert list(metrics) == own
            here = [r for r in images if (r["direction"], r["protocol"]) == (direction, protocol)]
            for metric, entry in metrics.items():
                means = [
                    np.mean([float(r[metric]) for r in here if r["name"].startswith(subject)])
                    for subject in ("phantom0002", "phantom0003")
                ]
                if metric == "nmse":  # the ratio of sums; see the tests of `by_subject`
                    means = [
                        float(r[metric])
                        for r in subjects
                        if (r["direction"], r["protocol"]) == (direction, protocol)
                    ]
                assert entry["mean"] == pytest.approx(np.mean(means), rel=1e-5)
                assert entry["sd"] == pytest.approx(np.std(means, ddof=1), rel=1e-3, abs=1e-6)
                assert (entry["n"], entry["left_out"]) == (2, 0)
                stored = [
                    float(r[metric])
                    for r in subjects
                    if (r["direction"], r["protocol"]) == (direction, protocol)
                ]
                assert stored == pytest.approx(means, rel=1e-5)
    printed = capsys.readouterr().out
    for table in score_tables(scores):
        assert as_text(table) in printed
        assert max(map(len, as_text(table).splitlines())) <= 100


def test_pictures_show_the_extremes(workdir):
    folder = evaluate.evaluate(Run(workdir, "latest"))
    heights = {}
    for name in ("grid", "best", "worst"):
        with Image.open(folder / f"{name}.png") as picture:
            heights[name] = picture.height
    assert heights["grid"] > heights["best"] == heights["worst"]


def test_best_and_worst_are_ordered_by_the_mean_of_both_directions(monkeypatch):
    shown = {}
    values = {"t1_to_t2": np.arange(6.0), "t2_to_t1": np.array([0, 0, 0, 9.0, 0, 0])}
    image = np.zeros((6, 4, 4, 1), np.float32)
    pairs = evaluate.Pairs(image, image, image > 1, [f"s{i}" for i in range(6)])
    pictures = evaluate._pictures(
        pairs, dict.fromkeys(values, image), {d: {"ssim": v} for d, v in values.items()}
    )
    for name, (_, _, titles) in pictures.items():
        shown[name] = [title.split(":")[0] for title in titles]
    assert shown["best.png"] == ["s3", "s5", "s4", "s2"]
    assert shown["worst.png"] == ["s0", "s1", "s2", "s4"]
    assert shown["grid.png"] == [f"s{i}" for i in range(6)]
    ranks = ["best subject, s3", "median subject, s2", "worst subject, s0"]
    assert shown["subjects.png"] == ranks


def test_a_picture_of_a_subject_shows_the_scores_of_the_subject():
    image = np.zeros((4, 4, 4, 1), np.float32)
    pairs = evaluate.Pairs(image, image, image > 1, ["a#0", "a#1", "b#0", "b#1"])
    scores = {"t1_to_t2": {"ssim": np.array([0.5, 0.7, 0.1, 0.2])}}
    scores["t2_to_t1"] = {"ssim": np.array([0.4, 0.6, 0.3, 0.9])}
    _, _, titles = evaluate._pictures(pairs, dict.fromkeys(scores, image), scores)["subjects.png"]
    assert titles == [
        "best subject, a: SSIM T1 to T2 0.600, T2 to T1 0.500; shown: a#0",
        "worst subject, b: SSIM T1 to T2 0.150, T2 to T1 0.600; shown: b#0",
    ]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        # means 2, 5 and 8; the middle slice of each is nearest
        ("b#0 b#1 b#2 a#0 a#1 a#2 c#0 c#1 c#2", {"best": 7, "median": 4, "worst": 1}),
        ("a#0 a#1 a#2 b#0 b#1 b#2 b#3 b#4 b#5", {"best": 5, "worst": 1}),
        ("a a#1 a#2 a#3 a#4 a#5 a#6 a#7 a#8", {"best": 4}),
    ],
)
def test_a_subject_is_shown_by_the_slice_nearest_to_its_mean(names, expected):
    score = np.array([1, 2, 3.5, 4, 5, 6.5, 7, 8, 9.5])
    assert evaluate._typical(score, names.split()) == expected


def test_slices_without_a_score_show_no_subject():
    score = np.array([np.nan, 0.2, np.nan, 0.5])
    assert evaluate._typical(score, ["a#0", "a#1", "b#0", "c#0"]) == {"best": 3, "worst": 1}


def test_phantoms_have_tissues_and_lesions(workdir, monkeypatch):
    compared = []
    inner = evaluate.regions.polarity
    monkeypatch.setattr(
        evaluate.regions, "polarity", lambda *a: [compared.extend(a[-1]), inner(*a)][1]
    )
    scores = json.loads((evaluate.evaluate(Run(workdir, "latest")) / "scores.json").read_text())
    assert scores["lesions_in_data"] == []
    for direction in ("t1_to_t2", "t2_to_t1"):
        assert {"csf", "grey_matter", "white_matter", "deep_grey_matter", "scalp"} <= scores[
            "tissues"
        ][direction].keys()
        assert scores["tissues"][direction]["csf"]["mae"]["n"] == 2
        assert scores["tissues"][direction]["csf"]["true_median"]["mean"] > 0
        assert scores["polarity"][direction]["rank_correlation"]["n"] == 2
        assert "grey_minus_white" in scores["polarity"][direction]
        assert not {"scalp", "bone"} & set(compared)  # they would hide an inverted brain
        lesions = scores["lesions"][direction]
        assert lesions["heads"].keys() == {"phantom0002", "phantom0003"}
        assert lesions["retention"]["n"] > 0
        assert scores["slice_jumps"][direction]["n"] == 2
    assert scores["slice_jumps"].keys() == scores["protocols"]["brain"].keys()
    text = "\n".join(map(as_text, score_tables(scores)))
    assert "deep grey matter" in text
    assert "jumps between slices" in text
    assert "The training heads of this data set have none" in " ".join(text.split())


def test_regions_are_written_and_shown(workdir):
    folder = evaluate.evaluate(Run(workdir, "latest"))
    scores = json.loads((folder / "scores.json").read_text())
    lines = rows(folder / "regions.csv")
    assert [*lines[0]] == [
        *("subject", "direction", "label", "region", "pixels", "mae", "intensity_error", "ssim")
    ]
    for direction, regions in scores["regions"].items():
        assert {entry["name"] for entry in regions.values()} >= {"csf", "white_matter"}
        for label, entry in regions.items():
            own = [r for r in lines if (r["direction"], r["label"]) == (direction, label)]
            assert {r["region"] for r in own} == {entry["name"]}
            assert entry["pixels"] == sum(int(r["pixels"]) for r in own)
            errors = [float(r["mae"]) for r in own]
            assert (len(own), entry["mae"]["n"]) == (2, 2)
            assert entry["mae"]["mean"] == pytest.approx(np.mean(errors))
    words = description(folder / "regions.png")
    worst = max(scores["regions"]["t2_to_t1"].values(), key=lambda entry: entry["mae"]["mean"])
    assert f"Largest errors in T2→T1: {worst['name']} {worst['mae']['mean']:.3f}, " in words
    assert words.startswith("Slices phantom000")


def test_label_maps_take_the_names_of_a_tsv(run, tmp_path, monkeypatch, fails):
    workdir, *_ = run
    names = tmp_path / "names.tsv"
    fluid, white = TISSUES.index("csf"), TISSUES.index("white_matter")
    names.write_text(
        "index\tname\tregion\n"
        f"{fluid}\tventricle\tleft lateral ventricle\n{white}\twhite\tleft white matter\n"
    )
    known = {"label_names": str(names), "out": tmp_path / "out"}
    with pytest.raises(InputError, match=r"--label_names=.*names.tsv: the test .* no label maps"):
        evaluate.evaluate(Run(workdir, "latest"), **known)
    assert not known["out"].exists()
    monkeypatch.setattr(evaluate.phantom_truth, "is_phantom", lambda dataset: False)
    folder = evaluate.evaluate(Run(workdir, "latest"), **known)
    scores = json.loads((folder / "scores.json").read_text())
    assert set(scores["tissues"]["t1_to_t2"]) == {"ventricle", "white"}
    assert set(scores["regions"]["t1_to_t2"]) == {str(fluid), str(white)}
    assert scores["ventricles"]["what"] == "lateral ventricles"
    assert scores["ventricles"]["labels"] == [fluid]
    text = "\n".join(map(as_text, score_tables(scores)))
    assert "left lateral ventricle" in text
    assert "volume of the lateral ventricles / voxels" in text
    assert max(map(len, text.splitlines())) <= 100
    with pytest.raises(InputError, match=r"--label_names=.*: the train .* no label maps"):
        evaluate.evaluate(Run(workdir, "latest"), split="train", label_names=str(names))
    with fails(tmp_path / "gone", "cannot be read"):
        evaluate.evaluate(Run(workdir, "latest"), label_names=str(tmp_path / "gone"))


def test_tables_of_regions_show_the_worst_and_fit_a_terminal():
    def entry(error):
        return {"mean": error, "sd": 0.1, "n": 100}

    metrics = {"intensity_error": entry(-0.999), "ssim": entry(-0.5), "pixels": 999999}
    regions = {
        str(i): {"name": f"{i}" * 20, "mae": entry(i / 100)} | metrics for i in range(10, 30)
    }
    (table,) = score_tables({"regions": {"t1_to_t2": regions}})
    assert [row[0][:2] for row in table.rows] == [str(i) for i in range(29, 19, -1)]
    assert "These 10 of 20 regions have the largest errors" in table.note
    assert max(map(len, as_text(table).splitlines())) <= 100
    (whole,) = region_tables({"t1_to_t2": regions})
    assert len(whole.rows) == 20
    assert "regions.csv" not in whole.note


def test_limits_of_agreement_of_one_subject_are_not_known():
    volume = {"mean": 10.0, "sd": 0.0, "n": 1}
    there = {"threshold": 0.0, "label": volume, "true": volume, "translated": volume, "bias": 0.5}
    there |= {"sd": None, "lower": None, "upper": None, "n": 1}
    scores = {"what": "ventricles", "unit": "ml", "margin": 2, "directions": {"t1_to_t2": there}}
    (table,) = score_tables({"ventricles": scores})
    assert table.title == "volume of the ventricles / ml"
    assert "50 % in T2 of the range" in table.note
    assert list(table.rows) == [["T1→T2", *["10.0 ± 0.0"] * 3, "0.5", "none", "1"]]


def test_the_validation_score_is_that_of_training(run, capsys):
    workdir, config, programs, state = run
    folder = evaluate.evaluate(Run(workdir, "latest"), split="val", protocol="fixed")
    scores = json.loads((folder / "scores.json").read_text())
    assert scores["split"] == "val"
    assert tuple(scores["protocols"]) == PROTOCOLS  # one is printed, all are written
    assert "slice_max" not in capsys.readouterr().out
    pairs = from_config.scored_pairs(config, from_config.open_data(config), "val")
    during = PairMonitor(programs.compiled_generators, pairs).scored(state.generators).scalars
    for direction, metrics in scores["protocols"]["brain"].items():
        for metric in ("ssim", "psnr", "mae", "nmse", "correlation"):
            found = during.pop(f"eval/brain/{direction}/{metric}")
            assert metrics[metric]["mean"] == pytest.approx(found, rel=1e-5)
    assert not during


def test_pairs_without_labels_are_ranked_by_whole_images(run, monkeypatch):
    workdir, *_ = run
    inner = from_config.scored_pairs
    monkeypatch.setattr(
        evaluate.from_config,
        "scored_pairs",
        lambda *a, **k: dataclasses.replace(inner(*a, **k), labels=None),
    )
    monkeypatch.setattr(evaluate.phantom_truth, "is_phantom", lambda dataset: False)
    scores = json.loads((evaluate.evaluate(Run(workdir, "latest")) / "scores.json").read_text())
    assert scores["headline"] == "fixed"
    assert tuple(scores["protocols"]) == PROTOCOLS[1:]
    assert not {"tissues", "polarity", "regions", "ventricles"} & scores.keys()
    monkeypatch.setattr(evaluate.Dataset, "has", lambda self, split: "labels" not in split)
    with pytest.raises(InputError, match=r"--protocol=brain: the test pairs of .* no label maps"):
        evaluate.evaluate(Run(workdir, "latest"), protocol="brain")


def test_an_inverted_brain_is_said(run):
    order = {"mean": -0.9, "sd": 0.0, "n": 2}
    entry = {"rank_correlation": order, "inverted": True, "grey_minus_white": order}
    tissue = {"csf": {"median": order, "true_median": order}}
    scores = {"tissues": {"t1_to_t2": tissue}, "polarity": {"t1_to_t2": entry}}
    (table,) = score_tables(scores)
    assert "polarity is inverted" in table.note
    assert "-90 ± 0 % of the true difference" in table.note
    (verdict,) = polarity_verdicts(scores)
    assert verdict.startswith("T1→T2: polarity is inverted")
    assert polarity_verdicts({"polarity": {"t1_to_t2": entry | {"inverted": False}}}) == []


def test_without_pairs_cycles_and_histograms_are_scored(workdir):
    of_pairs = evaluate.evaluate(Run(workdir, "latest"))
    folder = evaluate.evaluate(Run(workdir, "latest"), split="train")
    assert folder != of_pairs
    assert not (folder / "best.png").exists()
    with pytest.raises(InputError, match="--protocol=fixed: train images have no pairs"):
        evaluate.evaluate(Run(workdir, "latest"), split="train", protocol="fixed")
    scores = json.loads((folder / "scores.json").read_text())
    assert "protocols" not in scores
    assert (scores["split"], scores["images"]) == ("train", 16)
    found = scores["unpaired"]
    assert found["images"] == {"x": 8, "y": 8}
    images = rows(folder / "images.csv")
    for direction in ("t1_to_t2_to_t1", "t2_to_t1_to_t2"):
        mean = np.mean([float(r["ssim"]) for r in images if r["direction"] == direction])
        assert found["cycle"][direction]["ssim"]["mean"] == pytest.approx(mean, rel=1e-5)
        assert found["cycle"][direction]["psnr"]["n"] == 2
    for distances in (found["histogram_distance"], found["patch_distance"]):
        assert distances.keys() == {"t1_to_t2", "t2_to_t1", "untranslated"}
        assert all(distance > 0 for distance in distances.values())
    tables = score_tables(scores)
    assert all("does not measure whether a translation is correct" in t.note for t in tables)
    assert max(len(line) for t in tables for line in as_text(t).splitlines()) <= 100


def test_histogram_distance_is_that_of_head_intensities():
    rng = np.random.default_rng(0)
    x, y = (np.full((2, 12, 12, 1), -1, np.float32) for _ in "xy")
    x[:, 2:8, 2:8] = rng.uniform(-0.7, 0, (2, 6, 6, 1))
    y[:, 4:10, 4:10] = rng.uniform(0, 1, (2, 6, 6, 1))
    domains = [unpaired.UnpairedImages(i, np.ones(i.shape, bool), ["a", "b"]) for i in (x, y)]
    shifted = {"t1_to_t2": x + 0.25, "t2_to_t1": y - 0.5}
    found = unpaired.histogram_distances(*domains, shifted)
    head_x, head_y = x[:, 2:8, 2:8].ravel(), y[:, 4:10, 4:10].ravel()
    assert found == {
        "t1_to_t2": pytest.approx(wasserstein_distance(head_x + 0.25, head_y), rel=1e-5),
        "t2_to_t1": pytest.approx(wasserstein_distance(head_y - 0.5, head_x), rel=1e-5),
        "untranslated": pytest.approx(wasserstein_distance(head_x, head_y), rel=1e-5),
    }


def test_patches_tell_images_of_equal_histograms_apart():
    rng = np.random.default_rng(0)
    rows = np.sin(np.linspace(0, 9, 64))[:, None] * np.sin(np.linspace(0, 7, 64))
    y = np.stack([rows, rows[::-1]]).astype(np.float32)[..., None] / 2
    shuffled = rng.permuted(y.reshape(2, -1), axis=1).reshape(y.shape)
    domains = [unpaired.UnpairedImages(y, np.ones(y.shape, bool), ["a", "b"])] * 2
    other = np.roll(y, 9, axis=1)
    found = unpaired.patch_distances(*domains, {"t1_to_t2": other, "t2_to_t1": shuffled})
    histograms = unpaired.histogram_distances(*domains, {"t1_to_t2": other, "t2_to_t1": shuffled})
    assert histograms["t2_to_t1"] == pytest.approx(0, abs=1e-6)
    assert found["untranslated"] < found["t1_to_t2"] < found["t2_to_t1"] / 2
    same = unpaired.patch_distances(*domains, {"t1_to_t2": y + 0.1, "t2_to_t1": 2 * y})
    assert same["t1_to_t2"] == pytest.approx(found["untranslated"], abs=1e-6)  # brightness alone
    assert same["t2_to_t1"] > 2 * found["untranslated"]


def test_images_without_a_head_or_smaller_than_a_patch_have_no_distance_of_patches():
    for image in (np.full((1, 32, 32, 1), -1, np.float32), np.ones((1, 8, 8, 1), np.float32)):
        domains = [unpaired.UnpairedImages(image, np.ones(image.shape, bool), ["a"])] * 2
        found = unpaired.patch_distances(*domains, {"t1_to_t2": image, "t2_to_t1": image})
        assert all(np.isnan(distance) for distance in found.values())


def test_the_sample_is_bounded_and_spread(monkeypatch):
    monkeypatch.setattr(unpaired, "MOST_IMAGES", 4)
    images = np.arange(10, dtype=np.uint16).reshape(10, 1, 1, 1).repeat(12, 1).repeat(12, 2)
    records = [{"image": image * 6553} for image in images]
    found = unpaired.sample(records, list("abcdefghij"), image_size=12, mode="pad")
    assert found.names == ["a", "d", "g", "j"]
    assert found.images.shape == (4, 12, 12, 1)
    np.testing.assert_allclose(found.images[1], 3 * 6553 / 32767.5 - 1, rtol=1e-5)


def test_generators_that_are_not_finite_are_refused(workdir, monkeypatch):
    broken = lambda self, generators, direction, images: images * np.nan  # noqa: E731
    monkeypatch.setattr(CompiledGenerators, "translate", broken)
    name = f"checkpoint 0 of {workdir.name} translates t1_to_t2 to values that are not finite"
    with pytest.raises(InputError, match=name):
        evaluate.evaluate(Run(workdir, "latest"))


def test_another_data_set_has_the_axis_and_the_pixels_of_training(workdir, tmp_path, capsys):
    source = phantom_source(
        subjects=2,
        held_out=1,
        unpaired="disjoint",
        slices=1,
        size=64,
        lesions=False,
        lesions_in="both",
        noise=0.0,
        bias=0.0,
    )
    for kind in ("other", "sagittal", "images"):
        facts = {"kind": "volumes", "axis": "sagittal" if kind == "sagittal" else "axial"}
        pixels = {} if kind == "images" else {"x": (2.0, 2.0), "y": (3.6, 3.6)}
        prepare(dataclasses.replace(source, facts=facts, pixels=pixels), tmp_path / kind)
    capsys.readouterr()
    evaluate.evaluate(Run(workdir, "latest"), str(tmp_path / "other"))
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert len(notes) == 1
    assert notes[0].startswith(f"note: T1 pixels of {tmp_path / 'other'} are 2 x 2 mm")
    assert "were 3.594 x 3.594 mm in training" in notes[0]
    with pytest.raises(InputError, match=r"sagittal: has sagittal slices, .* with --axis=axial"):
        evaluate.evaluate(Run(workdir, "latest"), str(tmp_path / "sagittal"))
    evaluate.evaluate(Run(workdir, "latest"), str(tmp_path / "images"))
    assert "note: " not in capsys.readouterr().out
    cut = dataclasses.replace(source, facts={"kind": "volumes", "brain_only": True})
    prepare(cut, tmp_path / "brains")
    evaluate.evaluate(Run(workdir, "latest"), str(tmp_path / "brains"))
    (note,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("note: "))
    assert note.startswith(f"note: {tmp_path / 'brains'} has brains that were cut out")
    assert "was trained on whole heads; prepare the scans without --brain_only" in note


def test_nothing_to_average_is_null_and_shown_as_none():
    nothing = {"mean": float("nan"), "sd": float("nan"), "n": 0, "left_out": 3}
    some = {"mean": 0.5, "sd": 0.1, "n": 2, "left_out": 0}
    scores = {
        "split": "test",
        "protocols": {"slice_max": {"t1_to_t2": {"ssim": nothing, "mae": some}}},
    }
    clean = evaluate._without_nan(scores)
    assert json.loads(json.dumps(clean, allow_nan=False)) == clean
    (table,) = score_tables(clean)
    assert list(table.rows) == [["T1→T2", "none", "0.5000 ± 0.1000"]]
    assert "Not defined for 3 image(s)" in table.note
