"""An installation without some extras, where that of the tests has them."""

from pathlib import Path

from support.plugins import python_path

HEIF = ("pillow_heif",)
TRACES = ("opentelemetry.exporter", "opentelemetry.sdk")


def environment(libraries: tuple[str, ...]) -> dict[str, str]:
    """For processes that are to be without these."""
    return python_path(Path(__file__).parent) | {"WITHOUT_LIBRARIES": ",".join(libraries)}
