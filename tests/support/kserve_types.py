"""`python kserve_types.py FILE...`: holds objects of KServe against the types of its package.

The package `kserve`, and the client of Kubernetes that it brings, have a class for every object
with the names and types of its fields: what KServe publishes. Run it where both are installed.
"""

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import yaml

HOMES = ("kserve.models", "kubernetes.client.models")
PLAIN = {"str": str, "int": int, "bool": bool, "float": float, "object": object}
LIST = re.compile(r"[Ll]ist\[(.+)\]")
DICT = re.compile(r"[Dd]ict[(\[]str, (.+)[)\]]")


def made(value: Any, kind: str, place: str) -> Any:
    """``value`` as ``kind``. Raises ValueError for an unknown, missing or wrong field."""
    if found := LIST.fullmatch(kind):
        _must(value, list, place)
        return [made(each, found[1], f"{place}[{n}]") for n, each in enumerate(value)]
    if found := DICT.fullmatch(kind):
        _must(value, dict, place)
        return {key: made(each, found[1], f"{place}.{key}") for key, each in value.items()}
    if kind in PLAIN:
        _must(value, PLAIN[kind], place)
        return value
    model = _model(kind)
    _must(value, dict, place)
    fields = {said: field for field, said in model.attribute_map.items()}
    if unknown := value.keys() - fields:
        raise ValueError(f"{place}: unknown: {', '.join(sorted(unknown))}")
    parts = {
        fields[said]: made(each, model.openapi_types[fields[said]], f"{place}.{said}")
        for said, each in value.items()
    }
    return model(**parts)  # raises ValueError for what is missing


def _must(value: Any, kind: type, place: str) -> None:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{place}: {value!r} is no {kind.__name__}")


def _model(kind: str) -> Any:
    for home in HOMES:
        if found := getattr(importlib.import_module(home), kind, None):
            return found
    raise ValueError(f"there is no type {kind}")


def main() -> int:
    """Look at every object and return 1 if any is wrong."""
    for file in sys.argv[1:]:
        for manifest in yaml.safe_load_all(Path(file).read_text(encoding="utf-8")):
            version = manifest["apiVersion"].rpartition("/")[2]
            try:
                made(manifest, version.capitalize() + manifest["kind"], manifest["kind"])
            except ValueError as error:
                sys.stdout.write(f"{file}: {error}\n")
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
