"""Exporting a model: what the folder holds, what its card says, and what is refused."""

import json
import re
import shutil

import pytest

from cyclegan_jax import InputError, __version__
from cyclegan_jax.evaluation.evaluate import evaluate
from cyclegan_jax.export import model as export
from cyclegan_jax.system import config_flag
from cyclegan_jax.trained.origin import ModelFolder


@pytest.fixture(scope="module")
def folder(tiny_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "deep" / "tiny"
    step = export.export_model(
        tiny_run, "latest", folder, data="<heads> of 8 people", data_license="CC BY 4.0"
    )
    assert step == 4
    return folder


def test_the_folder_holds_what_inference_needs_and_nothing_else(folder):
    files = {path.name for path in folder.parent.rglob("*") if path.is_file()}
    assert files == {
        "model.json", "weights.safetensors", "README.md", "worst.png", "subjects.png"
    }  # fmt: skip
    assert [path.name for path in folder.parent.iterdir()] == ["tiny"]
    assert folder.stat().st_mode & 0o500 == 0o500


def test_the_card_says_what_a_user_must_know(folder, tiny_run):
    card = (folder / "README.md").read_text()
    scores = json.loads((tiny_run / "eval" / "4" / "test" / "scores.json").read_text())
    for words in (
        "# run\n",
        "**Not for diagnosis.**",
        "T1→T2 and T2→T1",
        "Training data: &lt;heads&gt; of 8 people",
        "Licence of the data: CC BY 4.0",
        "cyclegan-jax train --config=tiny/model.json --workdir=RUN --config.data.dir=DATA",
        "cyclegan-jax translate --model=tiny --direction=t1_to_t2 scan_T1.nii.gz",
        'cyclegan_jax.load_model("tiny")',
        "![The worst test images at step 4, by SSIM brain",
        "](worst.png)",
        "](subjects.png)",
        "## Limits",
    ):
        assert words in card, words
    for protocol in ("brain", "fixed", "foreground"):
        mean = scores["protocols"][protocol]["t1_to_t2"]["ssim"]["mean"]
        title = rf"\*\*protocol {protocol}, n = 1 subjects\*\*"
        assert re.search(rf"{title}\n\n.*\n.*\n\| T1→T2 \| {mean:.3f} ", card), protocol
    assert card.index("protocol brain") < card.index("protocol fixed")
    assert f"cyclegan_jax {__version__}" in card


def test_a_card_says_that_weights_were_rounded_after_they_were_scored(folder, tiny_run, tmp_path):
    export.export_model(tiny_run, "latest", tmp_path / "out", stored_as="int8")
    words = "measured before the weights were rounded to int8"
    assert words in (tmp_path / "out" / "README.md").read_text()
    assert words not in (folder / "README.md").read_text()


def test_a_card_without_data_or_scores_says_so(tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    shutil.rmtree(run / "eval")
    export.export_model(run, "2", tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "Training data: not given" in card
    assert "Licence of the data: not given" in card
    assert "This checkpoint was not scored." in card
    assert not list((tmp_path / "out").glob("*.png"))
    assert ModelFolder(tmp_path / "out").read().step == 2


def test_failures_seen_in_training_are_on_the_card(tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    (run / "warnings.txt").write_text("generator_g copies its input\n" * 2)
    export.export_model(run, "latest", tmp_path / "out")
    assert (tmp_path / "out" / "README.md").read_text().count("generator_g copies its input") == 1


def test_the_config_of_a_model_serves_as_a_config(folder, tiny_run):
    old = json.loads((tiny_run / "config.json").read_text())
    old["data"]["dir"] = old["data"]["dir"].rsplit("/", 1)[-1]
    new = config_flag.get_config(str(folder / "model.json"))
    assert json.loads(new.to_json()) == old


def test_what_is_there_is_kept_and_nothing_is_left_behind(tiny_run, tmp_path, monkeypatch):
    (tmp_path / "full").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("full", "link"):
        with pytest.raises(InputError, match="is there already; name a new folder"):
            export.export_model(tiny_run, "latest", tmp_path / name)
    with pytest.raises(InputError, match="has no checkpoint '3'"):
        export.export_model(tiny_run, "3", tmp_path / "out")
    with pytest.raises(InputError, match=r"--data: no text can be .*in one line"):
        export.export_model(tiny_run, "latest", tmp_path / "out", data="a\nb")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "write_model", full)
    with pytest.raises(InputError, match=r"cannot be written \(No space left"):
        export.export_model(tiny_run, "latest", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "link"]


def test_a_model_is_scored_as_its_run(folder, tiny_run, tmp_path):
    data = json.loads((tiny_run / "config.json").read_text())["data"]["dir"]
    model, out = ModelFolder(folder), tmp_path / "scores"
    with pytest.raises(InputError, match="needs --out, a folder for the scores"):
        evaluate(model, data)
    with pytest.raises(InputError, match="needs --data_dir, a prepared data set"):
        evaluate(model, out=out)
    assert not out.exists()
    assert evaluate(model, data, out=out) == out
    wanted = json.loads((tiny_run / "eval" / "4" / "test" / "scores.json").read_text())
    assert json.loads((out / "scores.json").read_text()) == wanted
    assert evaluate(model, data, out=out) == out  # of an earlier evaluation
    with pytest.raises(InputError, match="is there and holds no scores; name a new folder"):
        evaluate(model, data, out=folder)
