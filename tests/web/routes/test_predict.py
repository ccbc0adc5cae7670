"""``POST /predict``: the answers to good images."""

import httpx
import pytest
from PIL import Image

from greengrocer.web.schemas import ClassNames, Prediction
from support.forms import FORM, form, part
from support.make_images import encoded, jpeg, photo


def answered(response: httpx.Response) -> Prediction:
    """The answer, which must be one by the published model, and echo its header's id."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    prediction = Prediction.model_validate_json(response.content)
    assert prediction.request_id == response.headers["x-request-id"]
    return prediction


def test_a_form_is_answered(client: httpx.Client) -> None:
    response = client.post("/predict", files={"file": ("a.jpg", jpeg(115), "image/jpeg")})
    prediction = answered(response)
    assert prediction.prediction == "grey-4"
    assert prediction.coarse is not None
    assert prediction.coarse.prediction == "dark"
    assert prediction.model.name == "greys"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_raw_body_is_answered(client: httpx.Client, kind: str) -> None:
    picture = encoded(Image.new("RGB", (40, 30), (240, 240, 240)), kind)
    headers = {"Content-Type": f"image/{kind.lower()}"}
    assert answered(client.post("/predict", content=picture, headers=headers)).prediction == (
        "grey-9"
    )


@pytest.mark.parametrize("kind", ["IMAGE/JPEG", "image/jpeg; charset=binary", "image/png"])
def test_the_format_is_read_from_the_bytes_not_the_declared_type(
    client: httpx.Client, kind: str
) -> None:
    response = client.post("/predict", content=jpeg(15), headers={"Content-Type": kind})
    assert answered(response).prediction == "grey-0"


@pytest.mark.parametrize("kind", ["text/plain", "application/octet-stream", "image/gif", "x"])
def test_a_parts_declared_type_is_ignored(client: httpx.Client, kind: str) -> None:
    response = client.post("/predict", files={"file": ("a.txt", jpeg(15), kind)})
    assert answered(response).prediction == "grey-0"


def test_other_parts_of_a_form_are_ignored(client: httpx.Client) -> None:
    body = form(part(b"x" * 5000, "comment"), part(jpeg(240)), part(b"", "submit"))
    response = client.post("/predict", content=body, headers={"Content-Type": FORM})
    assert answered(response).prediction == "grey-9"


def test_a_form_in_one_byte_chunks_is_answered(client: httpx.Client) -> None:
    body = form(part(jpeg(240)))
    chunks = (body[k : k + 1] for k in range(len(body)))
    response = client.post("/predict", content=chunks, headers={"Content-Type": FORM})
    assert answered(response).prediction == "grey-9"


def test_the_answer_is_a_class_of_the_list(client: httpx.Client) -> None:
    names = ClassNames.model_validate_json(client.get("/class-names").content).classes
    for seed in range(5):
        picture = encoded(photo(seed), "JPEG")
        prediction = answered(client.post("/predict", files={"file": picture}))
        assert prediction.prediction in names
        assert {ranked.name for ranked in prediction.top} <= set(names)


@pytest.mark.parametrize(("query", "count"), [("", 5), ("?top=1", 1), ("?top=10", 10)])
def test_top_sets_how_many_classes_are_listed(client: httpx.Client, query: str, count: int) -> None:
    prediction = answered(client.post(f"/predict{query}", files={"file": jpeg(128)}))
    assert len(prediction.top) == count
    confidences = [ranked.confidence for ranked in prediction.top]
    assert confidences == sorted(confidences, reverse=True)
    assert prediction.top[0].name == prediction.prediction
    assert prediction.top[0].confidence == prediction.confidence


def test_the_request_id_of_the_client_is_kept(client: httpx.Client) -> None:
    headers = {"X-Request-Id": "till-7:2026/11"}
    prediction = answered(client.post("/predict", files={"file": jpeg(1)}, headers=headers))
    assert prediction.request_id == "till-7:2026/11"


@pytest.mark.parametrize("bad", ["", "a b", "x" * 129, "<script>", "a\tb", 'a"b'])
def test_a_malformed_request_id_is_replaced(client: httpx.Client, bad: str) -> None:
    headers = {"X-Request-Id": bad}
    prediction = answered(client.post("/predict", files={"file": jpeg(1)}, headers=headers))
    assert prediction.request_id != bad
    assert len(prediction.request_id) == 32


def test_request_ids_differ(client: httpx.Client) -> None:
    ids = {client.get("/livez").headers["x-request-id"] for _ in range(20)}
    assert len(ids) == 20
