"""What a served model is called, and how the operator names it and its bundle.

A model has a name, as ``shop``. Another version beside it has the same name and a label, as
``shop@next``.
"""

import os
import re
from typing import NamedTuple

from greengrocer.errors import UsageError
from greengrocer.safe_text import MAX_NAME, one_line, without_secrets

NAME = r"[a-z0-9][a-z0-9-]{0,99}"  # as a bundle's manifest has it
KEY = re.compile(rf"{NAME}(@{NAME})?")
BESIDE = "@"
RULE = (
    "a name has small letters a to z, digits and hyphens, begins with a letter or a digit, and has "
    "at most 100 characters; a version beside a model has two, as shop@next"
)


class ModelSource(NamedTuple):
    """A bundle to serve, and under which name; None: under the bundle's own."""

    key: str | None
    bundle: str


def parse_source(text: str) -> ModelSource:
    """The source in ``shop=runs/shop``, ``shop@next=runs/new`` or ``runs/shop``.

    What is before the ``=`` is a name, unless it has a slash or the whole text is a path that
    exists: a path may have a ``=``, too. Raises UsageError, in one line, for a name that is none.
    """
    key, separator, bundle = text.partition("=")
    if separator and KEY.fullmatch(key):
        return ModelSource(key, bundle)
    if separator and "/" not in key and not os.path.exists(text):  # noqa: PTH110 - no error
        check_key(key)
    return ModelSource(None, text)


def check_key(key: str) -> None:
    """Raise UsageError, in one line, where a key is neither a name nor that of a version."""
    if not KEY.fullmatch(key):
        shown = one_line(without_secrets(key), MAX_NAME)
        raise UsageError(f"{shown!r} is not a model's name: {RULE}")


def name_of(key: str) -> str:
    """The model's name in a key: ``shop`` of ``shop@next``."""
    return key.partition(BESIDE)[0]


def key_of(name: str, label: str) -> str:
    """The key of a model's version with a label; the empty label is that of the model itself."""
    return f"{name}{BESIDE}{label}" if label else name


def label_of(key: str) -> str:
    """The label in a key: ``next`` of ``shop@next``, empty for the model itself."""
    return key.partition(BESIDE)[2]
