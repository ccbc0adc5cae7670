"""The parameters of images' routes: read without the framework, described for it beside."""

import math
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from greengrocer.errors import ParameterOutOfRange
from greengrocer.ranking import ASK, Ask
from greengrocer.web.quoted import quoted

MOST_MS = 10**9  # longer than any deadline, and short enough for a float
DIGITS = 20

DEADLINE: dict[str, Any] = {
    "name": "X-Deadline-Ms",
    "in": "header",
    "required": False,
    "description": "milliseconds from the arrival of the request's head in which the answer "
    "is of use, upload and queue included; it can shorten the service's own deadline and not "
    "lengthen it, and past it the request is dropped and answered 504",
    "schema": {"type": "integer", "minimum": 1},
}
OF_IMAGES: tuple[dict[str, Any], ...] = (
    {
        "name": "top",
        "in": "query",
        "required": False,
        "description": "how many of the best classes to list, at most all of them",
        "schema": {"type": "integer", "minimum": 1, "default": ASK.top},
    },
    {
        "name": "explain",
        "in": "query",
        "required": False,
        "description": "whether to add the evidence for the prediction",
        "schema": {"type": "boolean", "default": False},
    },
    DEADLINE,
)


def read_ask(request: Request, classes: int) -> Ask:
    """What the answer is to hold, for a model of so many classes; raises ParameterOutOfRange."""
    if not request.scope["query_string"]:
        return ASK
    text, explain = map(request.query_params.get, ("top", "explain"))
    top = ASK.top if text is None else _positive("top", text)
    if text is not None and top > classes:
        raise ParameterOutOfRange(f"top is {top}: this model has {classes} classes")
    if explain not in (None, "true", "false"):
        raise ParameterOutOfRange(f"explain is {quoted(explain)}: it must be true or false")
    return Ask(top, evidence=explain == "true")


def read_patience(headers: Mapping[bytes, bytes]) -> float:
    """Seconds that the client waits, from its request's head on; raises ParameterOutOfRange."""
    value = headers.get(b"x-deadline-ms")
    if value is None:
        return math.inf
    return min(_positive("X-Deadline-Ms", value.decode("latin-1")), MOST_MS) / 1000


def _positive(name: str, text: str) -> int:
    """A number of any length: of more than DIGITS it matters only that it is large."""
    # int() takes signs, spaces, underscores and every script's digits
    number = int(text.lstrip("0")[:DIGITS] or "0") if text.isascii() and text.isdecimal() else 0
    if not number:
        raise ParameterOutOfRange(f"{name} is {quoted(text)}: it must be a whole number, 1 or more")
    return number
