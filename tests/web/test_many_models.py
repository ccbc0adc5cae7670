"""Several models in one service: their routes, their change by name, and those that do not load."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from greengrocer.bundles.manifest import read_manifest, write_manifest
from greengrocer.cli.main import main
from greengrocer.web.schemas import ClassNames, Health, ModelList, Prediction
from support.bundles import CLASSES, write_fake_bundle
from support.load import load
from support.make_images import jpeg
from support.problems import problem_of
from support.processes import children
from support.processes import command as command_of
from support.scrapes import sample, scrape
from support.servers import Server, StartServer, start_server
from support.waiting import until

FEW = ("black", "grey", "white")
CLIENTS = 4
Order = Callable[..., str]

in_all_arrangements = pytest.mark.parametrize(
    "workers", [(), ("--workers", "2")], ids=["one process", "workers"]
)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of bundles: two versions of one, one with fewer classes, and one that is damaged."""
    home = tmp_path_factory.mktemp("bundles")
    write_fake_bundle(home / "first")
    write_fake_bundle(home / "second", version="2")
    few = write_fake_bundle(home / "few", hierarchy=False, version="few", classes=FEW)
    manifest = read_manifest(few)
    write_manifest(manifest.model_copy(update={"metrics": {"top1": 90.5}}), few)
    write_fake_bundle(home / "bad")
    (home / "bad" / "golden.jpg").write_bytes(jpeg(0))
    return home


@pytest.fixture(scope="module")
def server(bundles: Path) -> Iterator[Server]:
    """A service of two models, and of one that does not load."""
    flags = [
        *("--bundle", str(bundles / "first")),
        *("--bundle", f"shop={bundles / 'few'}"),
        *("--bundle", f"lost={bundles / 'bad'}"),
    ]
    server = start_server(*flags, "--engine", "fake", "--log-format", "json")
    yield server
    assert server.stop() == 0


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def test_the_models_are_listed_with_what_they_can_do(client: httpx.Client) -> None:
    listed = ModelList.model_validate_json(client.get("/models").content).models
    assert [(each.name, each.version, each.default) for each in listed] == [
        ("greys", "1", True),
        ("shop", "few", False),
    ]
    assert [(each.classes, each.coarse_classes) for each in listed] == [(10, 2), (3, None)]
    assert [each.figures for each in listed] == [{}, {"top1": 90.5}]
    assert all(each.known and each.evidence for each in listed)


def test_each_model_answers_below_its_own_path(client: httpx.Client) -> None:
    for path, version, name in (
        ("/predict", "1", "greys"),
        ("/models/greys/predict", "1", "greys"),
        ("/models/shop/predict", "few", "shop"),
    ):
        answer = Prediction.model_validate_json(
            client.post(path, files={"file": jpeg(250)}).content
        )
        assert (answer.model.name, answer.model.version) == (name, version)
    for path, classes in (("/class-names", CLASSES), ("/models/shop/class-names", FEW)):
        found = ClassNames.model_validate_json(client.get(path).content)
        assert tuple(found.classes) == classes
    lines = client.post("/models/shop/predict/batch", files=[("file", jpeg(k)) for k in (0, 250)])
    told = [json.loads(line) for line in lines.text.splitlines()]
    assert [line["prediction"] for line in told] == ["black", "white"]
    assert client.post("/models/shop/explain", files={"file": jpeg(250)}).headers["x-class"] == (
        "white"
    )


def test_the_limits_of_a_request_are_those_of_its_model(client: httpx.Client) -> None:
    for path, status in (("/predict?top=10", 200), ("/models/shop/predict?top=10", 422)):
        assert client.post(path, files={"file": jpeg(250)}).status_code == status
    assert client.get("/models/shop/class-names?level=coarse").status_code == 422


@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/explain", "/class-names"])
def test_an_unknown_model_is_a_404_and_one_that_did_not_load_a_503(
    client: httpx.Client, path: str
) -> None:
    method = "GET" if path == "/class-names" else "POST"
    files = {"file": jpeg(250)} if method == "POST" else None
    for name, status, code in (("plums", 404, "unknown-model"), ("lost", 503, "model-failed")):
        answer = client.request(method, f"/models/{name}{path}", files=files)
        problem = problem_of(status, answer.headers, answer.content)
        assert problem.code == code
        assert f"model {name}" in problem.detail.replace('"', "")
        assert "retry-after" not in answer.headers
    for name in ("", "shop/", "shop%40", "Shop"):
        answer = client.request(method, f"/models/{name}{path}", files=files)
        problem_of(404, answer.headers, answer.content)


def test_below_v2_a_model_that_did_not_load_is_a_503_too(client: httpx.Client) -> None:
    for method, path in (("POST", "/infer"), ("GET", ""), ("GET", "/config")):
        answer = client.request(method, f"/v2/models/lost{path}")
        assert answer.status_code == 503
        assert "the model lost could not be loaded" in answer.json()["error"]


def test_a_query_names_no_model(client: httpx.Client) -> None:
    answer = client.post("/predict?model=shop", files={"file": jpeg(250)})
    assert problem_of(422, answer.headers, answer.content).code == "parameter-out-of-range"


def test_a_model_that_does_not_load_leaves_the_others_and_is_told(
    client: httpx.Client, server: Server
) -> None:
    assert client.get("/readyz").json() == {"status": "ready"}
    health = Health.model_validate_json(client.get("/readyz?verbose").content)
    assert health.models is not None
    told = [(each.name, each.version, each.state) for each in health.models]
    assert told == [("greys", "1", "ready"), ("shop", "few", "ready"), ("lost", None, "failed")]
    assert sample(scrape(client), "model_failed", model="lost") == 1
    lines = [line for each in server.log if (line := json.loads(each))["level"] == "error"]
    assert [line["model"] for line in lines] == ["lost"]
    assert "golden.jpg" in lines[0]["reason"]


def test_the_metrics_tell_the_models_apart(client: httpx.Client) -> None:
    before = scrape(client)
    for path in ("/predict", "/models/shop/predict", "/models/shop/predict"):
        assert client.post(path, files={"file": jpeg(250)}).status_code == 200
    after = scrape(client)

    def more(name: str, **labels: str) -> float:
        return sample(after, name, **labels) - sample(before, name, **labels)

    assert more("model_seconds_count", model="greys") == 1
    assert more("model_seconds_count", model="shop") == 2
    assert more("predictions_total", known="true") == 3
    assert more("requests_total", route="/models/{name}/predict", status="200") == 2
    info = frozenset({("name", "shop"), ("version", "few")})
    assert after["greengrocer_model_info", info] == 1


def test_the_protocol_knows_every_model_and_version(client: httpx.Client) -> None:
    assert client.get("/v2/models/shop").json()["versions"] == ["few"]
    assert client.get("/v2/models/shop/versions/few/ready").json() == {
        "name": "shop",
        "ready": True,
    }
    assert client.get("/v2/models/shop/config").json()["output"][0]["dims"] == [-1, 3]
    assert client.get("/v2/models/shop/versions/1").status_code == 404
    ready = [
        {"name": name, "version": version, "state": "READY", "reason": ""}
        for name, version in (("greys", "1"), ("shop", "few"))
    ]
    lost = {"name": "lost", "version": "", "state": "UNAVAILABLE", "reason": "failed"}
    assert client.post("/v2/repository/index").json() == [*ready, lost]
    assert client.post("/v2/repository/index", json={"ready": True}).json() == ready
    assert client.post("/v2/repository/index", content=b"[").status_code == 400


@pytest.fixture
def order(
    runtime: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Order:
    """Run ``greengrocer models`` against a service, which may warn, not refuse. What it printed."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))

    def run(server: Server, *arguments: str) -> str:
        code = main(["models", *arguments, "--port", str(server.port)])
        printed = capsys.readouterr()
        assert code == 0
        assert all(each.startswith("greengrocer: warning: ") for each in printed.err.splitlines())
        return printed.out

    return run


@in_all_arrangements
def test_models_are_changed_by_name_and_no_request_is_lost(
    serve: StartServer,
    bundles: Path,
    runtime: Path,
    workers: tuple[str, ...],
    order: Order,
) -> None:
    flags = ("--bundle", str(bundles / "first"), "--engine", "fake", *workers)
    server = serve(*flags, XDG_RUNTIME_DIR=str(runtime))
    with load(server.url, jpeg(250), CLIENTS, kept=True) as clients:
        assert order(server, "load", f"shop={bundles / 'few'}") == "loaded shop few\n"
        assert order(server, "load", f"shop@next={bundles / 'second'}") == "loaded shop@next 2\n"
        said = order(server, "default", "shop@next")
        assert said == "now serving shop@next 2 (before: greys 1)\n"
        clients.until_more_of("2", 20)
        said = order(server, "default", "greys")
        assert said == "now serving greys 1 (before: shop@next 2)\n"
        assert order(server, "unload", "shop@next") == "unloaded shop@next 2\n"
        said = order(server, "reload", "shop", "--bundle", str(bundles / "first"))
        assert said == "now serving shop 1 (before: shop few)\n"
        said = order(server, "rollback", "shop")
        assert said == "now serving shop few (before: shop 1)\n"
        assert order(server, "unload", "shop") == "unloaded shop few\n"
        clients.until_more_of("1", 20)
    assert not clients.others
    assert [line.split() for line in order(server, "list").splitlines()] == [
        ["model", "version", "state", "part", "bundle", "reason"],
        ["greys", "1", "default", str(bundles / "first")],
        ["shop@next", "unloaded", str(bundles / "second")],
        ["shop", "unloaded", str(bundles / "few")],
    ]
    assert order(server, "load", "shop") == "loaded shop few\n"
    with server.client() as client:
        assert client.post("/models/shop/predict", files={"file": jpeg(250)}).status_code == 200


def test_an_order_that_is_refused_is_one_line_and_changes_nothing(
    serve: StartServer,
    bundles: Path,
    runtime: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    flags = ("--bundle", str(bundles / "first"), "--engine", "fake")
    server = serve(*flags, XDG_RUNTIME_DIR=str(runtime))
    for arguments, said in (
        (("load", f"shop={bundles / 'bad'}"), "golden.jpg"),
        (("load", str(bundles / "second")), "a model greys already"),
        (("unload", "greys"), "is the default"),
        (("default", "plums"), "no model plums"),
        (("promote", "greys"), "no version beside"),
        (("split", "greys=95"), "95 in all"),
        (("split", "greys="), "is not a version and its part"),
        (("split", "greys=x"), "x is not a part: 0% to 100%"),
        (("split", "greys=95", "greys@next=200%"), "200% is not a part: 0% to 100%"),
        (("shadow", "greys@next", "200%"), ": 200% is not a part: 0% to 100%"),
        (("shadow", "greys@next", "twenty"), ": twenty is not a part: 0% to 100%"),
        (("shadow", "greys@next", "nan%"), ": nan% is not a part: 0% to 100%"),
        (("shadow", "greys@next", "-5%"), ": -5% is not a part: 0% to 100%"),
        (("load", "Shop=fast"), "'Shop' is not a model's name: a name has small letters"),
        (("load", "my_shop=fast"), "'my_shop' is not a model's name: a name has small letters"),
        (("shadow", "greys@next", "20%"), "no model greys@next"),
    ):
        assert main(["models", *arguments, "--port", str(server.port)]) == 2
        printed = capsys.readouterr()
        assert said in printed.err
        assert (printed.out, len(printed.err.splitlines())) == ("", 1)
    with server.client() as client:
        assert [each["name"] for each in client.get("/models").json()["models"]] == ["greys"]


@in_all_arrangements
def test_requests_are_split_by_a_header_and_a_version_is_promoted_and_back(
    serve: StartServer,
    bundles: Path,
    runtime: Path,
    workers: tuple[str, ...],
    order: Order,
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = ("--bundle", str(bundles / "first"), "--engine", "fake", *workers)
    server = serve(*flags, XDG_RUNTIME_DIR=str(runtime))
    users = [f"user-{number}" for number in range(20)]

    def versions(client: httpx.Client, path: str = "/predict") -> dict[str, str]:
        return {
            user: client.post(path, content=jpeg(250), headers={"X-Split-Key": user}).json()[
                "model"
            ]["version"]
            for user in users
        }

    order(server, "load", f"greys@next={bundles / 'second'}")
    with server.client() as client:
        assert set(versions(client).values()) == {"1"}
        said = order(server, "split", "greys=50", "greys@next=50%")
        assert said == "greys gets 50%, greys@next gets 50%\n"
        found = versions(client)
        assert set(found.values()) == {"1", "2"}
        assert versions(client, "/models/greys/predict") == found
        assert set(versions(client, "/models/greys@next/predict").values()) == {"2"}
        assert main(["models", "unload", "greys@next", "--port", str(server.port)]) == 2
        hint = f"end that with greengrocer models split --port {server.port} greys=100"
        assert hint in capsys.readouterr().err
        asked = client.get("/v2/models/greys", headers={"X-Split-Key": users[0]}).json()
        assert asked["versions"] == ["1", "2"]
        assert client.get("/v2/models/greys/versions/2/ready").status_code == 200
        assert "50%" in order(server, "list")
        assert order(server, "promote", "greys@next") == "now serving greys 2 (before: greys 1)\n"
        assert set(versions(client).values()) == {"2"}
        assert order(server, "rollback", "greys") == "now serving greys 1 (before: greys 2)\n"
        assert set(versions(client).values()) == {"1"}


@in_all_arrangements
def test_a_version_gets_copies_of_images_after_their_answers_and_is_compared(
    serve: StartServer,
    bundles: Path,
    runtime: Path,
    workers: tuple[str, ...],
    order: Order,
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = ("--bundle", str(bundles / "first"), "--engine", "fake", "--threads", "2", *workers)
    server = serve(*flags, XDG_RUNTIME_DIR=str(runtime))
    order(server, "load", f"greys@next={bundles / 'few'}")
    assert order(server, "compare") == "no version gets copies\n"
    assert main(["models", "shadow", "greys@next", "50%", "--port", str(server.port)]) == 0
    printed = capsys.readouterr()
    assert printed.out == "greys@next gets a copy of 50% of the images\n"
    assert "warning: greys@next has other classes than greys" in printed.err
    server.until_logged(lambda: any("other classes" in line for line in server.log))
    assert order(server, "compare") == "greys@next few: no image yet (0 skipped)\n"
    assert "50% copies" in order(server, "list")
    with server.client() as client:

        def copied(number: int) -> bool:
            return order(server, "compare").startswith(f"{number} images")

        for number in range(1, 4):
            for _ in range(2):
                assert client.post("/predict", content=jpeg(250)).json()["model"]["version"] == "1"
            until(partial(copied, number))
        first, *both = order(server, "compare").splitlines()
        assert first == "3 images (0 skipped), agreement 0.0%"  # the classes have other names
        assert [line.split(":")[0] for line in both] == ["greys 1", "greys@next few"]
        samples = scrape(client)
        labels = {"model": "greys", "shadow": "greys@next"}
        assert sample(samples, "shadow_images_total", result="other", **labels) == 3
        for of in ("greys", "greys@next"):
            for name in ("shadow_confidence_count", "shadow_seconds_count"):
                assert sample(samples, name, model="greys", of=of) == 3
        assert sample(samples, "predictions_total", known="true") == 6  # copies are no answers
    order(server, "reload", "greys@next", "--bundle", str(bundles / "second"))
    assert order(server, "compare") == "greys@next 2: no image yet (0 skipped)\n"
    order(server, "promote", "greys@next")
    assert order(server, "compare") == "no version gets copies\n"


def test_a_new_engine_process_has_all_models_of_the_one_before(
    serve: StartServer, bundles: Path, runtime: Path, order: Order
) -> None:
    flags = ("--bundle", str(bundles / "first"), "--engine", "fake", "--workers", "1")
    server = serve(*flags, XDG_RUNTIME_DIR=str(runtime))
    for arguments in (
        ("load", f"shop={bundles / 'few'}"),
        ("load", f"shop@next={bundles / 'second'}"),
        ("default", "shop"),
        ("split", "shop=0", "shop@next=100"),
    ):
        order(server, *arguments)
    with server.client() as client:
        before = client.get("/models").json()

        def engine() -> int | None:
            pids = children(server.process.pid)
            return next((pid for pid in pids if "engine" in command_of(pid)), None)

        old = engine()
        assert old is not None
        os.kill(old, signal.SIGKILL)
        until(lambda: engine() not in (None, old))
        until(lambda: client.get("/readyz").status_code == 200)
        assert client.get("/models").json() == before
        answer = client.post("/predict", files={"file": jpeg(250)}).json()
        assert answer["model"] == {"name": "shop", "version": "2"}
        assert [each["name"] for each in before["models"]] == ["shop", "greys", "shop@next"]
