"""What the gate has found so far, kept in a file: a rerun goes on from there."""

import json
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from greengrocer.training.durable import replace_durably
from greengrocer.training.release.attempt import Attempt, Backbone
from greengrocer.training.release.quantisation_loss import Comparison


class KeptAttempts:
    """The attempts by the number of their rung, and what int8 does to each block, once known.

    ``path`` is an .npz file with ``key``, a digest of what they are of, ``notes``, JSON, and the
    graph of each attempt, uint8 [bytes]. A file of another key, or a damaged one, is replaced.
    Without a path nothing is kept.
    """

    def __init__(self, path: Path | None = None, key: str = "") -> None:
        self.path, self.key = path, key
        self.attempts: dict[int, Attempt] = {}
        self.errors: dict[str, float] | None = None
        if path is not None and path.exists():
            try:
                self._load(path)
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
                self.attempts, self.errors = {}, None

    def add(self, number: int, attempt: Attempt) -> None:
        """Keep the attempt on the rung of this number."""
        self.attempts[number] = attempt
        self._save()

    def add_errors(self, errors: dict[str, float]) -> None:
        """Keep what int8 in each block alone does."""
        self.errors = errors
        self._save()

    def _load(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as stored:
            if str(stored["key"]) != self.key:
                return
            notes = json.loads(str(stored["notes"]))
            for number, precision, images, blocks, found, accepted in notes["attempts"]:
                graph = onnx.load_from_string(stored[f"graph{number}"].tobytes())
                backbone = Backbone(graph, precision, images, tuple(blocks))
                self.attempts[number] = Attempt(backbone, Comparison(*found), accepted)
            self.errors = notes["errors"]

    def _save(self) -> None:
        """Write the file, whole or not at all."""
        if self.path is None:
            return
        arrays: dict[str, npt.NDArray[np.generic]] = {"key": np.array(self.key)}
        told = []
        for number, (backbone, found, accepted) in self.attempts.items():
            graph, *described = backbone
            told.append((number, *described, found, accepted))
            arrays[f"graph{number}"] = np.frombuffer(graph.SerializeToString(), np.uint8)
        arrays["notes"] = np.array(json.dumps({"attempts": told, "errors": self.errors}))
        unfinished = self.path.with_suffix(".part")
        with unfinished.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # numpy's allow_pickle
        replace_durably(unfinished, self.path)
