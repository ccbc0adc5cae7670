"""The page's small pieces of HTML: everything that a person named is escaped in here."""

import base64
import html
import io
from pathlib import Path

import numpy as np
from PIL import Image

from greengrocer.errors import ImageRefused
from greengrocer.imaging.decode import decode
from greengrocer.regular_files import MAX_IMAGE_BYTES, read_regular
from greengrocer.safe_text import escaped

SIDE = 240  # pixels of an image's longer side in the page
QUALITY = 75  # of its JPEG: about 10 KB


def text(words: str) -> str:
    """Words as HTML; characters that would turn or hide their neighbours are written out."""
    return html.escape(escaped(words))


def class_name(name: str) -> str:
    """A class as people write it: the hyphens of a data set's names become spaces."""
    return f'<b class="class">{text(name.replace("-", " "))}</b>'


def section(anchor: str, title: str, count: int, lead: str, body: str) -> str:
    """A section: a heading with a number, a sentence on what to do, and its cards."""
    return (
        f'<section aria-labelledby="{anchor}"><h2 id="{anchor}">{text(title)} '
        f'<span class="count">{count:,}</span></h2><p class="lead">{text(lead)}</p>{body}</section>'
    )


def figure(path: Path, words: str, root: Path) -> str:
    """An image with its path below ``root``, and ``words`` on what it is, which is HTML."""
    return f"<figure>{image(path)}<figcaption>{words}{file_name(path, root)}</figcaption></figure>"


def file_name(path: Path, root: Path) -> str:
    """A path below ``root``, as it is typed."""
    return f'<span class="path">{text(str(below(path, root)))}</span>'


def below(path: Path, root: Path) -> Path:
    """``path`` as seen from ``root``, or whole where it lies elsewhere."""
    return path.relative_to(root) if path.is_relative_to(root) else path


def image(path: Path) -> str:
    """The image inside the page; a place for it where it can no longer be read."""
    try:
        decoded = decode(read_regular(path, MAX_IMAGE_BYTES), (SIDE, SIDE))
    except (OSError, ImageRefused):
        return '<span class="gone">cannot be read</span>'
    decoded.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    # A comment in the file would be written into the page with the pixels.
    Image.fromarray(np.asarray(decoded)).save(file, "JPEG", quality=QUALITY)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return (
        f'<img src="data:image/jpeg;base64,{data}" width="{decoded.width}" '
        f'height="{decoded.height}" alt="{text(path.name)}" loading="lazy">'
    )
