"""A labelled data set: a folder per class."""

from pathlib import Path

from support.make_images import jpeg


def write_folders(directory: Path, levels: dict[str, list[int]]) -> Path:
    """A folder for each class, with a plain JPEG for each of its grey levels."""
    for name, greys in levels.items():
        (directory / name).mkdir(parents=True)
        for level in greys:
            (directory / name / f"{level:03}.jpg").write_bytes(jpeg(level))
    return directory
