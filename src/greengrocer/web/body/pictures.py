"""The images of a form that may have many."""

from greengrocer.errors import MalformedUpload, RepeatedField, TooManyBytes, UploadRefused
from greengrocer.web.body.form import Event, Part
from greengrocer.web.body.upload import FIELD, UploadLimits


class Pictures:
    """Collects the content of each part called ``file``; one that is too long is dropped.

    A part that cannot be read may have been an image, and counts as one that is refused.
    """

    def __init__(self, limits: UploadLimits) -> None:
        self._limits = limits
        self._count = 0
        self._inside = False
        self._picture = bytearray()
        self._too_long = False
        self._whole: list[bytes | UploadRefused] = []

    @property
    def held(self) -> int:
        """Bytes of the image that is not whole yet."""
        return len(self._picture)

    def whole(self) -> list[bytes | UploadRefused]:
        """The images that have become whole since the last time, or why one is not taken."""
        whole, self._whole = self._whole, []
        return whole

    def take(self, event: Event) -> None:
        """Take what the form tells; raises RepeatedField for more images than are taken."""
        if isinstance(event, Part):
            self._begin(event.name == FIELD)
        elif isinstance(event, MalformedUpload):
            self._begin(picture=True)
            self._inside = False
            self._whole.append(event)
        elif self._inside and event is None:
            self._finish()
        elif self._inside and not self._too_long:
            self._picture += event or b""
            if len(self._picture) > self._limits.picture_bytes:
                self._picture.clear()
                self._too_long = True

    def _begin(self, picture: bool) -> None:
        self._inside, self._too_long = picture, False
        self._count += picture
        if self._count > self._limits.pictures:
            raise RepeatedField(
                f"the form has more than {self._limits.pictures} parts {FIELD!r}: "
                "send the rest in another request"
            )

    def _finish(self) -> None:
        most = self._limits.picture_bytes
        error = TooManyBytes(f"the image is longer than the {most} bytes that are taken")
        self._whole.append(error if self._too_long else bytes(self._picture))
        self._picture.clear()
        self._inside = False
