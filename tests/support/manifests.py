"""The manifests in deploy/: their pods, and the settings of the service in each."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from tools.check_manifests import Manifest, manifests

from greengrocer.cli.main import build_parser
from greengrocer.read_settings import read_settings
from greengrocer.settings import PREFIX, Settings
from support.dockerfile import steps
from support.documents import ROOT, blocks
from support.service_links import service_links

DEPLOY = ROOT / "deploy"
UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
LINKS = "enableServiceLinks"
GRACE = "terminationGracePeriodSeconds"


class Pod:
    """A pod of one container, its grace period, and whether it has service links."""

    def __init__(self, spec: Manifest, grace: int, *, links: bool) -> None:
        self.spec = spec
        self.grace = grace
        self.links = links
        (self.container,) = spec["containers"]

    @property
    def probes(self) -> dict[str, Manifest]:
        """Its probes by name."""
        return {name: said for name, said in self.container.items() if name.endswith("Probe")}

    @property
    def arguments(self) -> list[str]:
        """What stands behind the image's entry point."""
        return list(self.container.get("args", []))

    def environment(self) -> dict[str, str]:
        """The variables with our prefix: a Service's go over the image's, the pod's over both."""
        here = {each["name"]: each["value"] for each in self.container.get("env", [])}
        found = image_environment() | all_links() | here
        return {name: value for name, value in found.items() if name.startswith(PREFIX)}

    def settings(self, monkeypatch: pytest.MonkeyPatch) -> Settings:
        """What the service runs with: what the image sets, the environment, the arguments."""
        for name, value in self.environment().items():
            monkeypatch.setenv(name, value)
        flags = vars(build_parser().parse_args(["serve", *self.arguments]))
        return read_settings({k: v for k, v in flags.items() if k in Settings.model_fields})


def image_environment() -> dict[str, str]:
    """What the Dockerfile sets."""
    (said,) = [rest for name, rest in steps((DEPLOY / "Dockerfile").read_text()) if name == "ENV"]
    return dict(each.split("=", 1) for each in shlex.split(said))


def objects(folder: str) -> dict[str, list[Manifest]]:
    """The objects of a folder, by kind."""
    found: dict[str, list[Manifest]] = {}
    for _, manifest in manifests(DEPLOY / folder):
        found.setdefault(manifest["kind"], []).append(manifest)
    return found


def pods() -> dict[str, Pod]:
    """Every pod there is, by its folder."""
    found = {}
    for folder in ("kubernetes/base", "kubernetes/production"):
        (deployment,) = objects(folder)["Deployment"]
        spec = deployment["spec"]["template"]["spec"]
        found[folder] = Pod(spec, spec[GRACE], links=spec.get(LINKS, True))
    kserve = objects("kserve")
    (runtime,), (service,) = kserve["ServingRuntime"], kserve["InferenceService"]
    predictor = service["spec"]["predictor"]
    found["kserve"] = Pod(runtime["spec"], predictor[GRACE], links=predictor.get(LINKS, True))
    return found


def all_links() -> dict[str, str]:
    """Of every Service in the manifests, one without an address of its own among them."""
    links: dict[str, str] = {}
    for folder in ("kubernetes/base", "kubernetes/production"):
        for number, service in enumerate(objects(folder)["Service"], 12):
            ports = [(each["name"], each["port"]) for each in service["spec"]["ports"]]
            links |= service_links(service["metadata"]["name"], f"10.96.0.{number}", ports)
    (service,) = objects("kserve")["InferenceService"]
    for end in ("", "-predictor"):  # KServe makes these
        name = service["metadata"]["name"] + end
        links |= service_links(name, "10.96.0.20", [("http", 80)])
    return links


def quantity(said: Any) -> float:
    """An amount as Kubernetes writes it: a number, or one with Ki, Mi or Gi."""
    text = str(said)
    return float(text[:-2]) * UNITS[text[-2:]] if text[-2:] in UNITS else float(text)


def yaml_blocks(guide: Path) -> list[Any]:
    """The blocks of YAML in a guide."""
    return [yaml.safe_load(block.text) for block in blocks(guide) if block.language == "yaml"]


def kserve_with_grpc() -> Any:
    """KServe's runtime, changed for gRPC as the guide shows."""
    (changed,) = objects("kserve")["ServingRuntime"]
    guide = ROOT / "docs" / "guides" / "kubernetes.md"
    (shown,) = [each["spec"] for each in yaml_blocks(guide) if "spec" in each]
    (container,), (own,) = shown["containers"], changed["spec"]["containers"]
    assert container["name"] == own["name"]
    changed["spec"] |= shown | {"containers": [own | container]}
    return changed
