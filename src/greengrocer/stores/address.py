"""The address of a bundle outside this machine, as ``s3://bucket/shop@sha256:...``."""

import re
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from greengrocer.errors import UsageError
from greengrocer.safe_text import MAX_NAME, one_line, without_secrets

SCHEMES = ("s3", "gs", "az", "https")
MOST_CHARACTERS = 5  # that a message names
PIN = "@sha256:"  # before the digest of the manifest, in hexadecimal

# Also one that is mistyped: it is refused as an address, and not shown as a path would be.
_ADDRESS = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*://|(s3|gs|az|https?):/)", re.IGNORECASE)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NOT_PLAIN = re.compile(r"[^!-~]")  # what is not visible ASCII


class Address(NamedTuple):
    """Where a bundle lies, and the SHA-256 that its manifest must have, if one is named.

    The manifest lists the digest of every other file, so its own digest fixes all of the bundle.
    """

    url: str
    digest: str | None = None

    @classmethod
    def parsed(cls, text: str) -> Self:
        """The address in ``text``, its scheme in small letters; raises UsageError, in one line."""
        url, pinned, digest = text.partition(PIN)
        shown = one_line(without_secrets(text), MAX_NAME)
        if pinned and not _DIGEST.fullmatch(digest):
            raise UsageError(f"{shown}: {PIN} must be followed by 64 hexadecimal digits")
        url = url.rstrip("/")
        try:
            parts = urlsplit(url)
        except ValueError:  # its text repeats the user
            raise UsageError(f"{shown} is not an address, as s3://bucket/shop") from None
        if parts.scheme not in SCHEMES:
            known = ", ".join(f"{each}://" for each in SCHEMES)
            raise UsageError(f"{shown}: a bundle is read from {known}, not {parts.scheme}://")
        if _NOT_PLAIN.search(url):
            refused = sorted(set(_NOT_PLAIN.findall(without_secrets(url))))[:MOST_CHARACTERS]
            has = f"it has {', '.join(map(ascii, refused))}, but " if refused else ""
            raise UsageError(
                f"{shown} is not an address: {has}only visible ASCII characters are allowed"
            )
        if not parts.netloc:
            raise UsageError(f"{shown} is not an address, as s3://bucket/shop")
        if "@" in parts.netloc or parts.query or parts.fragment:
            # they would stand in logs and in what `models list` prints
            raise UsageError(
                f"{shown}: an address has no user, password or ?...: credentials come from the "
                "environment"
            )
        return cls(parts.scheme + url[len(parts.scheme) :], digest or None)

    def __str__(self) -> str:
        return self.url

    @property
    def scheme(self) -> str:
        """``s3``, ``gs``, ``az`` or ``https``."""
        return self.url.partition("://")[0]

    @property
    def bucket(self) -> str:
        """The bucket, the container (``az``) or the host (``https``)."""
        return urlsplit(self.url).netloc

    def pinned(self, digest: str) -> str:
        """The address with a digest."""
        return f"{self.url}{PIN}{digest}"


def is_address(source: str) -> bool:
    """Whether ``source`` is an address, and not a bundle's name or directory."""
    return _ADDRESS.match(source) is not None
