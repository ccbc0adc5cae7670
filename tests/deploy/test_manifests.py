"""The manifests agree with the service's settings and routes, and with each other."""

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tools.check_manifests import OTHERS, Manifest, complaint, manifests, verdict

from greengrocer import __version__
from greengrocer.assemble_limits import in_flight_bytes
from greengrocer.serving import resources
from greengrocer.serving.resources import decode_bytes
from greengrocer.settings import PREFIX, Settings
from greengrocer.web.access.keys import add_key
from support.dockerfile import steps
from support.manifests import DEPLOY, Pod, objects, pods, quantity
from support.servers import Server, clean_environment, serving

MARGIN = 5.0  # seconds to end in, when the last answer is sent
# docs/guides/production.md, Memory: what a process takes at worst
AT_REST, MODEL = 150e6, 100e6
INGRESS_KEEPS = 60.0  # seconds: ingress-nginx's upstream-keepalive-timeout
PODS = pods()
CORE = [
    each
    for _, each in manifests(DEPLOY / "kubernetes")
    if not each["apiVersion"].startswith(OTHERS)
]

every_pod = pytest.mark.parametrize("pod", PODS.values(), ids=PODS)


@every_pod
def test_the_environment_of_a_pod_is_valid_settings(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {each["name"] for each in pod.container.get("env", [])}
    assert names <= {PREFIX + name.upper() for name in Settings.model_fields}
    settings = pod.settings(monkeypatch)
    listens = {settings.port, settings.metrics_port} - {None}
    assert {port["containerPort"] for port in pod.container["ports"]} == listens
    assert settings.host == "0.0.0.0"


@every_pod
def test_a_pod_has_no_service_links_and_sets_its_port(pod: Pod) -> None:
    assert pod.links is False
    told = {each["name"]: each["value"] for each in pod.container.get("env", [])}
    flags = dict(zip(pod.arguments[::2], pod.arguments[1::2], strict=True))
    assert (told | flags).keys() & {f"{PREFIX}PORT", "--port"}


@pytest.mark.accept
@every_pod
@pytest.mark.parametrize("workers", ["", "1"], ids=["one-process", "workers"])
def test_the_service_starts_in_a_pod_with_service_links(
    pod: Pod, workers: str, fake_bundle: Path, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    add_key(keys, "till-1")
    # in the place of what a pod is told, where it is told it: what this machine has
    here = {"PORT": "0", "METRICS_PORT": "0", "API_KEYS": str(keys)}
    told = {each["name"] for each in pod.container.get("env", [])}
    environment = pod.environment() | {
        f"{PREFIX}{name}": value for name, value in here.items() if f"{PREFIX}{name}" in told
    }
    environment |= {f"{PREFIX}HOST": "127.0.0.1", f"{PREFIX}ENGINE": "fake"}
    environment |= {f"{PREFIX}DRAIN_DELAY_SECONDS": "0", f"{PREFIX}BUNDLE": str(fake_bundle)}
    if workers:
        environment[f"{PREFIX}WORKERS"] = workers
    also_here = {"8080": "0", "/mnt/models": str(fake_bundle)}
    arguments = [also_here.get(each, each) for each in pod.arguments]
    server = serving(
        subprocess.Popen(
            [sys.executable, "-m", "greengrocer", "serve", *arguments],
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment() | environment,
            bufsize=1,
        )
    )
    try:
        assert not [line for line in server.log if "GREENGROCER_PORT" in line]
        with server.client() as client:
            assert client.get("/readyz").status_code == 200
    finally:
        assert server.stop() == 0, "".join(server.log)


@every_pod
def test_the_grace_period_of_a_pod_covers_draining(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = pod.settings(monkeypatch)
    assert pod.grace >= settings.drain_delay_seconds + settings.drain_timeout_seconds + MARGIN
    probe = pod.probes["readinessProbe"]
    unready = probe["periodSeconds"] * probe["failureThreshold"] + probe.get("timeoutSeconds", 1)
    assert unready < settings.drain_delay_seconds


@every_pod
def test_the_probes_ask_existing_routes(pod: Pod, fake_server: Server) -> None:
    assert pod.probes.keys() == {"startupProbe", "livenessProbe", "readinessProbe"}
    ports = {port.get("name"): port["containerPort"] for port in pod.container["ports"]}
    with fake_server.client() as client:
        for probe in pod.probes.values():
            asked = probe["httpGet"]
            assert client.get(asked["path"]).status_code == 200
            assert ports.get(asked["port"], asked["port"]) == 8080


@every_pod
def test_the_memory_limit_of_a_pod_covers_the_service(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, limits = pod.settings(monkeypatch), pod.container["resources"]["limits"]
    threads, memory = int(quantity(limits["cpu"])), quantity(limits["memory"])
    monkeypatch.setattr(resources, "usable_memory", lambda: memory)
    decoding = settings.decode_memory_bytes or decode_bytes(threads)
    uploads = in_flight_bytes(settings, threads)
    disks = [each["emptyDir"] for each in pod.spec["volumes"] if "emptyDir" in each]
    files = sum(quantity(disk["sizeLimit"]) for disk in disks if disk.get("medium") == "Memory")
    assert memory >= AT_REST + 2 * MODEL + uploads + decoding + files
    assert pod.container["resources"]["requests"]["cpu"] == limits["cpu"]


@every_pod
def test_a_pod_has_no_unneeded_privileges(pod: Pod) -> None:
    given = pod.spec.get("securityContext", {}) | pod.container["securityContext"]
    assert given["runAsNonRoot"] is True
    assert given["readOnlyRootFilesystem"] is True
    assert given["allowPrivilegeEscalation"] is False
    assert given["capabilities"] == {"drop": ["ALL"]}
    assert given["seccompProfile"] == {"type": "RuntimeDefault"}
    (user,) = [rest for name, rest in steps((DEPLOY / "Dockerfile").read_text()) if name == "USER"]
    assert f"{given.get('runAsUser', 10001)}:{given.get('runAsGroup', 10001)}" == user
    written = {
        each["mountPath"] for each in pod.container["volumeMounts"] if "readOnly" not in each
    }
    assert written == {"/tmp"}


@every_pod
def test_the_manifests_name_this_version(pod: Pod) -> None:
    assert pod.container["image"] == f"greengrocer:{__version__}"


def labels(folder: str) -> dict[str, str]:
    (deployment,) = objects(folder)["Deployment"]
    found: dict[str, str] = deployment["spec"]["template"]["metadata"]["labels"]
    return found


def ports(folder: str) -> set[str]:
    return {port["name"] for port in PODS[folder].container["ports"]}


def chosen(selector: dict[str, str], has: dict[str, str]) -> bool:
    return selector.items() <= has.items()


@pytest.mark.parametrize("folder", ["kubernetes/base", "kubernetes/production"])
def test_services_select_the_pods(folder: str) -> None:
    for service in objects(folder)["Service"]:
        assert chosen(service["spec"]["selector"], labels(folder))
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports(folder)


def test_production_is_complete() -> None:
    folder = "kubernetes/production"
    has = objects(folder)
    (deployment,), (account,) = has["Deployment"], has["ServiceAccount"]
    spec = deployment["spec"]["template"]["spec"]
    assert spec["serviceAccountName"] == account["metadata"]["name"]
    assert account["automountServiceAccountToken"] is False
    (autoscaler,), (budget,) = has["HorizontalPodAutoscaler"], has["PodDisruptionBudget"]
    assert autoscaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert autoscaler["spec"]["minReplicas"] > budget["spec"]["maxUnavailable"]
    assert "replicas" not in deployment["spec"], "each apply would undo the autoscaler's work"
    assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    (policy,) = has["NetworkPolicy"]
    for selector in (deployment["spec"]["selector"], budget["spec"]["selector"]):
        assert chosen(selector["matchLabels"], labels(folder))
    assert chosen(policy["spec"]["podSelector"]["matchLabels"], labels(folder))
    assert policy["spec"]["egress"] == []
    let_in = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
    assert let_in == ports(folder)


def test_production_keeps_connections_for_longer_than_the_ingress(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert (
        PODS["kubernetes/production"].settings(monkeypatch).keep_alive_timeout_seconds
        > INGRESS_KEEPS
    )


def test_the_metrics_are_scraped_under_the_job_name_of_the_alerts() -> None:
    has = objects("kubernetes/production")
    (monitor,) = has["ServiceMonitor"]
    (endpoint,) = monitor["spec"]["endpoints"]
    (service,) = [
        each
        for each in has["Service"]
        if chosen(monitor["spec"]["selector"]["matchLabels"], each["metadata"]["labels"])
    ]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "greengrocer"
    alerts = DEPLOY / "observability" / "rules.yml"
    # a pod that is not there is not scraped: that there is none must page, too
    for asked in ('up{job="greengrocer"} == 0', 'absent(up{job="greengrocer"})'):
        assert asked in alerts.read_text(encoding="utf-8")


def test_kserve_mounts_what_the_runtime_serves() -> None:
    has = objects("kserve")
    (runtime,), (service,) = has["ServingRuntime"], has["InferenceService"]
    model = service["spec"]["predictor"]["model"]
    formats = {each["name"] for each in runtime["spec"]["supportedModelFormats"]}
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["modelFormat"]["name"] in formats
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]
    arguments = PODS["kserve"].container["args"]
    assert arguments[arguments.index("--bundle") + 1] == "/mnt/models"


@pytest.mark.parametrize("manifest", CORE, ids=lambda each: f"{each['kind']}")
def test_a_misspelt_field_is_reported(manifest: Manifest) -> None:
    assert complaint(manifest) == ""
    wrong: Any = copy.deepcopy(manifest)
    wrong["metadata"]["lables"] = {}
    assert "lables" in complaint(wrong)
    assert complaint(manifest | {"kind": manifest["kind"] + "s"})


def test_an_unknown_object_must_be_declared_as_foreign(tmp_path: Path) -> None:
    (manifest,) = objects("kubernetes/production")["ServiceMonitor"]
    file = tmp_path / "monitor.yaml"
    file.write_text("kind: ServiceMonitor\n")
    assert verdict(file, manifest)[1] is False
    file.write_text("# Unvalidated.\nkind: ServiceMonitor\n")
    assert verdict(file, manifest)[1] is True
