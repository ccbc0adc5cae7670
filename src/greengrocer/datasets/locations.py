"""The default directories of data sets."""

from pathlib import Path

import platformdirs


def default_data_dir() -> Path:
    """Locate the Grocery Store Dataset, which need not be there, in the person's data directory."""
    return platformdirs.user_data_path("greengrocer") / "grocery-store-dataset"
