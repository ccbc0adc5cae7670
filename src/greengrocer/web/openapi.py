"""What OpenAPI says of bodies that the framework does not read or write itself."""

from typing import Any

from pydantic import BaseModel

from greengrocer.imaging.formats import accepted
from greengrocer.web.access.access import METRICS, Access, is_open
from greengrocer.web.body.upload import FIELD, FORM_TYPE, OCTETS, PICTURE_TYPES
from greengrocer.web.problems import OPEN_INFERENCE, described
from greengrocer.web.routes.parameters import DEADLINE, DESCRIBED

BINARY = {"type": "string", "format": "binary"}
TEXT = {"schema": {"type": "string"}}


def _upload(parameters: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "parameters": parameters,
        "requestBody": {
            "required": True,
            "description": f"One {accepted()}: as a form's file, or as the body itself. "
            "Its type may also be any other image/... or missing: the bytes are looked at.",
            "content": {
                FORM_TYPE: {
                    "schema": {
                        "type": "object",
                        "properties": {FIELD: BINARY},
                        "required": [FIELD],
                    }
                },
                **{kind: {"schema": BINARY} for kind in (*PICTURE_TYPES, OCTETS)},
            },
        },
    }


def _picture(kind: str, description: str, headers: dict[str, str]) -> dict[int | str, Any]:
    return {
        200: {
            "description": description,
            "content": {kind: {"schema": BINARY}},
            "headers": {
                name: {"schema": {"type": "string"}, "description": meaning}
                for name, meaning in headers.items()
            },
        }
    }


def add_schemas(description: dict[str, Any], *models: type[BaseModel]) -> None:
    """Add ``models`` to those that an application's ``description`` has, to be referred to."""
    schemas = description["components"]["schemas"]
    for model in models:
        schema = model.model_json_schema(
            ref_template="#/components/schemas/{model}", mode="serialization"
        )
        for name, definition in schema.pop("$defs", {}).items():
            schemas.setdefault(name, definition)
        schemas[model.__name__] = schema


def describe_access(description: dict[str, Any], access: Access) -> None:
    """Say in an application's ``description`` what ``access`` asks for."""
    paths = description["paths"]
    if access.metrics_port is not None:
        del paths[METRICS]
    if access.keys is not None:
        description["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, methods in paths.items():
        if not is_open(path):
            for operation in methods.values():
                _describe_guard(path, operation, access)


def _describe_guard(path: str, operation: dict[str, Any], access: Access) -> None:
    refusals = {str(status): response for status, response in described(401, 429).items()}
    if f"{path}/".startswith(OPEN_INFERENCE):
        error = {"schema": {"$ref": "#/components/schemas/InferError"}}
        refusals = {s: {**r, "content": {"application/json": error}} for s, r in refusals.items()}
    if access.keys is not None:
        operation["security"] = [{"key": []}]
        operation["responses"]["401"] = {**refusals["401"], "headers": {"WWW-Authenticate": TEXT}}
    if access.limiter is not None:
        operation["responses"].setdefault("429", refusals["429"])


UPLOAD = _upload(DESCRIBED)
UPLOAD_TO_EXPLAIN = _upload([DEADLINE])
UPLOAD_OF_MANY: dict[str, Any] = {
    "parameters": DESCRIBED,
    "requestBody": {
        "required": True,
        "description": "A form with a file for each image. It is read only as fast as images "
        "are answered: without a place for the first one the request is refused, and the others "
        "wait for theirs. The service's own deadline is each image's, from when it is its turn; "
        "X-Deadline-Ms is that of all of them.",
        "content": {
            FORM_TYPE: {
                "schema": {
                    "type": "object",
                    "properties": {FIELD: {"type": "array", "items": BINARY, "minItems": 1}},
                    "required": [FIELD],
                }
            }
        },
    },
}
LINES: dict[int | str, Any] = {
    200: {
        "description": "A JSON object a line, in order, each sent as soon as it is its turn: what "
        "/predict would answer, or its problem with its status, and the index, counted from 0. A "
        "form that breaks, or is refused midway, ends with the line of a problem.",
        "content": {
            "application/x-ndjson": {
                "schema": {
                    "anyOf": [
                        {"$ref": "#/components/schemas/PredictionLine"},
                        {"$ref": "#/components/schemas/ProblemLine"},
                    ]
                }
            }
        },
    }
}
JPEG = _picture(
    "image/jpeg",
    "A JPEG",
    {"X-Class": "its true class", "X-Gallery": "built-in, where there is no data set"},
)
PNG = _picture(
    "image/png",
    "A PNG of at most 1024 pixels on its longer side",
    {"X-Class": "the prediction that the evidence is for, percent-encoded beyond ASCII"},
)
