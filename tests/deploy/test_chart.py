"""The Helm chart gives what the manifests have, and refuses values that make no sense."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_python import HelmError, lint
from tools.check_manifests import OTHERS, Manifest, complaint, rendered

from greengrocer import __version__
from greengrocer.read_settings import RENAMED, read_settings
from greengrocer.settings import PREFIX
from support.documents import ROOT, blocks
from support.manifests import DEPLOY, objects

CHART = DEPLOY / "helm" / "greengrocer"
PRODUCTION = yaml.safe_load((CHART.parent / "production.yaml").read_text(encoding="utf-8"))
INSTANCE = "app.kubernetes.io/instance"
# What the manifests leave to Kubernetes, or to the operator.
BEYOND_BASE = ("serviceAccountName", "topologySpreadConstraints", "securityContext")
EVERYTHING: Manifest = PRODUCTION | {
    "bundles": ["grocery", "shop=s3://models/shop"],
    "workers": 2,
    "grpc": {"port": 8001},
    "env": [{"name": "AWS_REGION", "value": "eu-central-1"}],
    "ingress": {"enabled": True, "host": "greengrocer.example", "tlsSecret": "tls"},
    "networkPolicy": {"enabled": True, "egress": [{"ports": [{"port": 443}]}]},
}


def made(values: Manifest, release: str = "greengrocer") -> dict[str, list[Manifest]]:
    """The objects by kind."""
    found: dict[str, list[Manifest]] = {}
    for _, manifest in rendered(CHART, values, release):
        found.setdefault(manifest["kind"], []).append(manifest)
    return found


def pod(has: dict[str, list[Manifest]]) -> Manifest:
    """The specification of the pods."""
    (deployment,) = has["Deployment"]
    spec: Manifest = deployment["spec"]["template"]["spec"]
    return spec


def variables(spec: Manifest) -> dict[str, str]:
    """The environment of a pod."""
    return {each["name"]: each["value"] for each in spec["containers"][0]["env"]}


def plain(tree: Any) -> Any:
    """A tree without the release's label, and with the environment in order."""
    if isinstance(tree, dict):
        kept = {name: plain(each) for name, each in tree.items() if name != INSTANCE}
        if "env" in kept:
            known = (each for each in kept["env"] if each["name"] != f"{PREFIX}BUNDLES")
            kept["env"] = sorted(known, key=lambda each: each["name"])
        kept.pop("imagePullPolicy", None)
        return kept
    return [plain(each) for each in tree] if isinstance(tree, list) else tree


def test_the_defaults_give_the_pods_of_the_base() -> None:
    mine, base = (plain(pod(each)) for each in (made({}), objects("kubernetes/base")))
    beyond = {name: mine.pop(name) for name in BEYOND_BASE}
    base.pop("securityContext")
    assert mine == base
    assert beyond["securityContext"]["runAsNonRoot"] is True
    assert made({}).keys() == {"Deployment", "Service", "ServiceAccount"}


def test_the_values_of_production_give_the_objects_of_production() -> None:
    mine, manifests = made(PRODUCTION), objects("kubernetes/production")
    assert mine.keys() == manifests.keys()
    for kind, expected in manifests.items():
        found = {each["metadata"]["name"]: plain(each.get("spec")) for each in mine[kind]}
        wanted = {each["metadata"]["name"]: plain(each.get("spec")) for each in expected}
        assert found == wanted, kind


@pytest.mark.parametrize(
    "values", [{}, PRODUCTION, EVERYTHING], ids=["defaults", "production", "all"]
)
def test_every_object_is_valid_and_every_variable_a_setting(
    values: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    for manifest in [each for several in made(values).values() for each in several]:
        if not manifest["apiVersion"].startswith(OTHERS):
            assert complaint(manifest) == ""
    for name, value in variables(pod(made(values))).items():
        monkeypatch.setenv(name, value)
    assert read_settings({}).port == 8080


def test_numbers_of_settings_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"max_image_pixels": 24_000_000, "batch_wait_seconds": 0.002, "access_log": False}
    for name, value in variables(pod(made({"settings": given}))).items():
        monkeypatch.setenv(name, value)
    settings = read_settings({})
    assert {name: getattr(settings, name) for name in given} == given


def test_a_bundle_at_an_address_gets_a_volume_that_the_service_may_write() -> None:
    spec = pod(made(EVERYTHING))
    cache = variables(spec)[f"{PREFIX}BUNDLE_CACHE"]
    (mount,) = [m for m in spec["containers"][0]["volumeMounts"] if m["mountPath"] == cache]
    (volume,) = [each for each in spec["volumes"] if each["name"] == mount["name"]]
    assert volume["emptyDir"] == {"sizeLimit": "1Gi"}
    assert spec["securityContext"]["fsGroup"] == spec["securityContext"]["runAsGroup"]
    assert variables(spec)[f"{PREFIX}BUNDLES"] == "grocery,shop=s3://models/shop"


def test_a_delay_of_zero_is_no_delay() -> None:
    drain = {"drain_delay_seconds": 0, "drain_timeout_seconds": 30}
    assert made({"settings": drain, "terminationGracePeriodSeconds": 33})


def test_further_volumes_are_mounted() -> None:
    claim = {"name": "shop", "persistentVolumeClaim": {"claimName": "bundles", "readOnly": True}}
    mount = {"name": "shop", "mountPath": "/bundles", "readOnly": True}
    spec = pod(made(EVERYTHING | {"volumes": [claim], "volumeMounts": [mount]}))
    assert claim in spec["volumes"]
    assert mount in spec["containers"][0]["volumeMounts"]


def test_the_ingress_leads_to_the_service() -> None:
    has = made(EVERYTHING, "shop")
    (ingress,) = has["Ingress"]
    (path,) = ingress["spec"]["rules"][0]["http"]["paths"]
    (service,) = [each for each in has["Service"] if "component" not in str(each["metadata"])]
    assert path["backend"]["service"]["name"] == service["metadata"]["name"] == "shop-greengrocer"
    (deployment,) = has["Deployment"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()


def test_grpc_reaches_the_pods_by_its_port() -> None:
    has = made(EVERYTHING)
    container = pod(has)["containers"][0]
    named = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert named["grpc"] == 8001 == int(variables(pod(has))[f"{PREFIX}GRPC_PORT"])
    (service,) = [each for each in has["Service"] if "component" not in str(each["metadata"])]
    ports = {each["name"]: each for each in service["spec"]["ports"]}
    assert ports["grpc"] == {"name": "grpc", "port": 8001, "targetPort": "grpc"}
    (policy,) = has["NetworkPolicy"]
    assert policy["spec"]["ingress"][0] == {"ports": [{"port": "http"}, {"port": "grpc"}]}


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"bundels": ["fast"]}, "bundels"),
        ({"settings": {"port": 9000}}, "port"),
        ({"settings": {"grpc_port": 8001}}, "grpc_port"),
        ({"workers": 0}, "workers"),
        ({"terminationGracePeriodSeconds": 35}, "must be longer than drain_delay_seconds"),
        ({"settings": {"drain_delay_seconds": "40"}}, "must be longer than drain_delay_seconds"),
        *(({"settings": {old: 20}}, old) for old in RENAMED),
        ({"volumes": [{"emptyDir": {}}]}, "name"),
        ({"metrics": {"serviceMonitor": {"enabled": True}}}, "needs metrics.port"),
        ({"grpc": {"port": 8080}}, "must not be 8080: the pods have HTTP there"),
        ({"metrics": {"port": 8080}}, "must not be 8080: the pods have HTTP there"),
        ({"grpc": {"port": 80}}, "must not be 80: the Service has HTTP there"),
        ({"grpc": {"port": 9000}, "metrics": {"port": 9000}}, "must not be the same"),
        (
            {"autoscaling": {"enabled": True, "minReplicas": 11}},
            r"autoscaling\.minReplicas must not be above autoscaling\.maxReplicas",
        ),
    ],
)
def test_values_that_make_no_sense_are_refused(values: Manifest, why: str) -> None:
    with pytest.raises(HelmError, match=why):
        made(values)


def test_the_chart_is_sound_and_names_this_version() -> None:
    assert lint(CHART)["errors"] == []
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert {chart["version"], chart["appVersion"]} == {__version__}


def test_the_commands_of_the_guide_name_the_chart_and_its_values() -> None:
    guide = ROOT / "docs" / "guides" / "kubernetes.md"
    shells = [block for block in blocks(guide) if block.language == "sh"]
    commands = [shlex.split(each) for block in shells for each in block.commands()]
    named = [each for command in commands if command[0] == "helm" for each in command]
    files = {ROOT / each for each in named if each.startswith("deploy/")}
    assert files == {CHART, CHART.parent / "production.yaml"}
    assert all(map(Path.exists, files))
