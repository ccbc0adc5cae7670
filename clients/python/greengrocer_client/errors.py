"""Every error that the client raises on purpose. Refusals have the names that the service uses.

ClientError
├── Refusal                      the request is not answered; ``problem`` says why
│   ├── ImageRefused             because of the image
│   ├── UploadRefused            because of the way the image was sent
│   ├── UnknownModel             the service has no model of this name or version
│   ├── ModelFailed              the model could not be loaded, until an operator repairs it
│   ├── NoEvidence               the model gives no evidence that could be shown
│   ├── Unauthorized             the API key is missing or unknown
│   ├── Overloaded               the service is full, also after several attempts
│   │   └── RateLimited          the client is over its rate limit
│   ├── NotReady                 the service is starting or stopping
│   └── DeadlineExceeded         no answer came before the deadline
├── Unreachable                  there is no connection, or it ended without an answer
└── UnexpectedAnswer             what came is not an answer of Greengrocer
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self

# The names of RFC 9110 for those that Python calls otherwise before 3.13.
RENAMED = {413: "Content Too Large", 414: "URI Too Long", 422: "Unprocessable Content"}


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem document (RFC 9457).

    ``code`` is stable, and is what programs should use. ``request_id`` is None where the service
    did not answer: the file could not be read, the deadline passed here, or a proxy answered.
    """

    code: str
    status: int
    title: str
    detail: str
    request_id: str | None = None

    @classmethod
    def read(cls, status: int, body: object) -> Self | None:
        """The problem that a response's JSON describes; None where it describes none."""
        if not isinstance(body, Mapping) or not isinstance(body.get("code"), str):
            return None
        title, detail, request_id = (body.get(name) for name in ("title", "detail", "request_id"))
        return cls(
            code=body["code"],
            status=status,
            title=str(title or body["code"]),
            detail=str(detail or title or body["code"]),
            request_id=None if request_id is None else str(request_id),
        )

    @classmethod
    def of_status(cls, status: int) -> Self:
        """The problem of a response without a problem document, as a proxy sends it."""
        try:
            phrase = RENAMED.get(status) or HTTPStatus(status).phrase
        except ValueError:
            phrase = f"Status {status}"
        code = phrase.lower().replace(" ", "-")
        detail = f"the answer is {status} without a problem document: a proxy may have sent it"
        return cls(code, status, phrase, detail)


class ClientError(Exception):
    """The base class. ``str(error)`` says what was wrong and, where it helps, what to do."""


class Refusal(ClientError):
    """A request is not answered. ``code`` is stable: programs may rely on it."""

    def __init__(self, problem: Problem, retry_after: float | None = None) -> None:
        super().__init__(problem.detail)
        self.problem = problem
        self.retry_after = retry_after  # seconds, where the service says how long to wait

    @property
    def code(self) -> str:
        """The error code, as ``too-many-pixels``."""
        return self.problem.code

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problem, self.retry_after)


class ImageRefused(Refusal):
    """The request is refused because of the image itself, or the file cannot be read."""


class UploadRefused(Refusal):
    """The request is refused because of the way in which the image was sent."""


class UnknownModel(Refusal):
    """The service has no model of this name or version."""


class ModelFailed(Refusal):
    """The service could not load the model: an operator must repair it."""


class NoEvidence(Refusal):
    """The model gives no evidence, so that none can be shown."""


class Unauthorized(Refusal):
    """The API key is missing or unknown."""


class Overloaded(Refusal):
    """The service is full: it accepts no more work now."""


class RateLimited(Overloaded):
    """The client is over its rate limit."""


class NotReady(Refusal):
    """The service is starting or stopping."""


class DeadlineExceeded(Refusal):
    """No answer came before the deadline of the call."""


class Unreachable(ClientError):
    """There is no connection to the service, or it ended without an answer."""


class UnexpectedAnswer(ClientError):
    """What came is not an answer of Greengrocer: the address may be that of something else."""


_BY_CODE: dict[str, type[Refusal]] = {
    "empty-image": ImageRefused,
    "unreadable-image": ImageRefused,
    "image-too-slow": ImageRefused,
    "too-many-pixels": ImageRefused,
    "unsupported-format": ImageRefused,
    "malformed-upload": UploadRefused,
    "too-many-bytes": UploadRefused,
    "unsupported-content-type": UploadRefused,
    "missing-field": UploadRefused,
    "repeated-field": UploadRefused,
    "parameter-out-of-range": UploadRefused,
    "slow-upload": UploadRefused,
    "unknown-model": UnknownModel,
    "model-failed": ModelFailed,
    "no-evidence": NoEvidence,
    "rate-limited": RateLimited,
}
# Of codes that are not above, and of answers without a code, the status decides.
_BY_STATUS: dict[int, type[Refusal]] = {
    401: Unauthorized,
    429: Overloaded,
    503: NotReady,
    504: DeadlineExceeded,
}


HOLDS_FOR_ALL = (Unauthorized, UnknownModel, ModelFailed)  # of images that are asked about alike


def refusal(problem: Problem, retry_after: float | None = None) -> Refusal:
    """The exception for ``problem``: a Refusal itself for a kind that this client does not know."""
    kind = _BY_CODE.get(problem.code) or _BY_STATUS.get(problem.status, Refusal)
    return kind(problem, retry_after)


def deadline_exceeded(seconds: float) -> DeadlineExceeded:
    """The error of a call that has no answer after ``seconds``, its whole time."""
    detail = f"no answer came within {seconds:g} s: allow more time, or ask again later"
    return DeadlineExceeded(Problem("deadline-exceeded", 504, "The deadline has passed", detail))


def without_frames(error: Refusal) -> Refusal:
    """``error`` without its traceback and its causes, which hold the image; a note tells the cause.

    Only for an error that has been caught: raising it again adds frames.
    """
    if error.__cause__ is not None:
        error.add_note(f"The cause was {error.__cause__!r}.")
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def unreadable(path: str, reason: str) -> ImageRefused:
    """The error of a file that cannot be read here."""
    detail = f"{path}: {reason}"
    return ImageRefused(Problem("unreadable-image", 400, "The image cannot be read", detail))
