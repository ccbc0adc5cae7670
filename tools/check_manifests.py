"""Check the manifests: Kubernetes' objects against its schemas, an old version's and the newest.

The Helm chart is rendered by Helm's own engine: with its defaults, with every file of values, and
with a port for gRPC.

Objects of other APIs are reported as unvalidated. Their files must name in the first line what
validates them, or say that nothing does.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from helm_python import Chart, lint

VERSIONS = ("1.29", "1.37")
OTHERS = ("monitoring.coreos.com/", "serving.kserve.io/")  # whose schemas Kubernetes has not
FOLDERS = (Path("deploy/kubernetes"), Path("deploy/kserve"))
CHART = Path("deploy/helm/greengrocer")

Manifest = dict[str, Any]


def manifests(directory: Path) -> Iterator[tuple[Path, Manifest]]:
    """Every object below ``directory``, with its file."""
    for file in sorted(directory.rglob("*.yaml")):
        for manifest in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            yield file, manifest


def rendered(
    chart: Path, values: Manifest, release: str = "greengrocer"
) -> list[tuple[Path, Manifest]]:
    """Every object that the chart makes of ``values``, with its template; raises HelmError."""
    with Chart.load(chart) as loaded:
        loaded.validate_schema(values)
        texts = loaded.render(values, name=release, namespace="default")
    return [
        (chart.parent / template, manifest)
        for template, text in sorted(texts.items())
        if template.endswith(".yaml")
        for manifest in yaml.safe_load_all(text)
        if manifest
    ]


def of_chart(chart: Path) -> Iterator[tuple[Path, Manifest]]:
    """Its objects with the defaults, and with each file of values beside it and gRPC."""
    yield from rendered(chart, {})
    for file in sorted(chart.parent.glob("*.yaml")):
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
        yield from rendered(chart, values)
        yield from rendered(chart, values | {"grpc": {"port": 8001}})


def complaint(manifest: Manifest) -> str:
    """What is wrong with an object of Kubernetes' own; nothing where it is valid."""
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.SchemaNotFoundError as error:
            return str(error.message)
        except kubernetes_validate.ValidationError as error:
            return f"Kubernetes {version}, {error.json_path}: {error.message}"
    return ""


def verdict(file: Path, manifest: Manifest) -> tuple[str, bool]:
    """The line to print for an object, and whether it passes."""
    if manifest["apiVersion"].startswith(OTHERS):
        named = "validated" in file.read_text(encoding="utf-8").partition("\n")[0].lower()
        return "unvalidated here" if named else "its first line must say what validates it", named
    wrong = complaint(manifest)
    return wrong or "valid", not wrong


def main() -> int:
    """Look at every object and return 1 if any is wrong."""
    wrong = lint(CHART)["errors"]
    sys.stdout.writelines(f"{CHART}: {line}\n" for line in wrong)
    found = [pair for folder in FOLDERS for pair in manifests(folder)]
    found += of_chart(CHART)
    verdicts = [(file, each, *verdict(file, each)) for file, each in found]
    for file, manifest, said, _ in verdicts:
        sys.stdout.write(f"{file}: {manifest['kind']} {manifest['metadata']['name']}: {said}\n")
    return 0 if not wrong and verdicts and all(well for *_, well in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
