"""The Kubernetes guide: its commands match the files and the service. No cluster is used."""

import copy
import re
import shlex
from typing import Any

from tools.check_manifests import complaint, rendered

from greengrocer import __version__
from greengrocer.cli.main import build_parser
from greengrocer.settings import PREFIX, REPEATED, Settings
from support.documents import ROOT, blocks
from support.manifests import kserve_with_grpc, objects, yaml_blocks

GUIDE = ROOT / "docs" / "guides" / "kubernetes.md"
TEXT = GUIDE.read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(command.partition("|")[0])
    for block in blocks(GUIDE)
    if block.language == "sh"
    for command in block.commands()
]
PRODUCTION = "kubernetes/production"
CHART = ROOT / "deploy" / "helm" / "greengrocer"


def calls(*words: str) -> list[list[str]]:
    """The commands that begin with ``words``."""
    return [command for command in COMMANDS if command[: len(words)] == [*words]]


def test_every_command_runs_a_known_program() -> None:
    assert {command[0] for command in COMMANDS} == {
        "curl", "docker", "greengrocer", "helm", "kubectl", "make"
    }  # fmt: skip


def test_the_image_that_is_built_is_the_one_in_the_manifests() -> None:
    (build,) = calls("docker", "build")
    assert (ROOT / build[build.index("-f") + 1]).exists()
    assert build[build.index("-t") + 1] == f"greengrocer:{__version__}"


def test_every_applied_manifest_exists() -> None:
    applied = calls("kubectl", "apply")
    assert {ROOT / command[-1] for command in applied} == {
        ROOT / "deploy" / "kubernetes" / "base",
        ROOT / "deploy" / "kubernetes" / "production",
        *(ROOT / "deploy" / "kserve").glob("*.yaml"),
    }
    for _, _, kind_and_name, *_ in calls("kubectl", "port-forward"):
        assert kind_and_name == "service/greengrocer"


def test_greengrocers_own_commands_are_valid() -> None:
    own = calls("greengrocer")
    assert own
    for _, *arguments in own:
        build_parser().parse_args(arguments[: arguments.index(">")])
    names = {PREFIX + name.upper() for name in (*Settings.model_fields, *REPEATED)}
    for command in calls("kubectl", "set", "env"):
        assert command[-1].partition("=")[0] in names


def test_the_created_secret_is_the_mounted_one() -> None:
    (deployment,) = objects(PRODUCTION)["Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    (secret,) = [each["secret"]["secretName"] for each in pod["volumes"] if "secret" in each]
    (keys,) = [each for each in pod["containers"][0]["env"] if each["name"].endswith("API_KEYS")]
    made = calls("kubectl", "create", "secret", "generic")
    assert made
    for command in made:
        assert command[4] == secret
        file = command[5].removeprefix("--from-file=")
        assert keys["value"].rpartition("/")[2] == file
        assert any(f"--file {file}" in shlex.join(each) for each in calls("greengrocer"))


def test_the_table_lists_every_file_of_the_folder() -> None:
    told = re.findall(r"^\| `([a-z-]+\.yaml)` \|", TEXT, re.MULTILINE)
    folder = ROOT / "deploy" / PRODUCTION
    assert sorted(told) == sorted(file.name for file in folder.glob("*"))


def test_with_grpc_kserve_has_a_port_for_each_protocol() -> None:
    """KServe gives the first port of a pod to HTTP, and its service wants a name of each."""
    (container,) = kserve_with_grpc()["spec"]["containers"]
    arguments = container["args"]
    http, grpc = container["ports"]
    command = build_parser().parse_args(["serve", *arguments])
    assert [int(command.port), int(command.grpc_port)] == [
        each["containerPort"] for each in (http, grpc)
    ]
    assert (http["name"], grpc["name"]) == ("http1", "h2c")
    pod = {"containers": [container], "volumes": kserve_with_grpc()["spec"]["volumes"]}
    whole = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "greengrocer"}, "spec": pod}
    assert complaint(whole) == ""


def test_the_pins_of_grpc_are_those_that_are_tested() -> None:
    named = re.findall(r"`(grpcio[a-z-]*==[\d.]+)`", TEXT)
    pinned = (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8").splitlines()
    assert len(named) == 3
    assert set(named) <= set(pinned)


def test_the_lines_of_an_extra_are_its_packages_as_they_are_tested() -> None:
    pinned = (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8").splitlines()
    for guide in (TEXT, (GUIDE.parent / "traces.md").read_text(encoding="utf-8")):
        named = re.findall(r"`(opentelemetry-[a-z-]+==[\d.]+)`", guide)
        assert {each.partition("==")[0] for each in named} == {
            "opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"
        }  # fmt: skip
        assert set(named) <= set(pinned)


def test_the_outgoing_connections_fit_into_the_policy_and_the_chart() -> None:
    (shown,) = [each for each in yaml_blocks(GUIDE) if "egress" in each]
    (policy,) = objects(PRODUCTION)["NetworkPolicy"]
    assert policy["spec"]["egress"] == []
    assert complaint(policy | {"spec": policy["spec"] | shown}) == ""
    values = {"networkPolicy": {"enabled": True, **shown}}
    made = [each for _, each in rendered(CHART, values, "greengrocer")]
    (given,) = [each for each in made if each["kind"] == "NetworkPolicy"]
    assert given["spec"]["egress"] == shown["egress"]
    assert complaint(given) == ""


def test_the_volume_of_bundles_fits_into_a_pod() -> None:
    (shown,) = [each for each in yaml_blocks(GUIDE) if "volumes" in each]
    (deployment,) = objects("kubernetes/base")["Deployment"]
    changed: Any = copy.deepcopy(deployment)
    pod = changed["spec"]["template"]["spec"]
    pod["volumes"] += shown["volumes"]
    (container,) = shown["containers"]
    assert container["name"] == pod["containers"][0]["name"]
    pod["containers"][0]["volumeMounts"] += container["volumeMounts"]
    assert complaint(changed) == ""
