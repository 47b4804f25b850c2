"""Self-contained HTML pages: text, tables and pictures in one file, nothing from elsewhere."""

import base64
import html
import io
from collections.abc import Sequence

from matplotlib.figure import Figure
from PIL import Image

_PHONE_INCHES = 5  # up to this width a figure's text is readable on a phone's whole width
# The browser itself refuses scripts and whatever is not in the file.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; --text: #222; --faint: #555; --line: #ddd; --box: #f4f4f4;
        --paper: #fff; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem;
       color: var(--text); background: var(--paper); overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2rem; } h3 { font-size: 1.05rem; }
img { max-width: 100%; height: auto; display: block; } figure { margin: 1rem 0; }
figcaption { color: var(--faint); font-size: 0.9em; margin-top: 0.3rem; }
.wide { overflow-x: auto; overflow-wrap: normal; }
.large { max-width: max(100%, 42rem); }
.side { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr));
        column-gap: 1.5rem; }
table { border-collapse: collapse; font-size: 0.9em; margin-bottom: 1rem; }
td, th { padding: 0.2rem 0.7rem; border-bottom: 1px solid var(--line); text-align: right; }
td:first-child, th:first-child { text-align: left; padding-left: 0; }
td + td, th { white-space: nowrap; } td:first-child { min-width: 7rem; }
.facts td, .facts th { text-align: left; white-space: normal; vertical-align: top; }
.facts th { font-weight: normal; color: var(--faint); }
pre { background: var(--box); padding: 0.8rem; overflow-x: auto; overflow-wrap: normal; }
.warning { border-left: 0.3rem solid #c77700; padding-left: 0.8rem; }
@media screen and (prefers-color-scheme: dark) {
  :root { --text: #ccc; --faint: #999; --line: #444; --box: #222; --paper: #111; }
  .drawing { filter: invert(0.92) hue-rotate(180deg); }
}
@media print {
  @page { size: A4; margin: 15mm; }
  body { font-size: 10pt; max-width: none; padding: 0; }
  .wide, pre { overflow: visible; } pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  table { font-size: 8pt; }
  td + td, td, th { padding: 0.1rem 0.5rem; white-space: normal; overflow-wrap: anywhere; }
  figure img { max-height: 230mm; width: auto; } .large { max-width: 90%; }
  .side { grid-template-columns: 1fr 1fr; }
  figure, table, .warning { break-inside: avoid; } h2, h3, h3 + p { break-after: avoid; }
  details::details-content { content-visibility: visible; block-size: auto; }
}
"""


def page(title: str, body: Sequence[str]) -> str:
    """A whole document of parts that the functions here made."""
    name = html.escape(title)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'  # or a browser asks its server for one
        f"<title>{name}</title><style>{_STYLE}</style></head><body><main><h1>{name}</h1>\n"
        + "\n".join(body)
        + "\n</main></body></html>\n"
    )


def heading(text: str, level: int = 2) -> str:
    """A section's title; level 3 is that of a part of a section."""
    return f"<h{level}>{html.escape(text)}</h{level}>"


def paragraph(text: str) -> str:
    """Plain text."""
    return f"<p>{html.escape(text)}</p>"


def warning(text: str) -> str:
    """Text that a reader must not miss."""
    return f'<p class="warning">{html.escape(text)}</p>'


def code(text: str) -> str:
    """Text to copy, as a command."""
    return f"<pre>{html.escape(text)}</pre>"


def details(summary: str, body: Sequence[str]) -> str:
    """Parts that are shown on request, and in print."""
    return f"<details><summary>{html.escape(summary)}</summary>" + "\n".join(body) + "</details>"


def side_by_side(parts: Sequence[str]) -> str:
    """Two in a row where there is room, below each other on a phone."""
    return '<div class="side">' + "\n".join(parts) + "</div>"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows of text under a header; scrolls in its own box where it is too wide."""
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in header)
    lines = ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows]
    return (
        f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>'
        + "".join(f"<tr>{line}</tr>" for line in lines)
        + "</tbody></table></div>"
    )


def facts(rows: Sequence[Sequence[str]]) -> str:
    """Names and values; long values wrap."""
    lines = (
        f'<tr><th scope="row">{html.escape(name)}</th><td>{html.escape(value)}</td></tr>'
        for name, value in rows
    )
    return '<table class="facts"><tbody>' + "".join(lines) + "</tbody></table>"


def picture(png: bytes, alternative: str, caption: str) -> str:
    """An embedded PNG of images; `alternative` says in words what it shows.

    It is never enlarged. On a phone it keeps a readable size and scrolls in its own box.
    """
    return _figure(png, alternative, caption, "large")


def drawing(figure: Figure, alternative: str, caption: str) -> str:
    """An embedded matplotlib figure; `alternative` says in words what it shows.

    On a dark screen its white turns dark.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=160, bbox_inches="tight")
    large = figure.get_figwidth() > _PHONE_INCHES
    return _figure(buffer.getvalue(), alternative, caption, "drawing large" if large else "drawing")


def _figure(png: bytes, alternative: str, caption: str, kind: str) -> str:
    with Image.open(io.BytesIO(png)) as image:
        width, height = image.size  # so that the text does not jump while a page is drawn
    data = base64.b64encode(png).decode()
    return (
        f'<figure><div class="wide" tabindex="0"><img class="{kind}" width="{width}" '
        f'height="{height}" alt="{html.escape(alternative)}" src="data:image/png;base64,{data}">'
        f"</div><figcaption>{html.escape(caption)}</figcaption></figure>"
    )
