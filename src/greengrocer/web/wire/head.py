"""What a request's head must fulfil: one reading of it, and nothing that we do not understand."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

HOST = re.compile(rb"(\[[\w.:%~-]+\]|[\w.~%!$&'()*+,;=-]*)(:[0-9]*)?[ \t]*")
ENCODING = b"transfer-encoding"
# Headers of one value that decide something. Of two, a proxy may have used the other one.
SINGLE = frozenset(
    {
        b"authorization",
        b"content-encoding",
        b"content-type",
        b"inference-header-content-length",
        b"x-deadline-ms",
        b"x-split-key",
    }
)


class Reason(NamedTuple):
    """Why bytes are refused before they become a request."""

    status: int
    code: str
    detail: str


MALFORMED = Reason(400, "bad-request", "this is not a valid HTTP/1.1 request")
SMALL_CHUNKS = Reason(
    400, "bad-request", "the body comes in too many small chunks: send larger ones"
)
BAD_HOST = Reason(400, "bad-request", "send one Host header with a valid host name")
UNKNOWN_CODING = Reason(
    501, "unsupported-transfer-coding", "the only transfer coding that is understood is chunked"
)

Headers = Sequence[tuple[bytes, bytes]]  # names in lower case, and values


class Refused(Exception):
    """Raised in a callback of the parser, which it stops."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.detail)
        self.reason = reason


def check_head(headers: Headers, version: str) -> None:
    """Raise Refused for a head of the HTTP ``version`` that can be read in two ways, or not at all.

    The parser has checked the Content-Length, and that chunked is named once at most.
    """
    _check_host([value for name, value in headers if name == b"host"], version)
    check_single(headers)
    codings = [value for name, value in headers if name == ENCODING]
    if codings and version != "1.1":  # a proxy of HTTP/1.0 may see another body (RFC 9112, 6.1)
        raise Refused(MALFORMED)
    _check_codings(codings)


def check_single(headers: Headers) -> None:
    """Raise Refused where one of SINGLE is there more than once."""
    seen = [name for name, _ in headers if name in SINGLE]
    for name in set(seen):
        if seen.count(name) > 1:
            shown = name.decode().title()
            detail = f"the request has more than one {shown} header: send one"
            raise Refused(Reason(400, "bad-request", detail))


def _check_host(hosts: Sequence[bytes], version: str) -> None:
    """There is one valid Host header (RFC 9112, 3.2); HTTP/1.0 needs none."""
    valid = len(hosts) == 1 and HOST.fullmatch(hosts[0])
    if not valid and (hosts or version != "1.0"):
        raise Refused(BAD_HOST)


def _check_codings(values: Iterable[bytes]) -> None:
    """A body is chunked and nothing else (RFC 9112, 6.1); its end is unknown if that is not last.

    Empty elements of the list count for nothing (RFC 9110, 5.6.1).
    """
    codings = [coding for each in b",".join(values).split(b",") if (coding := each.strip())]
    if codings and codings[-1].lower() != b"chunked":
        raise Refused(MALFORMED)
    if len(codings) > 1:
        raise Refused(UNKNOWN_CODING)
