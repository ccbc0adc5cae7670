"""Many clients at once, slow engines, and clients that disconnect."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from greengrocer.web.schemas import Prediction
from support.engines import HeldEngine
from support.live import Live, engine_of, live, make_service
from support.make_images import encoded, jpeg, photo
from support.servers import StartServer
from support.waiting import until
from support.wire import Wire, exchange, post


def predict(client: httpx.Client) -> httpx.Response:
    return client.post("/predict", files={"file": jpeg(5)})


def rejections(server: Live, reason: str) -> float:
    with server.client() as client:
        families = text_string_to_metric_families(client.get("/metrics").text)
    return sum(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == "greengrocer_rejections_total" and sample.labels == {"reason": reason}
    )


def test_health_answers_while_the_engine_is_blocked(fake_bundle: Path) -> None:
    engine = engine_of(HeldEngine, fake_bundle).hold()
    service = make_service(fake_bundle, engine)
    with live(service) as server, server.client() as client, ThreadPoolExecutor() as pool:
        blocked = pool.submit(predict, client)
        assert engine.busy.wait(60)
        for probe in ("/livez", "/readyz", "/metrics", "/class-names"):
            assert client.get(probe).status_code == 200
        assert "greengrocer_in_flight 1.0" in client.get("/metrics").text
        assert "greengrocer_images_in_flight 1.0" in client.get("/metrics").text
        assert not blocked.done()
        engine.release.set()
        assert blocked.result().status_code == 200


def test_a_client_that_disconnects_while_its_image_waits_cancels_it(fake_bundle: Path) -> None:
    engine = engine_of(HeldEngine, fake_bundle).hold()
    service = make_service(fake_bundle, engine)
    with live(service) as server, server.client() as client, ThreadPoolExecutor() as pool:
        first = pool.submit(predict, client)
        assert engine.busy.wait(60)
        with Wire(server.url) as leaver:
            leaver.send(post(jpeg(250)))
            until(lambda: service.admission.pictures == 2)
        assert rejections(server, "client-disconnected") == 0
        engine.release.set()
        assert first.result().status_code == 200
        until(lambda: rejections(server, "client-disconnected") == 1)
    assert engine.calls == 1


def test_a_client_that_disconnects_while_sending_is_counted(fake_bundle: Path) -> None:
    with live(make_service(fake_bundle)) as server:
        with Wire(server.url) as leaver:
            leaver.send(post(jpeg(250))[:-10])
        until(lambda: rejections(server, "client-disconnected") == 1)


def answers_of(url: str, pictures: list[bytes], at_once: int) -> list[dict[str, object]]:
    """What each image is answered, its request id aside."""
    with ThreadPoolExecutor(at_once) as pool:
        bodies = list(pool.map(lambda picture: exchange(url, post(picture)).body, pictures))
    return [Prediction.model_validate_json(b).model_dump(exclude={"request_id"}) for b in bodies]


def test_sixty_four_clients_at_once_each_get_their_own_answer(fake_bundle: Path) -> None:
    pictures = [jpeg(level) for level in range(0, 256, 4)]
    with live(make_service(fake_bundle, threads=2)) as server:
        alone = answers_of(server.url, pictures, at_once=1)
        together = answers_of(server.url, pictures, at_once=64)
    assert together == alone
    assert len({answer["known_score"] for answer in alone}) > 32  # different answers indeed


def test_the_shipped_model_gives_each_of_many_clients_their_own_answer(
    serve: StartServer, grocery_bundle: Path
) -> None:
    server = serve(
        "--bundle",
        str(grocery_bundle),
        "--max-queue-seconds",
        "60",
        "--request-timeout-seconds",
        "60",
    )
    pictures = [encoded(photo(seed), "JPEG") for seed in range(32)]
    alone = answers_of(server.url, pictures, at_once=1)
    together = answers_of(server.url, pictures, at_once=32)
    for one, other in zip(alone, together, strict=True):
        assert other["prediction"] == one["prediction"]
        assert other["confidence"] == pytest.approx(one["confidence"], abs=1e-5)
