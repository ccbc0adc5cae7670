"""Engines by name. An engine's libraries are imported only when it is chosen."""

import importlib
from pathlib import Path
from typing import Protocol

from greengrocer.bundles.manifest import Manifest
from greengrocer.engines.engine import ONE_THREAD, Engine, Threads
from greengrocer.errors import UsageError

ENGINES = {
    "onnx": "greengrocer.engines.onnx_engine:OnnxEngine",
    "torch": "greengrocer.engines.torch_engine:TorchEngine",
    "fake": "greengrocer.engines.fake_engine:FakeEngine",
}


class EngineType(Protocol):
    """How every engine is built. Building stores; ``start`` loads."""

    def __call__(
        self, directory: Path, manifest: Manifest, device: str, threads: Threads
    ) -> Engine:
        """An engine for the verified bundle in ``directory``."""


def make_engine(
    name: str,
    directory: Path,
    manifest: Manifest,
    device: str = "auto",
    threads: Threads = ONE_THREAD,
) -> Engine:
    """The engine called ``name``, not yet started.

    Raises UsageError for an unknown name, and what the engine's import raises (MissingExtra).
    """
    if name not in ENGINES:
        raise UsageError(f"there is no engine {name!r}: choose one of {', '.join(ENGINES)}")
    module, _, attribute = ENGINES[name].partition(":")
    engine: EngineType = getattr(importlib.import_module(module), attribute)
    return engine(directory, manifest, device, threads)
