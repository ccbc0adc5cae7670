"""``grpc.health.v1``: of the server, of the protocol's service, and of each model by its name."""

import asyncio
from collections.abc import AsyncIterator

from google.protobuf.message import Message
from grpc_health.v1.health_pb2 import DESCRIPTOR, HealthCheckRequest, HealthCheckResponse
from starlette.requests import Request
from starlette.responses import Response

from greengrocer.errors import ModelFailed, UnknownModel
from greengrocer.rpc.call import Call
from greengrocer.rpc.cut import parse
from greengrocer.rpc.endpoints import SERVICE as OPEN_INFERENCE_SERVICE
from greengrocer.rpc.endpoints import method
from greengrocer.serving.watchers import Watchers
from greengrocer.web.endpoint import Endpoint
from greengrocer.web.quoted import quoted
from greengrocer.web.routes.health import is_ready
from greengrocer.web.service import Service

SERVICE: str = DESCRIPTOR.services_by_name["Health"].full_name
OF_SERVER = frozenset({"", OPEN_INFERENCE_SERVICE})
SERVING = HealthCheckResponse(status=HealthCheckResponse.SERVING)
NOT_SERVING = HealthCheckResponse(status=HealthCheckResponse.NOT_SERVING)
UNKNOWN = HealthCheckResponse(status=HealthCheckResponse.SERVICE_UNKNOWN)


async def check(service: Service, request: Request, asked: HealthCheckRequest) -> Message:
    """The status now; raises UnknownModel for a service that is neither ours nor a model."""
    del request
    status = await _status(service, asked.service)
    if status == UNKNOWN:
        raise UnknownModel(
            f"there is no service {quoted(asked.service)}: ask for {OPEN_INFERENCE_SERVICE} or a "
            "model"
        )
    return status


class Watching:
    """What watches of ``service`` look at: its state, its models, and whether it still serves."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._ended = False
        self._watchers = Watchers()

    async def watch(self, call: Call) -> AsyncIterator[bytes]:
        """The status now, and again when it changes; an unknown service may come to be known."""
        asked = parse(HealthCheckRequest, await call.message())
        told, changed = None, asyncio.Event()
        with (
            self._service.readiness.watchers.setting(changed),
            self._service.classifier.watchers.setting(changed),
            self._watchers.setting(changed),
        ):
            while True:
                ended = self._ended  # before the status is asked for: the last one is told
                status = await _status(self._service, asked.service)
                if status != told:
                    told = status
                    yield status.SerializeToString()
                if ended:
                    return
                await changed.wait()
                changed.clear()

    def end(self) -> None:
        """End all watches: the server stops, and they would never be done."""
        self._ended = True
        self._watchers.wake()


async def _may_watch(service: Service, request: Request) -> Response:
    """Answered before ``watch`` begins, so that watches are counted as other calls are."""
    del service, request
    return Response()


async def _status(service: Service, name: str) -> HealthCheckResponse:
    if name not in OF_SERVER:
        try:
            service.classifier.catalogue.find(name)
        except UnknownModel:
            return UNKNOWN
        except ModelFailed:
            return NOT_SERVING
    return SERVING if await is_ready(service) else NOT_SERVING


WATCH = Endpoint("POST", f"/{SERVICE}/Watch", _may_watch, is_hot=True, is_open=True, is_probe=True)
CHECK = method(f"/{SERVICE}/Check", HealthCheckRequest, check, is_probe=True)
