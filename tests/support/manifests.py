"""The manifests in deploy/: their pods, and what the service in each is told."""

import shlex
from pathlib import Path
from typing import Any

import pytest
from tools.check_manifests import Manifest, manifests

from greengrocer.cli.main import build_parser
from greengrocer.settings import PREFIX, Settings, read_settings
from support.dockerfile import steps

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
GRACE = "terminationGracePeriodSeconds"


class Pod:
    """A pod of one container, and how long it has to end."""

    def __init__(self, spec: Manifest, grace: int) -> None:
        self.spec = spec
        self.grace = grace
        (self.container,) = spec["containers"]

    @property
    def probes(self) -> dict[str, Manifest]:
        """Its probes by name."""
        return {name: said for name, said in self.container.items() if name.endswith("Probe")}

    def settings(self, monkeypatch: pytest.MonkeyPatch) -> Settings:
        """What the service runs with: what the image sets, the environment, the arguments."""
        here = {each["name"]: each["value"] for each in self.container.get("env", [])}
        for name, value in (image_environment() | here).items():
            if name.startswith(PREFIX):
                monkeypatch.setenv(name, value)
        flags = vars(build_parser().parse_args(["serve", *self.container.get("args", [])]))
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
        found[folder] = Pod(spec, spec[GRACE])
    kserve = objects("kserve")
    (runtime,), (service,) = kserve["ServingRuntime"], kserve["InferenceService"]
    found["kserve"] = Pod(runtime["spec"], service["spec"]["predictor"][GRACE])
    return found


def quantity(said: Any) -> float:
    """An amount as Kubernetes writes it: a number, or one with Ki, Mi or Gi."""
    text = str(said)
    return float(text[:-2]) * UNITS[text[-2:]] if text[-2:] in UNITS else float(text)
