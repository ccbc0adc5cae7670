"""The part of the composition root that turns settings into limits."""

import math
from collections.abc import Callable

import structlog

from greengrocer.errors import UsageError
from greengrocer.imaging.budget import DecodeBudget
from greengrocer.imaging.decode import DecodeLimits
from greengrocer.model_names import name_of
from greengrocer.pipeline import Pipeline
from greengrocer.serving.admission import AdmissionLimits
from greengrocer.serving.catalogue import Catalogue
from greengrocer.serving.rate_limits import LocalRateLimiter, Rate, Rates, parse_rate
from greengrocer.serving.resources import (
    decode_bytes,
    picture_threads,
    upload_bytes,
)
from greengrocer.settings import Settings
from greengrocer.web.body.form import OVERHEAD

log = structlog.get_logger("greengrocer.models")

IN_BASE64 = 4 / 3  # length of an image in base64, as /v2 may receive it, over its own length


def threads_of(settings: Settings, pipeline: Pipeline) -> int:
    """How many images are classified at once."""
    return settings.threads or picture_threads(pipeline.largest_batch)


def admission_limits(settings: Settings, threads: int) -> AdmissionLimits:
    """The limits on all that is in flight; raises UsageError."""
    upload_bytes = in_flight_bytes(settings, threads)
    _check_shares(settings, upload_bytes // (settings.workers or 1))
    return AdmissionLimits(upload_bytes, settings.max_queue_seconds, shares_of(settings))


def _check_shares(settings: Settings, upload_bytes: int) -> None:
    """Refuse a part of a process's bytes that could never hold the largest image."""
    needed = min(upload_bytes, _largest_body(settings))
    for name, share in shares_of(settings).items():
        if share * upload_bytes < needed:
            raise UsageError(
                f"setting limits: {name}={share:.0%} of the memory for uploads is less than an "
                f"image of max_image_bytes takes, so it would never be accepted: the least is "
                f"{name}={math.ceil(100 * needed / upload_bytes)}%"
            )


def warn_of_limits(settings: Settings, catalogue: Catalogue) -> None:
    """Log each limit that is for none of the models; one may be loaded later."""
    keys = [*(model.key for model in catalogue.models), *(key for key, _ in catalogue.absent)]
    for name in shares_of(settings).keys() - set(map(name_of, keys)):
        log.warning("limit for a model that is not there", model=name)


def _largest_body(settings: Settings) -> int:
    """The most bytes in which an image may come."""
    return int(settings.max_image_bytes * IN_BASE64) + OVERHEAD


def shares_of(settings: Settings) -> dict[str, float]:
    """The part of the queue and of the bytes that a model may take, 0 to 1, by its name."""
    parts = (limit.partition("=") for limit in settings.limits)
    return {name: int(share.rstrip("%")) / 100 for name, _, share in parts}


def in_flight_bytes(settings: Settings, threads: int) -> int:
    """Limit of the bytes of uploads in all processes together; raises UsageError."""
    if settings.upload_memory_bytes is None:
        return upload_bytes(threads, _largest_body(settings) * (settings.workers or 1))
    return settings.upload_memory_bytes


def rates_of(settings: Settings) -> dict[str, Rate]:
    """The rate limits that are set, by name, in the order in which they are checked."""
    given = {
        "address": settings.rate_limit_per_address,
        "key": settings.rate_limit_per_key,
    }
    return {name: parse_rate(rate) for name, rate in given.items() if rate is not None}


def make_limiter(rates: Rates) -> LocalRateLimiter | None:
    """The limiter that counts by ``rates``; None without rates."""
    return LocalRateLimiter(rates) if rates else None


def decode_limits(settings: Settings) -> DecodeLimits:
    """The limits on decoding one image."""
    seconds = min(settings.decode_timeout_seconds, settings.request_timeout_seconds / 2)
    memory = settings.decode_memory_bytes
    if memory is None:
        memory = decode_bytes(settings.threads or picture_threads())
    return DecodeLimits(settings.max_image_pixels, seconds, memory)


def decode_budget(settings: Settings, on_change: Callable[[int], object]) -> DecodeBudget:
    """The memory of all images being decoded; ``on_change`` is called with the bytes in use.

    A thread is left for small images, where there are two.
    """
    return DecodeBudget(
        decode_limits(settings).bytes,
        on_change,
        large_at_once=max(1, (settings.threads or picture_threads()) - 1),
        wait_seconds=settings.max_queue_seconds,
    )
