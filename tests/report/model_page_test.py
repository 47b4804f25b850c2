"""The page of an exported model."""

import json

import pytest

from cyclegan_jax import InputError
from cyclegan_jax.checkpoints.integrity import with_digest
from cyclegan_jax.export.model import export_model
from cyclegan_jax.report.model_page import write_model_page


@pytest.fixture
def folder(tiny_run, tmp_path):
    export_model(tiny_run, "latest", tmp_path / "model", name="<b>", data="8 heads")
    return tmp_path / "model"


def test_the_page_shows_scores_pictures_and_facts(folder, tmp_path):
    text = write_model_page(folder, tmp_path / "page.html").read_text()
    for words in (
        "Model &lt;b&gt;",
        "not for diagnosis",
        "protocol brain, test images",
        "The worst test images at step 4",
        "8 heads",
        json.loads((folder / "model.json").read_text())["weights"]["sha256"],
    ):
        assert words in text, words
    assert text.count('src="data:image/png;base64') == 2
    assert "cannot be shown" not in text


def test_odd_scores_do_not_hide_the_rest(folder, tmp_path):
    facts = json.loads((folder / "model.json").read_text()) | {"scores": {"protocols": 3}}
    (folder / "model.json").write_text(json.dumps(with_digest(facts)))
    text = write_model_page(folder, tmp_path / "page.html").read_text()
    assert "This section cannot be shown" in text
    assert "8 heads" in text


def test_bad_input(folder, tiny_run, tmp_path):
    with pytest.raises(InputError, match=r"give a file that ends in \.html"):
        write_model_page(folder, tmp_path / "page.pdf")
    with pytest.raises(InputError, match="is the workdir of a run"):
        write_model_page(tiny_run, tmp_path / "page.html")
    with pytest.raises(InputError, match="cannot be written"):
        write_model_page(folder, tmp_path / "gone" / "page.html")
