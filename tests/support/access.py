"""A service with API keys and rate limits."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from greengrocer.serving.rate_limits import LocalRateLimiter, parse_rate
from greengrocer.web.access.access import Access
from greengrocer.web.access.keys import KeyFile
from greengrocer.web.service import Service
from support.live import make_service


def closed(
    bundle: Path,
    keys: Path | None = None,
    rates: Mapping[str, str] | None = None,
    trusted_proxies: tuple[str, ...] = (),
    cors_origins: tuple[str, ...] = (),
    root_path: str = "",
) -> Service:
    """A service with the keys of a file, and limits by name: address or key."""
    given = {name: parse_rate(rate) for name, rate in (rates or {}).items()}
    return replace(
        make_service(bundle),
        access=Access(
            keys=KeyFile(keys) if keys else None,
            limiter=LocalRateLimiter(given) if given else None,
            rates=given,
            trusted_proxies=trusted_proxies,
            cors_origins=cors_origins,
            root_path=root_path,
        ),
    )


def bearer(key: str) -> dict[str, str]:
    """The header that shows ``key``."""
    return {"Authorization": f"Bearer {key}"}
