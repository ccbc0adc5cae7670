"""Fixtures of the training tests."""

import pytest

from greengrocer.networks.recogniser import Recogniser
from support.networks import untrained


@pytest.fixture(scope="package")
def network() -> Recogniser:
    """An untrained network of 6 classes."""
    return untrained()
