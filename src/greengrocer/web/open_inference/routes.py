"""The protocol's endpoints: the server's, and the model's with and without a version."""

from dataclasses import replace
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from greengrocer.ranking import ModelLabels
from greengrocer.version import __version__
from greengrocer.web.endpoint import Endpoint
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
TAG = "Open Inference Protocol"
PLATFORM = "greengrocer"
EXTENSIONS = ["binary_tensor_data", "classification", "model_configuration"]
TYPES = {"BYTES": "TYPE_STRING", "UINT8": "TYPE_UINT8", "FP32": "TYPE_FP32"}  # in a configuration

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


async def server(service: Service, request: Request) -> Response:
    """The server's name, version and extensions."""
    del service, request
    return _json(ServerMetadata(name="greengrocer", version=__version__, extensions=EXTENSIONS))


async def server_live(service: Service, request: Request) -> Response:
    """200 as long as the event loop runs."""
    del service, request
    return _json(Live(live=True))


async def server_ready(service: Service, request: Request) -> Response:
    """200 while the server is ready for requests, 503 otherwise."""
    del request
    ready = await is_ready(service)
    return _json(Ready(ready=ready), 200 if ready else 503)


async def model_metadata(service: Service, request: Request) -> Response:
    """The model's inputs and outputs; raises HTTPException 404, as all functions below do."""
    _check_model(service, request)
    return _json(_model(service.classifier.labels))


async def model_config(service: Service, request: Request) -> Response:
    """The same as Triton's model configuration."""
    _check_model(service, request)
    return _json(_configuration(_model(service.classifier.labels)))


async def model_ready(service: Service, request: Request) -> Response:
    """200 while the model is ready for requests, 503 otherwise."""
    _check_model(service, request)
    ready = await is_ready(service)
    model = ModelReady(name=service.classifier.labels.model.name, ready=ready)
    return _json(model, 200 if ready else 503)


async def model_infer(service: Service, request: Request) -> Response:
    """Answer for all images in ``request``; raises a Refusal."""
    _check_model(service, request)
    return await infer(service, request)


def _check_model(service: Service, request: Request) -> None:
    """Raise 404 for a name or a version that is not the model's."""
    model, asked = service.classifier.labels.model, request.path_params
    if (asked["name"], asked.get("version", model.version)) != model:
        raise HTTPException(
            404, f"there is no such model: this server has {model.name} {model.version}"
        )


def _model(labels: ModelLabels) -> ModelMetadata:
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
    def configured(tensors: list[TensorMetadata]) -> list[dict[str, Any]]:
        return [{"name": t.name, "data_type": TYPES[t.datatype], "dims": t.shape} for t in tensors]

    ours = {"name": model.name, "platform": model.platform, "backend": PLATFORM}
    return ModelConfig.model_validate(
        {**ours, "input": configured(model.inputs), "output": configured(model.outputs)}
    )


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's ``responses`` for these statuses, each an error as the protocol has it."""
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/InferError"}}}
    return {
        status: {**response, "content": content}
        for status, response in described(*statuses).items()
    }


def _json(
    body: ServerMetadata | ModelMetadata | ModelConfig | Live | Ready | ModelReady,
    status: int = 200,
) -> Response:
    return Response(orjson.dumps(body.model_dump()), status, media_type="application/json")


def _of_model(endpoint: Endpoint) -> tuple[Endpoint, Endpoint]:
    """``endpoint`` below the path of the model, and below that of one version of it."""

    def below(path: str, said: str, *names: str) -> Endpoint:
        in_path = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in names
        ]
        return replace(
            endpoint,
            path=f"{path}{endpoint.path}",
            summary=endpoint.summary.format(said),
            name=endpoint.answer.__name__ + said.replace(" ", "_"),
            parameters=(*in_path, *endpoint.parameters),
            tags=(TAG,),
        )

    return (
        below(f"{HOME}/models/{{name}}", "", "name"),
        below(
            f"{HOME}/models/{{name}}/versions/{{version}}", " of this version", "name", "version"
        ),
    )


OPEN_INFERENCE: tuple[Endpoint, ...] = (
    Endpoint("GET", HOME, server, "Describe the server", tags=(TAG,), model=ServerMetadata),
    Endpoint(
        "GET",
        f"{HOME}/health/live",
        server_live,
        "Is the server alive?",
        tags=(TAG,),
        model=Live,
        is_open=True,
        is_probe=True,
    ),
    Endpoint(
        "GET",
        f"{HOME}/health/ready",
        server_ready,
        "Is the server ready?",
        tags=(TAG,),
        model=Ready,
        responses={503: {"model": Ready, "description": "not now"}},
        is_open=True,
        is_probe=True,
    ),
    *_of_model(
        Endpoint(
            "GET",
            "",
            model_metadata,
            "Describe the inputs and outputs of the model{}",
            model=ModelMetadata,
            responses=_refusals(404),
        )
    ),
    *_of_model(
        Endpoint(
            "GET",
            "/config",
            model_config,
            "Describe the model{} as Triton's model configuration",
            model=ModelConfig,
            responses=_refusals(404),
        )
    ),
    *_of_model(
        Endpoint(
            "GET",
            "/ready",
            model_ready,
            "Is the model{} ready?",
            model=ModelReady,
            responses={503: {"model": ModelReady, "description": "not now"}, **_refusals(404)},
        )
    ),
    *_of_model(
        Endpoint(
            "POST",
            "/infer",
            model_infer,
            "Classify images with the model{}",
            parameters=(
                {"name": JSON_LENGTH, "in": "header", "required": False, **_LENGTH},
                DEADLINE,
            ),
            body=_REQUEST,
            responses={
                **_RESPONSE,
                **_refusals(400, 404, 408, 413, 415, 422, 429, 500, 503, 504),
            },
            schemas=(InferRequest, InferResponse, InferError),
        )
    ),
)
