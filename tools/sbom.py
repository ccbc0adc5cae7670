"""`python -m tools.sbom PYTHON FILE`: a CycloneDX bill of materials, of an environment that serves.

It names every package that is installed there, with its licence and its dependencies, and the
models that ship. The same environment makes the same file.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from greengrocer.bundles.bundle import shipped_bundles
from greengrocer.bundles.manifest import read_manifest

VERSION = SchemaVersion.V1_6
OURS = "greengrocer"
KEPT = ("bom-ref", "name", "version", "description", "licenses")  # of ours: not where it was built
GRAPH = "model.onnx"

Component = dict[str, Any]


def bill(python: Path) -> str:
    """The bill of the environment of ``python``, as JSON. Raises ValueError for an invalid one."""
    packages = ["-m", "cyclonedx_py", "environment", "--output-reproducible", "--no-validate"]
    done = subprocess.run(  # noqa: S603 - a Python that the caller names
        [sys.executable, *packages, "--spec-version", VERSION.to_version(), str(python)],
        capture_output=True,
        text=True,
        check=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )
    found = json.loads(done.stdout)
    (ours,) = [each for each in found["components"] if each["name"] == OURS]
    models = shipped_models()
    found["metadata"]["component"] = {key: ours[key] for key in KEPT if key in ours} | {
        "type": "application"
    }
    found["components"] = [each for each in found["components"] if each is not ours] + models
    _rest(found["dependencies"], ours["bom-ref"], [model["bom-ref"] for model in models])
    text = json.dumps(found, indent=2, sort_keys=True) + "\n"
    if wrong := JsonStrictValidator(VERSION).validate_str(text):
        raise ValueError(f"no valid CycloneDX: {wrong}")
    return text


def shipped_models() -> list[Component]:
    """Each model that ships, with the SHA-256 of its graph."""
    found = []
    for directory in shipped_bundles().values():
        manifest = read_manifest(directory)
        name = f"{OURS}-{manifest.name}"
        found.append(
            {
                "type": "machine-learning-model",
                "bom-ref": f"{name}=={manifest.version}",
                "name": name,
                "version": manifest.version,
                "hashes": [{"alg": "SHA-256", "content": manifest.files[GRAPH]}],
            }
        )
    return found


def _rest(dependencies: list[dict[str, Any]], ours: str, models: list[str]) -> None:
    """Record that our package depends on the models, and these on nothing."""
    (own,) = [each for each in dependencies if each["ref"] == ours]
    own["dependsOn"] = sorted([*own.get("dependsOn", []), *models])
    dependencies += [{"ref": model} for model in models]


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(prog="python -m tools.sbom", description=__doc__)
    parser.add_argument("python", type=Path, metavar="PYTHON", help="of the environment")
    parser.add_argument("file", type=Path, metavar="FILE", help="to be written")
    arguments = parser.parse_args()
    arguments.file.parent.mkdir(parents=True, exist_ok=True)
    arguments.file.write_text(bill(arguments.python), encoding="utf-8")


if __name__ == "__main__":
    main()
