"""Groups of classes: those of the folders or the list, none, or those of a file."""

from dataclasses import replace
from pathlib import Path

from greengrocer.datasets.labelled import Taxonomy
from greengrocer.datasets.layouts.collection import build_taxonomy
from greengrocer.datasets.layouts.names import one_form
from greengrocer.datasets.layouts.rows import read_rows
from greengrocer.errors import DatasetUnusable

FOUND = "folders"  # the groups that the layout has
NONE = "none"
PLACES = "places"  # the outermost folders are places, and no groups


def regroup(taxonomy: Taxonomy, coarse: str) -> Taxonomy:
    """``taxonomy`` with the groups that ``coarse`` means: one of those names, or a CSV's path.

    The classes keep their ids. Raises DatasetUnusable where the file leaves a class out.
    """
    if coarse in (FOUND, PLACES):
        return taxonomy
    if coarse == NONE:
        return Taxonomy(taxonomy.classes)
    return regroup_by(taxonomy, Path(coarse))


def regroup_by(taxonomy: Taxonomy, table: Path) -> Taxonomy:
    """``taxonomy`` with the groups of ``table`` (``read_groups``); the classes keep their ids.

    Raises DatasetUnusable where it leaves a class out.
    """
    groups = read_groups(table)
    missing = [name for name in taxonomy.classes if one_form(name) not in groups]
    if missing:
        more = f" and {len(missing) - 1} others" if len(missing) > 1 else ""
        raise DatasetUnusable(f"{table} gives no coarse class for {missing[0]!r}{more}")
    by_name: dict[str, str | None] = {name: groups[one_form(name)] for name in taxonomy.classes}
    # Ids are in order of names in all layouts but one, whose own order must stay.
    built = build_taxonomy(table, by_name)
    assert built.coarse is not None
    of = tuple(built.coarse.index(str(by_name[name])) for name in taxonomy.classes)
    return replace(taxonomy, coarse=built.coarse, coarse_of=of)


def read_groups(table: Path) -> dict[str, str]:
    """The coarse class of each class in a CSV with the columns class and coarse.

    Raises DatasetUnusable where it is malformed.
    """
    groups: dict[str, str] = {}
    for row in read_rows(table, needs_path=False):
        if row.label is None or row.coarse is None:
            raise DatasetUnusable(f"{table}, line {row.line}: needs a class and its coarse class")
        if groups.setdefault(row.label, row.coarse) != row.coarse:
            raise DatasetUnusable(
                f"{table}, line {row.line}: {row.label!r} is in two coarse classes"
            )
    if not groups:
        raise DatasetUnusable(f"{table} is empty: it needs the columns class and coarse")
    return groups
