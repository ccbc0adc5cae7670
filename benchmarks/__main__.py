"""``make bench``: measure, print the table and keep it in benchmarks/results, or elsewhere."""

import argparse
import importlib
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.lacking import told_what_is_missing
from benchmarks.machine import machine

RESULTS = Path(__file__).parent / "results"

# The title, what to know of the figures, and the module, which is imported when it is chosen: some
# need what is not in every environment.
SCENARIOS = {
    "spine": (
        "The service against the bare pipeline",
        """\
- The load generator runs on the same machine and takes its share of the same processors, so
  `of bare` at many clients is a lower bound; `from` and `to` are the least and the most of the
  rounds.
- The least server is the bare pipeline behind a socket: it reads no more of a request than its
  length, and has no limits, time-outs, metrics or JSON. What it falls short of the bare pipeline
  is the cost of a socket, an event loop and the way to a thread and back.
- `net of bare` is the processor time a request of the server's whole process tree, less that of
  the bare pipeline on two threads in the same round: HTTP, scheduling, metrics and JSON. With one
  client it has the work of a second thread besides: an image that is alone gets all processors.
""",
        "spine",
    ),
    "plain": (
        "The bare pipeline against the plain loop",
        """\
- The plain loop is what tutorials show: Pillow, float32, one ONNX Runtime session with its default
  options, one image at a time on all processors. The bare pipeline works on two at a time.
- The photos are data-set images enlarged to 12 megapixels, with a sensor's noise (3.3 MB each).
""",
        "plain_loop",
    ),
    "overload": (
        "Three times as many images as the service can answer",
        """\
- The peak is measured by a closed loop of 16 clients; then images come at three times its rate,
  answered or not (an open loop), for 4 s until the queue is full and then for the time measured.
- A processor second spent on a refusal or on the load generator, which runs on the same machine,
  is none for an image. So what is affordable under overload is the processor time a second of
  the peak (service and generator), less that of the refusals and of the generator now, divided by
  an image's at the peak. The generator's column counts the probe of `/livez` in.
- A refusal's processor time is measured in the same round on a second service whose queue is always
  full, at the rate of refusals that the overload saw; all else there is the same. Taken as the
  rest of the overloaded service's time it would prove nothing: all waste would count as refusals.
- `others` is what anything else on the machine took meanwhile, the kernel's work on its own behalf
  included. What they took more under overload than at the peak, the service did not have: where
  that is much, the last ratio, which allows for it, says more than the first.
- Where `CPU ms an image then` is above `CPU ms an image`, something is wasted under overload.
- Latencies count from the moment at which an image was due. An answer past the deadline, a status
  other than 200 and 429, a 429 without `Retry-After`, and a broken connection are faults.
""",
        "overload",
    ),
    "workers": (
        "One process against --workers",
        """\
- All services run side by side, and 16 clients load one after the other.
- `memory` is the proportional memory (Pss) of a service's whole process tree: pages that services
  share, as those of libraries, count in parts. `CPU ms an image` is of the tree, too.
""",
        "workers",
    ),
    "traces": (
        "Traces off and on",
        """\
- Requests to `/predict` take turns between three applications over one service, in this process and
  without a network; the seconds of a run have no part in it.
- `more` is the median of the differences in processor time to the request without traces in the
  same turn. An exported request has its part of one export of all spans; the collector, which
  keeps nothing, is in the same process and so in its time.
""",
        "traces",
    ),
    "uploads": (
        "Photos and small images by each way in",
        """\
- The photos are images enlarged to 12 megapixels, with a sensor's noise (3.3 MB each).
- `of bare` compares with the bare pipeline on two threads in the same round; `from` and `to` are
  the least and the most of the rounds. The load generator takes its share of the same processors.
- `CPU ms an image` is of the server's whole process tree; the kernel's copies are in it.
- The least server reads no more of a request than its length, and has no limits, time-outs,
  metrics or JSON: see the page of `spine`.
""",
        "uploads",
    ),
    "grpc": (
        "gRPC beside REST",
        """\
- One service answers both; `of REST` compares with `/v2` in the same round, and `from` and `to` are
  the least and the most of the rounds.
- The load generators run on the same processors, and that of gRPC (grpc.aio) takes more of them:
  its rate is a lower bound, and `CPU ms an image`, of the service alone, is the better measure.
""",
        "rpc",
    ),
    "pareto": (
        "Accuracy against images a second a core",
        """\
- Each network runs on one thread and one image at a time, in one process and in turn. All take
  the same decoding and fitting; a core's second is one of processor time.
- The accuracy of the bundles is that of held-out shops (81 classes), that of the others the
  published one on ImageNet (1,000 classes): the two cannot be compared with each other. The others'
  weights here are random, since cost is what counts, and their last layer is left out.
- int8 is what `greengrocer train` would export of each network.
""",
        "pareto",
    ),
    "mapped": (
        "Weights mapped into several processes",
        """\
- Bare sessions of ONNX Runtime, a thread each, that multiply by ten matrices of 1024 x 1024 float32
  (42 MB): no bundle and no server has a part in it.
- `each` is the proportional memory (Pss) of one of the three: pages that they share count in parts.
""",
        "mapped_weights",
    ),
    "anatomy": (
        "Where a request's time goes",
        """\
- Means of wall-clock time. `client, network, parsing` is what the client waited for beyond the
  service's own stages. With 16 clients on a few processors nearly all of it is waiting.
- The photos are data-set images enlarged to 12 megapixels, with a sensor's noise (3.3 MB each).
""",
        "anatomy",
    ),
    "capacity": (
        "What one process can do",
        """\
- `images/s a core` is what a second of processor time is good for, of the service's own while 16
  clients load it; the load generator's is not in it.
- At 70 % of the rate of those clients images come as people do who know nothing of each other (a
  Poisson process). The generator takes its share of the same processors.
- `start` is from the command to the open port: verified, warm and ready. `memory` is proportional
  (Pss), after that load.
""",
        "capacity",
    ),
    "concepts": (
        "What the textbook's rules are worth",
        """\
- The network is the bundle's, in PyTorch where a row says `torch`, else as it ships.
""",
        "concepts",
    ),
    "gpu": (
        "Both engines on a GPU",
        """\
- The first table of an engine is of its own: batches from this process, one after the other, from
  the pixels to the answer in the memory of the host.
- The second is of a service. `images a batch` is what was queued when the GPU was free. `decoding`
  is the share of the time of all processors; the load generator takes its share of the same ones.
- Latencies are of a batch in the first table, of a request in the second, of all rounds together.
""",
        "gpu",
    ),
    "ray": (
        "A plain process against a replica of Ray Serve",
        """\
- Each has all processors for its images; two replicas have half of them each. All run side by
  side, and 16 clients load one after the other; what clusters do while idle is in every row.
- `CPU ms an image` and `memory` (Pss) are of the whole node: proxy, replica, and all of Ray's own.
""",
        "ray_replica",
    ),
    "memory": (
        "A hundred thousand images",
        """\
- One run of 16 clients each, whose connections last for two seconds; no rounds.
- `memory` is the proportional memory (Pss) of the service's whole process tree.
""",
        "memory",
    ),
}
ONCE = {"memory"}  # measures in no rounds
OF_NO_BUNDLE = {"mapped", "pareto"}
DRAWN = {"anatomy", "pareto"}  # with a picture beside the page
ASKED = ("spine", "uploads", "overload")  # the product's promises; what `make bench` runs
NOISY = """\
- The machine is shared and noisy: trust the ratios, which compare runs of the same round, and not
  the absolute figures.
"""
WIDTH = max(map(len, SCENARIOS))
EPILOG = """\
scenarios:
{}

A scenario takes rounds times seconds for each line of its table, and its preparation: minutes.
`make .venv-dev/installed` builds .venv-dev, the environment for all of them, with PyTorch. That of
`make serve`, .venv, does for those that compare services alone, as capacity. What a scenario lacks
is told when it is chosen.""".format(
    "\n".join(f"  {name:{WIDTH}}  {title}" for name, (title, _, _) in SCENARIOS.items())
)
Run = Callable[..., str]  # takes the bundle, data, rounds, seconds and, if DRAWN, a folder


def load(scenario: str) -> Run:
    """What runs a scenario; ends in one line where the environment lacks what it needs."""
    _, _, module = SCENARIOS[scenario]
    with told_what_is_missing(f"-m benchmarks {scenario}"):
        run: Run = importlib.import_module(f"benchmarks.scenarios.{module}").run
    return run


def _scenario(name: str) -> str:
    if name not in SCENARIOS:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(SCENARIOS)}")
    return name


def main() -> None:
    """Run the scenarios and write a page of each."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measure the product as it ships, and keep the page in a folder.",
        epilog=EPILOG,
    )
    parser.add_argument(
        "scenarios",
        type=_scenario,
        metavar="SCENARIO",
        nargs="*",
        default=ASKED,
        help=f"of those below (default, and what `make bench` runs: {' '.join(ASKED)})",
    )
    parser.add_argument("--bundle", default="grocery", help="(default: %(default)s)")
    parser.add_argument("--data", type=Path, help="images to send (default: the gallery)")
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=4, help="of each run in a round (default: %(default)s)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=RESULTS,
        help="folder of the page, whose former one is overwritten (default: benchmarks/results, "
        "which git tracks)",
    )
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for scenario, run in [(each, load(each)) for each in arguments.scenarios]:
        measure(scenario, run, arguments)


def measure(scenario: str, run: Run, arguments: argparse.Namespace) -> None:
    """Run one scenario and write its page."""
    out: Path = arguments.out
    title, caveats, _ = SCENARIOS[scenario]
    folder = [out] if scenario in DRAWN else []
    table = run(arguments.bundle, arguments.data, arguments.rounds, arguments.seconds, *folder)
    how = f"{arguments.rounds} rounds of {arguments.seconds:g} s a run, interleaved, medians. "
    bundle = "" if scenario in OF_NO_BUNDLE else Path(arguments.bundle).name
    page = (
        f"# {title}{f', bundle `{bundle}`' if bundle else ''}\n\n{caveats}{NOISY}\n"
        f"{'' if scenario in ONCE else how}{machine()}.\n\n{table}\n"
    )
    written = out / f"{'-'.join(filter(None, (scenario, bundle)))}.md"
    written.write_text(page, encoding="utf-8")
    sys.stdout.write(page)
    sys.stderr.write(f"written: {written}\n")


if __name__ == "__main__":
    main()
