"""The page of a run: what it says, and that no missing or broken part hides another part."""

import json
import math
import os
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest

from cyclegan_jax import InputError
from cyclegan_jax.domains import DIRECTIONS
from cyclegan_jax.evaluation import evaluate
from cyclegan_jax.render.image_grid import save_grid
from cyclegan_jax.report import curves
from cyclegan_jax.report import page as report
from cyclegan_jax.trained.origin import Run

SECTIONS = [
    "Result",
    "State",
    "Samples",
    "Scores during training",
    "Losses",
    "Evaluation",
    "Data",
    "Config",
    "Versions and device",
]


class Page(HTMLParser):
    """The sections, tables, pictures and text of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.headings, self.rows, self.pictures = [], [], []
        self.sections = {"": ""}
        self._open = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.pictures.append(dict(attrs))
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in ("img", "meta", "link"):
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open[-1:] == ["h2"]:
            self.headings.append(data)
            self.sections[data] = ""
        elif self._open and self._open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
        self.sections[next(reversed(self.sections))] += data


def read(workdir):
    return Page((workdir / "report.html").read_text())


@pytest.fixture
def run(tiny_run, tmp_path):
    """A copy of a trained and scored run, which a test may change."""
    return shutil.copytree(tiny_run, tmp_path / "run")


def test_a_trained_and_scored_run_is_shown_whole(run):
    page = read(run)
    assert page.headings == SECTIONS
    assert "not a medical device" in page.sections[""]
    assert "Finished: all 4 steps are done" in page.sections["State"]
    assert "cannot be shown" not in "".join(page.sections.values())
    assert ["steps", "4 of 4"] in page.rows
    assert ["image_size", "16", "256"] in page.rows  # what differs from the base
    assert not any(row[0] == "parallel" for row in page.rows)
    assert '"parallel": "pmap"' in page.sections["Config"]  # the whole
    assert "0.25 λ = 3.75" in page.sections["Config"]
    assert ["train_x", "8", "4", "16x16"] in page.rows
    versions = dict(row for row in page.rows if len(row) == 2)
    assert versions["device"].startswith("8 x cpu, on a ")
    assert {"cyclegan_jax", "jax", "flax", "python"} <= versions.keys()


def test_tables_show_the_scores_of_the_newest_evaluation(run):
    scores = json.loads((run / "eval" / "4" / "test" / "scores.json").read_text())
    shown = read(run).rows
    tables = evaluate.score_tables(scores)
    assert tables
    for table in tables:
        assert list(table.header) in shown
        for row in table.rows:
            assert list(row) in shown
    ssim = scores["protocols"]["fixed"]["t1_to_t2"]["ssim"]["mean"]
    assert any(f"{ssim:.3f}" in cell for row in shown for cell in row)
    section = read(run).sections["Evaluation"]
    assert f"step 4 on {scores['images']} test images of {scores['data']}" in section


def test_every_region_is_listed(run):
    scores = json.loads((run / "eval" / "4" / "test" / "scores.json").read_text())
    page = read(run)
    assert scores["regions"]
    for regions in scores["regions"].values():
        for entry in regions.values():
            name, error = entry["name"].replace("_", " "), f"{entry['mae']['mean']:.3f} "
            assert any(
                row[0] == name and row[3].startswith(error)
                for row in page.rows[1:]
                if len(row) == 6
            )
    assert "Scores of every region" in (run / "report.html").read_text()


def test_the_first_screen_has_subjects_one_table_and_the_verdict(run):
    page = read(run)
    assert re.search(
        "The best, the median and the worst test subject .* SSIM brain", page.pictures[0]["alt"]
    )
    protocols = json.loads((run / "eval" / "4" / "test" / "scores.json").read_text())["protocols"]
    header = next(row for row in page.rows if "SSIM, image" in row)
    row = page.rows[page.rows.index(header) + 1]
    assert row[0] == "T1→T2"
    cells = dict(zip(header, row, strict=True))
    assert set(header) >= {"PSNR / dB, head", "intensity / %, head"}
    assert header[1] == "SSIM, brain"
    assert "intensity / %, image" not in header
    assert (run / "report.html").read_text().count("<summary>Every table of the scores") == 1
    for words, protocol in (("brain", "brain"), ("image", "fixed"), ("head", "foreground")):
        ssim = protocols[protocol]["t1_to_t2"]["ssim"]["mean"]
        assert cells[f"SSIM, {words}"].startswith(f"{ssim:.3f} ")
    assert (
        "No known failure was seen up to step 4 (pictures are judged from step 500"
        in (page.sections["Result"])
    )


def test_known_failures_are_shown_once(run):
    (run / "warnings.txt").write_text(
        "step 600: generator_g: <b>copies\n" * 2 + "step 900: other\n"
    )
    report.write(run)
    text = read(run).sections["Result"]
    assert text.count("A known failure was seen: step 600: generator_g: <b>copies.") == 1
    assert "step 900: other" in text
    assert "No known" not in text


def test_a_run_of_an_earlier_version_has_a_result(run):
    (run / "warnings.txt").unlink()
    (run / "eval" / "4" / "test" / "subjects.png").unlink()
    report.write(run)
    page = read(run)
    assert "did not record warnings" in page.sections["Result"]
    assert "The worst test images" in page.pictures[0]["alt"]
    assert "cannot be shown" not in "".join(page.sections.values())


def test_a_run_that_is_not_scored_yet_begins_with_its_samples(run):
    shutil.rmtree(run / "eval")
    report.write(run)
    page = read(run)
    assert "Samples at step 4" in page.pictures[0]["alt"]
    assert "No checkpoint is scored yet" in page.sections["Result"]


def test_without_pairs_the_result_shows_cycles(run):
    folder = run / "eval" / "4" / "test"
    cycle = {"mean": 0.5, "sd": 0.1, "n": 2, "left_out": 0}
    scores = {"step": 4, "split": "train", "images": 9, "data": "d"}
    scores["unpaired"] = {
        "images": {"x": 4, "y": 5},
        "cycle": {d.cycle: {"ssim": cycle, "psnr": cycle, "mae": cycle} for d in DIRECTIONS},
        "histogram_distance": dict.fromkeys(DIRECTIONS, 0.1),
    }
    (folder / "scores.json").write_text(json.dumps(scores))
    for name in ("best", "worst", "subjects"):
        (folder / f"{name}.png").unlink()
    report.write(run)
    page = read(run)
    assert "Spread evenly over all train images" in page.pictures[0]["alt"]
    assert "T1→T2→T1" in page.sections["Result"]
    assert "cannot be shown" not in "".join(page.sections.values())
    assert "Missing" not in page.sections["Evaluation"]


def test_every_picture_says_in_words_what_it_shows(run):
    pictures = [p["alt"] for p in read(run).pictures]
    for words in (
        "The worst test images at step 4, .* 2 row.* Columns: T1, T2 from T1, .*#00[01]: SSIM",
        "The best test images at step 4, ",
        "The best, the median and the worst test subject at step 4, .* Columns: T1, T2 from T1",
        "Spread evenly over all test images",
        r"Mean absolute error of each region at step 4, .*\. Slices phantom.* T2→T1: \w+ 0\.\d",
        r"Samples at step 4\. 2 row.* Columns: T1 \(x\), T2 = G\(x\), ",
    ):
        assert sum(bool(re.search(words, alt)) for alt in pictures) == 1, words
    lines = report.read_metrics(run)
    for name in {name for line in lines for name in line if "/" in name}:
        assert any(f"ends at {lines_of(lines, name)[-1]:.4g}" in alt for alt in pictures), name


def lines_of(lines, name):
    return [line[name] for line in lines if name in line]


def test_scores_of_two_protocols_are_drawn_apart():
    names = ("eval/t1_to_t2/ssim", "eval/brain/t1_to_t2/ssim")
    lines = [{"step": i, "time": 0.0, name: 0.5 * i} for i, name in enumerate(names, 1)]
    drawn = curves.score_curves(lines)
    assert [figure.caption.split(".")[0] for figure in drawn] == ["SSIM, fixed", "SSIM, brain"]
    assert "T1→T2 begins at 0.5 and ends at 0.5" in drawn[0].alternative


def test_unknown_terms_and_scores_are_drawn_too():
    lines = [{"step": 1, "time": 0.0, "loss/new": 2.0, "eval/there/fid": math.nan}]
    (drawn,) = curves.loss_curves(lines)
    assert "new by step, from step 1 to 1: new begins at 2 and ends at 2" in drawn.alternative
    (drawn,) = curves.score_curves(lines)
    assert "fid, fixed by step, from step 1 to 1: there begins at nan" in drawn.alternative


def test_the_time_in_steps_counts_no_pauses(run):
    rates = [{"step": 10, "time": 0, "steps_per_second": 1}]
    rates += [{"step": 30, "time": 9000, "steps_per_second": 0.25}]
    (run / "metrics.jsonl").write_text("\n".join(map(json.dumps, rates)))
    report.write(run)
    rows = {row[0]: row[1] for row in read(run).rows if len(row) == 2}
    assert rows["time spent on steps, without scoring, saving and pauses"] == "1 min 30 s"
    assert rows["steps per second"] == "0.333"
    assert rows["first and last line logged"] == "1970-01-01 00:00 UTC and 1970-01-01 02:30 UTC"


MISSING = {
    "metrics.jsonl": ("State", "Nothing is logged yet"),
    "samples": ("Samples", "No samples are written yet"),
    "eval": ("Evaluation", "cyclegan-jax evaluate --workdir="),
    "checkpoints": ("Versions and device", "cannot be shown: .*has no checkpoints"),
    "eval/4/test/worst.png": (
        "Evaluation",
        r"Missing pictures: worst\.png\. This command makes them",
    ),
}


@pytest.mark.parametrize("name", MISSING)
def test_a_missing_part_is_named(run, name):
    (run / name).rename(run / "elsewhere")
    report.write(run)
    section, words = MISSING[name]
    page = read(run)
    assert page.headings == SECTIONS
    assert re.search(words, page.sections[section])


BROKEN = {
    "eval/4/test/scores.json": ("Evaluation", "{", "cannot be shown"),
    "eval/4/test/scores.json of old": (
        "Evaluation",
        '{"fixed": {}}',
        "was written by an older version",
    ),
    "samples/step_0000009.png": ("Samples", "no picture", "cannot be shown"),
    "config.json": ("Data", '{"steps": 4, "batch_size": 8}', "cannot be shown"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_part_hides_no_other(run, case):
    section, text, words = BROKEN[case]
    (run / case.split(" ")[0]).write_text(text)
    report.write(run)
    page = read(run)
    assert page.headings == SECTIONS
    assert words in page.sections[section]
    assert "Finished" in page.sections["State"]


def test_a_data_set_that_is_gone_is_named(run):
    path = run / "config.json"
    path.write_text(re.sub(r'"dir": ".*"', '"dir": "gone<b>"', path.read_text()))
    report.write(run)
    assert "gone<b> is no prepared data set" in read(run).sections["Data"]
    assert "gone<b>" not in (run / "report.html").read_text()  # escaped


def test_a_torn_line_and_an_unfinished_run(run):
    path = run / "metrics.jsonl"
    first = path.read_text().splitlines()[0]
    path.write_text(first + '\n{"step": 4, "ti')
    report.write(run)
    assert "Not finished: 2 of 4 steps are logged" in read(run).sections["State"]


def test_wide_pictures_are_embedded_smaller(run):
    tiles = [[np.random.default_rng(0).uniform(-1, 1, (256, 256))] * 8]
    save_grid(run / "samples" / "step_0000009.png", tiles, [])
    report.write(run)
    (sample,) = (p for p in read(run).pictures if "Samples at step 9" in p["alt"])
    assert (sample["width"], sample["height"]) == ("1200", "150")


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"config\.json cannot be read .*--workdir of a run"):
        report.write(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_finished_run_is_scored_and_shown_once(run, monkeypatch):
    evaluated = []
    monkeypatch.setattr(report, "evaluate", lambda *arguments: evaluated.append(arguments))
    report.finish(run, 4)
    assert not evaluated
    (run / "report.html").unlink()
    report.finish(run, 4)
    assert evaluated == [(Run(run, "latest"),)]
    assert read(run).headings == SECTIONS
    os.utime(run / "report.html", (1, 1))  # written while it trained, before the scores
    report.finish(run, 4)
    assert len(evaluated) == 2


def test_a_report_that_fails_fails_no_run(run, monkeypatch, capsys):
    def broken(*arguments):
        raise RuntimeError("of some reason")

    monkeypatch.setattr(report, "write", broken)
    monkeypatch.setattr(report, "evaluate", broken)
    (run / "report.html").unlink()
    report.finish(run, 4)
    printed = capsys.readouterr().out
    assert "the run is not scored (of some reason); to try again: cyclegan-jax eval" in printed
    assert "no report was written (RuntimeError: of some reason)" in printed
