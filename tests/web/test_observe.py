"""Metrics and the access log."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from greengrocer.web.access.keys import add_key
from greengrocer.web.wire.protocol import WireLimits
from support.access import bearer, closed
from support.engines import HeldEngine
from support.live import engine_of, live, make_service
from support.make_images import jpeg
from support.scrapes import sample, scrape
from support.servers import Server, StartServer
from support.waiting import SECONDS, until
from support.wire import Wire, exchange, head, post


@pytest.fixture
def server(serve: StartServer, fake_bundle: Path) -> Server:
    return serve("--bundle", str(fake_bundle), "--engine", "fake", "--log-format", "json")


def long_path() -> bytes:
    """The head of what is too long to become a request."""
    return head("GET", "/".ljust(WireLimits().url_bytes + 1, "x"))


def send_known_traffic(client: httpx.Client) -> None:
    """Three answers, three refusals and two of what no route takes."""
    for level in (5, 100, 250):
        assert client.post("/predict", files={"file": jpeg(level)}).status_code == 200
    for bad in (b"", b"text", b"more text"):
        headers = {"Content-Type": "image/jpeg"}
        assert client.post("/predict", content=bad, headers=headers).status_code == 400
    assert client.get("/nope").status_code == 404
    assert client.get("/class-names").status_code == 200
    assert client.get("/livez").status_code == 200


def test_the_metrics_count_the_requests(server: Server) -> None:
    with server.client() as client:
        before = scrape(client)
        send_known_traffic(client)
        samples = scrape(client)
    assert sample(samples, "requests_total", route="/predict", status="200") == 3
    assert sample(samples, "requests_total", route="/predict", status="400") == 3
    assert sample(samples, "requests_total", route="/class-names", status="200") == 1
    assert sample(samples, "requests_total", route="unmatched", status="404") == 1
    assert sample(samples, "rejections_total", reason="empty-image") == 1
    assert sample(samples, "rejections_total", reason="unreadable-image") == 2
    assert sample(samples, "rejections_total", reason="not-found") == 1
    assert sample(samples, "request_seconds_count", route="/predict") == 6
    assert sample(samples, "upload_bytes_count") == 5  # the empty one is no image
    model = frozenset({("name", "greys"), ("version", "1")})
    assert samples["greengrocer_model_info", model] == 1
    for stage in ("decode_seconds", "inference_seconds"):
        began = sample(before, f"{stage}_count")  # the checks at the start run images too
        assert sample(samples, f"{stage}_count") - began == 3
        assert sample(samples, f"{stage}_sum") > sample(before, f"{stage}_sum")
    assert (
        sum(v for (name, _), v in samples.items() if name == "greengrocer_predictions_total") == 3
    )
    assert sample(samples, "in_flight") == 0
    assert sample(samples, "images_in_flight") == 0


def test_unknown_paths_make_no_new_series(server: Server) -> None:
    with server.client() as client:
        client.get("/nope")
        scrape(client)  # so that scraping itself is among the routes
        before = set(scrape(client))
        for number in range(20):
            client.get(f"/nope-{number}")
            client.get("/random-image/..%2f")
        assert set(scrape(client)) == before


def test_what_is_refused_before_its_endpoint_counts_for_its_route(
    fake_bundle: Path, tmp_path: Path
) -> None:
    key = add_key(tmp_path / "keys", "till-1")
    refused = (
        "/predict",
        "/models/greys/predict",
        "/models/other/predict",
        "/v2/models/greys/infer",
        "/v2/models/greys/versions/1/infer",
        "/nope/greys/predict",
        "/models/greys/predict/nope",
        "/models//predict",
    )
    with live(closed(fake_bundle, tmp_path / "keys")) as server, server.client() as client:
        for path in refused:
            assert client.post(path).status_code == 401
        client.headers.update(bearer(key))
        assert client.post("/v2/models/greys/infer").status_code == 400
        samples = scrape(client)
    counted = {
        labels["route"]: value
        for name, each in samples
        if name == "greengrocer_requests_total"
        and (labels := dict(each))["status"] == "401"
        and (value := samples[name, each])
    }
    assert counted == {
        "/predict": 1,
        "/models/{name}/predict": 2,
        "/v2/models/{name}/infer": 1,
        "/v2/models/{name}/versions/{version}/infer": 1,
        "unmatched": 3,
    }
    assert sample(samples, "requests_total", route="/v2/models/{name}/infer", status="400") == 1


@pytest.mark.parametrize("workers", [(), ("--workers", "1")], ids=["one process", "workers"])
def test_the_memory_of_an_upload_shows_while_it_is_received(
    serve: StartServer, fake_bundle: Path, workers: tuple[str, ...]
) -> None:
    server = serve("--bundle", str(fake_bundle), "--engine", "fake", *workers)
    with server.client() as client:

        def shown() -> float:
            return sample(scrape(client), "upload_memory_bytes")

        with Wire(server.url) as wire:
            wire.send(head("POST", "/predict", "Content-Length: 3000") + bytes(2000))
            until(lambda: shown() == 2000)
        until(lambda: shown() == 0)


def test_every_request_except_probes_is_logged_and_refused_ones_of_theirs(server: Server) -> None:
    with server.client() as client:
        send_known_traffic(client)
        client.get("/readyz")
        client.delete("/readyz")
        scrape(client)
    server.stop()
    lines = [json.loads(line) for line in server.log]
    requests = [line for line in lines if line["event"] == "request"]
    told = [(line["method"], line["path"], line["status"]) for line in requests]
    predicted = [("POST", "/predict", 200)] * 3 + [("POST", "/predict", 400)] * 3
    assert told == [
        *predicted,
        ("GET", "/nope", 404),
        ("GET", "/class-names", 200),
        ("DELETE", "/readyz", 405),
    ]
    refused = [line["refused"] for line in requests if "refused" in line]
    assert refused == [
        "empty-image",
        "unreadable-image",
        "unreadable-image",
        "not-found",
        "method-not-allowed",
    ]
    assert len({line["request_id"] for line in requests}) == len(requests)


def test_the_logged_time_is_that_of_the_request_in_milliseconds(fake_bundle: Path) -> None:
    engine = engine_of(HeldEngine, fake_bundle).hold()
    service = replace(make_service(fake_bundle, engine), access_log=True)
    with capture_logs() as logs, live(service) as running, ThreadPoolExecutor(1) as pool:
        began = time.perf_counter()
        answer = pool.submit(exchange, running.url, post(jpeg(5)))
        assert engine.busy.wait(SECONDS)
        busy = time.perf_counter()
        for _ in range(5):
            assert exchange(running.url, head("GET", "/livez")).status == 200
        held = time.perf_counter() - busy
        engine.release.set()
        assert answer.result(SECONDS).status == 200
        (line,) = until(lambda: [line for line in logs if line["event"] == "request"])
        whole = time.perf_counter() - began
    assert 1000 * held - 0.01 <= line["milliseconds"] <= 1000 * whole + 0.01  # it is rounded


def logged(server: Server, event: str) -> list[str | None]:
    """The addresses of all lines of ``event``."""
    server.stop()
    lines = map(json.loads, server.log)
    return [line.get("address") for line in lines if line["event"] == event]


def test_every_line_has_the_address_of_its_client(server: Server) -> None:
    sent = [head("GET", "/class-names", "X-Forwarded-For: 192.0.2.1"), head("GET", "/nope")]
    sent += [b"no request\r\n\r\n", long_path()]
    for each in sent:
        exchange(server.url, each)
    assert logged(server, "request") == ["127.0.0.1"] * 2
    assert logged(server, "no request") == ["127.0.0.1"] * 2


@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["one process", "workers"])
def test_behind_a_trusted_proxy_the_named_address_is_logged(
    serve: StartServer, fake_bundle: Path, tmp_path: Path, workers: tuple[str, ...]
) -> None:
    keys = tmp_path / "keys"
    add_key(keys, "till")
    flags = ("--trusted-proxies", "127.0.0.1,10.0.0.0/8", "--api-keys", str(keys))
    fake = ("--bundle", str(fake_bundle), "--engine", "fake", "--log-format", "json")
    server = serve(*fake, *flags, *workers)
    told = {
        "192.0.2.7": "192.0.2.7",
        "192.0.2.8, 2001:db8:1:2::3, 10.1.1.1": "2001:db8:1:2::3",
        "::ffff:192.0.2.9": "192.0.2.9",
        "a%1b[2Jforged": "unknown",
        "10.0.0.1": "10.0.0.1",
    }
    for said in told:
        exchange(server.url, head("GET", "/class-names", f"X-Forwarded-For: {said}"))
    exchange(server.url, head("GET", "/class-names"))
    assert sorted(map(str, logged(server, "request"))) == sorted([*told.values(), "127.0.0.1"])


def test_the_line_of_the_start_names_the_engine(server: Server) -> None:
    (line,) = [line for line in server.log if "serving" in line]
    assert json.loads(line)["engine"] == "fake"


def test_addresses_can_be_omitted_from_the_log(serve: StartServer, fake_bundle: Path) -> None:
    fake = ("--bundle", str(fake_bundle), "--engine", "fake", "--log-format", "json")
    server = serve(*fake, "--log-addresses", "false")
    exchange(server.url, head("GET", "/nope"))
    exchange(server.url, long_path())
    assert logged(server, "request") == logged(server, "no request") == [None]
    assert "127.0.0.1" not in "".join(line for line in server.log if "serving" not in line)


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_path_cannot_forge_a_log_line(serve: StartServer, fake_bundle: Path, style: str) -> None:
    server = serve("--bundle", str(fake_bundle), "--engine", "fake", "--log-format", style)
    for path in ("/a%0aforged", "/a%0d%0aforged", "/a%1b[2Jforged", "/%e2%80%a8forged"):
        assert exchange(server.url, head("GET", path)).status == 404
    server.stop()
    log = "".join(server.log)
    told = [line for line in log.splitlines() if "forged" in line]
    assert len(told) == 4
    assert all("request" in line and "not-found" in line for line in told)
    assert "\x1b" not in log


def test_an_invalid_request_is_counted_and_logged(server: Server) -> None:
    answers = [exchange(server.url, b"no request\r\n\r\n"), exchange(server.url, long_path())]
    with server.client() as client:
        samples = scrape(client)
    server.stop()
    told = [line for line in map(json.loads, server.log) if line["event"] == "no request"]
    for answer, line, code in zip(answers, told, ("bad-request", "uri-too-long"), strict=True):
        assert (line["status"], line["refused"]) == (answer.status, code)
        assert line["request_id"] == answer.headers["x-request-id"]
        assert sample(samples, "rejections_total", reason=code) == 1


def test_the_access_log_can_be_turned_off(serve: StartServer, fake_bundle: Path) -> None:
    server = serve("--bundle", str(fake_bundle), "--engine", "fake", "--access-log", "false")
    with server.client() as client:
        send_known_traffic(client)
    exchange(server.url, long_path())
    server.stop()
    log = "".join(server.log)
    assert "/predict" not in log
    assert "uri-too-long" not in log


def test_each_probe_answers_its_own_question(server: Server) -> None:
    with server.client() as client:
        assert client.get("/livez").json() == {"status": "alive"}
        assert client.get("/readyz").json() == {"status": "ready"}
        assert client.get("/metrics").headers["content-type"].startswith("text/plain; version=")
