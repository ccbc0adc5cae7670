"""Engines by name, found by entry points of the group ``greengrocer.engines``.

Any installed package can add an engine: its entry point names a class with the methods of
``engines.engine.Engine``. An engine is imported only when it is chosen.
"""

from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Protocol

from greengrocer.errors import BundleRefused, UsageError
from greengrocer.plugins import find_entry_points
from greengrocer.safe_text import one_line

if TYPE_CHECKING:  # a name is checked before anything heavy is imported
    from pathlib import Path

    from greengrocer.bundles.manifest import Manifest
    from greengrocer.engines.engine import Engine, Threads

GROUP = "greengrocer.engines"
METHODS = ("start", "infer", "close")


class EngineType(Protocol):
    """The constructor of an engine. It only stores its arguments; ``start`` loads."""

    def __call__(
        self, directory: "Path", manifest: "Manifest", device: str, threads: "Threads"
    ) -> "Engine":
        """An engine for the verified bundle in ``directory``.

        ``device`` is "auto", "cpu" or "cuda": an engine that has no such device raises UsageError.
        """


def find_engine(name: str) -> EntryPoint:
    """The entry point of the engine called ``name``; it is not loaded.

    Raises UsageError where no installed package has such an engine, or where several have one.
    """
    found = find_entry_points(GROUP)
    if name not in found.names:
        known = sorted(found.names)
        if not known:
            raise UsageError("no engine is installed, not even ours: install greengrocer again")
        raise UsageError(f"there is no engine {one_line(name)}: choose one of {', '.join(known)}")
    first, *others = found.select(name=name)
    if others:
        packages = ", ".join(sorted(_package(each) for each in (first, *others)))
        raise UsageError(
            f"the engine {name!r} is in more than one package ({packages}): uninstall all but one"
        )
    return first


def make_engine(
    name: str, directory: "Path", manifest: "Manifest", device: str, threads: "Threads"
) -> "Engine":
    """The engine called ``name``, not yet started.

    Raises UsageError where ``find_engine`` does, where the engine's entry point does not load,
    and what the engine's import raises itself (MissingExtra).
    """
    found = find_engine(name)
    try:
        kind: EngineType = found.load()
        engine = kind(directory, manifest, device, threads)
    except (UsageError, BundleRefused):
        raise
    # another package: it may raise any error, and even exit
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"the engine {name!r} of the package {_package(found)} does not load: "
            f"{type(error).__name__}: {error}"
        ) from error
    missing = [method for method in METHODS if not callable(getattr(engine, method, None))]
    if missing:
        raise UsageError(
            f"the engine {name!r} of the package {_package(found)} is not an engine: it has no "
            f"method {missing[0]}"
        )
    return engine


def _package(found: EntryPoint) -> str:
    return "of unknown name" if found.dist is None else f"{found.dist.name} {found.dist.version}"
