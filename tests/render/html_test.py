"""The HTML pages: every part is shown, every text is escaped, and nothing comes from elsewhere."""

import io
import subprocess
import sys
import typing

import jinja2
import pytest
from matplotlib import figure
from PIL import Image

from cyclegan_jax.render import html
from cyclegan_jax.render.text_table import Table

EVIL = "<script>alert('1')</script>\" onerror=\"alert(1)"
ESCAPED = "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&#34; onerror=&#34;alert(1)"


def png(width=3, height=2):
    buffer = io.BytesIO()
    Image.new("L", (width, height)).save(buffer, format="PNG")
    return buffer.getvalue()


def parts(text):
    """One part of each class, and how many of their texts are `text`."""
    return [
        (html.Heading(text), 1),
        (html.Paragraph(text), 1),
        (html.Caution(text), 1),
        (html.Code(text), 1),
        (html.Details(text, [html.Paragraph(text)]), 2),
        (html.SideBySide([html.Paragraph(text), html.Code(text)]), 2),
        (Table(text, text, ["", text], [[text, text], ["", text]]), 6),
        (html.Facts([[text, text]]), 2),
        (html.picture(png(), text, text), 2),
    ]


def test_each_class_of_part_is_tested():
    assert {type(part) for part, _ in parts("")} == set(typing.get_args(html.PagePart))


@pytest.mark.parametrize("index", range(len(parts(""))))
def test_every_text_of_a_part_is_shown_and_escaped(index):
    part, count = parts(EVIL)[index]
    text = html.page("title", [part])
    assert text.count(ESCAPED) == count
    assert "<script" not in text


def test_the_title_is_escaped():
    text = html.page(EVIL, [])
    assert text.count(ESCAPED) == 2
    assert text.startswith("<!DOCTYPE html>")
    assert "default-src 'none'; img-src data:" in text


def test_parts_keep_their_order_and_level():
    text = html.page(
        "title", [html.Heading("one"), html.Paragraph("two"), html.Heading("three", 3)]
    )
    assert "<h2>one</h2>\n<p>two</p>\n<h3>three</h3>" in text


def test_a_command_keeps_its_lines():
    assert "<pre>a\n  b</pre>" in html.page("title", [html.Code("a\n  b")])


def test_a_table_without_title_and_note_has_neither():
    text = html.page("title", [Table("", "", ["a"], [["1"]])])
    assert "<h3>" not in text
    assert "<p>" not in text


def test_a_picture_states_its_size():
    assert 'class="large" width="30" height="20" alt="words"' in html.page(
        "title", [html.picture(png(30, 20), "words", "caption")]
    )


@pytest.mark.parametrize(("inches", "style"), [(4, "drawing"), (8, "drawing large")])
def test_a_wide_figure_is_kept_large(inches, style):
    drawn = html.drawing(figure.Figure(figsize=(inches, 1)), "words", "caption")
    assert drawn.style == style
    with Image.open(io.BytesIO(drawn.png)) as image:
        assert image.size == (drawn.width, drawn.height)


def test_a_part_that_lacks_a_value_is_an_error():
    Figure = typing.NamedTuple("Figure", [("png", bytes)])  # noqa: UP014
    with pytest.raises(jinja2.UndefinedError, match="has no attribute"):
        html.page("title", [Figure(b"")])


def test_training_does_not_load_what_makes_pages():
    code = (
        "import sys, cyclegan_jax.training.train; "
        "print({'jinja2', 'matplotlib'} & sys.modules.keys())"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"
