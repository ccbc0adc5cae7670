"""An answer computed in a thread, and what that took."""

from time import perf_counter
from typing import NamedTuple

import structlog

from greengrocer.context import Context
from greengrocer.errors import ImageRefused, InvalidAnswer, Overloaded
from greengrocer.imaging.decode import Picture
from greengrocer.ranking import Answer, AnswerOptions
from greengrocer.serving.models import Models
from greengrocer.tracebacks import release_frames

NO_MEMORY_RETRY = 1  # seconds; other images use the memory, and soon free it

log = structlog.get_logger("greengrocer.classifier")


class Served(NamedTuple):
    """An answer, and the seconds that a thread spent on it."""

    answer: Answer
    seconds: float


def serve(
    models: Models,
    picture: Picture,
    context: Context,
    options: AnswerOptions,
    model: str | None = None,
) -> Served:
    """The answer of the model with this key, by default the default model; raises a Refusal.

    It is computed in this thread.
    """
    started = perf_counter()
    try:
        with models.taken(model) as (key, pipeline):
            try:
                answer = pipeline.classify(picture, context, options)
            except InvalidAnswer as error:
                _name(error, key, pipeline.labels.model.version, context)
                raise
    except BaseException as error:
        release_frames(error)
        if isinstance(error, ImageRefused):
            error.seconds = perf_counter() - started
        if not isinstance(error, MemoryError):
            raise
        log.warning("not enough memory for an image", request_id=context.request_id)
        raise Overloaded(
            "not enough memory for this image: send it again later", NO_MEMORY_RETRY
        ) from error
    return Served(answer, perf_counter() - started)


def _name(error: InvalidAnswer, key: str, version: str, context: Context) -> None:
    """Log what a model does, and have ``error`` say which one; the client need not know why."""
    log.warning(
        "invalid answer",
        model=key,
        version=version,
        reason=str(error),
        request_id=context.request_id,
    )
    error.args = (f"{key} {version}: {error.message}",)
