"""The client for asyncio: the same methods, to be awaited."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from types import TracebackType
from typing import Self

import httpx

from greengrocer_client.answers import (
    Answer,
    Explanation,
    ServedModel,
    read_answer,
    read_class_names,
    read_models,
)
from greengrocer_client.calls import (
    Call,
    Service,
    check_many,
    checked,
    errors_of,
    explanation_of,
    json_of,
    path_of,
    predict_call,
)
from greengrocer_client.errors import HOLDS_FOR_ALL, ClientError, Refusal, without_frames
from greengrocer_client.images import ImageLike, check_max_side, file_of
from greengrocer_client.in_order import in_tasks


class AsyncClient:
    """A Greengrocer service at ``url``, for asyncio; ``Client`` describes the arguments.

    ``http`` is a client of httpx's asynchronous kind. Files are read, and images made smaller, in
    threads.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout: float = 30.0,
        attempts: int = 4,
        max_side: int | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        check_max_side(max_side)
        self._service = Service(url, key, timeout, attempts)
        self._max_side = max_side
        self._http = http or httpx.AsyncClient()
        self._close = http is None

    async def predict(
        self,
        image: ImageLike,
        *,
        model: str | None = None,
        split_key: str | None = None,
        top: int | None = None,
        evidence: bool = False,
        timeout: float | None = None,
    ) -> Answer:
        """The answer for one image; as ``Client.predict``."""
        file = await asyncio.to_thread(file_of, image, self._max_side)
        response = await self._send(predict_call(file, model, split_key, top, evidence), timeout)
        return read_answer(json_of(response))

    def predict_many(
        self,
        images: Iterable[ImageLike] | AsyncIterable[ImageLike],
        *,
        at_once: int = 4,
        model: str | None = None,
        split_key: str | None = None,
        top: int | None = None,
        evidence: bool = False,
        timeout: float | None = None,
    ) -> AsyncGenerator[Answer | Refusal, None]:
        """The answers for many images, in order; as ``Client.predict_many``.

        ``images`` may be asynchronous as well.
        """

        async def answer(image: ImageLike) -> Answer | Refusal:
            try:
                return await self.predict(
                    image,
                    model=model,
                    split_key=split_key,
                    top=top,
                    evidence=evidence,
                    timeout=timeout,
                )
            except HOLDS_FOR_ALL:
                raise
            except Refusal as refusal:
                return without_frames(refusal)

        check_many(images, at_once)
        return in_tasks(answer, images, at_once)

    async def explain(
        self,
        image: ImageLike,
        *,
        model: str | None = None,
        split_key: str | None = None,
        timeout: float | None = None,
    ) -> Explanation:
        """The image with its class activation map as a heat map; as ``Client.explain``."""
        file = await asyncio.to_thread(file_of, image, self._max_side)
        call = Call("POST", path_of(model, "/explain"), image=file, split_key=split_key)
        return explanation_of(await self._send(call, timeout))

    async def models(self, *, timeout: float | None = None) -> tuple[ServedModel, ...]:
        """The models that the service has; as ``Client.models``."""
        return read_models(json_of(await self._send(Call("GET", "/models"), timeout)))

    async def class_names(
        self, level: str = "fine", *, model: str | None = None, timeout: float | None = None
    ) -> tuple[str, ...]:
        """The names of the classes of a ``level``; as ``Client.class_names``."""
        call = Call("GET", path_of(model, "/class-names"), {"level": level})
        response = await self._send(call, timeout)
        return read_class_names(json_of(response))

    async def aclose(self) -> None:
        """Close the connections. The client cannot be used again."""
        if self._close:
            await self._http.aclose()

    async def _send(self, call: Call, timeout: float | None) -> httpx.Response:
        attempts = self._service.attempts(timeout)
        while True:
            left = attempts.begin()
            try:
                with errors_of(self._service.url, attempts.seconds):
                    async with asyncio.timeout(left):
                        request = self._service.request(call, left)
                        return checked(await self._http.request(**request))
            except ClientError as error:
                wait = attempts.wait_after(error)
            await asyncio.sleep(wait)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
