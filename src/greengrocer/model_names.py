"""What a served model is called, and how the operator names it and its bundle.

A model has a name, as ``shop``. Another version beside it has the same name and a label, as
``shop@next``.
"""

import re
from typing import NamedTuple

NAME = r"[a-z0-9][a-z0-9-]{0,99}"  # as a bundle's manifest has it
KEY = re.compile(rf"{NAME}(@{NAME})?")
BESIDE = "@"


class ModelSource(NamedTuple):
    """A bundle to serve, and under which name; None: under the bundle's own."""

    key: str | None
    bundle: str


def parse_source(text: str) -> ModelSource:
    """The source in ``shop=runs/shop``, ``shop@next=runs/new`` or ``runs/shop``.

    What is before the ``=`` is a name only where it looks like one: a path may have a ``=``, too.
    """
    key, separator, bundle = text.partition("=")
    if separator and KEY.fullmatch(key):
        return ModelSource(key, bundle)
    return ModelSource(None, text)


def name_of(key: str) -> str:
    """The model's name in a key: ``shop`` of ``shop@next``."""
    return key.partition(BESIDE)[0]


def key_of(name: str, label: str) -> str:
    """The key of a model's version with a label; the empty label is that of the model itself."""
    return f"{name}{BESIDE}{label}" if label else name


def label_of(key: str) -> str:
    """The label in a key: ``next`` of ``shop@next``, empty for the model itself."""
    return key.partition(BESIDE)[2]
