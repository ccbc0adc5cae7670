"""Which class of a model each class of a data set is: by name, whatever the case or blanks."""

from collections.abc import Callable, Sequence
from pathlib import Path

from greengrocer.datasets.layouts.names import one_form
from greengrocer.errors import UsageError
from greengrocer.suggestions import did_you_mean

SHOWN = 5  # names


def match_classes(
    found: Sequence[str], classes: Sequence[str], source: Path, tell: Callable[[str], None]
) -> dict[int, int]:
    """The class id in ``classes``, the model's, for the ids of ``found`` that have one.

    ``tell`` gets a line for the names that differ a little, and for those missing on either side.
    Raises UsageError where no class of ``source`` is one of the model's.
    """
    ids = _ids(found, classes)
    strange = [name for label, name in enumerate(found) if label not in ids]
    if not ids:
        raise UsageError(
            f"{source} has photos of {_listed(strange)}, which are no classes of the model"
            f"{did_you_mean(strange[0], list(classes))}: name the folders as the labels have it, "
            f"as {classes[0]!r}"
        )
    differing = [
        f"{found[label]!r} is {classes[index]!r}"
        for label, index in ids.items()
        if found[label] != classes[index]
    ]
    if differing:
        tell(f"classes matched whatever case and blanks: {_listed(differing, str)}")
    for name in strange[:SHOWN]:
        hint = did_you_mean(name, list(classes))
        tell(f"photos of {name!r}, which is no class of the model, are left out{hint}")
    if len(strange) > SHOWN:
        tell(f"photos of {len(strange) - SHOWN} more classes that the model lacks are left out")
    missing = [name for index, name in enumerate(classes) if index not in ids.values()]
    if missing:
        what = f"{len(missing)} of the model's {len(classes)} classes"
        tell(f"{what} have no photos: {_listed(missing)}")
    return ids


def _ids(found: Sequence[str], classes: Sequence[str]) -> dict[int, int]:
    exact = {name: index for index, name in enumerate(classes)}
    alike: dict[str, set[int]] = {}
    for index, name in enumerate(classes):
        alike.setdefault(_plain(name), set()).add(index)
    ids = {}
    for label, name in enumerate(found):
        near = {exact[name]} if name in exact else alike.get(_plain(name), set())
        if len(near) == 1:
            (ids[label],) = near
    return ids


def _plain(name: str) -> str:
    return "".join(one_form(name).casefold().replace("_", " ").replace("-", " ").split())


def _listed(names: Sequence[str], show: Callable[[str], str] = repr) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(show, names[:SHOWN])) + more
