"""The pages in a real browser: they load nothing else, draw every picture, fit a phone, print."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cyclegan_jax.config import from_json
from cyclegan_jax.sweeps import page as sweep_html
from cyclegan_jax.sweeps import runner
from cyclegan_jax.sweeps.grammar import expand
from cyclegan_jax.system.workdir import Workdir

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = next((path for path in map(shutil.which, NAMES) if path), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium"),
]
PHONE = 375  # CSS pixels across


@contextlib.contextmanager
def opened(path: Path, width: int) -> Iterator[tuple[Any, list[str]]]:
    """Opens a file at a width; yields the page and a list of its requests and complaints."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # its sandbox refuses to start for root, as whom containers run
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        page = browser.new_page(viewport={"width": width, "height": 800})
        seen: list[str] = []
        page.on("console", lambda message: seen.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: seen.append(str(error)))
        page.on("request", lambda r: seen.append(r.url) if not r.url.startswith("data:") else None)
        page.goto(path.as_uri())
        yield page, seen
        browser.close()


@pytest.fixture(scope="module")
def run_page(tiny_run) -> Path:
    return tiny_run / "report.html"


@pytest.fixture(scope="module")
def sweep_page(tiny_run, tmp_path_factory) -> Path:
    """The page of a sweep in which the tiny run is one of two trials."""
    workdir = tmp_path_factory.mktemp("sweep")
    config = from_json((tiny_run / "config.json").read_text())
    sweep = expand(config, {"loss.cycle_weight": (15.0, 20.0)})
    runner.claim(sweep, workdir, ["of some data"])
    shutil.copytree(tiny_run, Workdir(workdir).trial(0))
    (Workdir(workdir).trial(0) / "end.json").write_text('{"status": "done", "message": ""}')
    sweep_html.collect(sweep, workdir, "ssim", ["--config=mine.py"])
    return workdir / "sweep.html"


@pytest.mark.parametrize("width", [PHONE, 1200])
@pytest.mark.parametrize("which", ["run_page", "sweep_page"])
def test_a_page_loads_alone_draws_every_picture_and_fits(which, width, request):
    path = request.getfixturevalue(which)
    with opened(path, width) as (page, seen):
        pictures = page.evaluate("[...document.images].map(i => [i.naturalWidth, i.alt.trim()])")
        across = page.evaluate("document.scrollingElement.scrollWidth")
    assert seen == [path.as_uri()]
    assert len(pictures) == path.read_text().count("data:image/png")
    assert len(pictures) > 2
    assert all(natural > 0 and len(alt) > 20 for natural, alt in pictures)
    assert across <= width


def test_the_browser_refuses_what_is_not_in_the_file(run_page, tmp_path):
    text = run_page.read_text()
    (tmp_path / "other.png").write_bytes(b"")
    added = '<img alt="" src="other.png"><script>document.title = "changed"</script></main>'
    (tmp_path / "page.html").write_text(text.replace("</main>", added))
    with opened(tmp_path / "page.html", 1200) as (page, seen):
        title = page.title()
    assert title == "Run run"
    assert sum("Content Security Policy" in words for words in seen) == 2


def test_print_shows_everything_on_paper(run_page):
    with opened(run_page, 794) as (page, _):  # A4 at 96 dots an inch
        whole_config = page.locator("details pre")
        assert not whole_config.is_visible()
        page.emulate_media(media="print")
        assert whole_config.is_visible()
        assert page.evaluate("document.scrollingElement.scrollWidth") <= 794
        pdf = page.pdf(prefer_css_page_size=True)
    assert pdf.startswith(b"%PDF")
    assert pdf.count(b"/Type /Page\n") >= 2
