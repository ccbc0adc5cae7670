"""The methods of ``inference.GRPCInferenceService``, as endpoints of the application."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from greengrocer.errors import ModelFailed, UnknownModel
from greengrocer.rpc.call import call_of
from greengrocer.rpc.cut import parse
from greengrocer.rpc.infer import model_infer
from greengrocer.rpc.messages.open_inference_pb2 import (
    DESCRIPTOR,
    ModelConfigRequest,
    ModelConfigResponse,
    ModelMetadataRequest,
    ModelMetadataResponse,
    ModelReadyRequest,
    ModelReadyResponse,
    RepositoryIndexRequest,
    RepositoryIndexResponse,
    ServerLiveRequest,
    ServerLiveResponse,
    ServerMetadataRequest,
    ServerMetadataResponse,
    ServerReadyRequest,
    ServerReadyResponse,
)
from greengrocer.rpc.named_model import named_model
from greengrocer.web.endpoint import Endpoint
from greengrocer.web.open_inference import metadata
from greengrocer.web.routes.health import is_ready
from greengrocer.web.service import Service

SERVICE: str = DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
MODEL_INFER = f"/{SERVICE}/ModelInfer"

Asked = TypeVar("Asked", bound=Message)
Answer = Callable[[Service, Request, Asked], Awaitable[Message]]


async def server_live(service: Service, request: Request, asked: ServerLiveRequest) -> Message:
    """True as long as the event loop runs and a thread works."""
    del request, asked
    return ServerLiveResponse(live=not service.classifier.hung)


async def server_ready(service: Service, request: Request, asked: ServerReadyRequest) -> Message:
    """Whether the server is ready for requests."""
    del request, asked
    return ServerReadyResponse(ready=await is_ready(service))


async def model_ready(service: Service, request: Request, asked: ModelReadyRequest) -> Message:
    """Whether the server has the model, and is ready; Triton says no of unknown models, too."""
    try:
        named_model(service, request, asked.name, asked.version)
    except (ModelFailed, UnknownModel):
        return ModelReadyResponse(ready=False)
    return ModelReadyResponse(ready=await is_ready(service))


async def server_metadata(
    service: Service, request: Request, asked: ServerMetadataRequest
) -> Message:
    """The server's name, version and extensions."""
    del service, request, asked
    return _filled(ServerMetadataResponse(), metadata.server_metadata())


async def model_metadata(
    service: Service, request: Request, asked: ModelMetadataRequest
) -> Message:
    """The model's inputs and outputs; raises UnknownModel, as model_config does."""
    labels = named_model(service, request, asked.name, asked.version).labels
    catalogue = service.classifier.catalogue
    return _filled(ModelMetadataResponse(), metadata.model_metadata(labels, catalogue))


async def model_config(service: Service, request: Request, asked: ModelConfigRequest) -> Message:
    """The same as Triton's model configuration."""
    labels = named_model(service, request, asked.name, asked.version).labels
    response = ModelConfigResponse()
    _filled(response.config, metadata.model_configuration(labels))
    return response


async def repository_index(
    service: Service, request: Request, asked: RepositoryIndexRequest
) -> Message:
    """All models and versions."""
    del request
    response = RepositoryIndexResponse()
    for model in metadata.index(service.classifier.catalogue, asked.ready):
        _filled(response.models.add(), model)
    return response


Filled = TypeVar("Filled", bound=Message)


def _filled(message: Filled, model: BaseModel) -> Filled:
    """``message`` with the fields of ``model``, which have the same names."""
    return ParseDict(model.model_dump(), message)


def method(
    path: str, asked: type[Asked], answer: Answer[Asked], *, is_probe: bool = False
) -> Endpoint:
    """An endpoint that receives a message of one type, and answers with another."""

    async def answered(service: Service, request: Request) -> Response:
        message = parse(asked, await call_of(request.scope).message())
        response = await answer(service, request, message)
        return Response(response.SerializeToString())

    return Endpoint("POST", path, answered, is_hot=True, is_open=is_probe, is_probe=is_probe)


OPEN_INFERENCE: tuple[Endpoint, ...] = (
    method(f"/{SERVICE}/ServerLive", ServerLiveRequest, server_live, is_probe=True),
    method(f"/{SERVICE}/ServerReady", ServerReadyRequest, server_ready, is_probe=True),
    method(f"/{SERVICE}/ModelReady", ModelReadyRequest, model_ready),
    method(f"/{SERVICE}/ServerMetadata", ServerMetadataRequest, server_metadata),
    method(f"/{SERVICE}/ModelMetadata", ModelMetadataRequest, model_metadata),
    method(f"/{SERVICE}/ModelConfig", ModelConfigRequest, model_config),
    method(f"/{SERVICE}/RepositoryIndex", RepositoryIndexRequest, repository_index),
    Endpoint("POST", MODEL_INFER, model_infer, is_hot=True),
)
