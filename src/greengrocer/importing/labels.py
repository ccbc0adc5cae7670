"""The names of the classes, and the coarse class of each, from files that a person names."""

import io
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from greengrocer.datasets.dataset import Taxonomy
from greengrocer.datasets.layouts.coarse import regroup_by
from greengrocer.datasets.layouts.names import one_form
from greengrocer.errors import UsageError
from greengrocer.regular_files import MAX_SETTINGS_BYTES, read_regular
from greengrocer.safe_text import check_name

NUMBERED = re.compile(r"(\d{1,9})(?:\s*[:,;]\s*|\s+)(.+)")  # as "0 tench", "0: tench", "0,tench"
WORDNET = re.compile(r"n\d{8}\s+(.+)")  # as "n01440764 tench, Tinca tinca"


class Names(NamedTuple):
    """The names of the classes, and the file that has them."""

    classes: tuple[str, ...]
    origin: str


def read_labels(path: Path) -> tuple[str, ...]:
    """One name a line, each behind its class id or not; or JSON. Raises UsageError.

    The JSON is a list of names, an object of class ids and names either way round, or an object
    with such a one as ``id2label``.
    """
    text = _text(path)
    if path.suffix.lower() in (".yaml", ".yml"):
        raise UsageError(
            f"{path} is YAML, which is not read: write the names into a .txt, one a line"
        )
    if path.suffix.lower() == ".json" or text.lstrip()[:1] in ("[", "{"):
        return _from_json(path, text)
    # Not str.splitlines: a line ends at line breaks alone, not at U+2028 and the like.
    lines = [line.strip() for line in io.StringIO(text, newline=None)]
    while lines and not lines[-1]:
        lines.pop()
    if "" in lines:
        raise UsageError(f"{path}, line {lines.index('') + 1} is empty: each line names a class")
    return _without_ids(lines)


def _without_ids(lines: Sequence[str]) -> tuple[str, ...]:
    """The names in ``lines``, in the order of the class ids where each line begins with its own."""
    numbered = [found for line in lines if (found := NUMBERED.fullmatch(line))]
    by_id = {int(found[1]): found[2] for found in numbered}
    if len(numbered) == len(lines) and sorted(by_id) == list(range(len(lines))):
        return tuple(by_id[index] for index in range(len(lines)))
    synsets = [found[1] for line in lines if (found := WORDNET.fullmatch(line))]
    return tuple(synsets if len(synsets) == len(lines) else lines)


def taxonomy_of(model: Path, classes: int, found: Names | None, coarse: Path | None) -> Taxonomy:
    """The names of the model's ``classes``, checked and in NFC, with the groups of ``coarse``.

    Of a name that comes twice, as ImageNet's "crane" does, each gets its class id behind it. Raises
    UsageError.
    """
    if found is None:
        raise UsageError(
            f"{model} does not name its {classes} classes: give --labels with a file that has one "
            "name a line, in the order of the class ids"
        )
    count = len(found.classes)
    if count != classes:
        hint = f"it must have {classes}, in the order of the class ids"
        if count == classes - 1:
            hint += "; if class 0 is the background, as in TensorFlow-Slim, name that first"
        raise UsageError(
            f"{model} has {classes:,} classes, but {found.origin} has {count:,} labels: {hint}"
        )
    names = [one_form(name) for name in found.classes]
    times = Counter(names)
    unique = tuple(
        f"{name} ({index})" if times[name] > 1 else name for index, name in enumerate(names)
    )
    for name in unique:
        try:
            check_name(name)
        except ValueError as error:
            raise UsageError(f"the label {error}") from error
    if coarse is None:
        return Taxonomy(unique)
    return regroup_by(Taxonomy(unique), coarse)


def _from_json(path: Path, text: str) -> tuple[str, ...]:
    try:
        tree = json.loads(text)
        if isinstance(tree, dict):
            tree = _in_order(tree.get("id2label", tree))
        # Keras' list for ImageNet: {"0": ["n01440764", "tench"], ...}
        names = tuple(each[-1] if isinstance(each, list) else each for each in tree)
        sound = isinstance(tree, list) and all(isinstance(name, str) for name in names)
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise UsageError(
            f"{path} is neither a JSON list of names nor an object of class ids 0, 1, 2, ... and "
            "names: write the names into a .txt, one a line"
        ) from error
    if not sound:
        raise UsageError(f"{path} has a name that is no text: write the names into a .txt")
    return names


def _in_order(tree: dict[str, Any]) -> list[Any]:
    """The names of ``{"0": "fig"}``, or of ``{"fig": 0}`` as Keras' ``class_indices`` has it."""
    if all(isinstance(value, int) for value in tree.values()):
        tree = {str(index): name for name, index in tree.items()}
    by_id = {int(key): value for key, value in tree.items()}
    return [by_id[index] for index in range(len(tree))]


def _text(path: Path) -> str:
    try:
        return read_regular(path, MAX_SETTINGS_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8: save it as UTF-8") from error
