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
from greengrocer.scale.replicas import NAME, read_arguments, serve_options, wanted_bundle
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

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = Settings(**settings)
        check_minimum_versions({self.settings.engine})  # its node may have other libraries
        self._bundle = ""
        configure_logs(self.settings.log_level, self.settings.log_format)
        allot(int(get_runtime_context().get_assigned_resources().get("CPU", 1)))

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """The application. Serve sends no request before the first ``reconfigure`` is done."""
        return Proxied(lambda: self._there().app)

    async def reconfigure(self, user_config: object) -> None:
        """Load the bundle that ``user_config`` names, or change to it while images are classified.

        If the new bundle is refused, a replica that serves keeps its bundle: an error would end it.
        At its start, UsageError is raised, and Serve starts no replica.
        """
        if self.assembled is None:
            self._bundle = wanted_bundle(user_config)
            self.assembled = self._start()
            return
        try:
            bundle = wanted_bundle(user_config)
            if bundle != self._bundle:
                await self.assembled.manager.reload(bundle)
                self._bundle = bundle
        except UsageError as refused:
            log.warning("bundle kept", bundle=self._bundle, reason=str(refused))

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
        bundles = (self._bundle, *self.settings.bundles[1:])
        settings = self.settings.model_copy(update={"bundles": bundles})
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
