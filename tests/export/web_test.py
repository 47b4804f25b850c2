"""The folder with the page: what it holds, how it is served, and what cannot be written."""

import json
import threading
import urllib.request

import pytest

from cyclegan_jax import InputError
from cyclegan_jax.data.formats import nifti
from cyclegan_jax.domains import Direction
from cyclegan_jax.export import web
from cyclegan_jax.export.onnx import OnnxFile
from cyclegan_jax.export.web_server import server_of
from cyclegan_jax.trained.origin import Run


@pytest.fixture
def built(tmp_path, monkeypatch):
    """A page that is built, as far as Python sees."""
    page = tmp_path / "web_page"
    page.mkdir()
    (page / "index.html").write_text("<!doctype html>")
    (page / "page.mjs").write_text("")
    monkeypatch.setattr(web, "_PAGE", page)
    return page


def test_the_folder_holds_the_page_both_directions_and_a_sample(built, tiny_run, tmp_path):
    site = tmp_path / "deep" / "site"
    web.write_site(Run(tiny_run, "latest"), site, "heads", "8 heads", "CC0")
    facts = json.loads((site / "model.json").read_text())
    assert facts["about"]["Name"] == "heads"
    assert facts["about"]["Training data"] == "8 heads"
    assert facts["directions"].keys() == set(Direction)
    for name, entry in facts["directions"].items():
        file = OnnxFile(site / entry["file"])
        assert file.facts["direction"] == name
        assert (site / entry["file"]).stat().st_size == entry["bytes"]
        source = entry["facts"]["source"]
        assert f"_{source['contrast']}." in entry["sample"]
        sample = nifti.read_nifti(site / entry["sample"])
        assert sample.spacing[:2] == pytest.approx(source["pixel_mm"], rel=0.01)
    listed = {path.name for path in site.iterdir()}
    assert {"index.html", "page.mjs", "model.json"} < listed
    assert [p.name for p in site.parent.iterdir()] == ["site"]
    web.check_site(site)


def test_what_cannot_be_written_is_one_line(built, tiny_run, tmp_path):
    run = Run(tiny_run, "latest")
    with pytest.raises(InputError, match="is there already"):
        web.write_site(run, built)
    with pytest.raises(InputError, match="holds no page; give --model"):
        web.check_site(tmp_path)
    (built / "index.html").unlink()
    with pytest.raises(InputError, match="was not built; run: make web"):
        web.write_site(run, tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_the_server_is_on_loopback_and_isolates_its_pages(built):
    with server_of(built) as server:
        host, port = server.server_address[:2]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert host == "127.0.0.1"
        with urllib.request.urlopen(f"http://{host}:{port}/page.mjs") as answer:
            headers = answer.headers
        server.shutdown()
    assert headers["Content-Type"] == "text/javascript"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
