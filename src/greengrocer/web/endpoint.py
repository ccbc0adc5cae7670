"""What an endpoint is: one method and path, declared once, beside the function that answers."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from greengrocer.web.service import Service

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Endpoint:
    """A declared route. ``table.py`` lists all; nothing else needs to know of a new one.

    By default a request needs a key and counts against the rate limits where those are set, is
    logged, and has ``path`` as its label in the metrics. A GET answers HEAD as well.
    """

    method: str
    path: str  # with parameters as Starlette writes them: /page/{name}
    answer: Callable[[Service, Request], Awaitable[Response]]  # raises a Refusal

    # For /openapi.json. Without a summary the endpoint is not described there.
    summary: str = ""
    name: str = ""  # the operation's id; by default the name of ``answer``
    tags: tuple[str, ...] = ()
    parameters: tuple[dict[str, Any], ...] = ()  # parameter objects: query, path and headers
    body: dict[str, Any] | None = None  # a request body object
    model: type[BaseModel] | None = None  # the JSON of a 200; else ``responses`` describes it
    responses: dict[int | str, dict[str, Any]] = field(default_factory=dict)
    schemas: tuple[type[BaseModel], ...] = ()  # that ``body`` and ``responses`` refer to

    is_hot: bool = False  # answered past FastAPI (docs/decisions/009); has no path parameters
    is_open: bool = False  # needs no key, and no rate limit counts it
    is_probe: bool = False  # neither logged nor counted as in flight

    def bind(self, service: Service) -> Handler:
        """What answers a request for this endpoint of ``service``."""
        return partial(self.answer, service)


def opened(endpoints: Collection[Endpoint]) -> Callable[[str], bool]:
    """Whether a path is that of an open endpoint, or below one with a parameter."""
    closed = {endpoint.path for endpoint in endpoints if not endpoint.is_open}
    paths = {endpoint.path for endpoint in endpoints} - closed
    prefixes = tuple(path.partition("{")[0] for path in paths if "{" in path)

    def is_open(path: str) -> bool:
        return path in paths or path.startswith(prefixes)

    return is_open
