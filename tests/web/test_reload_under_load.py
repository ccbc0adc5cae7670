"""Another model while clients send without a pause: none of them notices."""

import shutil
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import pytest

from greengrocer.bundles.manifest import read_manifest, write_manifest
from greengrocer.web.schemas import Prediction
from support.bundles import write_fake_bundle
from support.orders import reload
from support.pictures import encoded, jpeg, photo
from support.servers import Server, StartServer
from support.waiting import until

CLIENTS = 4
LONG = 600.0  # seconds: for a thousand answers, on a machine that has much else to do


class Load:
    """Clients that send without a pause, and what they are answered.

    An answer counts by its version, or by its status where that is not 200.
    """

    def __init__(self, server: Server, picture: bytes) -> None:
        self.server = server
        self.picture = picture
        self.answers: Counter[str] = Counter()
        self._enough = threading.Event()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._pool = ThreadPoolExecutor(CLIENTS)
        self._clients = [self._pool.submit(self._send) for _ in range(CLIENTS)]
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._pool.shutdown()

    def sees(self, version: str, times: int) -> None:
        """Wait until clients have been answered by ``version`` so many times more."""
        wanted = self.answers[version] + times
        until(lambda: self.answers[version] >= wanted or self._failed(), LONG)

    def ended(self) -> Counter[str]:
        """Every answer; raises what a client has met with."""
        self._enough.set()
        for client in self._clients:
            client.result()
        return self.answers

    def _failed(self) -> bool:
        return any(client.done() for client in self._clients)

    def _send(self) -> None:
        with self.server.client() as client:
            while not self._enough.is_set():
                response = client.post("/predict", files={"file": self.picture})
                told = str(response.status_code)
                if response.status_code == 200:
                    told = Prediction.model_validate_json(response.content).model.version
                with self._lock:
                    self.answers[told] += 1


def test_no_request_fails_while_models_change(
    serve: StartServer, tmp_path: Path, runtime: Path
) -> None:
    first = write_fake_bundle(tmp_path / "first")
    other = write_fake_bundle(tmp_path / "other", version="2")
    server = serve("--bundle", str(first), "--engine", "fake", XDG_RUNTIME_DIR=str(runtime))
    with Load(server, jpeg(250)) as load:
        for wanted, source in (("2", other), ("1", first)) * 5:
            assert reload(server, runtime, source)["ok"]
            load.sees(wanted, 40)
        answers = load.ended()
    assert set(answers) == {"1", "2"}
    assert answers.total() >= 400


@pytest.mark.accept
def test_none_of_ten_thousand_requests_fails_while_the_shipped_model_is_changed(
    serve: StartServer, grocery_bundle: Path, tmp_path: Path, runtime: Path
) -> None:
    shipped = read_manifest(grocery_bundle)
    other = tmp_path / "other"
    shutil.copytree(grocery_bundle, other)
    write_manifest(shipped.model_copy(update={"version": "other"}), other)
    patient = ("--deadline", "60", "--max-wait", "60", "--access-log", "false")
    server = serve("--bundle", str(grocery_bundle), *patient, XDG_RUNTIME_DIR=str(runtime))
    picture = encoded(photo(1), "JPEG")
    with Load(server, picture) as load:
        for wanted, source in (("other", other), (shipped.version, grocery_bundle)) * 5:
            assert reload(server, runtime, source)["ok"]
            load.sees(wanted, 1000)
        answers = load.ended()
    assert set(answers) == {"other", shipped.version}
    assert answers.total() >= 10_000
