"""The names of the classes, and the coarse class of each, from files that a person names."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from greengrocer.datasets.dataset import Taxonomy
from greengrocer.errors import UsageError
from greengrocer.regular_files import MAX_SETTINGS_BYTES, read_regular
from greengrocer.safe_text import check_name


def read_labels(path: Path) -> tuple[str, ...]:
    """One name a line; or JSON, a list, or an object of class ids. Raises UsageError."""
    text = _text(path)
    if path.suffix.lower() == ".json":
        return _from_json(path, text)
    lines = [line.strip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    if "" in lines:
        raise UsageError(f"{path}, line {lines.index('') + 1} is empty: each line names a class")
    return tuple(lines)


def taxonomy_of(
    model: Path, classes: int, names: Sequence[str] | None, coarse: Path | None
) -> Taxonomy:
    """The ``names`` of the model's ``classes``, checked; raises UsageError.

    Of a name that comes twice, as ImageNet's "crane" does, each gets its class id behind it.
    """
    if names is None:
        raise UsageError(
            f"{model} does not name its {classes} classes: give --labels with a file that has one "
            "name a line, in the order of the class ids"
        )
    if len(names) != classes:
        raise UsageError(f"{model} has {classes} classes, but there are {len(names)} labels")
    count = Counter(names)
    unique = tuple(
        f"{name} ({index})" if count[name] > 1 else name for index, name in enumerate(names)
    )
    for name in unique:
        try:
            check_name(name)
        except ValueError as error:
            raise UsageError(f"the label {error}") from error
    if coarse is None:
        return Taxonomy(unique)
    groups = _groups(coarse, unique)
    ordered = tuple(dict.fromkeys(groups))
    return Taxonomy(unique, ordered, tuple(ordered.index(group) for group in groups))


def _groups(path: Path, classes: Sequence[str]) -> list[str]:
    """The coarse class of each of the ``classes``: lines of ``class,coarse``, in any order."""
    found = {}
    for number, line in enumerate(_text(path).splitlines(), start=1):
        name, comma, group = line.rpartition(",")
        if not line.strip():
            continue
        if not comma or name.strip() not in classes or not group.strip():
            raise UsageError(
                f"{path}, line {number}: a class of the model, a comma and its coarse class are "
                f"wanted, as {classes[0]},Group"
            )
        found[name.strip()] = group.strip()
    missing = [name for name in classes if name not in found]
    if missing:
        raise UsageError(f"{path} does not name the coarse class of {missing[0]}")
    return [found[name] for name in classes]


def _from_json(path: Path, text: str) -> tuple[str, ...]:
    try:
        tree = json.loads(text)
        if isinstance(tree, dict):
            by_id = {int(key): value for key, value in tree.items()}
            tree = [by_id[index] for index in range(len(by_id))]
        # Keras' list for ImageNet: {"0": ["n01440764", "tench"], ...}
        return tuple(str(each[-1] if isinstance(each, list) else each) for each in tree)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UsageError(
            f"{path} is neither a JSON list of names nor an object of class ids 0, 1, 2, ..."
        ) from error


def _text(path: Path) -> str:
    try:
        return read_regular(path, MAX_SETTINGS_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8: save it as UTF-8") from error
