"""HEIC and AVIF, box by box: whole ones, and what no encoder would write."""

import base64
import struct

# A drawn image of 64 x 48 pixels, encoded once: the suite runs without a HEIC encoder.
HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAX1tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAA"
    "AAAAAAAAAAAAACJpbG9jAAAAAERAAAEAAQAAAAABoQABAAAAAAAAAKkAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAA"
    "AAABAABodmMxAAAAAA5waXRtAAAAAAABAAAA/WlwcnAAAADdaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34"
    "+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5"
    "uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAA"
    "AAAoY2xhcAAAAEAAAAABAAAAMAAAAAEAAAAAAAAAAv////AAAAACAAAAEHBpeGkAAAAAAwgICAAAABhpcG1hAAAA"
    "AAAAAAEAAQWBAgMFhAAAALFtZGF0AAAApSgBrxOA5Ta3/6SvX98YAe8AKa7kiyhfkcB9aLf0uJYg3HTxP5nz+Ly+"
    "f1fkQUZ3N//ehbHFsarFRns2+iP0DC0I1CObBQ5SnsTaB/Z8hZvW6QLO25W4R1sZhzHJ+Grb7dp5GAxIFJ3sPlBW"
    "tecABhGjUyV2ZK33UwzFb/U6JtTDeECiE5gvk9tZpjU+GEL/d8iaI0RNRH613tUd7KYR9dWSrdJt0A=="
)


def ftyp(major: bytes, *compatible: bytes, minor: int = 0) -> bytes:
    """A file's first box, and the beginning of the next."""
    brands = major + struct.pack(">I", minor) + b"".join(compatible)
    return struct.pack(">I4s", 8 + len(brands), b"ftyp") + brands + bytes(40)


def with_size(still: bytes, width: int, height: int) -> bytes:
    """``still``, which says that it has another size."""
    at = still.index(b"ispe") + 8
    return still[:at] + struct.pack(">II", width, height) + still[at + 8 :]
