"""The synchronous client."""

import time
from collections.abc import Iterable, Iterator
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
from greengrocer_client.bounded import send
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
from greengrocer_client.in_order import in_threads


class Client:
    """A Greengrocer service at ``url``: a context manager whose methods any thread may call.

    ``url`` has a path only where a proxy has the service below one. ``key`` is an API key. A call
    takes at most ``timeout`` seconds, up to a day, with all of its at most ``attempts`` attempts
    and the waits between them, and the service is told its deadline. Reading
    an image and making it smaller come before. The clock is read at each phase of an attempt and
    each piece of a body, so a call may end late by one wait of the system: for the address of a
    host, for a further address, for bytes (at most ``timeout`` again), or for headers that come in
    drips. AsyncClient has no such exceptions.

    An attempt is repeated after 429 and 503, when the service's ``Retry-After`` has passed, and
    where the connection is lost; it is not where a model could not be loaded. ``max_side`` makes
    images smaller before they are sent: no side is then longer than so many pixels (extra
    ``pillow``). ``http`` is a client of httpx with settings of your own, such as certificates; you
    close it.

    Raises ValueError for arguments that are out of range, ImportError for ``max_side`` without
    Pillow.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout: float = 30.0,
        attempts: int = 4,
        max_side: int | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        check_max_side(max_side)
        self._service = Service(url, key, timeout, attempts)
        self._max_side = max_side
        self._http = http or httpx.Client()
        self._close = http is None

    def predict(
        self,
        image: ImageLike,
        *,
        model: str | None = None,
        split_key: str | None = None,
        top: int | None = None,
        evidence: bool = False,
        timeout: float | None = None,
    ) -> Answer:
        """The answer for one image: a path, the bytes of a file, or a Pillow image.

        ``model`` is a model's name, as ``models`` lists it; by default the service's default
        answers. Where a model's requests are split between versions, the same ``split_key``, a text
        of printable ASCII, always gets the same one. ``top`` is how many of the best classes to
        list, by default five. ``evidence`` adds the class activation map of the prediction.
        ``timeout`` is that of this call, in seconds.

        Raises Refusal, Unreachable or UnexpectedAnswer; TypeError for an image of another type,
        ValueError for a ``model`` that is empty or has a slash, another ``split_key``, or a
        ``timeout`` out of range.
        """
        file = file_of(image, self._max_side)
        response = self._send(predict_call(file, model, split_key, top, evidence), timeout)
        return read_answer(json_of(response))

    def predict_many(
        self,
        images: Iterable[ImageLike],
        *,
        at_once: int = 4,
        model: str | None = None,
        split_key: str | None = None,
        top: int | None = None,
        evidence: bool = False,
        timeout: float | None = None,
    ) -> Iterator[Answer | Refusal]:
        """The answers for many images, in order, with ``at_once`` requests at a time.

        ``images`` may be a generator of any length: at most two images for each request at a time
        are taken ahead. An image that is refused yields its Refusal in its place, and the others go
        on. ``timeout`` is that of each image.

        Raises Unauthorized, UnknownModel, ModelFailed, Unreachable or UnexpectedAnswer, which would
        hold for the others, too; TypeError or ValueError as ``predict`` does.
        """

        def answer(image: ImageLike) -> Answer | Refusal:
            try:
                return self.predict(
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
        return in_threads(answer, images, at_once)

    def explain(
        self,
        image: ImageLike,
        *,
        model: str | None = None,
        split_key: str | None = None,
        timeout: float | None = None,
    ) -> Explanation:
        """The image with its class activation map as a heat map.

        Raises as ``predict`` does; NoEvidence for a model that gives none.
        """
        file = file_of(image, self._max_side)
        call = Call("POST", path_of(model, "/explain"), image=file, split_key=split_key)
        return explanation_of(self._send(call, timeout))

    def models(self, *, timeout: float | None = None) -> tuple[ServedModel, ...]:
        """The models that the service has, the default first. Raises as ``predict`` does."""
        return read_models(json_of(self._send(Call("GET", "/models"), timeout)))

    def class_names(
        self, level: str = "fine", *, model: str | None = None, timeout: float | None = None
    ) -> tuple[str, ...]:
        """The names of the classes of a ``level``, ``fine`` or ``coarse``, in class-id order.

        Raises as ``predict`` does; UploadRefused for a model without coarse classes.
        """
        call = Call("GET", path_of(model, "/class-names"), {"level": level})
        response = self._send(call, timeout)
        return read_class_names(json_of(response))

    def close(self) -> None:
        """Close the connections. The client cannot be used again."""
        if self._close:
            self._http.close()

    def _send(self, call: Call, timeout: float | None) -> httpx.Response:
        attempts = self._service.attempts(timeout)
        while True:
            left = attempts.begin()
            try:
                with errors_of(self._service.url, attempts.seconds):
                    request = self._service.request(call, left)
                    return checked(send(self._http, request, attempts.left))
            except ClientError as error:
                wait = attempts.wait_after(error)
            time.sleep(wait)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
