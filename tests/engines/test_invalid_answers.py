"""A graph that fails, or gives no answer, for some image: an error, one line in the log each."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from grpc import StatusCode

from greengrocer.assemble_pipeline import build_pipeline
from greengrocer.bundles.bundle import load_bundle
from greengrocer.bundles.manifest import read_manifest
from greengrocer.cli.main import main
from greengrocer.context import Context
from greengrocer.engines.batcher import Batcher, BatchLimits
from greengrocer.engines.engine import Inference
from greengrocer.errors import BundleRefused, InvalidAnswer
from greengrocer.pipeline import Pipeline
from greengrocer.ranking import AnswerOptions, rank
from support import hostile
from support.forms import FORM, form, part
from support.graphs import write_onnx_bundle
from support.make_images import jpeg
from support.rpc import RpcClient, address_of, files
from support.scrapes import sample, scrape
from support.servers import StartServer
from support.tensors import asking, image
from support.waiting import SECONDS

VERSION = "1"  # of every bundle
WHITE, GREY = jpeg(255), jpeg(100)
FAILING = "failing"
NO_ANSWERS: dict[str, npt.NDArray[np.float64]] = {
    "nan": np.full((1, 10), np.nan),
    "one-nan": np.array([[np.nan, 1, *[0] * 8]]),
    "infinity": np.array([[np.inf, *[0] * 9]]),
    "negative": np.full((1, 10), -1e30),
    "logits": np.arange(10.0)[None],
    "no-rows": np.zeros((0, 10)),
    "no-sides": np.array(0.5),
    "nine-classes": np.full((1, 9), 0.1),
    "many-rows": np.full((1000, 10), 0.1),
}
BAD = (*NO_ANSWERS, FAILING)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A bundle of each kind."""
    home = tmp_path_factory.mktemp("invalid")
    graphs = {
        name: hostile.for_white(values.astype(np.float32)) for name, values in NO_ANSWERS.items()
    }
    graphs[FAILING] = hostile.fails_for_white()
    return {name: write_onnx_bundle(home / name, graph) for name, graph in graphs.items()}


def test_a_white_image_may_have_sound_answers(tmp_path: Path) -> None:
    sound = hostile.for_white(np.full((1, 10), 0.1, np.float32))
    pipeline = build_pipeline(load_bundle(write_onnx_bundle(tmp_path / "greys", sound)))
    assert pipeline.classify(WHITE, Context()).confidence == pytest.approx(0.1)
    pipeline.close()


@pytest.mark.parametrize(
    "workers",
    [(), pytest.param(("--workers", "1"), marks=pytest.mark.accept)],
    ids=["one process", "workers"],
)
def test_every_way_to_ask_has_the_same_problem_without_a_traceback(
    serve: StartServer, bundles: dict[str, Path], workers: tuple[str, ...]
) -> None:
    flags = [flag for name, each in bundles.items() for flag in ("--bundle", f"{name}={each}")]
    server = serve(*flags, "--engine", "onnx", "--grpc-port", "0", *workers)
    with server.client() as client, RpcClient(address_of(server)) as rpc:
        for name in BAD:
            for route in ("predict", "predict?explain=true", "explain"):
                answer = client.post(f"/models/{name}/{route}", content=WHITE)
                problem = answer.json()
                assert (answer.status_code, problem["code"]) == (500, "invalid-answer"), name
                assert problem["detail"].startswith(f"{name} {VERSION}: the model ")
                assert len(problem["detail"]) < 200
            kind = {"Content-Type": FORM}
            many = form(part(WHITE), part(GREY))
            lines = client.post(f"/models/{name}/predict/batch", content=many, headers=kind).text
            assert [json.loads(line).get("code") for line in lines.splitlines()] == [
                "invalid-answer",
                None,
            ]
            answer = client.post(f"/v2/models/{name}/infer", json=asking(image(WHITE)))
            assert (answer.status_code, [*answer.json()]) == (500, ["error"])
            end = rpc.refused(files(WHITE, model=name))
            assert end.code is StatusCode.INTERNAL
            assert end.trailing["problem-code"] == "invalid-answer"
            assert end.detail.startswith(f"{name} {VERSION}: the model ")
            assert client.post(f"/models/{name}/predict", content=GREY).status_code == 200
        samples, reason = scrape(client), "invalid-answer"
        rejected = sample(samples, "rejections_total", reason=reason)
        for name in BAD:
            assert sample(samples, "model_refusals_total", model=name, reason=reason) == 6
    assert rejected == 6 * len(BAD)
    assert server.stop() == 0
    log = "".join(server.log)
    assert "Traceback" not in log
    told = [line for line in log.splitlines() if "invalid answer" in line]
    assert len(told) == 6 * len(BAD)
    assert all("model=" in line and f"version={VERSION}" in line for line in told)
    assert [len(line) < 600 for line in told if "Reshape" in line] == 6 * [True]
    assert log.count("refused=invalid-answer") == 5 * len(BAD)  # a batch is answered


@pytest.mark.parametrize("name", BAD)
def test_predict_tells_it_as_of_an_image_that_is_refused(
    bundles: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / "white.jpg").write_bytes(WHITE)
    (tmp_path / "grey.jpg").write_bytes(GREY)
    images = [str(tmp_path / name) for name in ("white.jpg", "grey.jpg")]
    assert main(["predict", "--json", "--bundle", str(bundles[name]), *images]) == 2
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each.get("code") for each in told] == ["invalid-answer", None]


def test_other_numbers_of_an_answer_are_checked_too(fake_bundle: Path) -> None:
    labels = build_pipeline(load_bundle(fake_bundle), "fake").labels
    sound = Inference(
        np.full((1, 10), 0.1, np.float32),
        np.array([0.5], np.float32),
        np.zeros((1, 2, 2, 10), np.float32),
        np.full((1, 2), 0.5, np.float32),
    )
    all_parts = AnswerOptions(evidence=True, tensors=Inference._fields)
    assert rank(sound, 0, labels, all_parts)
    for name in Inference._fields:
        broken = sound._replace(**{name: np.full_like(getattr(sound, name), np.nan)})
        with pytest.raises(InvalidAnswer):
            rank(broken, 0, labels, all_parts)


@pytest.mark.parametrize("name", ["many-rows", FAILING])
def test_only_the_image_at_fault_fails_in_a_batch(bundles: dict[str, Path], name: str) -> None:
    alone = build_pipeline(load_bundle(bundles[name]))
    both = Batcher(alone.engine, BatchLimits(largest=2, wait=SECONDS))
    pipeline = Pipeline(alone.engine, alone.geometry, alone.labels, alone.limits, batcher=both)
    with ThreadPoolExecutor(2) as pool:
        bad, good = (pool.submit(pipeline.classify, each, Context()) for each in (WHITE, GREY))
        with pytest.raises(InvalidAnswer):
            bad.result(SECONDS)
        assert good.result(SECONDS).confidence == alone.classify(GREY, Context()).confidence
    pipeline.close()


def test_evidence_without_places_is_refused(tmp_path: Path) -> None:
    directory = write_onnx_bundle(tmp_path / "greys", hostile.no_places())
    assert read_manifest(directory).evidence
    with pytest.raises(BundleRefused, match=r"model\.onnx has the outputs"):
        build_pipeline(load_bundle(directory))
