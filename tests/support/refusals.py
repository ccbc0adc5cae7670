"""Requests that a service with the usual limits must refuse, and how."""

from typing import NamedTuple

from greengrocer.imaging.heif import is_installed
from support.forms import BOUNDARY, FORM, form, part
from support.make_images import encoded, jpeg, photo
from support.png import RGB, SIGNATURE, header
from support.wire import head, post

PICTURE = jpeg(100)
PHOTO = encoded(photo(1), "JPEG")
OVER = 30_000_000  # bytes, where 20 megabytes are taken


class Refused(NamedTuple):
    """A request, whole or as far as it must come, and its answer."""

    name: str
    status: int
    code: str
    request: bytes
    said: str = ""  # a part of the answer's detail


def _body(kind: str, body: bytes, *headers: str, target: str = "/predict") -> bytes:
    lines = [f"Content-Length: {len(body)}", *headers]
    return head("POST", target, *([f"Content-Type: {kind}"] if kind else []), *lines) + body


def _form(body: bytes, kind: str = FORM) -> bytes:
    return _body(kind, body)


def _top(value: str) -> bytes:
    return post(PICTURE, target=f"/predict?top={value}")


MANY_HEADERS = tuple(f"X-{k}: {k}" for k in range(10_000))
PICTURES = [
    Refused("empty body", 400, "empty-image", post(b"")),
    Refused("empty part", 400, "empty-image", _form(form(part(b"")))),
    Refused("truncated", 400, "unreadable-image", post(PHOTO[: len(PHOTO) // 2])),
    Refused("truncated in a form", 400, "unreadable-image", _form(form(part(PHOTO[:-300])))),
    Refused("cut in its header", 400, "unreadable-image", post(PHOTO[:30])),
    Refused("text", 400, "unreadable-image", post(b"a pear, I swear")),
    Refused(
        "a PNG without pixels", 400, "unreadable-image", post(SIGNATURE + header((9, 9), 8, RGB))
    ),
    Refused(
        "a bomb",
        413,
        "too-many-pixels",
        post(SIGNATURE + header((30_000, 30_000), 8, RGB)),
        "900.0",
    ),
    Refused("a GIF", 415, "unsupported-format", post(encoded(photo(1), "GIF")), "GIF"),
    Refused("a BMP", 415, "unsupported-format", post(encoded(photo(1), "BMP")), "BMP"),
    Refused("a TIFF", 415, "unsupported-format", post(encoded(photo(1), "TIFF")), "TIFF"),
    Refused("a PDF", 415, "unsupported-format", _form(form(part(b"%PDF-1.7 "))), "PDF"),
    # cut behind its brand: with the extra it is of a kind that is read
    Refused(
        "a HEIC",
        400 if is_installed() else 415,
        "unreadable-image" if is_installed() else "unsupported-format",
        post(b"\0\0\0\x18ftypheic" + bytes(40)),
        "HEIC",
    ),
    Refused("a film", 415, "unsupported-format", post(b"\0\0\0\x18ftypisom" + bytes(40)), "video"),
]
UPLOADS = [
    Refused(
        "no boundary",
        400,
        "malformed-upload",
        _form(form(part(PICTURE)), "multipart/form-data"),
        "let the client set the Content-Type header",
    ),
    Refused(
        "empty boundary",
        400,
        "malformed-upload",
        _form(form(part(PICTURE)), "multipart/form-data; boundary="),
        "let the client set the Content-Type header",
    ),
    Refused(
        "two boundaries",
        400,
        "malformed-upload",
        _form(form(part(PICTURE)), f"{FORM}; boundary=other"),
        "two boundaries",
    ),
    Refused(
        "lines that end with LF",
        400,
        "malformed-upload",
        _form(form(part(b"")).replace(b"\r\n", b"\n")),
        "CR LF",
    ),
    Refused(
        "odd boundary",
        400,
        "malformed-upload",
        _form(form(part(PICTURE)), 'multipart/form-data; boundary="a\\b\xff"'),
    ),
    Refused(
        "another boundary",
        400,
        "malformed-upload",
        _form(form(part(PICTURE)).replace(BOUNDARY.encode(), b"other")),
    ),
    Refused("no form at all", 400, "malformed-upload", _form(b"")),
    Refused("no end", 400, "malformed-upload", _form(part(PICTURE))),
    Refused("cut in a part", 400, "malformed-upload", _form(part(PICTURE)[:-100])),
    Refused("10,000 parts", 400, "malformed-upload", _form(form(*[part(b"", "x")] * 10_000))),
    Refused(
        "10,000 part headers",
        400,
        "malformed-upload",
        _form(form(part(PICTURE, "file", *MANY_HEADERS))),
    ),
    Refused(
        "a part header without end",
        400,
        "malformed-upload",
        _form(part(PICTURE, "file", "X: " + "x" * 100_000)),
    ),
    Refused("a nameless part", 400, "malformed-upload", _form(form(b"--frontier\r\n\r\nx\r\n"))),
    Refused(
        "megabytes before the form",
        400,
        "malformed-upload",
        _form(b"x" * 5_000_000 + b"\r\n" + form(part(PICTURE))),
    ),
    Refused(
        "declared too long",
        413,
        "too-many-bytes",
        head("POST", "/predict", "Content-Type: image/png", f"Content-Length: {OVER}"),
    ),
    Refused(
        "form declared too long",
        413,
        "too-many-bytes",
        head("POST", "/predict", f"Content-Type: {FORM}", f"Content-Length: {OVER}"),
    ),
    Refused(
        "wrong type", 415, "unsupported-content-type", _body("text/plain", PICTURE), "text/plain"
    ),
    Refused(
        "JSON", 415, "unsupported-content-type", _body("application/json", b"{}"), "multipart/form"
    ),
    Refused(
        "a type of any length", 415, "unsupported-content-type", _body("x" * 9000, PICTURE), "form"
    ),
    Refused(
        "a link's form",
        415,
        "unsupported-content-type",
        _body("application/x-www-form-urlencoded", PICTURE),
        "curl -F file=@photo.jpg",
    ),
    Refused("no type and no body", 400, "empty-image", _body("", b"")),
    Refused(
        "compressed",
        415,
        "unsupported-content-type",
        _body("image/jpeg", PICTURE, "Content-Encoding: gzip"),
        "encoding",
    ),
    Refused("no field", 422, "missing-field", _form(form(part(PICTURE, "picture"))), "'file'"),
    Refused("no parts", 422, "missing-field", _form(form())),
    Refused("two files", 422, "repeated-field", _form(form(part(PICTURE), part(PICTURE)))),
]
PARAMETERS = [
    *[
        Refused(f"top={value[:9]}", 422, "parameter-out-of-range", _top(value), "top")
        for value in (
            "0",
            "11",
            "-1",
            "%2B1",
            "1_0",
            "abc",
            "1.5",
            "",
            "9" * 400,
            "9" * 5000,
            "%ff",
            "1%00",
        )
    ],
    *[
        Refused(
            f"explain={value}",
            422,
            "parameter-out-of-range",
            post(PICTURE, target=f"/predict?explain={value}"),
            "explain",
        )
        for value in ("", "1", "True", "yes", "Granny-Smith", "%ff")
    ],
    *[
        Refused(
            f"deadline={value[:9]}",
            422,
            "parameter-out-of-range",
            post(PICTURE, f"X-Deadline-Ms: {value}"),
            "X-Deadline-Ms",
        )
        for value in ("0", "00", "-5", "+5", "1_0", "soon", "1.5", "", "1e3")
    ],
    *[
        Refused(
            f"{target} is unknown or repeated",
            422,
            "parameter-out-of-range",
            post(PICTURE, target=target),
            said,
        )
        for target, said in (
            (
                "/predict?topp=3",
                'no query parameter "topp": this path takes the query parameters top',
            ),
            ("/predict?top=2&top=3", "the query parameter top is repeated"),
            ("/predict?explain=true&explain=true", "the query parameter explain is repeated"),
            ("/predict?=", 'no query parameter ""'),
            ("/explain?top=3", 'no query parameter "top": this path takes none'),
            ("/predict/batch?%C3%A9=", r'no query parameter "\u00e9"'),
        )
    ],
    Refused(
        "a query for a random image",
        422,
        "parameter-out-of-range",
        head("GET", "/random-image?level=fine"),
        "takes none",
    ),
    Refused(
        "no such level", 422, "parameter-out-of-range", head("GET", "/class-names?level=x"), "level"
    ),
]
ROUTES = [
    Refused("no such path", 404, "not-found", head("GET", "/nope")),
    Refused("a slash more", 404, "not-found", head("GET", "/livez/")),
    Refused("no such asset", 404, "not-found", head("GET", "/docs/assets/nope.js")),
    Refused(
        "out of the assets",
        404,
        "not-found",
        head("GET", "/docs/assets/%2e%2e/%2e%2e/pyproject.toml"),
    ),
    Refused("the assets' folder", 404, "not-found", head("GET", "/docs/assets/")),
    Refused("a line break in the path", 404, "not-found", head("GET", "/a%0d%0ab")),
    Refused("bytes in the path", 404, "not-found", head("GET", "/%ff%ed%a0%80")),
    Refused("no GET", 405, "method-not-allowed", head("GET", "/predict")),
    Refused("no POST", 405, "method-not-allowed", head("POST", "/livez", "Content-Length: 0")),
    Refused("no DELETE", 405, "method-not-allowed", head("DELETE", "/class-names")),
]
REFUSED = [*PICTURES, *UPLOADS, *PARAMETERS, *ROUTES]
