"""Multipart forms, well formed and malformed."""

BOUNDARY = "frontier"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
END = f"--{BOUNDARY}--\r\n".encode()


def part(content: bytes, *headers: str, name: str = "file", file: str = "a.jpg") -> bytes:
    """One part, from its boundary to the end of its content."""
    disposition = f'Content-Disposition: form-data; name="{name}"; filename="{file}"'
    lines = [f"--{BOUNDARY}", disposition, *headers, "", ""]
    return "\r\n".join(lines).encode() + content + b"\r\n"


def field(name: str, content: bytes = b"") -> bytes:
    """One part that is no file."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
    return head.encode() + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    """A whole form."""
    return b"".join(parts) + END
