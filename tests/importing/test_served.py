"""A service with an imported model that lacks outputs: null in answers, and clear refusals."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from greengrocer.cli.main import main
from greengrocer.web.schemas import Prediction
from support.exports import Attention, export, taught, tinted
from support.make_images import encoded
from support.problems import problem_of
from support.servers import Server, start_server


@pytest.fixture(scope="module", params=["--threads", "--workers"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, labels: Path
) -> Iterator[Server]:
    """A transformer, imported without photos: it gives no evidence and no known score."""
    home = tmp_path_factory.mktemp("served")
    model, out = export(taught(Attention, 0.5, 0.5), home / "model.onnx"), home / "vit"
    flags = ["--labels", str(labels), "--mean", "0.5", "--std", "0.5", "--out", str(out)]
    assert main(["import", str(model), *flags]) == 0
    server = start_server("--bundle", str(out), request.param, "1")
    yield server
    assert server.stop() == 0, "".join(server.log)


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def red() -> bytes:
    return encoded(tinted("red", 7), "JPEG", quality=95)


def test_known_is_null_and_the_class_is_named(client: httpx.Client) -> None:
    answer = client.post("/predict?explain=true", files={"file": red()})
    prediction = Prediction.model_validate_json(answer.content)
    assert (prediction.known, prediction.known_score) == (None, None)
    assert prediction.answer.name == prediction.prediction == "red"
    assert prediction.evidence is None


def test_explain_is_refused_before_the_upload_is_read(client: httpx.Client) -> None:
    refused = client.post("/explain", files={"file": red()})
    problem = problem_of(refused.status_code, refused.headers, refused.content)
    assert (problem.status, problem.code) == (501, "no-evidence")
    assert "gives no evidence" in problem.detail


def test_the_open_inference_protocol_lists_what_there_is(client: httpx.Client) -> None:
    ready = client.get("/v2/models/vit").json()
    assert [output["name"] for output in ready["outputs"]] == ["probabilities"]
    image = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [red().hex()]}
    asked = {"inputs": [image], "outputs": [{"name": "known_score"}]}
    refused = client.post("/v2/models/vit/infer", json=asked)
    assert refused.status_code == 400
    assert "known_score" in refused.json()["error"]


def test_the_metric_counts_answers_without_a_score(client: httpx.Client) -> None:
    client.post("/predict", files={"file": red()}).raise_for_status()
    assert 'known="null"' in client.get("/metrics").text
