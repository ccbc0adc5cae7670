"""Find what installed packages add: their entry points of one group."""

from importlib.metadata import EntryPoint, EntryPoints, distributions, entry_points


def find_entry_points(group: str) -> EntryPoints:
    """The entry points of ``group``; those of a package with damaged metadata are left out."""
    try:
        return entry_points(group=group)
    # one damaged file ends the search through all packages, with any error
    except Exception:
        found: dict[tuple[str, str], EntryPoint] = {}
        for distribution in distributions():
            try:
                for each in distribution.entry_points.select(group=group):
                    found.setdefault((each.name, each.value), each)
            except Exception:  # noqa: S112
                continue
        return EntryPoints(found.values())
