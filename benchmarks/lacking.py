"""Says in one line what an environment lacks, and which one has it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def told_what_is_missing(command: str) -> Iterator[None]:
    """End the program where a module that the block imports is not installed.

    ``command`` are the arguments of Python.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        sys.exit(
            f"{error.name} is not installed here: "
            f"make .venv-dev/installed && .venv-dev/bin/python {command}"
        )
