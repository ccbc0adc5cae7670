"""Every error that Greengrocer raises on purpose. No HTTP in here: ``answer_json`` maps it.

GreengrocerError
├── UsageError                   a person's mistake: one clear line, exit code 2
│   ├── MissingExtra             an optional part is not installed
│   ├── BrokenExtra              an optional part is installed, and cannot be loaded
│   ├── OutdatedLibrary          somebody else's library, with a known hole
│   ├── UnsuitableLibrary        somebody else's library, without what the server is built on
│   ├── DatasetUnusable          a data set that is missing or malformed
│   ├── DownloadFailed           a source that is out of reach or is not the data set
│   ├── BundleRefused            a bundle that is damaged, malformed or answers wrongly
│   ├── KeysRefused              a file of API keys that is malformed, or that others may write
│   ├── ReloadRefused            the model that serves cannot be changed now
│   └── ControlRefused           a control socket that is taken, not private, or not there
└── Refusal                      a request that gets no answer, and why
    ├── ImageRefused           the image itself
    │   ├── EmptyImage
    │   ├── UnreadableImage
    │   ├── ImageTooSlow       decoding outlived its budget
    │   ├── TooManyPixels
    │   └── UnsupportedFormat
    ├── UploadRefused            the way it was sent
    │   ├── MalformedUpload
    │   ├── TooManyBytes
    │   ├── UnsupportedContentType
    │   ├── MissingField
    │   ├── RepeatedField
    │   ├── ParameterOutOfRange
    │   └── SlowUpload
    ├── Unauthorized             no key came, or none that is known
    ├── Overloaded               try again in ``retry_after`` seconds
    │   └── RateLimited          this client alone asks too often
    ├── NotReady
    ├── DeadlineExceeded         the time was lost waiting, not by the image
    └── ClientDisconnected       nobody waits for the answer any more
"""


class GreengrocerError(Exception):
    """The root. ``str(error)`` says what was wrong, with which input, and what to do."""


class UsageError(GreengrocerError):
    """A person's mistake, on the command line or in a file that it names."""


class MissingExtra(UsageError):
    """An optional part of the product is needed but not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an extra: pip install 'greengrocer[{extra}]'")


class BrokenExtra(UsageError):
    """An optional part of the product is installed, but cannot be loaded."""

    def __init__(self, extra: str, why: str) -> None:
        super().__init__(
            f"the extra {extra!r} is installed but cannot be loaded ({why}): "
            f"pip install --force-reinstall 'greengrocer[{extra}]'"
        )


class OutdatedLibrary(UsageError):
    """A library of somebody else's that is older than its floor, and has a known hole."""


class UnsuitableLibrary(UsageError):
    """A library of somebody else's that lacks what the server is built on."""


class DatasetUnusable(UsageError):
    """A data set that is missing or malformed."""


class DownloadFailed(UsageError):
    """A source of the data set that is out of reach, damaged, or not the data set."""


class BundleRefused(UsageError):
    """A bundle that is damaged, malformed, or does not answer as its goldens say."""


class KeysRefused(UsageError):
    """A file of API keys that cannot be read, is malformed, or that others may write."""


class ReloadRefused(UsageError):
    """The model that serves stays: another change is under way, or there is nothing to go to."""


class ControlRefused(UsageError):
    """A control socket that another service has, that others could reach, or that is not there."""


class Refusal(GreengrocerError):
    """A request gets no answer. ``code`` is stable: clients and metrics may rely on it."""

    code = "refused"
    seconds = 0.0  # that a thread spent on it, where the work came to its own end


class ImageRefused(Refusal):
    """The image itself is the reason."""


class EmptyImage(ImageRefused):
    """There are no bytes at all."""

    code = "empty-image"


class UnreadableImage(ImageRefused):
    """Truncated, damaged, or no image."""

    code = "unreadable-image"


class ImageTooSlow(ImageRefused):
    """Decoding took longer than its budget."""

    code = "image-too-slow"


class TooManyPixels(ImageRefused):
    """The image's width times height, or the memory to decode it, is over the limit."""

    code = "too-many-pixels"


class UnsupportedFormat(ImageRefused):
    """The bytes are recognisably something that is not accepted."""

    code = "unsupported-format"


class UploadRefused(Refusal):
    """The way in which the image was sent is the reason."""


class MalformedUpload(UploadRefused):
    """The body does not follow the rules of its content type."""

    code = "malformed-upload"


class TooManyBytes(UploadRefused):
    """The upload is over the limit."""

    code = "too-many-bytes"


class UnsupportedContentType(UploadRefused):
    """The body's declared content type is not accepted."""

    code = "unsupported-content-type"


class MissingField(UploadRefused):
    """The form has no part of the required name."""

    code = "missing-field"


class RepeatedField(UploadRefused):
    """The form has the part more than once."""

    code = "repeated-field"


class ParameterOutOfRange(UploadRefused):
    """A parameter is no number, or not one of those that are allowed."""

    code = "parameter-out-of-range"


class SlowUpload(UploadRefused):
    """The body came too slowly."""

    code = "slow-upload"


class Unauthorized(Refusal):
    """No API key came, or none that is known."""

    code = "unauthorized"


class Overloaded(Refusal):
    """There is no room now."""

    code = "overloaded"

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after  # seconds


class RateLimited(Overloaded):
    """The client asks more often than it may."""

    code = "rate-limited"


class NotReady(Refusal):
    """Starting, or about to stop."""

    code = "not-ready"


class DeadlineExceeded(Refusal):
    """The answer would have come after the deadline."""

    code = "deadline-exceeded"


class ClientDisconnected(Refusal):
    """The client disconnected before its answer."""

    code = "client-disconnected"
