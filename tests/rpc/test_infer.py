"""``ModelInfer``: the answers to good requests."""

import struct
from pathlib import Path

import numpy as np
import pytest

from greengrocer.rpc.messages.open_inference_pb2 import InferParameter, ModelInferResponse
from greengrocer.serving.classifier import LocalClassifier
from support.engines import HeldEngine
from support.generous import generous_service
from support.live import MEGA, engine_of, make_service
from support.make_images import encoded, jpeg, photo
from support.rpc import LiveRpc, OutputTensor, RpcClient, files, live_rpc, pixels
from support.seam import pipeline_of
from support.waiting import SECONDS, until

DARK, LIGHT = jpeg(5), jpeg(250)
both_ways = pytest.mark.parametrize("raw", [True, False], ids=["raw", "typed"])


def numbers(response: ModelInferResponse) -> dict[str, np.ndarray]:
    """The outputs by name, whichever way they came."""
    found = {}
    for index, output in enumerate(response.outputs):
        assert output.datatype == "FP32"
        values = (
            np.frombuffer(response.raw_output_contents[index], "<f4")
            if response.raw_output_contents
            else np.array(output.contents.fp32_contents, "<f4")
        )
        found[output.name] = values.reshape(output.shape)
    return found


def texts(response: ModelInferResponse, index: int) -> list[str]:
    """The elements of an output of BYTES."""
    if not response.raw_output_contents:
        return [text.decode() for text in response.outputs[index].contents.bytes_contents]
    data, found = response.raw_output_contents[index], []
    while data:
        (length,) = struct.unpack("<I", data[:4])
        found.append(data[4 : 4 + length].decode())
        data = data[4 + length :]
    return found


@both_ways
def test_files_are_answered_as_predict_does(rpc: RpcClient, running: LiveRpc, raw: bool) -> None:
    pictures = [DARK, LIGHT, encoded(photo(1), "PNG")]
    response = rpc.infer(files(*pictures, raw=raw, id="till-7"))
    assert (response.model_name, response.model_version, response.id) == ("greys", "1", "till-7")
    assert bool(response.raw_output_contents) == raw
    outputs = numbers(response)
    assert [*outputs] == ["probabilities", "coarse", "known_score"]
    with running.client() as client:
        for index, picture in enumerate(pictures):
            alone = client.post("/predict?top=10", files={"file": picture}).json()
            confidences = {ranked["class"]: ranked["confidence"] for ranked in alone["top"]}
            found = dict(enumerate(outputs["probabilities"][index].tolist()))
            assert {f"grey-{k}": p for k, p in found.items()} == confidences
            assert outputs["coarse"][index].max() == alone["coarse"]["confidence"]
            assert outputs["known_score"][index] == alone["known_score"]


@both_ways
def test_pixels_get_the_answer_of_their_file(rpc: RpcClient, raw: bool) -> None:
    stacked = np.stack([np.asarray(photo(seed, (20, 15))) for seed in range(3)])
    of_pixels = numbers(rpc.infer(pixels(stacked.shape, stacked.tobytes(), raw)))
    pngs = [encoded(photo(seed, (20, 15)), "PNG") for seed in range(3)]
    for name, values in numbers(rpc.infer(files(*pngs))).items():
        np.testing.assert_array_equal(values, of_pixels[name])


@both_ways
def test_requested_outputs_come_in_their_order(rpc: RpcClient, raw: bool) -> None:
    best = {"classification": InferParameter(int64_param=2), "unknown": InferParameter()}
    wanted = [OutputTensor(name="evidence"), OutputTensor(name="probabilities", parameters=best)]
    response = rpc.infer(files(DARK, LIGHT, raw=raw, outputs=wanted, model_version="1"))
    evidence, probabilities = response.outputs
    assert (evidence.name, evidence.datatype, [*evidence.shape]) == (
        "evidence",
        "FP32",
        [2, 3, 3, 10],
    )
    assert (probabilities.name, probabilities.datatype) == ("probabilities", "BYTES")
    assert [*probabilities.shape] == [2, 2]
    assert [text.split(":", 1)[1] for text in texts(response, 1)] == [
        *["0:grey-0", "1:grey-1"],
        *["9:grey-9", "8:grey-8"],
    ]


def test_an_answer_comes_from_one_model_only(fake_bundle: Path) -> None:
    engine = engine_of(HeldEngine, fake_bundle).hold()
    with live_rpc(make_service(fake_bundle, engine)) as running, running.rpc() as client:
        answer = client.begin(files(DARK, LIGHT))
        assert engine.busy.wait(SECONDS)
        assert isinstance(running.service.classifier, LocalClassifier)
        running.service.classifier.models.swap(pipeline_of(engine, "2"))
        engine.release.set()
        error = answer.exception(SECONDS)
        assert error.code().name == "UNAVAILABLE"
        assert "the model was replaced" in error.details()
        assert running.service.admission.bytes_in_flight == 0


def test_an_answer_counts_towards_the_limit_of_its_model(fake_bundle: Path) -> None:
    service = generous_service(fake_bundle, 2 * MEGA, 8 * MEGA, {"greys": 0.125})
    with live_rpc(service) as running, running.rpc() as client:
        refused = client.refused(files(DARK, outputs=[OutputTensor(name="evidence")]))
        assert refused.code.name == "UNAVAILABLE"
        assert "the memory for uploads is full" in refused.detail
        assert client.infer(files(DARK)).model_name == "greys"
        until(lambda: service.admission.bytes_in_flight == 0)
