"""Traces: what a collector receives of a request, in one process and with workers."""

import json
import secrets
import socket
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from greengrocer.version import __version__
from support import bare
from support.collector import SERVER, Collector, ReceivedSpan, collector
from support.commands import run
from support.make_images import jpeg
from support.servers import Server, StartServer, start_server
from support.wire import exchange, head

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
STAGES = ["admit", "queue", "decode", "infer", "rank"]


@pytest.fixture(scope="module")
def spans() -> Iterator[Collector]:
    """A collector that runs."""
    with collector() as running:
        yield running


@pytest.fixture(scope="module")
def traced(fake_bundle: Path, spans: Collector) -> Iterator[Server]:
    """A service that exports to it."""
    server = start(start_server, fake_bundle, spans.environment())
    yield server
    assert server.stop() == 0
    # whatever clients sent, OpenTelemetry has logged nothing of it
    assert {json.loads(line)["level"] for line in server.log} == {"info"}


def start(serve: StartServer, bundle: Path, environment: dict[str, str], *flags: str) -> Server:
    """A service with traces, by the fake engine."""
    fake = ("--bundle", str(bundle), "--engine", "fake", "--log-format", "json")
    return serve(*fake, "--traces", "true", *flags, **environment)


def predict(server: Server, **headers: str) -> httpx.Response:
    """The answer to an image."""
    with server.client() as client:
        return client.post("/predict", files={"file": jpeg(100)}, headers=headers)


def named(reply: httpx.Response) -> tuple[str, str, bool]:
    """The trace and span that an answer names, and whether they are sampled."""
    version, trace, span, flags = reply.headers["traceresponse"].split("-")
    assert version == "00"
    return trace, span, bool(int(flags, 16) & 1)


def children(trace: list[ReceivedSpan], parent: ReceivedSpan) -> list[str]:
    """The names of the spans below another, each within its time."""
    found = [span for span in trace if span.parent_id == parent.span_id]
    assert all(parent.began <= span.began <= span.ended <= parent.ended for span in found)
    return [span.name for span in found]


@pytest.mark.parametrize("workers", [(), ("--workers", "1")], ids=["one process", "workers"])
def test_a_request_becomes_a_span_with_one_for_each_stage(
    serve: StartServer, fake_bundle: Path, spans: Collector, workers: tuple[str, ...]
) -> None:
    server = start(serve, fake_bundle, spans.environment(), *workers)
    trace = secrets.token_hex(16)
    sent = {"traceparent": f"00-{trace}-{PARENT}-01", "User-Agent": "till", "X-Request-Id": "r-1"}
    reply = predict(server, **sent)
    same, span, sampled = named(reply)
    assert (same, sampled) == (trace, True)
    request, *others = spans.trace(trace)
    assert (request.span_id, request.parent_id, request.kind) == (span, PARENT, SERVER)
    assert request.name == "POST /predict"
    assert not request.failed
    assert request.attributes == {
        "http.request.method": "POST",
        "url.path": "/predict",
        "url.scheme": "http",
        "http.route": "/predict",
        "http.response.status_code": 200,
        "network.protocol.version": "1.1",
        "user_agent.original": "till",
        "server.address": "127.0.0.1",
        "server.port": server.port,
        "client.address": "127.0.0.1",
        "triton.request_id": "r-1",
    }
    assert request.resource["service.name"] == "greengrocer"
    assert request.resource["service.version"] == __version__
    assert children([request, *others], request) == ["upload", "classify"]
    image = next(each for each in others if each.name == "classify")
    assert image.attributes == {
        "triton.model_name": "greys",
        "triton.model_version": "1",
        "triton.request_id": "r-1",
    }
    assert children(others, image) == STAGES
    stages = [each for each in others if each.parent_id == image.span_id]
    assert all(first.ended == second.began for first, second in pairwise(stages))


def test_without_a_trace_from_the_client_one_begins(traced: Server, spans: Collector) -> None:
    trace, span, sampled = named(predict(traced))
    assert sampled
    request = spans.trace(trace)[0]
    assert (request.span_id, request.parent_id) == (span, "")


def test_an_explanation_has_its_overlay_as_a_stage(traced: Server, spans: Collector) -> None:
    with traced.client() as client:
        reply = client.post("/explain", files={"file": jpeg(100)})
    assert reply.status_code == 200, reply.text
    names = [span.name for span in spans.trace(named(reply)[0])]
    assert names == ["POST /explain", "upload", "classify", *STAGES, "overlay"]


def test_each_image_of_a_request_has_stages_of_its_own(traced: Server, spans: Collector) -> None:
    files = [("file", jpeg(level)) for level in (5, 100, 250)]
    files.append(("file", b"no image"))
    with traced.client() as client:
        reply = client.post("/predict/batch", files=files)
    trace = spans.trace(named(reply)[0])
    images = [span for span in trace if span.name == "classify"]
    assert [children(trace, image) for image in images[:3]] == [STAGES] * 3
    assert len(images) == 3, "what is no image gets no place in the queue"


def test_a_model_of_several_is_named_by_route_and_version(
    serve: StartServer, fake_bundle: Path, spans: Collector
) -> None:
    server = start(serve, fake_bundle, spans.environment(), "--bundle", f"shop={fake_bundle}")
    with server.client() as client:
        server.until_logged(lambda: client.get("/class-names").status_code)
        reply = client.post("/models/shop/predict", files={"file": jpeg(100)})
    request, *others = spans.trace(named(reply)[0])
    assert request.name == "POST /models/{name}/predict"
    (image,) = [span for span in others if span.name == "classify"]
    assert image.attributes["triton.model_name"] == "shop"


def test_a_refusal_is_named_and_only_a_failure_of_ours_is_an_error(
    traced: Server, spans: Collector
) -> None:
    with traced.client() as client:
        bad = client.post("/predict", files={"file": jpeg(1)[:200]})
        late = client.post("/predict", files={"file": jpeg(1)}, headers={"X-Deadline-Ms": "1"})
        lost = client.get("/nope?key=secret")
    assert (bad.status_code, late.status_code, lost.status_code) == (400, 504, 404)
    told = {}
    for reply in (bad, late, lost):
        request = spans.trace(named(reply)[0])[0]
        error = request.attributes.get("error.type")
        told[request.attributes["greengrocer.refused"]] = (request.name, request.failed, error)
        assert "secret" not in str(request)
    assert told == {
        "unreadable-image": ("POST /predict", False, None),
        "deadline-exceeded": ("POST /predict", True, "deadline-exceeded"),
        "not-found": ("GET", False, None),
    }


def test_log_lines_have_the_ids_of_the_trace(traced: Server) -> None:
    trace, span, _ = named(predict(traced, **{"X-Request-Id": "r-log"}))
    (line,) = traced.until_logged(lambda: [line for line in traced.log if "r-log" in line])
    told = json.loads(line)
    assert (told["trace_id"], told["span_id"], told["request_id"]) == (trace, span, "r-log")


@pytest.mark.accept
@pytest.mark.parametrize("workers", [(), ("--workers", "1")], ids=["one process", "workers"])
def test_what_waits_is_exported_at_the_end(
    serve: StartServer, fake_bundle: Path, workers: tuple[str, ...]
) -> None:
    with collector() as spans:
        environment = spans.environment(OTEL_BSP_SCHEDULE_DELAY="3600000")
        server = start(serve, fake_bundle, environment, *workers)
        predict(server, **SAMPLED)
        assert not spans.spans
        assert server.stop() == 0
        assert len(spans.trace(TRACE)) == 3 + len(STAGES)


def test_the_client_decides_and_else_the_sampler(serve: StartServer, fake_bundle: Path) -> None:
    never = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}
    named_otherwise = {"OTEL_SERVICE_NAME": "till", "OTEL_RESOURCE_ATTRIBUTES": "shop=7"}
    with collector() as spans:
        server = start(serve, fake_bundle, spans.environment(**never, **named_otherwise))
        assert not named(predict(server))[2]
        not_sampled = {"traceparent": f"00-{'1' * 32}-{PARENT}-00"}
        assert named(predict(server, **not_sampled))[::2] == ("1" * 32, False)
        assert named(predict(server, **SAMPLED))[2]
        with server.client() as client:
            for path in ("/livez", "/readyz", "/metrics"):  # probes and scrapes have no trace
                assert "traceresponse" not in client.get(path, headers=SAMPLED).headers
        assert server.stop() == 0
    assert {span.trace_id for span in spans.spans} == {TRACE}
    assert [span.name for span in spans.spans if span.kind == SERVER] == ["POST /predict"]
    resource = spans.spans[0].resource
    assert (resource["service.name"], resource["shop"]) == ("till", "7")


HOSTILE = {
    "empty": [("traceparent", "")],
    "not hex": [("traceparent", f"00-{'g' * 32}-{PARENT}-01")],
    "upper case": [("traceparent", f"00-{TRACE.upper()}-{PARENT}-01")],
    "zeros": [("traceparent", f"00-{'0' * 32}-{PARENT}-01")],
    "no span": [("traceparent", f"00-{TRACE}-{'0' * 16}-01")],
    "more fields": [("traceparent", f"00-{TRACE}-{PARENT}-01-more")],
    "version ff": [("traceparent", f"ff-{TRACE}-{PARENT}-01")],
    "long": [("traceparent", f"00-{TRACE}-{PARENT}-01" + "-" * 8000)],
    "twice": [("traceparent", f"00-{TRACE}-{PARENT}-01")] * 2,
    "bytes": [("traceparent", "\xff\x80" * 20)],
}
STATES = {
    "many": ",".join(f"k{number}=v" for number in range(33)),
    "long": "k=" + "v" * 9000,
    "no pairs": "====,,,\x80",
    "twice": "k=1,k=2",
    "capitals": "K=1",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_malformed_traceparent_begins_a_new_trace(traced: Server, case: str) -> None:
    fields = [f"{name}: {value}" for name, value in HOSTILE[case]]
    answer = exchange(traced.url, head("GET", "/class-names", *fields))
    assert answer.status == 200
    assert TRACE not in answer.headers["traceresponse"].lower()


@pytest.mark.parametrize("case", STATES)
def test_a_malformed_tracestate_is_dropped_and_its_trace_is_kept(
    traced: Server, spans: Collector, case: str
) -> None:
    trace = secrets.token_hex(16)
    fields = [f"traceparent: 00-{trace}-{PARENT}-01", f"tracestate: {STATES[case]}"]
    answer = exchange(traced.url, head("GET", "/class-names", *fields))
    assert (answer.status, answer.headers["traceresponse"].split("-")[1]) == (200, trace)
    assert spans.trace(trace)[0].state == ""


def test_a_tracestate_is_kept(traced: Server, spans: Collector) -> None:
    trace, state = secrets.token_hex(16), "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"
    predict(traced, traceparent=f"00-{trace}-{PARENT}-01", tracestate=state)
    assert {span.state for span in spans.trace(trace)} == {state}


def test_a_path_that_no_client_should_send_is_exported(traced: Server, spans: Collector) -> None:
    answer = exchange(traced.url, head("GET", "/%ff%00%ed%a0%80" + "a" * 3000))
    assert answer.status == 404
    (request,) = spans.trace(answer.headers["traceresponse"].split("-")[1])
    path = str(request.attributes["url.path"])
    assert path.startswith("/")
    assert len(path) <= 256


@pytest.mark.accept
def test_a_collector_that_is_down_is_said_once_and_again_when_it_is_back(
    serve: StartServer, fake_bundle: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "4",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        "OTEL_BSP_MAX_QUEUE_SIZE": "20",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "10",
    }
    server = start(serve, fake_bundle, environment)

    def lines(said: str) -> list[str]:
        return [line for line in server.log if said in line]

    for _ in range(20):
        assert predict(server).status_code == 200
    server.until_logged(lambda: lines("cannot be exported"))
    for _ in range(20):
        assert predict(server).status_code == 200
    with collector(port) as spans:
        server.until_logged(lambda: predict(server) and lines("exported again"))
        assert spans.spans
        assert server.stop() == 0
    (failed,), (again,) = lines("cannot be exported"), lines("exported again")
    assert "Connection refused" in json.loads(failed)["reason"]
    assert "reason" not in json.loads(again)
    assert [line for line in server.log if "opentelemetry" in line.lower()] == []


@pytest.mark.accept
def test_a_collector_that_never_answers_does_not_hold_up_the_end(
    serve: StartServer, fake_bundle: Path
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_EXPORTER_OTLP_TIMEOUT": "3600",
            "OTEL_BSP_SCHEDULE_DELAY": "1",
        }
        server = start(serve, fake_bundle, environment)
        assert predict(server).status_code == 200
        assert server.stop() == 0


def test_the_slowest_requests_lead_to_their_traces(traced: Server) -> None:
    assert led_to(traced, named(predict(traced))[0])


@pytest.mark.accept
def test_with_workers_every_process_gives_the_newest_of_all(
    serve: StartServer, fake_bundle: Path, spans: Collector
) -> None:
    server = start(serve, fake_bundle, spans.environment(), "--workers", "2")
    server.until_serving(2)
    for _ in range(8):  # connections are shared out by chance
        assert led_to(server, named(predict(server))[0])


def led_to(server: Server, trace: str) -> bool:
    """Whether the metrics lead to the trace of the last request."""
    with server.client() as client:
        plain = client.get("/metrics")
        exposition = client.get("/metrics", headers={"Accept": "application/openmetrics-text"})
    assert plain.headers["content-type"].startswith("text/plain")
    assert exposition.headers["content-type"].startswith("application/openmetrics-text")
    assert trace not in plain.text
    parsed = text_string_to_metric_families(exposition.text)  # type: ignore[no-untyped-call]
    led = {
        family.name
        for family in parsed
        for sample in family.samples
        if sample.exemplar is not None and sample.exemplar.labels["trace_id"] == trace
    }
    return led == {"greengrocer_request_seconds", "greengrocer_model_seconds"}


@pytest.mark.parametrize("workers", [(), ("--workers", "1")], ids=["one process", "workers"])
@pytest.mark.parametrize(
    ("variable", "value"),
    [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "9999")],
)
def test_a_variable_that_cannot_be_obeyed_is_refused_at_the_start(
    fake_bundle: Path, workers: tuple[str, ...], variable: str, value: str
) -> None:
    fake = ("--bundle", str(fake_bundle), "--engine", "fake", "--port", "0")
    done = run("serve", *fake, "--traces", "true", *workers, environment={variable: value})
    assert done.returncode == 2, done.stderr
    assert "OTEL_" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("greengrocer: ")


def test_without_the_extra_traces_are_refused_and_it_is_named(fake_bundle: Path) -> None:
    fake = ("--bundle", str(fake_bundle), "--engine", "fake", "--port", "0")
    done = run("serve", *fake, "--traces", "true", environment=bare.environment(bare.TRACES))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "pip install 'greengrocer[otel]'" in done.stderr
