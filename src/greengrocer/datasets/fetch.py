"""Download one archive over HTTP; an interrupted download is resumed where it stopped.

The bytes received so far lie in ``NAME.partial``; ``NAME.note`` has the URL's digest. Written here
because pooch, the usual library for this, deletes a partial file and starts again, and bounds no
download's size.
"""

import hashlib
import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from greengrocer.datasets.progress import bytes_bar
from greengrocer.datasets.writing import write_errors_as_usage_errors, write_whole
from greengrocer.errors import DownloadFailed
from greengrocer.safe_text import without_secrets, words_of

ARCHIVE_LIMIT = 512 * 2**20  # bytes
TIMEOUT = httpx.Timeout(30.0, connect=10.0)  # seconds, for each read and not for the whole
PAUSES = (0.5, 1.0, 2.0, 4.0)  # seconds before each further attempt
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


class _Again(Exception):
    """An attempt failed in a way in which the next may not."""


@dataclass(frozen=True)
class _Note:
    """Of what a partial file is a part: the URL's digest, and the server's ETag or date."""

    url: str
    validator: str


def fetch(url: str, archive: Path) -> None:
    """Bring the archive at ``url`` to ``archive``, unless an earlier run has brought it there.

    Raises DownloadFailed where the server is out of reach, refuses, or sends too much, and
    UsageError where ``archive`` cannot be written.
    """
    if archive.is_file() and _read_note(archive).url == _digest(url):
        return
    try:
        with httpx.Client(
            timeout=TIMEOUT,
            follow_redirects=True,
            headers={"Accept-Encoding": "identity"},  # a part of a re-packed archive is no part
        ) as client:
            _attempt_repeatedly(client, url, archive)
    except (
        httpx.RequestError,
        _Again,
        httpx.InvalidURL,
        OSError,
        ValueError,
        ImportError,
    ) as error:
        # Beside httpx's own: a host name, a proxy or certificates that cannot be used.
        reason = words_of(error)
        raise DownloadFailed(
            f"cannot download {without_secrets(url)}: {reason}; check the connection and the "
            "address, try again, or name a directory or an archive with --from"
        ) from error
    with write_errors_as_usage_errors(archive):
        os.replace(_partial(archive), archive)


def forget(archive: Path) -> None:
    """Remove what ``fetch`` keeps. Raises UsageError where it cannot be removed."""
    with write_errors_as_usage_errors(archive):
        for path in (archive, _partial(archive), _note_of(archive)):
            path.unlink(missing_ok=True)


def _attempt_repeatedly(client: httpx.Client, url: str, archive: Path) -> None:
    for pause in PAUSES:
        try:
            return _attempt(client, url, archive)
        except httpx.UnsupportedProtocol:
            raise
        except (httpx.TransportError, _Again):
            time.sleep(pause)
    return _attempt(client, url, archive)


def _attempt(client: httpx.Client, url: str, archive: Path) -> None:
    partial, note = _partial(archive), _read_note(archive)
    have = 0
    headers = {}
    if note.validator and note.url == _digest(url) and partial.is_file():
        have = partial.stat().st_size
    if have:
        headers["Range"] = f"bytes={have}-"
        # A weak ETag may not stand in If-Range; _start compares it in the answer instead.
        if not note.validator.startswith("W/"):
            headers["If-Range"] = note.validator
    with client.stream("GET", url, headers=headers) as response:
        try:
            start = _start(response, url, have, note.validator)
        except _Again:
            if response.status_code in (206, 416):  # what we have is of no use
                forget(archive)
            raise
        with write_errors_as_usage_errors(archive):
            _save(response, url, archive, start)


def _start(response: httpx.Response, url: str, have: int, validator: str) -> int:
    """Tell at which byte the body starts: ``have``, or 0 where it is all sent again."""
    status = response.status_code
    if status == 200:
        return 0
    if status == 206 and have and _validator(response) == validator:
        first, _ = _content_range(response)
        if first == have:
            return have
    if status in (206, 416):
        raise _Again("the server sends another part than the one that was asked for")
    told = f"{status} {response.reason_phrase}".strip()
    if status in TRANSIENT:
        raise _Again(f"the server answers {told}")
    raise DownloadFailed(
        f"cannot download {without_secrets(url)}: the server answers {told}; "
        "check the address, or name a directory or an archive with --from"
    )


def _save(response: httpx.Response, url: str, archive: Path, start: int) -> None:
    total = _total(response)
    if total is not None and total > ARCHIVE_LIMIT:
        raise _too_large(url)
    size = start
    with (
        _partial(archive).open("ab" if start else "wb") as file,
        bytes_bar("Downloading", total, done=start) as advance,
    ):
        if not start:  # only now: the file that an older note describes is gone
            note = {"url": _digest(url), "validator": _validator(response)}
            write_whole(_note_of(archive), json.dumps(note).encode())
        for chunk in response.iter_raw():
            size += len(chunk)
            if size > ARCHIVE_LIMIT:
                raise _too_large(url)
            file.write(chunk)
            advance(len(chunk))
    if total is not None and size != total:
        raise _Again(f"the connection ended after {size} of {total} bytes")


def _too_large(url: str) -> DownloadFailed:
    return DownloadFailed(
        f"{without_secrets(url)} is refused: it has more than {ARCHIVE_LIMIT} bytes"
    )


def _total(response: httpx.Response) -> int | None:
    if response.status_code == 206:
        return _content_range(response)[1]
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _content_range(response: httpx.Response) -> tuple[int | None, int | None]:
    """Read the first byte's number and the whole's size, as far as the answer tells them."""
    found = re.fullmatch(
        r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""), re.ASCII
    )
    if found is None:
        return None, None
    return int(found[1]), None if found[2] == "*" else int(found[2])


def _validator(response: httpx.Response) -> str:
    return response.headers.get("ETag") or response.headers.get("Last-Modified") or ""


def _partial(archive: Path) -> Path:
    return archive.with_name(f"{archive.name}.partial")


def _note_of(archive: Path) -> Path:
    return archive.with_name(f"{archive.name}.note")


def _read_note(archive: Path) -> _Note:
    try:
        note = json.loads(_note_of(archive).read_bytes())
        return _Note(str(note["url"]), str(note["validator"]))
    except (OSError, ValueError, KeyError, TypeError):
        return _Note("", "")


def _digest(url: str) -> str:
    # Not the URL itself: it may hold a password.
    return hashlib.sha256(url.encode()).hexdigest()
