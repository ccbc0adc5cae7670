"""The parameters of a header that tells of a form: ``; name=value``, as clients really send them.

Clients leave out quotes that RFC 2045 wants around ``=``, ``:`` and others, and write file names
in the encoding of their system. A file name is never looked at, so it may be anything.
"""

import re

_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
# For a quoted text that ends with a backslash, which then is no escape: the last byte of some
# letters in Shift JIS, GBK and Big5.
_NAME = re.compile(r';\s*name\s*=\s*"?([^";]*)', re.IGNORECASE)


def parameters(header: str) -> list[tuple[str, str]]:
    """Names, in lower case, and values, without quotes, in their order."""
    return [(name.lower(), _unquoted(value)) for name, value in _PARAMETER.findall(header)]


def field_name(disposition: bytes) -> str | None:
    """The field that a part's Content-Disposition names, None where it is no form's."""
    text = disposition.decode("utf-8", "replace")
    if text.partition(";")[0].strip().lower() != "form-data":
        return None
    # the first one counts: nothing that stands in a file name behind it can change it
    names = [value for name, value in parameters(text) if name == "name"] or _NAME.findall(text)
    return names[0] if names else ""


def _unquoted(value: str) -> str:
    value = value.strip()
    if len(value) > 1 and value[0] == value[-1] == '"':
        return _ESCAPE.sub(r"\1", value[1:-1])
    return value
