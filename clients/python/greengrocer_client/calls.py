"""A call as an HTTP request, and the response as what the call returns or raises.

Both clients share it. It does no I/O.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Any
from urllib.parse import quote, unquote

import httpx

from greengrocer_client.answers import Explanation
from greengrocer_client.arguments import base_url, check_count, check_timeout
from greengrocer_client.attempts import Attempts
from greengrocer_client.errors import (
    Problem,
    UnexpectedAnswer,
    Unreachable,
    deadline_exceeded,
    refusal,
)

# What a wrong path in the client's URL comes to: not what any of its calls means.
NO_SUCH_PATH = frozenset({"not-found", "method-not-allowed"})
ABOUT_THE_URL = "the client's URL must be that of the service, without the path of a call"
DOTS = frozenset({".", ".."})  # httpx takes them out of a path, with what is before them
AGENT = f"greengrocer-client/{version('greengrocer-client')}"


@dataclass(frozen=True, slots=True)
class Call:
    """What is sent: a method, a path and its query, the bytes of an image or none, and a split key.

    Raises ValueError for a split key that cannot be a header.
    """

    method: str
    path: str
    query: Mapping[str, str | int] = field(default_factory=dict)
    image: bytes | None = None
    split_key: str | None = None

    def __post_init__(self) -> None:
        key = self.split_key
        if key is not None and (not key or key != key.strip() or not _is_printable_ascii(key)):
            raise ValueError(f"the split key {key!r} must be printable ASCII, without outer spaces")


def path_of(model: str | None, path: str) -> str:
    """The path of a route of a model, by default of the service's default.

    Raises ValueError for an empty name, one with a slash, and dots: they would be another path.
    """
    if model is None:
        return path
    if not model:
        raise ValueError("model is empty: name one, or leave it out for the default")
    if "/" in model:
        raise ValueError(f"{model!r} is no model's name: it has a slash")
    if model in DOTS:
        raise ValueError(f"{model!r} is no model's name: in a path it means another folder")
    return f"/models/{quote(model, safe='@')}{path}"


def predict_call(
    image: bytes, model: str | None, split_key: str | None, top: int | None, evidence: bool
) -> Call:
    """A call of ``/predict``; by default the service lists as many classes as it likes."""
    query: dict[str, str | int] = {}
    if top is not None:
        query["top"] = top
    if evidence:
        query["explain"] = "true"
    return Call("POST", path_of(model, "/predict"), query, image, split_key)


class Service:
    """Where the service is, and how long and how often it is asked.

    Raises ValueError for a URL that is not one of HTTP or has a query, a key that is not printable
    ASCII, and numbers that are out of range.
    """

    def __init__(self, url: str, key: str | None, timeout: float, attempts: int) -> None:
        self.url = base_url(url)
        key = key and key.strip()  # a file's ends with a line feed
        if key and not _is_printable_ascii(key):
            raise ValueError("the API key has characters that are not printable ASCII")
        check_timeout(timeout)
        check_count("attempts", attempts)
        self.timeout = timeout
        self._most = attempts
        self._headers = {"User-Agent": AGENT}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"

    def attempts(self, timeout: float | None) -> Attempts:
        """The attempts of a call within ``timeout`` seconds, by default those of all calls.

        Raises ValueError for a ``timeout`` that is out of range.
        """
        if timeout is None:
            timeout = self.timeout
        check_timeout(timeout)
        return Attempts(self._most, timeout)

    def request(self, call: Call, seconds: float) -> dict[str, Any]:
        """The arguments of ``httpx.Client.request`` for an attempt that may take ``seconds``."""
        headers = {**self._headers, "X-Deadline-Ms": str(max(1, int(seconds * 1000)))}
        if call.split_key is not None:
            headers["X-Split-Key"] = call.split_key
        if call.image is not None:
            headers["Content-Type"] = "application/octet-stream"
            headers["Content-Length"] = str(len(call.image))  # which is not chunked then
        return {
            "method": call.method,
            "url": self.url + call.path,
            "params": call.query,
            "content": call.image,
            "headers": headers,
            "timeout": seconds,
        }


@contextmanager
def errors_of(url: str, seconds: float) -> Iterator[None]:
    """Raise httpx's errors as this client's: Unreachable and DeadlineExceeded."""
    try:
        yield
    except (httpx.TimeoutException, TimeoutError) as error:  # that of asyncio
        raise deadline_exceeded(seconds) from error
    except httpx.RequestError as error:
        raise Unreachable(f"no answer from {url}: {error or type(error).__name__}") from error


def checked(response: httpx.Response) -> httpx.Response:
    """``response`` where it is good; raises Refusal or UnexpectedAnswer."""
    if response.is_success:
        return response
    if not response.is_error:
        raise UnexpectedAnswer(
            f"{response.url} answers {response.status_code}: give the URL to which it leads"
        )
    try:
        problem = Problem.read(response.status_code, response.json())
    except ValueError:
        problem = None
    problem = problem or Problem.of_status(response.status_code)
    if problem.code in NO_SUCH_PATH:
        asked = f"{response.request.method} {response.request.url.path}"
        problem = replace(problem, detail=f"{asked}: {problem.detail}; {ABOUT_THE_URL}")
    raise refusal(problem, _seconds(response.headers.get("Retry-After")))


def json_of(response: httpx.Response) -> object:
    """The JSON of a response; raises UnexpectedAnswer."""
    try:
        return response.json()
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UnexpectedAnswer(
            f"{response.url} answers without JSON: is it Greengrocer?"
        ) from error


def check_many(images: object, at_once: int) -> None:
    """Raise TypeError where ``images`` is one image, ValueError for an ``at_once`` below 1."""
    if isinstance(images, (str, bytes, bytearray, os.PathLike)):
        raise TypeError("images is one image: use predict, or give a list")
    check_count("at_once", at_once)


def explanation_of(response: httpx.Response) -> Explanation:
    """The PNG of ``/explain`` and its class; raises UnexpectedAnswer."""
    try:
        return Explanation(unquote(response.headers["X-Class"]), response.content)
    except KeyError as error:
        raise UnexpectedAnswer(f"{response.url} names no class: is it Greengrocer?") from error


def _is_printable_ascii(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _seconds(value: str | None) -> float | None:
    """What Retry-After says, in seconds: it may be a number or a date. None where it is neither."""
    if value is None:
        return None
    if value.isascii() and value.isdecimal():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
