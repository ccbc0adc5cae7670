"""Both clients of the Python package, to be called in the same way."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeAlias

from greengrocer_client import Answer, AsyncClient, Client, Explanation, Refusal, ServedModel

AnyClient: TypeAlias = "type[Client] | type[Awaited]"


class Awaited:
    """An AsyncClient with an event loop of its own, whose methods are called as Client's are."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncClient(*arguments, **named)

    def predict(self, image: Any, **named: Any) -> Answer:
        """As Client's."""
        return self._runner.run(self._client.predict(image, **named))

    def predict_many(self, images: Iterable[Any], **named: Any) -> Iterator[Answer | Refusal]:
        """As Client's."""
        return self._stepped(self._client.predict_many(images, **named))

    def explain(self, image: Any, **named: Any) -> Explanation:
        """As Client's."""
        return self._runner.run(self._client.explain(image, **named))

    def models(self, **named: Any) -> tuple[ServedModel, ...]:
        """As Client's."""
        return self._runner.run(self._client.models(**named))

    def class_names(self, level: str = "fine", **named: Any) -> tuple[str, ...]:
        """As Client's."""
        return self._runner.run(self._client.class_names(level, **named))

    def _stepped(
        self, answers: AsyncGenerator[Answer | Refusal, None]
    ) -> Iterator[Answer | Refusal]:
        async def step() -> Answer | Refusal | None:
            return await anext(answers, None)

        try:
            while (answer := self._runner.run(step())) is not None:
                yield answer
        finally:
            self._runner.run(_close(answers))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()


async def _close(answers: AsyncGenerator[Any, None]) -> None:
    await answers.aclose()
