"""The parts of /openapi.json that FastAPI cannot know: bodies, access, and shared schemas."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import WithDefaultSchema

from greengrocer.imaging.formats import accepted
from greengrocer.web.access.access import METRICS, Access
from greengrocer.web.body.upload import FIELD, FORM_TYPE, IMAGE_TYPES, OCTETS
from greengrocer.web.endpoint import Endpoint
from greengrocer.web.problems import OPEN_INFERENCE, described
from greengrocer.web.schemas import Problem

BINARY = {"type": "string", "format": "binary"}
TEXT = {"schema": {"type": "string"}}


class WithoutDefaults(GenerateJsonSchema):
    """Describes what a property is, and not the default that Python has for it.

    What has a default here is left out of an answer, or may be left out of a request. Generators of
    types take a property with a default for one that is always there.
    """

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        """The description without the default."""
        return self.generate_inner(schema["schema"])


def upload() -> dict[str, Any]:
    """The request body of an endpoint that takes one image."""
    return {
        "required": True,
        "description": f"One {accepted()}: as a file in a form, or as the body itself. "
        "The content type may be any image/... or missing: the bytes decide.",
        "content": {
            FORM_TYPE: {
                "schema": {
                    "type": "object",
                    "properties": {FIELD: BINARY},
                    "required": [FIELD],
                }
            },
            **{kind: {"schema": BINARY} for kind in (*IMAGE_TYPES, OCTETS)},
        },
    }


def image(kind: str, description: str, headers: dict[str, str]) -> dict[int | str, Any]:
    """The response of an endpoint that sends an image; ``headers`` maps names to meanings."""
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


def finish(description: dict[str, Any], endpoints: Iterable[Endpoint], access: Access) -> None:
    """Add to the framework's ``description`` of ``endpoints`` what it does not know.

    Those are the schemas that bodies refer to, and what ``access`` asks of a request.
    """
    schemas = description.setdefault("components", {}).setdefault("schemas", {})
    for orphan in ("HTTPValidationError", "ValidationError"):
        schemas.pop(orphan, None)
    _add_schema(schemas, Problem)
    if access.keys is not None:
        description["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    paths = description["paths"]
    for endpoint in endpoints:
        for model in endpoint.schemas:
            _add_schema(schemas, model)
        if endpoint.summary:
            _describe_refusals(endpoint, paths[endpoint.path][endpoint.method.lower()], access)
    if access.metrics_port is not None:
        paths.pop(METRICS, None)


def _add_schema(schemas: dict[str, Any], model: type[BaseModel]) -> None:
    schema = model.model_json_schema(
        ref_template="#/components/schemas/{model}",
        schema_generator=WithoutDefaults,
        mode="serialization",
    )
    for name, definition in schema.pop("$defs", {}).items():
        schemas.setdefault(name, definition)
    schemas[model.__name__] = schema


def _describe_refusals(endpoint: Endpoint, operation: dict[str, Any], access: Access) -> None:
    """Add the refusals before an endpoint runs: of its query, the key and the rate limits."""
    refusals = {str(status): response for status, response in described(401, 422, 429).items()}
    if f"{endpoint.path}/".startswith(OPEN_INFERENCE):
        error = {"schema": {"$ref": "#/components/schemas/InferError"}}
        refusals = {s: {**r, "content": {"application/json": error}} for s, r in refusals.items()}
    responses = operation["responses"]
    if endpoint.checks_query:
        responses.setdefault("422", refusals["422"])
    if endpoint.is_open:
        return
    if access.keys is not None:
        operation["security"] = [{"key": []}]
        responses["401"] = {**refusals["401"], "headers": {"WWW-Authenticate": TEXT}}
    if access.limiter is not None:
        responses.setdefault("429", refusals["429"])
