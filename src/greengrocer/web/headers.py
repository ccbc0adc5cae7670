"""Text in an answer's headers."""

from urllib.parse import quote


def header_text(text: str) -> str:
    """``text`` for a header: percent-encoded beyond ASCII, and where it would break a line."""
    return quote(text, safe=" !#$&'()*+,/:;=?@[]~")
