"""Makes self-contained HTML pages: text, tables and pictures in one file, nothing from elsewhere.

A page is a list of parts. The classes here hold what the parts say; the folder `templates` holds
the HTML and the style. Jinja2 escapes every text that it puts into a page.
"""

import base64
import functools
import io
from collections.abc import Sequence
from typing import NamedTuple

import jinja2
from matplotlib import figure as matplotlib_figure
from PIL import Image

from cyclegan_jax.render.text_table import Table

_PHONE_INCHES = 5  # up to this width a figure's text is readable on a phone's whole width


class Heading(NamedTuple):
    """The title of a section. Level 3 is the title of a part of a section."""

    text: str
    level: int = 2


class Paragraph(NamedTuple):
    """Plain text."""

    text: str


class Caution(NamedTuple):
    """Text that a reader must not miss."""

    text: str


class Code(NamedTuple):
    """Text to copy, such as a command."""

    text: str


class Details(NamedTuple):
    """Parts that a reader opens by a click on `summary`. In print they are always open."""

    summary: str
    parts: Sequence["PagePart"]


class SideBySide(NamedTuple):
    """Parts that stand two in a row where there is room, and below each other on a phone."""

    parts: Sequence["PagePart"]


class Facts(NamedTuple):
    """Pairs of a name and a value. Long values wrap."""

    rows: Sequence[Sequence[str]]


class Figure(NamedTuple):
    """An embedded PNG of `width` x `height` pixels; `picture` and `drawing` make one.

    `alternative` says in words what the picture shows; `style` is its class in the style sheet.
    """

    png: bytes
    width: int
    height: int
    alternative: str
    caption: str
    style: str


PagePart = Heading | Paragraph | Caution | Code | Details | SideBySide | Table | Facts | Figure


def page(title: str, parts: Sequence[PagePart]) -> str:
    """Returns a whole HTML document. `title` is escaped, as every text in `parts` is."""
    return _environment().get_template("page.html.j2").render(title=title, parts=parts)


def picture(png: bytes, alternative: str, caption: str, *, low: bool = False) -> Figure:
    """Returns a part that shows a PNG of images; `alternative` says in words what it shows.

    A browser never enlarges it. On a phone it keeps a readable size and scrolls in its own box. If
    it is `low`, it leaves room on the screen for what stands below it.
    """
    return _figure(png, alternative, caption, "large low" if low else "large")


def drawing(figure: matplotlib_figure.Figure, alternative: str, caption: str) -> Figure:
    """Returns a part that shows a matplotlib figure; `alternative` says in words what it shows.

    On a dark screen its white turns dark.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=160, bbox_inches="tight")
    large = figure.get_figwidth() > _PHONE_INCHES
    return _figure(buffer.getvalue(), alternative, caption, "drawing large" if large else "drawing")


def _figure(png: bytes, alternative: str, caption: str, style: str) -> Figure:
    with Image.open(io.BytesIO(png)) as image:
        return Figure(png, image.width, image.height, alternative, caption, style)


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cyclegan_jax.render"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["class_name"] = lambda part: type(part).__name__
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
    return environment
