import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from benchmarks.load import picture_request, run_load
from benchmarks.peers.contenders import OURS, TUNED
from benchmarks.peers.measure import measure
from benchmarks.peers.page import page
from benchmarks.peers.results import Results, Run
from benchmarks.photos import enlarge
from benchmarks.processes import least_server
from benchmarks.read_images import read_images
from benchmarks.scenarios import gpu

SECONDS = 0.3


class Moody(socketserver.StreamRequestHandler):
    """Does to a request what its image says: answers well, answers 503, or hangs up."""

    def handle(self) -> None:
        while length := self._length():
            wish = self.rfile.read(length)
            if wish == b"hang up":
                return
            self.wfile.write(b"HTTP/1.1 " + wish + b"\r\nContent-Length: 2\r\n\r\nok")

    def _length(self) -> int:
        length = 0
        while (line := self.rfile.readline()).strip():
            if line.startswith(b"content-length"):
                length = int(line.partition(b":")[2])
        return length


@contextmanager
def moody() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Moody) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_a_refusal_is_counted_as_an_error() -> None:
    wishes = [picture_request(wish) for wish in (b"200 OK", b"503 Service Unavailable")]
    with moody() as port:
        outcome = run_load(port, wishes, 2, SECONDS)
    assert outcome.errors > 0
    assert abs(outcome.errors - len(outcome.latencies)) <= 2  # each client alternates


def test_a_broken_connection_is_an_error_and_the_client_continues() -> None:
    wishes = [picture_request(wish) for wish in (b"200 OK", b"hang up")]
    with moody() as port:
        outcome = run_load(port, wishes, 1, SECONDS)
    assert outcome.errors > 1
    assert len(outcome.latencies) > 1


def test_with_a_stopped_service_every_request_is_an_error() -> None:
    with moody() as port:
        pass
    outcome = run_load(port, [picture_request(b"")], 2, SECONDS)
    assert outcome.latencies == []
    assert outcome.errors >= 2


def test_an_answer_whose_headers_begin_with_capitals_is_read_whole() -> None:
    wish = picture_request(b"200 OK\r\nInference-Header-Content-Length: 1")
    with moody() as port:
        outcome = run_load(port, [wish], 1, SECONDS)
    assert outcome.errors == 0
    assert len(outcome.latencies) > 1


def test_the_least_server_classifies_small_and_large_images() -> None:
    small = read_images(None)[0]
    images = [small, enlarge(small, seed=0)]
    with least_server("fast") as server:
        answered = run_load(server.port, list(map(picture_request, images)), 2, SECONDS)
        failed = run_load(server.port, [picture_request(small[:200])], 1, SECONDS)
    assert answered.errors == 0
    assert len(answered.latencies) >= 2
    assert failed.latencies == []
    assert failed.errors > 0


@pytest.mark.accept
def test_triton_names_the_classes_that_we_name(tmp_path: Path) -> None:
    results = measure("fast", None, 1, SECONDS, tmp_path / "peers.json", ["pytriton"])
    assert results.measured() == [OURS, "Triton", "Triton" + TUNED]
    assert all(run.errors == 0 for run in results.runs)


def run(contender: str, rate: float, latencies: list[float], errors: int = 0) -> Run:
    return Run(
        contender=contender,
        pictures="stamps",
        clients=16,
        rate=rate,
        latencies=latencies,
        errors=errors,
        processor_seconds=0.1,
    )


def test_the_page_shows_pooled_rounds_and_excluded_contenders() -> None:
    results = Results(
        bundle="fruit",
        machine="A machine",
        rounds=3,
        seconds=1,
        pictures={"stamps": "2 of 1 kB on average"},
        agreement={OURS: 1.0, "Quick": 0.97, "Silent": 0.98, "Wrong": 0.5},
        bare={"stamps": [135, 400, 160]},
        notes={OURS: "as it ships", "Quick": "", "Silent": "", "Wrong": ""},
        runs=[
            *(run(OURS, rate, [10.0, 20.0]) for rate in (90, 300, 120)),
            *(run("Silent", 0, [], errors=7) for _ in range(3)),
            *(run("Quick", rate, [30.0, 40.0], errors=1) for rate in (45, 100, 40)),
        ],
    )
    told = page(results, {"stamps": "stamps.svg"})
    # Each round is compared with itself: 2, 3 and 3 times as fast.
    assert "| stamps: times the rate of the best peer, as documented | 3.00 (Quick) |" in told
    bare = "stamps: the bare pipeline, times the rate of the best peer, as documented"
    assert f"| {bare} | 4.00 |" in told
    assert "| stamps: p99, ours / the lowest of the peers | 20 / 40 ms |" in told
    assert f"| {OURS} | 16 | 120.0 | 15.0 | 20.0 | 50.0 | 0 |" in told
    assert "| Quick | 16 | 45.0 | 35.0 | 40.0 | 50.0 | 3 |" in told
    assert "| Silent | 16 | 0.0 | inf | inf | inf | 21 |" in told
    assert "| Wrong | 50.0% | does not count |" in told
    assert "founding" not in told.split("## How many times")[1]


def test_without_a_gpu_the_page_says_why_nothing_was_measured() -> None:
    told = gpu.run("fast", None, 1, SECONDS)
    assert told.count("Not measured: ") == len(gpu.ENGINES)
    assert "|" not in told


def test_the_page_of_a_gpu_has_each_batch_size_and_number_of_clients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gpu, "DEVICE", "cpu")  # stands in for a GPU
    monkeypatch.setattr(gpu, "ENGINES", ("onnx",))
    monkeypatch.setattr(gpu, "BATCHES", (1, 3))
    monkeypatch.setattr(gpu, "CLIENTS", (1, 2))
    monkeypatch.setattr(gpu, "WARMUP_SECONDS", SECONDS)
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in gpu.run("fast", None, 1, SECONDS).splitlines()
        if line.startswith("| ") and "-" not in line
    ]
    alone, served = rows[:3], rows[3:]
    assert [row[0] for row in alone] == ["images in a batch", "1", "3"]
    assert [row[0] for row in served] == ["clients", "1", "2"]
    assert all(float(row[1]) > 0 for row in (*alone[1:], *served[1:]))
