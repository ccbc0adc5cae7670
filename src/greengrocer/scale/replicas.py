"""Ray Serve's options for replicas, derived from our settings so that the two never disagree."""

from collections.abc import Mapping
from math import ceil
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from greengrocer.engines.batcher import LARGEST_ON_GPU
from greengrocer.errors import UsageError
from greengrocer.read_settings import read_settings, with_current_names
from greengrocer.safe_text import MAX_NAME, one_line
from greengrocer.scale.wanted_models import WantedModels
from greengrocer.serving.resources import picture_threads
from greengrocer.settings import PREFIX, Settings
from greengrocer.suggestions import did_you_mean

NAME = "Greengrocer"
QUICKEST = 0.001  # seconds that an image takes of a thread, at least
PATIENCE = 10.0  # seconds: a replica that is only busy must not be replaced
# Settings of our own server, which does not run under Serve, and what replaces each.
ELSEWHERE = {
    "bundles": "models are set below deployments, as user_config",
    "watch": "serve deploy changes the models",
    "host": "it is set below http_options",
    "port": "it is set below http_options",
    "keep_alive_timeout_seconds": "it is set below http_options, as keep_alive_timeout_s",
    "header_timeout_seconds": "Serve's proxy has no such limit",
    "send_timeout_seconds": "Serve's proxy has no such limit",
    "drain_delay_seconds": "Serve takes a replica out of its list before it stops it",
    "workers": "replicas take their place",
    "control_socket": "serve deploy changes the models",
}


class Replicas(BaseModel):
    """The number of replicas, and the processors and GPUs of each."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_replicas: int = Field(1, ge=1)
    max_replicas: int = Field(1, ge=1)
    num_cpus: int = Field(1, ge=1)
    num_gpus: float = Field(0, ge=0)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError("min_replicas must be at most max_replicas")
        return self


def read_arguments(arguments: Mapping[str, object]) -> tuple[Replicas, Settings]:
    """The ``args`` of an application in Serve's configuration: fields of Replicas, and settings.

    The environment counts for settings as usual. Raises UsageError, in one line.
    """
    ours = {k: value for k, value in arguments.items() if k not in Replicas.model_fields}
    with_current_names(ours, "args")
    for name in ours.keys() - Settings.model_fields.keys():
        known = [*Replicas.model_fields, *Settings.model_fields]
        raise UsageError(f"args: there is no {one_line(name, MAX_NAME)}{did_you_mean(name, known)}")
    for name in ours.keys() & ELSEWHERE.keys():
        raise UsageError(f"setting {name} does not belong in args: {ELSEWHERE[name]}")
    try:
        replicas = Replicas.model_validate(
            {k: arguments[k] for k in arguments.keys() - ours.keys()}
        )
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or "args"
        raise UsageError(f"{name}: {first['msg'].lower()}, got {first['input']!r}") from error
    settings = read_settings(ours)
    for name in ELSEWHERE.keys() & settings.model_fields_set - {"bundles"}:
        raise UsageError(f"{PREFIX}{name.upper()} is set: {ELSEWHERE[name]}")
    return replicas, settings


def serve_options(replicas: Replicas, settings: Settings) -> dict[str, Any]:
    """The options of Serve's deployment.

    A replica gets more requests than its admission can admit at any pace. So the admission refuses,
    which knows the pace, and so the time to wait before a retry. As many requests may wait in a
    proxy while there is no replica: a new replica would refuse any more.
    """
    largest_batch = settings.max_batch_size or (LARGEST_ON_GPU if replicas.num_gpus else 1)
    threads = settings.threads or picture_threads(largest_batch, replicas.num_cpus)
    admitted = threads + ceil(settings.max_queue_seconds * threads / QUICKEST)
    return {
        "name": NAME,
        "ray_actor_options": {"num_cpus": replicas.num_cpus, "num_gpus": replicas.num_gpus},
        "max_ongoing_requests": admitted,
        "max_queued_requests": admitted,
        "backpressure_config": {"status_code": 429, "retry_after_s": settings.max_queue_seconds},
        "autoscaling_config": {
            "min_replicas": replicas.min_replicas,
            "max_replicas": replicas.max_replicas,
            # each thread has an image, and the next image waits for it
            "target_ongoing_requests": 2 * threads,
            "upscale_delay_s": settings.max_queue_seconds,
        },
        "graceful_shutdown_timeout_s": settings.drain_timeout_seconds,
        "health_check_timeout_s": max(PATIENCE, settings.request_timeout_seconds),
        "user_config": WantedModels.of(settings.bundles)._asdict(),
    }
