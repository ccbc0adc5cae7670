"""Refusals become exceptions with the names and codes of the service."""

import pickle
from pathlib import Path

import pytest

import greengrocer_client
from greengrocer.answer_json import CLIENT_CLOSED_REQUEST, KINDS, problem_document
from greengrocer.errors import Refusal as Refused
from greengrocer.web.access.keys import add_key
from greengrocer_client import (
    ClientError,
    DeadlineExceeded,
    ImageRefused,
    ModelFailed,
    NotReady,
    Overloaded,
    Problem,
    Refusal,
    Unauthorized,
    UploadRefused,
)
from greengrocer_client.errors import deadline_exceeded, refusal, without_frames
from support.access import closed
from support.clients import AnyClient
from support.live import live
from support.make_images import jpeg
from support.replies import Reply, replying
from support.servers import Server


@pytest.mark.parametrize("ours", KINDS, ids=lambda ours: ours.__name__)
def test_each_refusal_of_the_service_has_its_exception(ours: type[Refused]) -> None:
    status, title = KINDS[ours]
    problem = Problem.read(status, problem_document(status, ours.code, title, "why", "id"))
    assert problem == Problem(ours.code, status, title, "why", "id")
    kinds = [vars(greengrocer_client).get(kind.__name__) for kind in ours.__mro__]
    nearest = next(kind for kind in kinds if kind)
    assert type(refusal(problem)) is nearest
    assert (nearest is Refusal) == (status in (CLIENT_CLOSED_REQUEST, 500))


@pytest.mark.parametrize("many", [False, True])
def test_a_model_that_failed_is_asked_once(client_of: AnyClient, many: bool) -> None:
    failed = Reply(503, {"code": "model-failed", "detail": "the model shop could not be loaded"})
    with replying(failed) as server, client_of(server.url) as client:
        images = [jpeg(89)] * 9
        ask = client.predict_many(images, at_once=1) if many else map(client.predict, images)
        with pytest.raises(ModelFailed, match="shop"):
            next(ask)
        assert len(server.sent) <= (2 if many else 1)  # the next image may be on its way


def test_a_code_that_is_newer_than_the_client_is_judged_by_its_status() -> None:
    kinds = {400: Refusal, 401: Unauthorized, 429: Overloaded, 503: NotReady, 504: DeadlineExceeded}
    for status, kind in kinds.items():
        error = refusal(Problem("newer", status, "Newer", "something new"))
        assert (type(error), error.code) == (kind, "newer")


def test_a_refusal_can_be_pickled() -> None:
    error = refusal(Problem("overloaded", 429, "Full", "wait", "id"), 2.0)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.problem, again.retry_after) == (Overloaded, error.problem, 2.0)


def test_without_its_frames_a_refusal_still_tells_its_cause() -> None:
    with pytest.raises(DeadlineExceeded) as told:
        raise deadline_exceeded(1) from TimeoutError("slow")
    error = without_frames(told.value)
    assert error is told.value
    assert (error.__traceback__, error.__cause__, error.__context__) == (None, None, None)
    assert error.__notes__ == ["The cause was TimeoutError('slow')."]


def test_the_refusal_of_an_image_names_code_and_request(
    client_of: AnyClient, fake_server: Server
) -> None:
    with client_of(fake_server.url) as client:
        with pytest.raises(ImageRefused, match="not an image in a supported format") as told:
            client.predict(b"no image")
        with pytest.raises(UploadRefused, match="top is 11: this model has 10 classes") as of_top:
            client.predict(jpeg(89), top=11)
        with pytest.raises(UploadRefused, match='level is "finest"'):
            client.class_names("finest")
    problem = told.value.problem
    assert (told.value.code, problem.status) == ("unreadable-image", 400)
    assert problem.request_id
    assert of_top.value.code == "parameter-out-of-range"


def test_a_file_that_cannot_be_read_is_refused_as_the_service_would(
    client_of: AnyClient, tmp_path: Path
) -> None:
    with client_of("http://127.0.0.1:9") as client, pytest.raises(ImageRefused) as told:
        client.predict(tmp_path / "none.jpg")
    assert str(told.value) == f"{tmp_path / 'none.jpg'}: No such file or directory"
    assert (told.value.code, told.value.problem.request_id) == ("unreadable-image", None)


def test_a_key_is_sent_and_a_wrong_one_is_refused(
    client_of: AnyClient, fake_bundle: Path, tmp_path: Path
) -> None:
    key = add_key(tmp_path / "keys", "till")
    with live(closed(fake_bundle, tmp_path / "keys")) as server:
        with client_of(server.url, f"{key}\n") as client:  # as it is in a file
            assert client.predict(jpeg(89)).prediction == "grey-3"
        for wrong in (None, key[:-1] + ("a" if key[-1] != "a" else "b")):
            with client_of(server.url, wrong) as client, pytest.raises(Unauthorized) as told:
                client.predict(jpeg(89))
            assert key[:-1] not in str(told.value)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (413, "content-too-large", Refusal),
        (502, "bad-gateway", Refusal),
        (504, "gateway-timeout", DeadlineExceeded),
        (599, "status-599", Refusal),
    ],
)
def test_the_refusal_of_a_proxy_is_judged_by_its_status(
    status: int, code: str, kind: type[Refusal], client_of: AnyClient
) -> None:
    with (
        replying(Reply(status, b"<html>")) as server,
        client_of(server.url) as client,
        pytest.raises(ClientError, match="without a problem document") as told,
    ):
        client.predict(jpeg(89))
    assert type(told.value) is kind
    assert isinstance(told.value, Refusal)
    assert told.value.code == code


@pytest.mark.parametrize("path", ["/predict", "/v2", "/class-names"])
def test_a_path_that_is_not_the_services_is_named(
    path: str, client_of: AnyClient, fake_server: Server
) -> None:
    with client_of(fake_server.url + path) as client, pytest.raises(Refusal) as told:
        client.predict(jpeg(89))
    assert (type(told.value), told.value.code) == (Refusal, "not-found")
    assert str(told.value).startswith(f"POST {path}/predict: ")
    assert "the client's URL must be that of the service" in str(told.value)


def test_a_method_that_is_not_the_services_is_named(client_of: AnyClient) -> None:
    with (
        replying(Reply(405, b"<html>")) as server,
        client_of(server.url) as client,
        pytest.raises(Refusal, match=r"POST /predict: .* the client's URL") as told,
    ):
        client.predict(jpeg(89))
    assert told.value.code == "method-not-allowed"
