"""What stands before the routes, where the settings ask for it: else nothing does."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from greengrocer.serving.rate_limits import Rate, RateLimiter
from greengrocer.web.access.address import as_seen
from greengrocer.web.access.apart import MetricsApart
from greengrocer.web.access.guard import Guard
from greengrocer.web.access.key_file import KeyFile

SENT = ("Authorization", "Inference-Header-Content-Length", "X-Deadline-Ms", "X-Request-Id")
TOLD = (
    "Inference-Header-Content-Length",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Class",
    "X-Gallery",
    "X-Request-Id",
)


@dataclass(frozen=True)
class Access:
    """Who may do what. By default everyone may do everything that there is a route for."""

    keys: KeyFile | None = None
    limiter: RateLimiter | None = None
    rates: Mapping[str, Rate] = field(default_factory=dict)
    trusted_proxies: tuple[str, ...] = ()  # whose X-Forwarded-For is believed
    cors_origins: tuple[str, ...] = ()
    metrics_port: int | None = None

    def before(self, app: ASGIApp, routes: ASGIApp) -> ASGIApp:
        """``app`` behind what is asked for; ``routes`` is what answers on the metrics' port."""
        if self.keys is not None or self.limiter is not None:
            app = Guard(app, self.keys, self.limiter, self.rates)
        if self.cors_origins:  # browsers ask for leave without a key, and want to read refusals
            app = CORSMiddleware(
                app,
                self.cors_origins,
                allow_methods=("GET", "POST"),
                allow_headers=SENT,
                expose_headers=TOLD,
            )
        if self.trusted_proxies:
            app = ProxyHeadersMiddleware(app, as_seen(self.trusted_proxies))  # type: ignore[assignment,arg-type]
        if self.metrics_port is not None:
            app = MetricsApart(app, routes, self.metrics_port)
        return app
