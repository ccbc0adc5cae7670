"""Greengrocer tells what a photo shows, over HTTP, in milliseconds, on plain CPUs.

In Python: ``greengrocer.load("grocery").predict("photo.jpg")``.
"""

import os
from typing import TYPE_CHECKING

from greengrocer.version import __version__

if TYPE_CHECKING:
    from greengrocer.model import Model

__all__ = ["__version__", "load"]


def load(bundle: "str | os.PathLike[str]" = "grocery", *, device: str = "auto") -> "Model":
    """Load a bundle that ships with the product, by name, one in a directory, or at an address.

    ``device`` is ``"auto"``, ``"cpu"`` or ``"cuda"``. The bundle is verified, and its known-answer
    images are replayed, as the service does at its start.

    Raises BundleRefused for a bundle that is missing, damaged or answers wrongly, StoreFailed where
    its address cannot be reached, and MissingExtra where the device or the address needs a package
    that is not installed.
    """
    # Importing the package costs nothing; what the model needs is imported here.
    from greengrocer.assemble_pipeline import build_pipeline  # noqa: PLC0415
    from greengrocer.model import Model  # noqa: PLC0415
    from greengrocer.stores.fetch import open_bundle  # noqa: PLC0415

    return Model(build_pipeline(open_bundle(os.fspath(bundle)), device=device))
