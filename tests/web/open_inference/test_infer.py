"""``/v2``: the answers to good requests."""

import gc
import json
import struct
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from greengrocer.serving.admission import Admission, AdmissionLimits
from greengrocer.serving.classifier import LocalClassifier
from greengrocer.serving.readiness import State
from greengrocer.web.open_inference.inputs import read_request
from greengrocer.web.open_inference.schemas import (
    InferResponse,
    ModelMetadata,
    ModelReady,
    ServerMetadata,
)
from support.engines import HeldEngine
from support.live import MEGA, Live, engine_of, live, make_service
from support.make_images import encoded, jpeg, photo
from support.scrapes import sample, scrape
from support.seam import pipeline_of
from support.tensors import asking, binary, image, infer, packed
from support.waiting import SECONDS
from support.wire import Wire, WireAnswer, exchange

DARK, LIGHT = jpeg(5), jpeg(250)


@pytest.fixture
def url(client: httpx.Client) -> str:
    return str(client.base_url)


def answered(response: WireAnswer) -> dict[str, Any]:
    """The outputs by name, of an answer that is all JSON."""
    assert response.status == 200, response.body
    assert response.headers["content-type"] == "application/json"
    found = InferResponse.model_validate_json(response.body)
    assert (found.model_name, found.model_version) == ("greys", "1")
    return {
        output.name: np.reshape(np.array(output.data), output.shape) for output in found.outputs
    }


def test_metadata_and_health_are_answered(client: httpx.Client) -> None:
    server = ServerMetadata.model_validate_json(client.get("/v2").content)
    assert server.extensions == [*["binary_tensor_data", "classification"], "model_configuration"]
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    for path in ("/v2/models/greys", "/v2/models/greys/versions/1"):
        model = ModelMetadata.model_validate_json(client.get(path).content)
        assert (model.name, model.versions) == ("greys", ["1"])
        assert {given.name: given.shape for given in model.outputs} == {
            "probabilities": [-1, 10],
            "coarse": [-1, 2],
            "known_score": [-1],
            "evidence": [-1, -1, -1, 10],
        }
        assert ModelReady.model_validate_json(client.get(f"{path}/ready").content).ready


@pytest.mark.parametrize("version", ["", "/versions/1"])
def test_the_configuration_is_the_metadata_in_tritons_format(
    client: httpx.Client, version: str
) -> None:
    config = client.get(f"/v2/models/greys{version}/config").json()
    assert config == {
        "name": "greys",
        "platform": "greengrocer",
        "backend": "greengrocer",
        "max_batch_size": 0,
        "input": [
            {"name": "image", "data_type": "TYPE_STRING", "dims": [-1], "optional": True},
            {
                "name": "pixels",
                "data_type": "TYPE_UINT8",
                "dims": [-1, -1, -1, 3],
                "optional": True,
            },
        ],
        "output": [
            {"name": "probabilities", "data_type": "TYPE_FP32", "dims": [-1, 10]},
            {"name": "coarse", "data_type": "TYPE_FP32", "dims": [-1, 2]},
            {"name": "known_score", "data_type": "TYPE_FP32", "dims": [-1]},
            {"name": "evidence", "data_type": "TYPE_FP32", "dims": [-1, -1, -1, 10]},
        ],
    }


@pytest.mark.parametrize("path", ["other/config", "greys/versions/2/config"])
def test_the_configuration_of_an_unknown_model_is_a_404(client: httpx.Client, path: str) -> None:
    response = client.get(f"/v2/models/{path}")
    assert response.status_code == 404
    assert [*response.json()] == ["error"]


def test_an_unready_service_answers_so(fake_bundle: Path) -> None:
    with live(make_service(fake_bundle)) as running, running.client() as client:
        running.service.readiness.state = State.STOPPING
        for path in ("/v2/health/ready", "/v2/models/greys/ready"):
            response = client.get(path)
            assert (response.status_code, response.json()["ready"]) == (503, False)
        assert client.get("/v2/health/live").status_code == 200


def test_files_in_json_are_answered_as_predict_does(client: httpx.Client, url: str) -> None:
    pictures = [DARK, LIGHT, encoded(photo(1), "PNG")]
    outputs = answered(exchange(url, infer(asking(image(*pictures)))))
    assert [*outputs] == ["probabilities", "coarse", "known_score"]
    for index, picture in enumerate(pictures):
        alone = client.post("/predict?top=10", files={"file": picture}).json()
        confidences = {ranked["class"]: ranked["confidence"] for ranked in alone["top"]}
        probabilities = outputs["probabilities"][index]
        assert {f"grey-{k}": p for k, p in enumerate(probabilities)} == confidences
        assert outputs["coarse"][index].max() == alone["coarse"]["confidence"]
        assert outputs["known_score"][index] == alone["known_score"]


@pytest.mark.parametrize("nested", [True, False])
def test_pixels_in_json_and_in_binary_get_the_same_answer(url: str, nested: bool) -> None:
    pixels = np.stack([np.asarray(photo(seed, (20, 15))) for seed in range(3)])
    of_file = answered(exchange(url, infer(asking(image(*_pngs(3))))))
    data = pixels.tolist() if nested else pixels.ravel().tolist()
    given = {"name": "pixels", "datatype": "UINT8", "shape": pixels.shape, "data": data}
    in_json = answered(exchange(url, infer(asking(given))))
    octets = pixels.tobytes()
    behind = asking(binary("pixels", "UINT8", list(pixels.shape), len(octets)))
    in_octets = answered(exchange(url, infer(behind, octets)))
    for name, values in of_file.items():
        np.testing.assert_array_equal(values, in_json[name])
        np.testing.assert_array_equal(values, in_octets[name])


def _pngs(count: int) -> list[bytes]:
    return [encoded(photo(seed, (20, 15)), "PNG") for seed in range(count)]


def test_requested_outputs_come_in_their_order_and_encoding(url: str) -> None:
    tail = packed(DARK, LIGHT)
    request = asking(
        binary("image", "BYTES", [2], len(tail)),
        id="till-7",
        model_name="ignored",
        outputs=[
            {"name": "evidence", "parameters": {"binary_data": True}},
            {"name": "probabilities", "parameters": {"classification": 2, "binary_data": True}},
            {"name": "coarse", "parameters": {"classification": 99, "unknown": [1]}},
        ],
    )
    response = exchange(url, infer(request, tail, path="/v2/models/greys/versions/1/infer"))
    assert response.headers["content-type"] == "application/octet-stream"
    length = int(response.headers["inference-header-content-length"])
    body = json.loads(response.body[:length])
    assert body["id"] == "till-7"
    evidence, best, coarse = body["outputs"]
    assert (evidence["datatype"], evidence["shape"]) == ("FP32", [2, 3, 3, 10])
    size = evidence["parameters"]["binary_data_size"]
    logits = np.frombuffer(response.body[length : length + size], "<f4").reshape(2, 3, 3, 10)
    assert logits.mean((1, 2)).argmax(1).tolist() == [0, 9]
    assert (best["datatype"], best["shape"]) == ("BYTES", [2, 2])
    octets = response.body[length + size :]
    assert len(octets) == best["parameters"]["binary_data_size"]
    (first,) = struct.unpack("<I", octets[:4])
    value, index, label = octets[4 : 4 + first].decode().split(":")
    assert (index, label) == ("0", "grey-0")
    assert 0.5 < float(value) <= 1
    assert coarse["shape"] == [2, 2]
    assert [text.split(":")[2] for text in coarse["data"]] == ["dark", "light", "light", "dark"]


def test_all_outputs_may_be_binary(url: str) -> None:
    request = asking(image(DARK), parameters={"binary_data_output": True, "timeout": 5})
    response = exchange(url, infer(request))
    length = int(response.headers["inference-header-content-length"])
    outputs = json.loads(response.body[:length])["outputs"]
    sizes = [output["parameters"]["binary_data_size"] for output in outputs]
    assert sizes == [40, 8, 4]
    assert len(response.body) == length + sum(sizes)


def test_a_request_takes_one_place_and_its_images_run_in_turn(fake_bundle: Path) -> None:
    service = make_service(fake_bundle, threads=3)
    for wait, status in ((0, 200), (-1, 429)):
        limits = AdmissionLimits(256 * MEGA, wait)
        with live(replace(service, admission=Admission(limits, 3, 0.01))) as running:
            response = exchange(running.url, infer(asking(image(*[DARK] * 4))))
            assert response.status == status
            assert ("retry-after" in response.headers) == (status == 429)
            assert running.service.admission.bytes_in_flight == 0
        service = make_service(fake_bundle, threads=3)


def test_an_answer_comes_from_one_model_only(fake_bundle: Path) -> None:
    engine = engine_of(HeldEngine, fake_bundle).hold()
    with live(make_service(fake_bundle, engine)) as running, Wire(running.url) as wire:
        wire.send(infer(asking(image(DARK, LIGHT))))
        assert engine.busy.wait(SECONDS)
        assert isinstance(running.service.classifier, LocalClassifier)
        running.service.classifier.models.swap(pipeline_of(engine, "2"))
        engine.release.set()
        answer = wire.answer()
        assert answer.status == 503
        assert b"the model was replaced" in answer.body


def test_routes_with_parameters_are_counted_by_their_patterns(
    client: httpx.Client, url: str
) -> None:
    route = "/v2/models/{name}/infer"
    before = scrape(client)
    exchange(url, infer(asking(image(DARK))))
    for number in range(9):
        exchange(url, infer(asking(image(DARK)), path=f"/v2/models/other-{number}/infer"))
        client.get(f"/v2/nothing/{number}")
    after = scrape(client)
    for status, count in (("200", 1), ("404", 9)):
        labels = {"route": route, "status": status}
        found = [sample(at, "requests_total", **labels) for at in (before, after)]
        assert found[1] - found[0] == count
    routes = {dict(labels).get("route") for _, labels in after}
    assert not [name for name in routes if name and ("other" in name or "nothing" in name)]


def test_the_json_text_is_freed_while_images_are_processed(
    held_server: Live, held_engine: HeldEngine
) -> None:
    """In base64 it is longer than the images, and was kept until the answer."""
    files = [DARK.ljust(MEGA, b"\0")] * 8
    request = infer(asking(image(*files)))
    with Wire(held_server.url) as wire:
        tracemalloc.start()
        try:
            wire.send(request)
            assert held_engine.busy.wait(SECONDS)
            held, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        held_engine.release.set()
        assert wire.answer().status == 200
    assert held < 1.2 * len(files) * MEGA
    assert most < 16 * len(request)  # the parser reserves 12, and writes to few of them


def test_the_garbage_collector_waits_while_nested_pixels_are_parsed() -> None:
    """It took four times as long as the parser, while no other request was handled."""
    runs: list[str] = []
    text = b'{"inputs": [{"name": "x", "datatype": "x", "shape": [1], "data": [[]%b]}]}'

    def note(phase: str, _: dict[str, int]) -> None:
        runs.append(phase)

    gc.callbacks.append(note)
    try:
        read_request(text % (b",[]" * 150_000))
    finally:
        gc.callbacks.remove(note)
    assert len(runs) <= 4  # two runs, each with its start and stop: after it, not for each list
    assert gc.isenabled()
