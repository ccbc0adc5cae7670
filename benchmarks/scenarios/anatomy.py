"""Where a request's time goes, from the client's first byte to its last: a table and an image."""

import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import median

import matplotlib as mpl
from matplotlib.figure import Figure
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from tqdm import tqdm

from benchmarks.companion import companion
from benchmarks.photos import enlarge
from benchmarks.read_images import read_images
from greengrocer.assemble import assemble
from greengrocer.cli.process import http_server
from greengrocer.context import Context
from greengrocer.imaging.decode import Picture
from greengrocer.pipeline import Observer
from greengrocer.ranking import AnswerOptions, ModelLabels
from greengrocer.read_settings import read_settings
from greengrocer.serving.catalogue import Catalogue
from greengrocer.serving.classifier import Classifier, LocalClassifier
from greengrocer.serving.served import Served
from greengrocer.serving.watchers import Watchers
from greengrocer.web.app import create_app
from greengrocer.web.request_state import state_of
from greengrocer.web.wire.listener import bind

STAGES = {  # in the order of a request's way; the colours are Okabe and Ito's
    "client, network, parsing": "#bbbbbb",
    "upload read, admitted": "#56b4e9",
    "waiting for a thread": "#f0e442",
    "decode and fit": "#e69f00",
    "model": "#00795c",
    "rank": "#cc79a7",
    "answer": "#0072b2",
}
DARK = {"model", "answer"}
LOADS = (  # words, photos or not, clients
    ("an image, 1 client", False, 1),
    ("an image, 16 clients", False, 16),
    ("a 12-megapixel photo, 1 client", True, 1),
)
PICTURE = "anatomy.svg"
PHOTOS = 8
LABELLED = 5  # per cent: what is narrower has no room for words
WARMUP_SECONDS = 1.0


@dataclass
class Ledger:
    """Moments and durations in seconds, each summed over ``requests``."""

    arrived: float = 0.0  # the end of the request's head
    asked: float = 0.0  # the classifier, for an answer
    answered: float = 0.0  # by the classifier
    sent: float = 0.0  # the answer
    in_thread: float = 0.0
    decoding: float = 0.0
    inferring: float = 0.0
    requests: int = 0

    def clear(self) -> None:
        """Begin again from zero."""
        for each in fields(self):
            setattr(self, each.name, each.default)

    def stages(self, latency: float) -> list[float]:
        """Mean seconds of each of ``STAGES``, where a client waited for ``latency`` seconds."""
        sums = (
            self.asked - self.arrived,
            self.answered - self.asked - self.in_thread,
            self.decoding,
            self.inferring,
            self.in_thread - self.decoding - self.inferring,
            self.sent - self.answered,
        )
        means = [seconds / self.requests for seconds in sums]
        return [latency - sum(means), *means]


class NotedApp:
    """The application; notes when a request arrived and when its answer was sent."""

    def __init__(self, app: ASGIApp, ledger: Ledger) -> None:
        self.app = app
        self.ledger = ledger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""

        async def send_noted(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.body":
                self.ledger.sent += time.monotonic()
                self.ledger.arrived += state_of(scope).arrived
                self.ledger.requests += 1

        await self.app(scope, receive, send_noted)


@dataclass
class NotedClassifier:
    """The classifier; notes when it was asked, when it answered, and what its threads took."""

    classifier: Classifier
    ledger: Ledger

    @property
    def catalogue(self) -> Catalogue:
        """The models."""
        return self.classifier.catalogue

    @property
    def labels(self) -> ModelLabels:
        """The classes."""
        return self.classifier.labels

    @property
    def watchers(self) -> Watchers:
        """Who is told of changes."""
        return self.classifier.watchers

    @property
    def hung(self) -> bool:
        """Whether no image will be answered any more."""
        return self.classifier.hung

    async def check(self) -> bool:
        """Whether an image that came now would be answered."""
        return await self.classifier.check()

    async def classify(
        self, picture: Picture, context: Context, options: AnswerOptions, model: str | None = None
    ) -> Served:
        """The answer."""
        asked = time.monotonic()
        served = await self.classifier.classify(picture, context, options, model)
        self.ledger.asked += asked
        self.ledger.answered += time.monotonic()
        self.ledger.in_thread += served.seconds
        return served

    def close(self) -> bool:
        """Finish what was taken."""
        return self.classifier.close()


@dataclass
class NotedStages:
    """The pipeline's observer; notes its stages beside what was observed before."""

    observer: Observer
    ledger: Ledger

    def decoded(self, seconds: float) -> None:
        """An image was decoded and fitted."""
        self.observer.decoded(seconds)
        self.ledger.decoding += seconds

    def inferred(self, seconds: float) -> None:
        """The model ran."""
        self.observer.inferred(seconds)
        self.ledger.inferring += seconds


def run(bundle: str, data: Path | None, rounds: int, seconds: float, out: Path) -> str:
    """Measure, draw into the folder ``out``, and return the table."""
    found = measure(bundle, data, rounds, seconds)
    draw(found, out / PICTURE)
    return f"{table(found)}\n\n![Where a request's time goes]({PICTURE})"


Found = dict[str, list[float]]  # by load: median seconds of each stage


def measure(bundle: str, data: Path | None, rounds: int, seconds: float) -> Found:
    """The service in this process, its clients in two others, each load in each round."""
    pictures = read_images(data)
    photos = [enlarge(picture, seed) for seed, picture in enumerate(pictures[:PHOTOS])]
    ledger = Ledger()
    runs: dict[str, list[list[float]]] = {name: [] for name, _, _ in LOADS}
    with ExitStack() as stack:
        port = stack.enter_context(noted_service(bundle, ledger))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        clients = {
            large: stack.enter_context(
                companion("benchmarks.clients", str(port), *_written(folder, str(large), files))
            )
            for large, files in ((False, pictures), (True, photos))
        }
        for each in clients.values():
            each.ask(1, WARMUP_SECONDS)
            each.answer()
        for _ in tqdm(range(rounds), "rounds"):
            for name, large, count in LOADS:
                ledger.clear()
                clients[large].ask(count, seconds)
                runs[name].append(ledger.stages(clients[large].answer()))
    return {
        name: [median(stage) for stage in zip(*stages, strict=True)]
        for name, stages in runs.items()
    }


@contextmanager
def noted_service(bundle: str, ledger: Ledger) -> Iterator[int]:
    """Serve in a thread of this process, at this port."""
    settings = read_settings({"bundle": bundle, "access_log": False, "drain_delay_seconds": 0.0})
    service = assemble(settings).service
    assert isinstance(service.classifier, LocalClassifier)
    pipeline = service.classifier.models.current
    assert pipeline.observer is not None
    pipeline.observer = NotedStages(pipeline.observer, ledger)
    service = replace(service, classifier=NotedClassifier(service.classifier, ledger))
    listener = bind("127.0.0.1", 0)
    listener.listen()
    app = NotedApp(create_app(service), ledger)
    server = http_server(settings, app, [listener], service)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.handle_exit(signal.SIGTERM, None)
        thread.join()
        service.classifier.close()


def table(found: Found) -> str:
    """Milliseconds by stage as a Markdown table."""
    rows = [("", *STAGES, "together"), ("---", *["---:"] * (len(STAGES) + 1))]
    for name, stages in found.items():
        rows.append((name, *(f"{each * 1e3:.2f}" for each in (*stages, sum(stages)))))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def draw(found: Found, file: Path) -> None:
    """The stages of each load as shares of a bar, as SVG."""
    # Text stays text, and the same figures give the same file.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "anatomy", "font.size": 9}):
        figure = Figure(figsize=(9, 2.4), layout="constrained")
        axes = figure.subplots()
        left = [0.0] * len(found)
        for stage, (name, colour) in enumerate(STAGES.items()):
            widths = [100 * stages[stage] / sum(stages) for stages in found.values()]
            axes.barh(list(found), widths, left=left, color=colour, label=name, height=0.6)
            for row, (start, width) in enumerate(zip(left, widths, strict=True)):
                if width >= LABELLED:
                    words, ink = f"{width:.0f} %", "white" if name in DARK else "black"
                    axes.text(start + width / 2, row, words, color=ink, ha="center", va="center")
            left = [start + width for start, width in zip(left, widths, strict=True)]
        for row, stages in enumerate(found.values()):
            axes.text(101, row, f"{sum(stages) * 1e3:.1f} ms", va="center")
        axes.set_xlim(0, 100)
        axes.set_xticks([])
        axes.invert_yaxis()
        axes.spines[:].set_visible(False)
        axes.tick_params(left=False)
        figure.legend(loc="outside lower center", ncols=len(STAGES), frameon=False, fontsize=8)
        figure.savefig(file, metadata={"Date": None})


def _written(folder: Path, kind: str, pictures: list[bytes]) -> list[str]:
    files = [folder / f"{kind}-{number}.jpg" for number in range(len(pictures))]
    for file, picture in zip(files, pictures, strict=True):
        file.write_bytes(picture)
    return [str(file) for file in files]
