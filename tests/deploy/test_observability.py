"""The dashboard and the alerts, held against a real Prometheus that scrapes a real service."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from support.documents import ROOT, needed
from support.graphs import write_onnx_bundle
from support.hostile import fails_for_white
from support.load import load
from support.make_images import jpeg
from support.prometheus import Prometheus, prometheus
from support.servers import Server, StartServer
from support.waiting import until

HOME = ROOT / "deploy" / "observability"
RULES = HOME / "rules.yml"
DASHBOARD: dict[str, Any] = json.loads((HOME / "dashboard.json").read_text(encoding="utf-8"))
# what Grafana puts in the place of its variables
VARIABLES = {"$job": "greengrocer", "$route": ".*", "$__rate_interval": "1m", "$__range": "1m"}
COMPARISON = re.compile(r" (==|>) (?=[\d.]+)")


def expressions() -> dict[str, list[str]]:
    """The queries of each panel, as Grafana would send them."""
    found: dict[str, list[str]] = {}
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            query = target["expr"]
            for name, value in VARIABLES.items():
                query = query.replace(name, value)
            found.setdefault(panel["title"], []).append(query)
    return found


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def test_the_panels_fill_the_width_and_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (place["x"] + column, place["y"] + row)
            for column in range(place["w"])
            for row in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    rows = {row for _, row in taken}
    assert taken == {(column, row) for column in range(24) for row in rows}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_every_variable_of_the_dashboard_is_declared_and_used() -> None:
    text = json.dumps([DASHBOARD["panels"], DASHBOARD["templating"]])
    used = {f"${name}" for name in re.findall(r"\$(\w+)", text)}
    declared = {f"${each['name']}" for each in DASHBOARD["templating"]["list"]}
    assert used - {"$__rate_interval", "$__range"} == declared


def test_the_names_of_the_rules_are_unique() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names)) > 3


@contextmanager
def watched(directory: Path, server: Server) -> Iterator[Prometheus]:
    """Prometheus with the configuration that ships, but for the address and a quicker pace."""
    text = (HOME / "prometheus.yml").read_text(encoding="utf-8")
    for said, here in (
        ("127.0.0.1:8000", f"127.0.0.1:{server.port}"),
        ("interval: 15s", "interval: 500ms"),
        ("rules.yml", str(RULES)),
    ):
        assert said in text
        text = text.replace(said, here)
    (directory / "prometheus.yml").write_text(text)
    with prometheus(directory, directory / "prometheus.yml") as running:
        yield running


@pytest.mark.accept
@pytest.mark.leg("observability")
@pytest.mark.parametrize("command", ["check rules rules.yml", "test rules rules_test.yml"])
def test_promtool_accepts_the_rules_and_their_tests(command: str) -> None:
    needed("promtool")
    done = subprocess.run(
        ["promtool", *command.split()],
        cwd=HOME,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.accept
@pytest.mark.leg("observability")
def test_every_alert_has_a_test_in_which_it_is_raised_and_one_in_which_it_is_not() -> None:
    cases = yaml.safe_load((HOME / "rules_test.yml").read_text(encoding="utf-8"))["tests"]
    told = [case for each in cases for case in each["alert_rule_test"]]
    for raised in (True, False):
        names = {each["alertname"] for each in told if bool(each["exp_alerts"]) == raised}
        assert names == {rule["alert"] for rule in rules()}


@pytest.mark.accept
@pytest.mark.leg("observability")
def test_every_query_has_an_answer_under_load(serve: StartServer, tmp_path: Path) -> None:
    """A queue so short that requests are refused, and deadlines so short that some are missed.

    One model of three cannot be loaded, and the others fail on a white image.
    """
    needed("prometheus")
    flags = ["--threads", "1", "--max-batch-size", "2", "--max-queue-seconds", "0.001"]
    failing = write_onnx_bundle(tmp_path / "failing", fails_for_white())
    for bundle in (failing, f"shop={failing}", f"lost={tmp_path}"):
        flags += ["--bundle", str(bundle)]
    server = serve("--engine", "onnx", *flags)
    with (
        watched(tmp_path, server) as running,
        load(server.url, jpeg(89), clients=8) as asked,
        server.client() as client,
    ):
        until(lambda: asked.statuses[429])
        until(lambda: late(client) == 504)
        until(lambda: client.post("/predict", content=jpeg(255)).status_code == 500)
        client.post("/predict", files={"file": b"no image"})
        assert client.post("/models/lost/predict", content=jpeg(89)).status_code == 503
        for title, queries in expressions().items():
            for query in queries:
                assert answered(running, query), f"{title}: {query}"
        told = until(lambda: evaluated(running))
        assert {rule["name"] for rule in told} == {rule["alert"] for rule in rules()}
        for rule in rules():
            compared = COMPARISON.sub(r" \1 bool ", rule["expr"])  # an answer, whatever it is
            assert compared != rule["expr"]
            assert answered(running, compared), rule["alert"]
    assert {rule["health"] for rule in told} == {"ok"}


def answered(running: Prometheus, query: str) -> list[float]:
    """What a query gives, once that is something."""
    return until(lambda: running.query(query))


def late(client: httpx.Client) -> int:
    """The status of a request that hardly can be answered in time."""
    return client.post("/predict", content=jpeg(89), headers={"X-Deadline-Ms": "1"}).status_code


def evaluated(running: Prometheus) -> list[dict[str, Any]]:
    """All rules, once each was looked at."""
    told = running.rules()
    return told if all(rule["health"] != "unknown" for rule in told) else []
