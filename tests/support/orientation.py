"""Images as cameras store them: turned, with a note in EXIF on how to hold them."""

from PIL import ExifTags, Image

_STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def stored(upright: Image.Image, orientation: int) -> tuple[Image.Image, bytes]:
    """The image as it is stored under ``orientation``, and its EXIF block."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    method = _STORED.get(orientation)
    return (upright if method is None else upright.transpose(method)), exif.tobytes()
