"""Read the images to send: of a data set's validation split, a folder, or the gallery."""

from pathlib import Path

from greengrocer.datasets.gallery import built_in_gallery, open_gallery


def read_images(data: Path | None, most: int = 200) -> list[bytes]:
    """The bytes of up to ``most`` images of the data set, or plain folder of JPEGs, ``data``."""
    if data is not None and (plain := sorted(data.glob("*.jpg"))):
        return [path.read_bytes() for path in plain[:most]]
    gallery = built_in_gallery() if data is None else open_gallery(data)
    return [shown.path.read_bytes() for shown in gallery.pictures[:most]]
