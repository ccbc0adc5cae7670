"""The page's small pieces of HTML: all text from data sets and bundles is escaped here."""

import base64
import io
from collections.abc import Sequence
from html import escape

from PIL import Image

__all__ = ["NONE", "cell", "class_name", "escape", "image_tag", "meter", "number", "section",
           "table", "tile"]  # fmt: skip

QUALITY = 80  # of the JPEGs in the page
NONE = "&ndash;"  # where there is no figure


def section(anchor: str, title: str, lead: str, *parts: str) -> str:
    """A section: a heading, a sentence on how to read it, and its parts. ``lead`` is HTML."""
    return (
        f'<section aria-labelledby="{anchor}"><h2 id="{anchor}">{escape(title)}</h2>'
        f'<p class="lead">{lead}</p>{"".join(parts)}</section>'
    )


def tile(label: str, value: str, note: str, image: str = "") -> str:
    """A large figure with its label and a note."""
    return (
        f'<div class="tile"><dt>{escape(label)}</dt><dd class="figure">{escape(value)}</dd>'
        f'<dd class="note">{image}{escape(note)}</dd></div>'
    )


def table(
    caption: str, heads: Sequence[tuple[str, str]], rows: Sequence[str], kind: str = ""
) -> str:
    """A table. ``heads`` are (CSS class, words); ``rows`` are cells in HTML."""
    head = "".join(_head(*each) for each in heads)
    body = "".join(rows)
    return (
        f'<div class="scroll {kind}" role="region" aria-label="{escape(caption)}" tabindex="0">'
        f'<table><caption class="unseen">{escape(caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def cell(content: str, kind: str = "") -> str:
    """A table's cell of HTML."""
    return f'<td class="{kind}">{content}</td>' if kind else f"<td>{content}</td>"


def number(value: float | None) -> str:
    """A share in per cent with one decimal, or a dash."""
    return NONE if value is None else f"{100 * value:.1f} %"


def meter(share: float, kind: str = "") -> str:
    """A bar that is ``share`` of its cell long: decoration beside a figure."""
    return (
        f'<span class="meter {kind}" aria-hidden="true">'
        f'<span style="width:{100 * share:.1f}%"></span></span>'
    )


def class_name(name: str) -> str:
    """A class as people write it: the hyphens of a data set's names become spaces."""
    return f'<span class="class">{escape(name.replace("-", " "))}</span>'


def image_tag(image: Image.Image, words: str) -> str:
    """An image inside the page, with its description for those who do not see it."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY, optimize=True)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return (
        f'<img src="data:image/jpeg;base64,{data}" width="{image.width}" '
        f'height="{image.height}" alt="{escape(words)}">'
    )


def _head(kind: str, words: str) -> str:
    """A column's head; a column of decoration has none, for a screen reader would read it."""
    if not words:
        return f'<td class="{kind}"></td>'
    return f'<th scope="col" class="{kind}">{escape(words)}</th>'
