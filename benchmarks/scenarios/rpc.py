"""gRPC beside ``/v2`` with binary data: the same images, the same service, in turn."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import orjson
from tqdm import tqdm

from benchmarks.load import Outcome, request, run_load
from benchmarks.processes import free_port, processor_seconds, service
from benchmarks.read_images import read_images
from benchmarks.rpc_load import run_rpc_load
from greengrocer.rpc.messages.open_inference_pb2 import ModelInferRequest

WARMUP_SECONDS = 2.0
CLIENTS = (1, 16)
REST, RPC = "`/v2`, binary", "gRPC"


@dataclass
class Run:
    """One way in one round."""

    outcome: Outcome
    processor_seconds: float  # of the service's process tree, an image


@dataclass
class Results:
    """All rounds, by way and number of clients."""

    runs: dict[tuple[str, int], list[Run]] = field(default_factory=dict)


def run(bundle: str, data: Path | None, rounds: int, seconds: float) -> str:
    """Measure, and return the table."""
    return table(measure(bundle, data, rounds, seconds))


def measure(bundle: str, data: Path | None, rounds: int, seconds: float) -> Results:
    """Run both ways in turn, ``rounds`` times."""
    images, model = read_images(data), Path(bundle).name
    over_http = [_request(model, image) for image in images]
    over_rpc = [_message(model, image) for image in images]
    results, port = Results(), free_port()
    with service("--bundle", bundle, "--grpc-port", str(port)) as served:
        ways: dict[str, Callable[[int, float], Outcome]] = {
            REST: lambda clients, time: run_load(served.port, over_http, clients, time),
            RPC: lambda clients, time: run_rpc_load(port, over_rpc, clients, time),
        }
        for load in ways.values():
            load(max(CLIENTS), WARMUP_SECONDS)
        for _ in tqdm(range(rounds), "rounds"):
            for clients in CLIENTS:
                for name, load in ways.items():
                    before = processor_seconds(served.pid)
                    outcome = load(clients, seconds)
                    spent = processor_seconds(served.pid) - before
                    each = Run(outcome, spent / max(1, len(outcome.latencies)))
                    results.runs.setdefault((name, clients), []).append(each)
    return results


def _request(model: str, image: bytes) -> bytes:
    data = struct.pack("<I", len(image)) + image
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1]}
    asked = orjson.dumps(
        {
            "inputs": [{**tensor, "parameters": {"binary_data_size": len(data)}}],
            "parameters": {"binary_data_output": True},
        }
    )
    length = f"inference-header-content-length: {len(asked)}"
    return request(f"/v2/models/{model}/infer", "application/octet-stream", asked + data, length)


def _message(model: str, image: bytes) -> bytes:
    given = ModelInferRequest.InferInputTensor(name="image", datatype="BYTES", shape=[1])
    data = struct.pack("<I", len(image)) + image
    message = ModelInferRequest(model_name=model, inputs=[given], raw_input_contents=[data])
    return message.SerializeToString()


HEADINGS = (
    *("", "clients", "images/s", "of REST", "from", "to", "CPU ms an image", "of REST"),
    *("generator's CPU ms", "p50 ms", "errors"),
)


def table(results: Results) -> str:
    """The medians, with ratios within a round and their spread, as a Markdown table."""
    rows = [HEADINGS, ("---", *["---:"] * (len(HEADINGS) - 1))]
    rows += [
        _row(name, clients, runs, results.runs[REST, clients])
        for (name, clients), runs in results.runs.items()
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _row(name: str, clients: int, runs: list[Run], rest: list[Run]) -> tuple[str, ...]:
    rounds = list(zip(runs, rest, strict=True))
    rates = [run.outcome.rate / other.outcome.rate for run, other in rounds]
    spent = [run.processor_seconds / other.processor_seconds for run, other in rounds]
    outcomes = [run.outcome for run in runs]
    return (
        name,
        str(clients),
        f"{median(each.rate for each in outcomes):.1f}",
        *(f"{of(rates):.2f}" for of in (median, min, max)),
        f"{median(run.processor_seconds for run in runs) * 1e3:.2f}",
        f"{median(spent):.2f}",
        f"{median(o.generator_seconds / max(1, len(o.latencies)) for o in outcomes) * 1e3:.2f}",
        f"{median(each.percentile(50) for each in outcomes) * 1e3:.1f}",
        f"{sum(each.errors for each in outcomes)}",
    )
