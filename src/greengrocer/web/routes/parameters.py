"""The parameters of endpoints that take images: how they are described, and how they are read."""

import math
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from greengrocer.errors import ParameterOutOfRange
from greengrocer.ranking import DEFAULT_OPTIONS, AnswerOptions
from greengrocer.web.asked_model import SPLIT_KEY
from greengrocer.web.quoted import quoted

MOST_MS = 10**9  # longer than any deadline, and short enough for a float
DIGITS = 20

DEADLINE: dict[str, Any] = {
    "name": "X-Deadline-Ms",
    "in": "header",
    "required": False,
    "description": "deadline in milliseconds from the arrival of the request's headers, as 500; "
    "upload and queue included. It can shorten the service's own deadline, not extend it. After "
    "it the request is dropped and answered 504",
    "schema": {"type": "integer", "minimum": 1},
}
SPLIT: dict[str, Any] = {
    "name": SPLIT_KEY,
    "in": "header",
    "required": False,
    "description": "any text, as a user's number: where a model's requests are split between its "
    "versions, the same text always gets the same one. By default it is the API key's name or, "
    "without one, chance decides",
    "schema": {"type": "string"},
}
IN_HEADERS = DEADLINE, SPLIT
OF_IMAGES: tuple[dict[str, Any], ...] = (
    {
        "name": "top",
        "in": "query",
        "required": False,
        "description": "how many of the best classes to list, as 3; at most the number of classes",
        "schema": {"type": "integer", "minimum": 1, "default": DEFAULT_OPTIONS.top},
    },
    {
        "name": "explain",
        "in": "query",
        "required": False,
        "description": "whether to add the evidence: a class activation map of the prediction",
        "schema": {"type": "boolean", "default": False},
    },
    *IN_HEADERS,
)


def read_options(request: Request, classes: int) -> AnswerOptions:
    """What the client asks of a model with so many classes; raises ParameterOutOfRange."""
    if not request.scope["query_string"]:
        return DEFAULT_OPTIONS
    text, explain = map(request.query_params.get, ("top", "explain"))
    top = DEFAULT_OPTIONS.top if text is None else _positive("top", text)
    if text is not None and top > classes:
        raise ParameterOutOfRange(f"top is {top}: this model has {classes} classes")
    if explain not in (None, "true", "false"):
        raise ParameterOutOfRange(f"explain is {quoted(explain)}: it must be true or false")
    return AnswerOptions(top, evidence=explain == "true")


def read_patience(headers: Mapping[bytes, bytes]) -> float:
    """The client's deadline in seconds from the request's headers, inf where it set none.

    Raises ParameterOutOfRange.
    """
    value = headers.get(b"x-deadline-ms")
    if value is None:
        return math.inf
    return min(_positive("X-Deadline-Ms", value.decode("latin-1")), MOST_MS) / 1000


def _positive(name: str, text: str) -> int:
    """The number in ``text``; only the first DIGITS digits count, which is large enough."""
    # int() takes signs, spaces, underscores and every script's digits
    number = int(text.lstrip("0")[:DIGITS] or "0") if text.isascii() and text.isdecimal() else 0
    if not number:
        raise ParameterOutOfRange(f"{name} is {quoted(text)}: it must be a whole number, 1 or more")
    return number
