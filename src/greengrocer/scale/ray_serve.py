"""The service as an application of Ray Serve: in each replica the same, with one engine.

``serve deploy`` imports ``application`` (docs/guides/ray-serve.md).
"""

from collections.abc import Mapping
from typing import Any

import structlog
from ray import get_runtime_context, serve
from starlette.types import ASGIApp

from greengrocer.assemble import Assembled, assemble
from greengrocer.errors import NotReady, UsageError
from greengrocer.minimum_versions import check_minimum_versions
from greengrocer.scale.metrics_port import free_listener, serve_beside
from greengrocer.scale.proxied import Proxied
from greengrocer.scale.replicas import NAME, read_arguments, serve_options
from greengrocer.scale.wanted_models import WantedModels, change_models
from greengrocer.serving.readiness import State
from greengrocer.serving.resources import allot
from greengrocer.settings import Settings
from greengrocer.telemetry.logs import configure_logs
from greengrocer.web.routes.health import is_ready
from greengrocer.web.wire.listener import url_of

LOOPBACK = "127.0.0.1"

log = structlog.get_logger("greengrocer.replica")


def application(arguments: dict[str, object]) -> "serve.Application":
    """What Serve runs; ``arguments`` are the ``args`` of its configuration file.

    Raises UsageError, in one line, which ``serve status`` shows.
    """
    replicas, settings = read_arguments(arguments)
    check_minimum_versions({settings.engine})
    # Every replica gets these values, whatever the environment of its node.
    values = settings.model_dump()
    return serve.deployment(serve.ingress()(Replica), **serve_options(replicas, settings)).bind(
        values
    )


class Replica:
    """One engine and one application over it, in a process that Serve starts and stops."""

    assembled: Assembled | None = None
    _served: WantedModels

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = Settings(**settings)
        check_minimum_versions({self.settings.engine})  # its node may have other libraries
        configure_logs(self.settings.log_level, self.settings.log_format)
        allot(int(get_runtime_context().get_assigned_resources().get("CPU", 1)))

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """The application. Serve sends no request before the first ``reconfigure`` is done."""
        return Proxied(lambda: self._there().app)

    async def reconfigure(self, user_config: object) -> None:
        """Load the models that ``user_config`` names, or change to them, while images are answered.

        If a new bundle is refused, a replica that serves keeps the one before: an error would end
        it. At its start, UsageError is raised, and Serve starts no replica.
        """
        if self.assembled is None:
            self._served = WantedModels.parsed(user_config)
            self.assembled = self._start()
            return
        try:
            wanted = WantedModels.parsed(user_config)
        except UsageError as refused:
            log.warning("bundle kept", bundle=self._served.bundle, reason=str(refused))
            return
        self._served = await change_models(self.assembled.manager, self._served, wanted)

    async def check_health(self) -> None:
        """Raise NotReady if images are not answered: Serve then replaces the replica."""
        if not await is_ready(self._there().service):
            raise NotReady("the replica is not ready")

    def __del__(self) -> None:
        """Release the engine; Serve has waited for the running requests."""
        if self.assembled is not None:
            self.assembled.service.readiness.state = State.STOPPING
            self.assembled.service.close()

    def _start(self) -> Assembled:
        settings = self.settings.model_copy(update={"bundles": self._served.bundles})
        if settings.metrics_port is None:
            assembled = assemble(settings)
        else:
            # the proxy listens on the service's own address
            host = settings.metrics_host or LOOPBACK
            listener = free_listener(host, settings.metrics_port)
            port = listener.getsockname()[1]
            assembled = assemble(settings.model_copy(update={"metrics_port": port}))
            self._beside = serve_beside(assembled.app, listener)
            log.info("metrics", url=f"{url_of(listener)}/metrics")
        assembled.service.readiness.state = State.READY
        return assembled

    def _there(self) -> Assembled:
        if self.assembled is None:
            raise NotReady(f"{NAME} has no bundle yet: user_config must name one")
        return self.assembled
