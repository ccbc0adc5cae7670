"""The protocol's routes, each described where it stands."""

from typing import Any

import orjson
from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from greengrocer.ranking import Labels
from greengrocer.version import __version__
from greengrocer.web.open_inference.infer import infer
from greengrocer.web.open_inference.inputs import CHANNELS, IMAGE, PIXELS
from greengrocer.web.open_inference.outputs import JSON_LENGTH, output_shapes
from greengrocer.web.open_inference.schemas import (
    InferError,
    InferRequest,
    InferResponse,
    Live,
    ModelConfig,
    ModelMetadata,
    ModelReady,
    Ready,
    ServerMetadata,
    TensorMetadata,
)
from greengrocer.web.openapi import BINARY
from greengrocer.web.problems import described
from greengrocer.web.routes.health import is_ready
from greengrocer.web.routes.parameters import DEADLINE
from greengrocer.web.service import Service

HOME = "/v2"
PROBES = frozenset({f"{HOME}/health/live", f"{HOME}/health/ready"})
SCHEMAS = (InferRequest, InferResponse, InferError)  # that routes refer to
TAG = "Open Inference Protocol"
PLATFORM = "greengrocer"
EXTENSIONS = ["binary_tensor_data", "classification", "model_configuration"]
TYPES = {"BYTES": "TYPE_STRING", "UINT8": "TYPE_UINT8", "FP32": "TYPE_FP32"}  # in a configuration
OF_MODEL = (f"{HOME}/models/{{name}}", f"{HOME}/models/{{name}}/versions/{{version}}")

_LENGTH = {
    "description": "bytes of the body that are JSON, where a binary part follows them",
    "schema": {"type": "integer"},
}
_REQUEST = {
    "required": True,
    "content": {
        "application/json": {"schema": {"$ref": "#/components/schemas/InferRequest"}},
        "application/octet-stream": {"schema": BINARY},
    },
}
_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answers; octets where an output is binary",
        "headers": {JSON_LENGTH: _LENGTH},
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/InferResponse"}},
            "application/octet-stream": {"schema": BINARY},
        },
    }
}


def add_open_inference(app: FastAPI, service: Service) -> None:
    """Add all routes below /v2 to ``app``."""
    _add_server(app, service)
    for prefix in OF_MODEL:
        _add_model(app, service, prefix)


def _add_server(app: FastAPI, service: Service) -> None:
    @app.get(HOME, summary="Tell what this server is", response_model=ServerMetadata, tags=[TAG])
    async def _server() -> Response:
        return _json(ServerMetadata(name="greengrocer", version=__version__, extensions=EXTENSIONS))

    @app.get(f"{HOME}/health/live", summary="Is the server alive?", response_model=Live, tags=[TAG])
    async def _live() -> Response:
        return _json(Live(live=True))

    @app.get(
        f"{HOME}/health/ready",
        summary="Should requests come?",
        response_model=Ready,
        responses={503: {"model": Ready, "description": "not now"}},
        tags=[TAG],
    )
    async def _ready() -> Response:
        ready = await is_ready(service)
        return _json(Ready(ready=ready), 200 if ready else 503)


def _add_model(app: FastAPI, service: Service, prefix: str) -> None:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in ("name", "version")
        if f"{{{name}}}" in prefix
    ]
    of_version = " of this version" if len(parameters) == 2 else ""

    @app.get(
        prefix,
        summary=f"Tell what the model{of_version} takes and gives",
        response_model=ModelMetadata,
        responses=_refusals(404),
        openapi_extra={"parameters": parameters},
        tags=[TAG],
    )
    async def _metadata(request: Request) -> Response:
        _check_model(service, request)
        return _json(_model(service.classifier.labels))

    @app.get(
        f"{prefix}/config",
        summary=f"Tell what the model{of_version} takes and gives, in Triton's words",
        response_model=ModelConfig,
        responses=_refusals(404),
        openapi_extra={"parameters": parameters},
        tags=[TAG],
    )
    async def _config(request: Request) -> Response:
        _check_model(service, request)
        return _json(_configuration(_model(service.classifier.labels)))

    @app.get(
        f"{prefix}/ready",
        summary=f"Should requests for the model{of_version} come?",
        response_model=ModelReady,
        responses={503: {"model": ModelReady, "description": "not now"}, **_refusals(404)},
        openapi_extra={"parameters": parameters},
        tags=[TAG],
    )
    async def _ready(request: Request) -> Response:
        _check_model(service, request)
        ready = await is_ready(service)
        model = ModelReady(name=service.classifier.labels.model.name, ready=ready)
        return _json(model, 200 if ready else 503)

    sent = [{"name": JSON_LENGTH, "in": "header", "required": False, **_LENGTH}, DEADLINE]

    @app.post(
        f"{prefix}/infer",
        summary=f"Have the model{of_version} answer for images",
        response_class=Response,
        responses={**_RESPONSE, **_refusals(400, 404, 408, 413, 415, 422, 429, 500, 503, 504)},
        openapi_extra={"parameters": [*parameters, *sent], "requestBody": _REQUEST},
        tags=[TAG],
    )
    async def _infer(request: Request) -> Response:
        _check_model(service, request)
        return await infer(service, request)


def _check_model(service: Service, request: Request) -> None:
    """Raise 404 for a name or a version that is not the model's."""
    model, asked = service.classifier.labels.model, request.path_params
    if (asked["name"], asked.get("version", model.version)) != model:
        raise HTTPException(
            404, f"there is no such model: this server has {model.name} {model.version}"
        )


def _model(labels: Labels) -> ModelMetadata:
    inputs = [(IMAGE, "BYTES", [-1]), (PIXELS, "UINT8", [-1, -1, -1, CHANNELS])]
    outputs = [(name, "FP32", shape) for name, shape in output_shapes(labels).items()]
    keys = ("name", "datatype", "shape")
    return ModelMetadata.model_validate(
        {
            "name": labels.model.name,
            "versions": [labels.model.version],
            "platform": PLATFORM,
            "inputs": [dict(zip(keys, given, strict=True)) for given in inputs],
            "outputs": [dict(zip(keys, given, strict=True)) for given in outputs],
        }
    )


def _configuration(model: ModelMetadata) -> ModelConfig:
    def told(tensors: list[TensorMetadata]) -> list[dict[str, Any]]:
        return [{"name": t.name, "data_type": TYPES[t.datatype], "dims": t.shape} for t in tensors]

    ours = {"name": model.name, "platform": model.platform, "backend": PLATFORM}
    return ModelConfig.model_validate(
        {**ours, "input": told(model.inputs), "output": told(model.outputs)}
    )


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's ``responses`` for these statuses, each an error as the protocol has it."""
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/InferError"}}}
    return {status: {**told, "content": content} for status, told in described(*statuses).items()}


def _json(
    body: ServerMetadata | ModelMetadata | ModelConfig | Live | Ready | ModelReady,
    status: int = 200,
) -> Response:
    return Response(orjson.dumps(body.model_dump()), status, media_type="application/json")
