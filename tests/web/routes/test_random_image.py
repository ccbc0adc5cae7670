"""``GET /random-image``."""

from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest

from greengrocer.datasets.gallery import Gallery, ShownImage, built_in_gallery
from greengrocer.web.routes.gallery import _blocks
from greengrocer.web.schemas import Problem
from support.folders import write_folders
from support.live import live, make_service
from support.make_images import encoded, photo
from support.servers import StartServer


def test_the_images_of_a_data_set_are_sent_byte_for_byte(
    serve: StartServer, fake_bundle: Path, tmp_path: Path
) -> None:
    write_folders(tmp_path, {"pear": [10, 20], "crème fraîche": [30]})
    (tmp_path / "pear" / "large.jpg").write_bytes(
        encoded(photo(3, (1600, 1200)), "JPEG", quality=95)
    )
    expected = {p.read_bytes(): p.parent.name for p in tmp_path.glob("*/*.jpg")}
    flags = ("--bundle", str(fake_bundle), "--engine", "fake", "--data", str(tmp_path))
    seen = set()
    with serve(*flags).client() as client:
        for _ in range(40):
            response = client.get("/random-image")
            assert response.status_code == 200
            assert response.headers["content-type"] == "image/jpeg"
            assert "x-gallery" not in response.headers
            assert unquote(response.headers["x-class"]) == expected[response.content]
            seen.add(response.headers["x-class"])
    assert len(seen) == 2  # in 40 draws a class of one image in four is missed once in 100,000


def test_without_a_data_set_the_built_in_images_are_sent(fake_bundle: Path) -> None:
    gallery = built_in_gallery()
    if not gallery.pictures:
        pytest.skip("src/greengrocer/gallery holds no images yet")
    service = replace(make_service(fake_bundle), gallery=gallery)
    with live(service) as server, server.client() as client:
        response = client.get("/random-image")
    assert response.status_code == 200
    assert response.headers["x-gallery"] == "built-in"
    names = {shown.true_class: shown.path for shown in gallery.pictures}
    assert response.content == names[unquote(response.headers["x-class"])].read_bytes()


def test_a_missing_image_is_a_503(fake_bundle: Path, tmp_path: Path) -> None:
    gone = Gallery((ShownImage(tmp_path / "gone.jpg", "pear"),), built_in=False)
    service = replace(make_service(fake_bundle), gallery=gone)
    with live(service) as server, server.client() as client:
        response = client.get("/random-image")
    assert response.status_code == 503
    problem = Problem.model_validate_json(response.content)
    assert problem.code == "not-ready"
    assert str(tmp_path) not in response.text


def test_what_is_no_jpeg_or_too_large_is_never_sent(
    serve: StartServer, fake_bundle: Path, tmp_path: Path
) -> None:
    data = write_folders(tmp_path / "data", {"pear": [10, 20], "plum": [30, 40]})
    good = {path.read_bytes() for path in data.glob("*/*.jpg")}
    secret = tmp_path / "secret"
    secret.write_text("not for strangers")
    (data / "pear" / "link.jpg").symlink_to(secret)  # a third cannot be sent, with the large one
    (data / "plum" / "large.jpg").write_bytes(encoded(photo(3, (1600, 1200)), "JPEG", quality=95))
    flags = ("--bundle", str(fake_bundle), "--engine", "fake", "--data", str(data))
    server = serve(*flags, "--max-image-bytes", "100000")
    with server.client() as client:
        answers = [client.get("/random-image") for _ in range(40)]
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.content for answer in answers} <= good
    assert any("image not shown" in line for line in server.log)


@pytest.mark.anyio
async def test_an_image_that_shrinks_while_it_is_sent_ends_the_answer(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"x" * 10)
    with pytest.raises(OSError, match="became shorter"):
        async for _ in _blocks(path.open("rb"), 20):
            pass
