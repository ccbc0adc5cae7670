"""The answers to all images of a request."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from greengrocer.context import Context
from greengrocer.errors import ImageRefused, NotReady, RateLimited, TooManyBytes
from greengrocer.imaging.decode import Picture, count_pixels
from greengrocer.ranking import Answer, AnswerOptions
from greengrocer.web.asked_model import AskedModel
from greengrocer.web.open_inference.outputs import EVIDENCE, Wanted
from greengrocer.web.request_state import RequestState
from greengrocer.web.routes.classify import at_once, classify_admitted, classify_in_turn
from greengrocer.web.service import Service

MOST_EXPLAINED = 64  # images of a request


async def answer_images(
    service: Service,
    model: AskedModel,
    wanted: Sequence[Wanted],
    images: Sequence[Picture],
    state: RequestState,
    end: float,
) -> list[Answer]:
    """The answers with the ``wanted`` outputs, all of one version of the model; raises a Refusal.

    All images share one deadline; the client waits until ``end``, in monotonic seconds. If the
    first image is not admitted, the request is refused.
    """
    _check_evidence(wanted, len(images))
    end = min(time.monotonic() + service.deadline, end)
    await _count_and_check(service, images, state.context(end - time.monotonic()))
    options = AnswerOptions(top=1, tensors=tuple(output.name for output in wanted))
    answers = await _classify(service, model, images, end, options, state)
    if any(answer.model != model.labels.model for answer in answers):
        raise NotReady("the model was replaced during the request: send it again")
    return answers


def _check_evidence(wanted: Sequence[Wanted], images: int) -> None:
    """Raise TooManyBytes for more evidence than an answer may hold."""
    if images > MOST_EXPLAINED and EVIDENCE in [output.name for output in wanted]:
        raise TooManyBytes(
            f"the output {EVIDENCE} is for at most {MOST_EXPLAINED} images in a request: "
            f"send the {images} images in several"
        )


async def _count_and_check(service: Service, images: Sequence[Picture], context: Context) -> None:
    """Count images, and raise the refusal of the first whose header is refused, before any work.

    Others are served between two images: a header that was made for it takes 10 ms to read. Raises
    DeadlineExceeded or ClientDisconnected, as ``context`` does: with many requests it takes long.
    """
    for index, image in enumerate(images):
        if index:
            await asyncio.sleep(0)
            context.check()
        size = image.nbytes if isinstance(image, np.ndarray) else len(image)
        service.metrics.upload_bytes.observe(size)
        with _named(index, images):
            count_pixels(image, service.decode_limits)


async def _classify(
    service: Service,
    model: AskedModel,
    images: Sequence[Picture],
    end: float,
    options: AnswerOptions,
    state: RequestState,
) -> list[Answer]:
    """The answers until ``end``, in monotonic seconds, or the first refusal of an image.

    As many tasks as there are places take one image after another: to cancel a task for each of a
    thousand images takes longer than the refusal of one.
    """
    answers: dict[int, Answer] = {}
    waiting = iter(enumerate(images))

    async def work() -> None:
        for index, image in waiting:
            context = state.context(end - time.monotonic())
            order = service, model, image, context, options
            with _named(index, images):
                if index:
                    answers[index] = await classify_in_turn(*order, state.charge)
                else:
                    answers[index] = await classify_admitted(*order)

    if len(images) == 1:
        await work()
        return [answers[0]]
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(at_once(service), len(images))):
                group.create_task(work())
    except BaseExceptionGroup as refused:
        first = refused.exceptions[0]
        if isinstance(first, RateLimited):
            raise _all_over(first, len(images)) from None
        raise first from None
    return [answers[index] for index in range(len(images))]


def _all_over(limited: RateLimited, images: int) -> RateLimited:
    """The refusal of all ``images``: they need as many requests again, not the one that lacked."""
    return RateLimited(
        f"the rate limit does not allow {images} images now: send fewer in a request, or retry in "
        f"{limited.reset} seconds",
        limited.reset,
    )


@contextmanager
def _named(index: int, images: Sequence[Picture]) -> Iterator[None]:
    """Have the refusal of one of several images say which one it was."""
    try:
        yield
    except ImageRefused as refusal:
        if len(images) == 1:
            raise
        raise type(refusal)(f"image {index}: {refusal}") from refusal
