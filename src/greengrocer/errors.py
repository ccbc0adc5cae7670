"""Every error that Greengrocer raises on purpose. ``answer_json`` maps them to HTTP.

GreengrocerError
├── UsageError                   wrong use of the command line or of a file: exit code 2
│   ├── MissingExtra             an optional part is not installed
│   ├── BrokenExtra              an optional part is installed, but cannot be loaded
│   ├── OutdatedLibrary          a library is older than its minimum version
│   ├── UnsuitableLibrary        a library lacks something that the server overrides
│   ├── DatasetUnusable          the data set is missing or malformed
│   ├── DownloadFailed           a download failed, or is not the data set
│   ├── BundleRefused            the bundle is damaged, malformed or gives wrong answers
│   │   └── TrialTooSlow         its trial took too long, perhaps as the machine is busy
│   ├── StoreFailed              a bundle's store is out of reach, or refuses
│   ├── KeysRefused              the file of API keys is malformed, or others can write it
│   ├── ReloadRefused            the model cannot be changed now
│   │   └── Overtaken            another order changed it while a bundle was fetched
│   └── ControlRefused           the control socket is in use, not private, or missing
└── Refusal                      a request is not answered
    ├── ImageRefused             because of the image
    │   ├── EmptyImage
    │   ├── UnreadableImage
    │   ├── ImageTooSlow
    │   ├── TooManyPixels
    │   └── UnsupportedFormat
    ├── UploadRefused            because of the way the image was sent
    │   ├── MalformedUpload
    │   ├── TooManyBytes
    │   ├── UnsupportedContentType
    │   ├── MissingField
    │   ├── RepeatedField
    │   ├── ParameterOutOfRange
    │   └── SlowUpload
    ├── UnknownModel             no model has the name, or the version, that was asked for
    ├── NoEvidence               the model gives no evidence that could be shown
    ├── InvalidAnswer            the model fails, or its answer is not what its bundle says
    ├── Unauthorized             the API key is missing or unknown
    ├── Overloaded               the service is full: retry in ``retry_after`` seconds
    │   └── RateLimited          this client is over its rate limit
    ├── NotReady                 the service is starting or stopping
    │   └── ModelFailed          the model could not be loaded
    ├── DeadlineExceeded         no answer was ready before the deadline
    └── ClientDisconnected       the client disconnected
"""


class GreengrocerError(Exception):
    """The base class. ``str(error)`` says what was wrong, with which input, and what to do."""


class UsageError(GreengrocerError):
    """Wrong use of the command line or of a file that it names. Commands exit with code 2."""


class MissingExtra(UsageError):
    """An optional part of the product is needed, but not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f"{what} needs an extra: pip install 'greengrocer[{extra}]' (in a clone: "
            f".venv/bin/pip install -e '.[{extra}]')"
        )


class BrokenExtra(UsageError):
    """An optional part of the product is installed, but cannot be loaded."""

    def __init__(self, extra: str, why: str) -> None:
        super().__init__(
            f"the extra {extra!r} is installed but cannot be loaded ({why}): if another package "
            "has changed its libraries, install both by one command, as "
            f"pip install 'greengrocer[{extra}]' PACKAGE (in a clone: "
            f".venv/bin/pip install -e '.[{extra}]' PACKAGE)"
        )


class OutdatedLibrary(UsageError):
    """An installed library is older than its minimum version, and has a known vulnerability."""


class UnsuitableLibrary(UsageError):
    """An installed library lacks a method or attribute that the server overrides."""


class DatasetUnusable(UsageError):
    """The data set is missing or malformed."""


class DownloadFailed(UsageError):
    """A download of the data set failed, is damaged, or is not the data set."""


class BundleRefused(UsageError):
    """The bundle is missing, damaged or malformed, or gives wrong answers to known images."""


class TrialTooSlow(BundleRefused):
    """The bundle's trial took too long, as it may on a busy machine."""


class StoreFailed(UsageError):
    """An object store or a web server is out of reach, refuses, or has no such bucket."""


class KeysRefused(UsageError):
    """The file of API keys cannot be read, is malformed, or can be written by others."""


class ReloadRefused(UsageError):
    """The model is not changed: another change is running, or there is no other model to load."""


class Overtaken(ReloadRefused):
    """Another order has changed the model while the bundle for this one was fetched."""

    def __init__(self, key: str | None) -> None:
        super().__init__(
            f"another order changed the model {key} while the bundle was fetched: order it again "
            "if that is still wanted"
        )


class ControlRefused(UsageError):
    """The control socket is used by another service, accessible to others, or missing."""


class Refusal(GreengrocerError):
    """A request is not answered. ``code`` is stable: clients and metrics may rely on it."""

    code = "refused"
    seconds = 0.0  # that a thread spent on the request before it was refused, where known
    of_model = False  # whether a model, its engine or its queue refuses what it was asked


class ImageRefused(Refusal):
    """The request is refused because of the image itself."""


class EmptyImage(ImageRefused):
    """The image has 0 bytes."""

    code = "empty-image"


class UnreadableImage(ImageRefused):
    """The file is truncated or damaged, or is not an image."""

    code = "unreadable-image"


class ImageTooSlow(ImageRefused):
    """The image takes longer to decode than the limit allows."""

    code = "image-too-slow"


class TooManyPixels(ImageRefused):
    """The image's width times height, or the memory to decode it, is over the limit."""

    code = "too-many-pixels"


class UnsupportedFormat(ImageRefused):
    """The file is in a known format that is not supported."""

    code = "unsupported-format"


class UploadRefused(Refusal):
    """The request is refused because of the way in which the image was sent."""


class MalformedUpload(UploadRefused):
    """The body does not follow the rules of its content type."""

    code = "malformed-upload"


class TooManyBytes(UploadRefused):
    """The upload has more bytes than the limit allows."""

    code = "too-many-bytes"


class UnsupportedContentType(UploadRefused):
    """The body's content type is not supported."""

    code = "unsupported-content-type"


class MissingField(UploadRefused):
    """The form lacks its required field."""

    code = "missing-field"


class RepeatedField(UploadRefused):
    """The form has a field more than once that must be there once."""

    code = "repeated-field"


class ParameterOutOfRange(UploadRefused):
    """A parameter has a value that is not allowed."""

    code = "parameter-out-of-range"


class SlowUpload(UploadRefused):
    """The body was sent too slowly."""

    code = "slow-upload"


class UnknownModel(Refusal):
    """The service has no model of this name, or not in this version."""

    code = "unknown-model"


class NoEvidence(Refusal):
    """The model gives no evidence, so that none can be shown."""

    code = "no-evidence"


class InvalidAnswer(Refusal):
    """The model's graph fails, or its answer has no probabilities of the bundle's classes.

    ``reason`` is what an engine says of it, in one line: for a log and for whoever has the bundle,
    and not for the clients of a service.
    """

    code = "invalid-answer"
    of_model = True

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(f"{message}: {reason}" if reason else message)
        self.message = message


class Unauthorized(Refusal):
    """The API key is missing or unknown."""

    code = "unauthorized"


class Overloaded(Refusal):
    """The service is full: it accepts no more work now."""

    code = "overloaded"
    of_model = True

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after  # whole seconds, as HTTP wants them


class RateLimited(Overloaded):
    """The client is over its rate limit; all of that is available after ``reset`` seconds."""

    code = "rate-limited"
    of_model = False

    def __init__(self, message: str, retry_after: int, reset: int = 0) -> None:
        super().__init__(message, retry_after)
        self.reset = max(retry_after, reset)


class NotReady(Refusal):
    """The service is starting or stopping."""

    code = "not-ready"
    of_model = True


class ModelFailed(NotReady):
    """The model could not be loaded when the service started or its folder changed."""

    code = "model-failed"


class DeadlineExceeded(Refusal):
    """No answer was ready before the deadline of the request."""

    code = "deadline-exceeded"
    of_model = True

    def __init__(
        self,
        message: str = "the deadline passed before an answer was ready: retry, or allow more time",
    ) -> None:
        super().__init__(message)


class ClientDisconnected(Refusal):
    """The client disconnected before its answer."""

    code = "client-disconnected"


def may_pass(error: BaseException | None) -> bool:
    """Whether what was refused may be accepted later: the system lacked something, or time did.

    So it is where the error, or a cause of it, is an OSError, a MemoryError or TrialTooSlow.
    """
    while error is not None:
        if isinstance(error, (OSError, MemoryError, TrialTooSlow)):
            return True
        error = error.__cause__
    return False
