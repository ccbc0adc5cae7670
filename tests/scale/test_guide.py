"""The guide for clusters is right about options, settings and commands."""

import re
import shlex
import subprocess
from typing import Any

import pytest
import yaml

from greengrocer.errors import UsageError
from greengrocer.scale.metrics_port import free_listener
from greengrocer.scale.replicas import ELSEWHERE, Replicas, serve_options
from greengrocer.settings import Settings
from support.documents import ROOT, blocks
from support.ray_cluster import CONFIG, PROGRAMS, Ports, build
from support.servers import clean_environment

pytestmark = pytest.mark.leg("Ray")

GUIDE = ROOT / "docs" / "guides" / "ray-serve.md"
TEXT = GUIDE.read_text(encoding="utf-8")
INCLUDED = re.compile(r"\{literalinclude\} (\S+)")
# In Ray's environment: the address in a configuration of Serve's, and what Ray does by default.
SCHEMA = """
import sys, yaml
from ray.serve.schema import ServeDeploySchema
print(ServeDeploySchema.model_validate(yaml.safe_load(sys.stdin)).http_options.host)
"""
DEFAULTS = """
from ray.serve._private import constants
from ray.serve.config import AutoscalingConfig
print(
    constants.RAY_SERVE_HAPROXY_STATS_PORT,
    constants.RAY_SERVE_HAPROXY_METRICS_PORT,
    constants.RAY_SERVE_FALLBACK_PROXY_HTTP_PORT,
    constants.RAY_SERVE_FALLBACK_PROXY_GRPC_PORT,
    constants.RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT,
    constants.RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT,
    constants.RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT,
    constants.RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT,
    round(constants.RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S),
    round(constants.RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S),
    round(AutoscalingConfig().look_back_period_s),
)
"""


def test_every_option_documented_as_derived_is_derived() -> None:
    options = serve_options(Replicas(), Settings())
    derived = {**options, **options["autoscaling_config"]}
    said = re.findall(r"^\| `(\w+_(?:requests|s))` \|", TEXT, re.MULTILINE)
    assert len(said) > 4
    assert set(said) <= derived.keys()


def test_every_setting_documented_as_refused_is_refused() -> None:
    sentence = TEXT[TEXT.index("is refused in `args`") :].partition(".")[0]
    said = set(re.findall(r"`(\w+)`", sentence)) - {"args"}
    assert said
    assert said <= ELSEWHERE.keys()


def test_the_configuration_shown_is_the_shipped_one() -> None:
    (shown,) = INCLUDED.findall(TEXT)
    assert (GUIDE.parent / shown).resolve() == ROOT / "deploy" / "ray" / "serve-config.yaml"


def yaml_shown(name: str) -> Any:
    """The block of the guide that is the file ``name``."""
    (text,) = [block.text for block in blocks(GUIDE) if block.text.startswith(f"# {name}")]
    return yaml.safe_load(text)


def of_ray(script: str, given: str = "") -> str:
    """What a program says in Ray's environment, as it is without any variables."""
    build()
    return subprocess.run(
        [PROGRAMS / "python", "-c", script],
        env=clean_environment(),
        input=given,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout


@pytest.mark.accept
def test_on_several_machines_serve_listens_where_a_balancer_reaches_it() -> None:
    shipped = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    shown = yaml_shown("serve-config.yaml")
    assert shown["http_options"].keys() <= shipped["http_options"].keys()
    changed = shipped | {"http_options": shipped["http_options"] | shown["http_options"]}
    assert of_ray(SCHEMA, yaml.safe_dump(changed)) == "0.0.0.0\n"


@pytest.mark.accept
def test_the_documented_defaults_of_ray_are_true() -> None:
    stats, metrics, fallback, of_grpc, *ports, stays, told, seen = of_ray(DEFAULTS).split()
    assert f"| {stats}, {metrics} |" in TEXT
    assert f"| {fallback}, on the first node |" in TEXT
    assert f"and {of_grpc} would be the same" in TEXT
    assert ports == [port for span in re.findall(r"(\d{5}) to\s(\d{5})", TEXT) for port in span]
    assert f"stays for {stays} s" in TEXT
    assert f"told every {told} s" in TEXT
    assert f"the mean of the\nlast {seen}" in TEXT


def test_the_alert_uses_the_scraped_job() -> None:
    (job,) = [each["job_name"] for each in yaml_shown("prometheus.yml")["scrape_configs"]]
    (group,) = yaml_shown("greengrocer-ray-rules.yml")["groups"]
    (rule,) = group["rules"]
    alerts = (ROOT / "deploy" / "observability" / "rules.yml").read_text(encoding="utf-8")
    assert set(re.findall(r'job="([^"]+)"', rule["expr"])) == {job}
    assert f"alert: {rule['alert']}\n" in alerts
    assert job not in re.findall(r'job="([^"]+)"', alerts)


def test_the_first_free_port_is_used() -> None:
    ports = Ports()
    first = ports.take()
    with free_listener("127.0.0.1", first) as one, free_listener("127.0.0.1", first) as other:
        assert one.getsockname()[1] == first
        assert other.getsockname()[1] > first
    ports.give_back()


def test_no_port_above_the_last_one_is_tried() -> None:
    with (
        free_listener("127.0.0.1", 65_535),
        pytest.raises(UsageError, match="from 65535 to 65535 is free"),
    ):
        free_listener("127.0.0.1", 65_535)


@pytest.mark.accept
def test_every_command_accepts_its_flags() -> None:
    build()
    words = [
        shlex.split(command)
        for block in blocks(GUIDE)
        if block.language == "sh"
        for command in block.commands()
    ]
    called = [each for each in words if each[0] in ("ray", "serve")]
    assert len(called) > 3
    for program, verb, *rest in called:
        flags = {word.partition("=")[0] for word in rest if word.startswith("--")}
        told = subprocess.run(
            [PROGRAMS / program, verb, "--help"],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout
        assert flags <= set(re.findall(r"--[a-z-]+", told)), (program, verb)
