"""The page in a real browser: a scan is translated and saved as `translate` does it, at home."""

import contextlib
import gzip
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from cyclegan_jax.data import slicing
from cyclegan_jax.data.phantom.head import make_phantom
from cyclegan_jax.domains import Direction
from cyclegan_jax.export.model import export_model
from cyclegan_jax.export.web import write_site
from cyclegan_jax.export.web_server import server_of
from cyclegan_jax.trained.origin import ModelFolder
from cyclegan_jax.translation.translate_files import translate

ROOT = Path(__file__).parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = next((path for path in map(shutil.which, NAMES) if path), None)
BUILT = (ROOT / "cyclegan_jax" / "web_page" / "index.html").is_file()
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium"),
    pytest.mark.skipif(not BUILT, reason="the page is not built: make web"),
]
LONG = 120_000  # ms; machines may be busy
# what Chromium says of drawing without a graphics card
DRIVER = "GL Driver Message (OpenGL, Performance"


@pytest.fixture(scope="module")
def model(tiny_run, tmp_path_factory) -> ModelFolder:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    export_model(tiny_run, "latest", folder, "heads", "8 heads", "CC0", "int8")
    return ModelFolder(folder)


@pytest.fixture(scope="module")
def site(model, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "site"
    write_site(model, folder)
    return folder


@pytest.fixture(scope="module")
def head(tmp_path_factory) -> Path:
    """A head of other pixels than in training, oblique, in the order LPS."""
    slices = make_phantom(3, size=40, slices=12).t1
    data = slicing.from_slices(slices, "axial")[::-1, ::-1].round().astype(np.int16)
    turn = np.eye(4)
    turn[:2, :2] = [[0.995, -0.0999], [0.0999, 0.995]]
    affine = turn @ np.diag([-5.75, -5.75, 5.0, 1.0])
    image = nib.Nifti1Image(data, affine)
    image.set_qform(affine, 1)
    path = tmp_path_factory.mktemp("scans") / "anna_T1.nii.gz"
    image.to_filename(path)
    return path


@contextlib.contextmanager
def opened(site: Path, width: int = 1200) -> Iterator[tuple[Any, list[str], str]]:
    """Opens the served page; yields it, a list of its requests and complaints, its address."""
    from playwright.sync_api import sync_playwright

    with server_of(site) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        # its sandbox refuses to start for root, as whom containers run
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        arguments.append("--enable-unsafe-swiftshader")  # WebGL without a graphics card
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        page = browser.new_page(viewport={"width": width, "height": 800})
        page.set_default_timeout(LONG)
        seen: list[str] = []
        page.on("console", lambda m: seen.append(f"{m.type}: {m.text}"))
        page.on("pageerror", lambda error: seen.append(str(error)))
        page.context.on("request", lambda request: seen.append(request.url))
        address = "http://{}:{}/".format(*server.server_address[:2])
        page.goto(address)
        page.locator("#directions input").first.wait_for()
        yield page, seen, address
        browser.close()
        server.shutdown()


def _expect(locator: Any) -> Any:
    from playwright.sync_api import expect

    return expect(locator)


def _translated(page: Any) -> None:
    _expect(page.locator("#translate")).to_be_enabled(timeout=LONG)
    page.focus("#translate")
    page.keyboard.press("Enter")
    _expect(page.locator("#save")).to_be_enabled(timeout=LONG)


def test_a_head_is_translated_and_saved_as_by_translate(site, model, head, tmp_path):
    with opened(site) as (page, seen, address):
        page.set_input_files("#file", head)
        _translated(page)
        assert page.evaluate("crossOriginIsolated")
        notes = page.text_content("#notes")
        with page.expect_download() as download:
            page.click("#save")
        download.value.save_as(tmp_path / "saved.nii.gz")
        name = download.value.suggested_filename
    other = [line for line in seen if not line.startswith(address) and DRIVER not in line]
    assert [line for line in other if not line.startswith(("data:", "blob:"))] == []
    assert name == "anna_T2.nii.gz"
    assert "was resampled from 5.75 x 5.75 x 5 mm" in notes
    assert translate([model], Direction.T1_TO_T2, [head], tmp_path / "ours") == 0
    ours, theirs = nib.load(tmp_path / "ours" / name), nib.load(tmp_path / "saved.nii.gz")
    assert ours.header.binaryblock == theirs.header.binaryblock
    expected = ours.get_fdata()
    np.testing.assert_allclose(theirs.get_fdata(), expected, atol=1e-3 * np.ptp(expected))


def test_the_sample_is_shown_and_the_page_is_used_by_keys_on_a_phone(site):
    with opened(site, 375) as (page, seen, _):
        assert "Not for diagnosis" in page.text_content("header")
        assert page.get_by_role("button", name="Save the translation").is_hidden()
        page.get_by_label("T2-weighted, make T1 of it").check()
        page.get_by_role("button", name="Use the sample").press("Enter")
        _translated(page)
        assert page.text_content("#left-caption") == "T2, the scan: sample_T2.nii.gz"
        before = page.text_content("#left-value")
        for name in ("Left to right", "Back to front"):
            page.get_by_label(name).focus()
            for _ in range(100):
                page.keyboard.press("ArrowRight")
        _expect(page.locator("#left-value")).not_to_have_text(before)
        assert page.locator("canvas[role=img][aria-labelledby]").count() == 2
        colours = [_colours(page.locator(f"#{side}").screenshot()) for side in ("left", "right")]
        page.select_option("#shown", "difference")
        page.select_option("#plane", "all")
        assert "Difference" in page.text_content("#right-caption")
        assert page.evaluate("document.scrollingElement.scrollWidth") <= 375
    assert min(colours) > 20
    assert not [line for line in seen if line.startswith("error")]


def _colours(png: bytes) -> int:
    import io

    from PIL import Image

    return len(np.unique(np.asarray(Image.open(io.BytesIO(png)).convert("L"))))


def test_stop_ends_a_translation_and_the_next_one_works(site, head):
    with opened(site) as (page, _, _):
        page.set_input_files("#file", head)
        _expect(page.locator("#translate")).to_be_enabled(timeout=LONG)
        page.context.route("**/*.onnx", lambda route: None)  # it never arrives
        page.click("#translate")
        page.click("#stop")
        _expect(page.locator("#status")).to_have_text("Stopped; nothing was translated.")
        page.context.unroute("**/*.onnx")
        _translated(page)


def test_wrong_files_get_one_sentence(site, head, tmp_path):
    whole = gzip.decompress(head.read_bytes())
    frames = nib.Nifti1Image(np.random.default_rng(0).normal(size=(8, 8, 8, 3)), np.eye(4))
    colour = nib.Nifti1Image(np.zeros((8, 8, 8), [(c, "u1") for c in "RGB"]), np.eye(4))
    huge = nib.Nifti1Header()
    huge.set_data_shape((1024, 1024, 1024))  # 2 GB of int16
    huge.set_data_dtype(np.int16)
    huge["vox_offset"], huge["magic"] = 352, b"n+1"
    files = {
        "frames": frames.to_bytes(),
        "colour": colour.to_bytes(),
        "no NIfTI file": b"this is text\n" * 100,
        "cut off": whole[:-1000],
        "more than a page can hold": gzip.compress(huge.binaryblock + bytes(10_000)),
    }
    with opened(site) as (page, seen, _):
        for index, (part, content) in enumerate(files.items()):
            path = tmp_path / f"{index}.nii"
            path.write_bytes(content)
            page.set_input_files("#file", path)
            _expect(page.locator("#error")).to_contain_text(f"The file {path.name} ", timeout=LONG)
            sentence = page.text_content("#error")
            assert part in sentence
            assert len(sentence) < 220
            assert page.is_disabled("#translate")
        page.set_input_files("#file", head)
        _expect(page.locator("#translate")).to_be_enabled(timeout=LONG)
        assert page.text_content("#error") == ""
    assert not [line for line in seen if line.startswith("error")]
