"""The protocol's endpoints: the server's, and the model's with and without a version."""

from dataclasses import replace
from typing import Any

import orjson
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from greengrocer.errors import MalformedUpload
from greengrocer.web.asked_model import asked_model
from greengrocer.web.body.upload import receive_body
from greengrocer.web.endpoint import Endpoint
from greengrocer.web.open_inference import metadata
from greengrocer.web.open_inference.infer import infer
from greengrocer.web.open_inference.outputs import JSON_LENGTH
from greengrocer.web.open_inference.schemas import (
    IndexedModel,
    IndexRequest,
    InferError,
    InferRequest,
    InferResponse,
    Live,
    ModelConfig,
    ModelMetadata,
    ModelReady,
    Ready,
    ServerMetadata,
)
from greengrocer.web.openapi import BINARY
from greengrocer.web.problems import described
from greengrocer.web.receive_buffer import ReceiveBuffer
from greengrocer.web.request_state import body_source, state_of
from greengrocer.web.routes.health import is_ready
from greengrocer.web.routes.parameters import IN_HEADERS
from greengrocer.web.service import Service

HOME = "/v2"
INDEX_BYTES = 1 << 16  # of a request for the index
TAG = "Open Inference Protocol"

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
    return _json(metadata.server_metadata())


async def server_live(service: Service, request: Request) -> Response:
    """200 as long as the event loop runs and a thread works, 503 if all hang."""
    del request
    live = not service.classifier.hung
    return _json(Live(live=live), 200 if live else 503)


async def server_ready(service: Service, request: Request) -> Response:
    """200 while the server is ready for requests, 503 otherwise."""
    del request
    ready = await is_ready(service)
    return _json(Ready(ready=ready), 200 if ready else 503)


async def model_metadata(service: Service, request: Request) -> Response:
    """The model's inputs and outputs; raises UnknownModel, as all functions below do."""
    model = asked_model(service, request)
    return _json(metadata.model_metadata(model.labels, service.classifier.catalogue))


async def model_config(service: Service, request: Request) -> Response:
    """The same as Triton's model configuration."""
    labels = asked_model(service, request).labels
    return _json(metadata.model_configuration(labels))


async def model_ready(service: Service, request: Request) -> Response:
    """200 while the model is ready for requests, 503 otherwise."""
    name = asked_model(service, request).labels.model.name
    ready = await is_ready(service)
    return _json(ModelReady(name=name, ready=ready), 200 if ready else 503)


async def model_infer(service: Service, request: Request) -> Response:
    """Answer for all images in ``request``; raises a Refusal."""
    return await infer(service, request)


async def repository_index(service: Service, request: Request) -> Response:
    """All models and versions, as Triton's clients expect; raises MalformedUpload."""
    only_ready = await _asks_for_ready(service, request)
    index = metadata.index(service.classifier.catalogue, only_ready)
    body = orjson.dumps([model.model_dump() for model in index])
    return Response(body, media_type="application/json")


async def _asks_for_ready(service: Service, request: Request) -> bool:
    """Whether a request for the index wants only models that serve; its body may be empty."""
    received = ReceiveBuffer()
    end = state_of(request.scope).arrived + service.deadline
    source, limits = body_source(request), service.upload_limits
    await receive_body(source, received, None, INDEX_BYTES, limits, None, end)
    body = bytes(received.view())
    if not body:
        return False
    try:
        return IndexRequest.model_validate_json(body).ready
    except ValidationError as error:
        raise MalformedUpload('the body must be empty, or {"ready": true}') from error


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
        responses={503: {"model": Live, "description": "restart it: all its threads hang"}},
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
    Endpoint(
        "POST",
        f"{HOME}/repository/index",
        repository_index,
        "List the models and their versions",
        tags=(TAG,),
        body={
            "required": False,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/IndexRequest"}}
            },
        },
        responses={
            200: {
                "description": "The models; UNAVAILABLE are those that could not be loaded, or "
                "were unloaded",
                "content": {
                    "application/json": {
                        "schema": {
                            "type": "array",
                            "items": {"$ref": "#/components/schemas/IndexedModel"},
                        }
                    }
                },
            },
            **_refusals(400, 408, 413, 503, 504),
        },
        schemas=(IndexRequest, IndexedModel, InferError),
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
                *IN_HEADERS,
            ),
            body=_REQUEST,
            responses={
                **_RESPONSE,
                **_refusals(400, 404, 408, 413, 415, 422, 429, 500, 503, 504),
            },
            schemas=(InferRequest, InferResponse, InferError),
            is_hot=True,
        )
    ),
)
