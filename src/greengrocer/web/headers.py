"""Headers of every response, and how text is encoded in a header."""

from urllib.parse import quote

# What a browser may not do with an answer: guess its type, show it in another site's frame, load
# it into another site's page, or tell another site that it was here.
SAFE = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
)


def header_text(text: str) -> str:
    """``text`` for a header: percent-encoded beyond ASCII, and where it would break a line."""
    return quote(text, safe=" !#$&'()*+,/:;=?@[]~")
