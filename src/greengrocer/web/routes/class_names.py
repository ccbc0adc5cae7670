"""``GET /class-names``: the classes of a model."""

import orjson
from starlette.requests import Request
from starlette.responses import Response

from greengrocer.errors import ParameterOutOfRange
from greengrocer.web.asked_model import asked_model
from greengrocer.web.endpoint import Endpoint
from greengrocer.web.quoted import quoted
from greengrocer.web.schemas import ClassNames
from greengrocer.web.service import Service

LEVELS = ("fine", "coarse")


async def class_names(service: Service, request: Request) -> Response:
    """The classes of a level, in class-id order; raises ParameterOutOfRange."""
    level = request.query_params.get("level", LEVELS[0])
    if level not in LEVELS:
        raise ParameterOutOfRange(f"level is {quoted(level)}: it must be {' or '.join(LEVELS)}")
    labels = asked_model(service, request).labels
    classes = labels.classes if level == "fine" else labels.coarse
    if classes is None:
        raise ParameterOutOfRange("level is coarse: this model has no coarse classes")
    return Response(orjson.dumps({"classes": classes}), media_type="application/json")


CLASS_NAMES = Endpoint(
    "GET",
    "/class-names",
    class_names,
    "List the classes, in class-id order",
    parameters=(
        {
            "name": "level",
            "in": "query",
            "required": False,
            "description": "the fine classes, or the coarse ones that they belong to",
            "schema": {"type": "string", "enum": [*LEVELS], "default": LEVELS[0]},
        },
    ),
    model=ClassNames,
)
