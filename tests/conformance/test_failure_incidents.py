"""Incidents that need an internal failure, which no client can provoke."""

import json
from pathlib import Path

import pytest
from conformance.answers import LEAKS
from conformance.forms import FORM, form, part
from conformance.tensors import asking, image, infer
from conformance.wire import exchange, post

from support.live import FailingEngine, engine_of, live, make_service
from support.make_images import jpeg

SECRETS = (*LEAKS, "RuntimeError", "/srv", "secret", "graph.onnx", "broken")
PICTURE = jpeg(250)
REQUESTS = {
    "raw": post(PICTURE),
    "form": post(form(part(PICTURE)), kind=FORM),
    "evidence": post(PICTURE, target="/predict?explain=true"),
    "map": post(PICTURE, target="/explain"),
    "batch": post(form(part(PICTURE)), kind=FORM, target="/predict/batch"),
    "tensors": infer("/v2/models/greys", asking(image(PICTURE))),
}


@pytest.mark.parametrize("way", REQUESTS)
def test_triton_cve_2025_23319_23320_23334_a_500_tells_nothing_of_the_inside(
    fake_bundle: Path, way: str
) -> None:
    """No path, no name and no text of an exception, where the engine fails with all three."""
    assert all(secret in FailingEngine.SECRET for secret in SECRETS[-4:])
    with live(make_service(fake_bundle, engine_of(FailingEngine, fake_bundle))) as running:
        answer = exchange(running.url, REQUESTS[way])
    told = answer.body.decode()
    assert json.loads(told).get("status", answer.status) == 500  # of a batch, its line has it
    assert not [secret for secret in SECRETS if secret in told], told
