"""Whoever splits requests sees which version refuses or fails: in metrics, problems and the log."""

from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from greengrocer.bundles.manifest import read_manifest, write_manifest
from greengrocer.cli.main import main
from greengrocer.web.schemas import Model
from support import hostile
from support.engines import HeldEngine
from support.forms import FORM, form, part
from support.graphs import write_onnx_bundle
from support.live import FailingEngine, engine_of, live, make_service
from support.make_images import jpeg
from support.problems import problem_of
from support.scrapes import Samples, sample, scrape
from support.servers import Server, StartServer
from support.waiting import until

WHITE, GREY = jpeg(255), jpeg(100)
USERS = [f"user-{number}" for number in range(20)]
REFUSALS = "greengrocer_model_refusals_total"


def refusals(samples: Samples) -> dict[tuple[str, str], float]:
    """The counts of refusals, by model and reason."""
    found = {}
    for (name, labels), count in samples.items():
        if name == REFUSALS:
            told = dict(labels)
            found[told["model"], told["reason"]] = count
    return found


def order(server: Server, *arguments: str) -> None:
    assert main(["models", *arguments, "--port", str(server.port)]) == 0


@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["one process", "workers"])
def test_a_split_and_a_shadow_name_the_version_that_fails(
    serve: StartServer,
    tmp_path: Path,
    runtime: Path,
    monkeypatch: pytest.MonkeyPatch,
    workers: tuple[str, ...],
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    sound = write_onnx_bundle(tmp_path / "sound")
    failing = write_onnx_bundle(tmp_path / "failing", hostile.fails_for_white())
    write_manifest(read_manifest(failing).model_copy(update={"version": "2"}), failing)
    flags = ("--bundle", str(sound), "--engine", "onnx", "--threads", "2", *workers)
    server = serve(*flags, XDG_RUNTIME_DIR=str(runtime))
    order(server, "load", f"greys@next={failing}")
    order(server, "split", "greys=50", "greys@next=50")
    with server.client() as client:
        failed = 0
        for user in USERS:
            key = {"X-Split-Key": user}
            version = client.post("/predict", content=GREY, headers=key).json()["model"]["version"]
            answer = client.post("/predict", content=WHITE, headers=key)
            assert answer.status_code == (200 if version == "1" else 500)
            assert answer.json()["model"] == {"name": "greys", "version": version}
            failed += version == "2"
        assert 0 < failed < len(USERS)
        lines = client.post(
            "/models/greys@next/predict/batch",
            content=form(part(GREY), part(WHITE)),
            headers={"Content-Type": FORM},
        )
        assert [line.count('"version":"2"') for line in lines.text.splitlines()] == [1, 1]
        counted = {("greys@next", "invalid-answer"): failed + 1}
        assert refusals(scrape(client)) == counted

        order(server, "split", "greys=100")
        order(server, "shadow", "greys@next", "100%")
        assert client.post("/predict", content=WHITE).status_code == 200
        copies = {"model": "greys", "shadow": "greys@next", "result": "failed"}
        until(lambda: sample(scrape(client), "shadow_images_total", **copies) == 1)
        assert refusals(scrape(client)) == counted  # a copy is none of a client's
    assert server.stop() == 0
    told = [line for line in server.log if "invalid answer" in line]
    assert len(told) == failed + 2
    assert all("model=greys@next" in line and "version=2" in line for line in told)
    assert "Traceback" not in "".join(server.log)


def check_refused_once(client: httpx.Client, status: int, reason: str) -> None:
    answer = client.post("/predict", content=GREY)
    problem = problem_of(status, answer.headers, answer.content)
    assert problem.code == reason
    assert problem.model == Model(name="greys", version="1")
    assert refusals(scrape(client)) == {("greys", reason): 1}


def test_an_answer_that_comes_too_late_is_counted(fake_bundle: Path) -> None:
    engine = engine_of(HeldEngine, fake_bundle).hold()
    service = replace(make_service(fake_bundle, engine), deadline=0.2)
    with live(service) as running, running.client() as client:
        try:
            check_refused_once(client, 504, "deadline-exceeded")
        finally:
            engine.release.set()


def test_a_defect_is_counted_and_an_image_that_cannot_be_read_is_not(fake_bundle: Path) -> None:
    service = make_service(fake_bundle, engine_of(FailingEngine, fake_bundle))
    with live(service) as running, running.client() as client:
        answer = client.post("/predict", content=WHITE[:100])
        problem = problem_of(400, answer.headers, answer.content)
        assert (problem.code, problem.model) == ("unreadable-image", None)
        check_refused_once(client, 500, "internal-error")


def test_a_full_queue_is_counted_and_a_problem_before_the_choice_names_no_model(
    fake_bundle: Path,
) -> None:
    service = make_service(fake_bundle)
    service.admission.limits = replace(service.admission.limits, wait_seconds=-1.0)
    with live(service) as running, running.client() as client:
        check_refused_once(client, 429, "overloaded")
        answer = client.post("/models/none/predict", content=GREY)
        assert "model" not in answer.json()
