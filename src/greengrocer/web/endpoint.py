"""What an endpoint is: one method and path, declared once, beside the function that answers."""

import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from greengrocer.errors import ParameterOutOfRange
from greengrocer.web.quoted import quoted
from greengrocer.web.service import Service

UNMATCHED = "unmatched"  # the route of a path that no endpoint has
PARAMETER = re.compile(r"\{\w+\}")

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Endpoint:
    """A declared route. ``table.py`` lists all; a new one is added there and nowhere else.

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
    # Parameter objects: query, path and headers. Query parameters that are not here are refused.
    parameters: tuple[dict[str, Any], ...] = ()
    body: dict[str, Any] | None = None  # a request body object
    model: type[BaseModel] | None = None  # the JSON of a 200; else ``responses`` describes it
    responses: dict[int | str, dict[str, Any]] = field(default_factory=dict)
    schemas: tuple[type[BaseModel], ...] = ()  # that ``body`` and ``responses`` refer to

    is_hot: bool = False  # answered past FastAPI (docs/decisions/009)
    is_open: bool = False  # needs no key, and no rate limit counts it
    is_probe: bool = False  # neither logged nor counted as in flight

    @property
    def checks_query(self) -> bool:
        """Whether unknown and repeated query parameters are refused: not by pages and probes."""
        return bool(self.summary) and not self.is_probe

    def bind(self, service: Service) -> Handler:
        """What answers a request for this endpoint of ``service``; it raises a Refusal."""
        if not self.checks_query:
            return partial(self.answer, service)
        known = [each["name"] for each in self.parameters if each["in"] == "query"]

        async def answer(request: Request) -> Response:
            if request.scope["query_string"]:
                _check_query(request, known)
            return await self.answer(service, request)

        return answer


def _check_query(request: Request, known: Sequence[str]) -> None:
    """Raise ParameterOutOfRange for a query parameter that is not ``known``, or sent twice."""
    names = [name for name, _ in request.query_params.multi_items()]
    for name in names:
        if name not in known:
            there = f"the query parameters {' and '.join(known)}" if known else "none"
            raise ParameterOutOfRange(
                f"there is no query parameter {quoted(name)}: this path takes {there}"
            )
        if names.count(name) > 1:
            raise ParameterOutOfRange(f"the query parameter {name} is repeated: send it once")


def routes_of(endpoints: Collection[Endpoint]) -> Callable[[str], str]:
    """The route of a path as its label, never the text that a client sent; else UNMATCHED.

    A request that is refused before it reaches its endpoint has a route as well.
    """
    paths = dict.fromkeys(endpoint.path for endpoint in endpoints)
    # ++ makes no second attempt, which would take long with a long name
    patterns = [(path, re.compile(PARAMETER.sub("[^/]++", path))) for path in paths if "{" in path]

    def route_of(path: str) -> str:
        if path in paths:
            return path
        found = (route for route, pattern in patterns if pattern.fullmatch(path))
        return next(found, UNMATCHED)

    return route_of


def opened(endpoints: Collection[Endpoint]) -> Callable[[str], bool]:
    """Whether a path is that of an open endpoint, or below one with a parameter."""
    closed = {endpoint.path for endpoint in endpoints if not endpoint.is_open}
    paths = {endpoint.path for endpoint in endpoints} - closed
    prefixes = tuple(path.partition("{")[0] for path in paths if "{" in path)

    def is_open(path: str) -> bool:
        return path in paths or path.startswith(prefixes)

    return is_open
