"""``?explain=true`` and ``POST /explain``."""

import io
import json

import httpx
import numpy as np
import pytest
from PIL import Image

from greengrocer.web.schemas import Prediction
from support.make_images import encoded, jpeg, photo


def test_evidence_is_returned_on_request(client: httpx.Client) -> None:
    response = client.post("/predict?explain=true&top=2", files={"file": jpeg(115)})
    prediction = Prediction.model_validate_json(response.content)
    assert len(prediction.top) == 2
    assert prediction.evidence is not None
    assert prediction.evidence.name == prediction.prediction == "grey-4"
    assert prediction.evidence.shape == (3, 3)
    assert np.mean(prediction.evidence.values) == pytest.approx(0, abs=0.1)  # the nearest grey
    assert len(prediction.evidence.values) == 9


@pytest.mark.parametrize("query", ["", "?explain=false"])
def test_without_explain_the_answer_has_no_evidence(client: httpx.Client, query: str) -> None:
    response = client.post(f"/predict{query}", files={"file": jpeg(115)})
    assert "evidence" not in json.loads(response.content)


@pytest.mark.parametrize("size", [(320, 240), (1500, 600)])
def test_explain_answers_with_the_evidence_over_the_image(
    client: httpx.Client, size: tuple[int, int]
) -> None:
    picture = encoded(photo(3, size), "PNG")
    response = client.post("/explain", content=picture, headers={"Content-Type": "image/png"})
    assert (response.status_code, response.headers["content-type"]) == (200, "image/png")
    named = client.post("/predict", files={"file": picture}).json()["prediction"]
    assert response.headers["x-class"] == named
    with Image.open(io.BytesIO(response.content)) as laid:
        scale = min(1, 1024 / max(size))
        assert laid.size == tuple(round(side * scale) for side in size)


@pytest.mark.parametrize(
    ("body", "kind", "status"), [(b"", "image/png", 400), (b"a pear", "image/png", 400)]
)
def test_explain_refuses_what_predict_refuses(
    client: httpx.Client, body: bytes, kind: str, status: int
) -> None:
    answers = [
        client.post(path, content=body, headers={"Content-Type": kind}).json()
        for path in ("/explain", "/predict")
    ]
    assert [answer["status"] for answer in answers] == [status, status]
    assert answers[0]["code"] == answers[1]["code"]
