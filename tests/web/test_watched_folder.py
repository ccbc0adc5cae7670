"""A service takes and gives up the models of a folder that it watches."""

import shutil
from pathlib import Path

import pytest

from support.bundles import write_fake_bundle
from support.make_images import jpeg
from support.servers import StartServer
from support.waiting import until

FEW = ("black", "grey", "white")


@pytest.mark.accept
@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["one process", "workers"])
def test_a_bundle_that_appears_in_a_watched_folder_is_served(
    serve: StartServer, tmp_path: Path, workers: tuple[str, ...]
) -> None:
    (tmp_path / "watched").mkdir()
    watch = ("--watch", str(tmp_path / "watched"))
    server = serve(
        "--bundle", str(write_fake_bundle(tmp_path / "first")), "--engine", "fake", *watch, *workers
    )
    serving = [line for line in server.log if "serving" in line]
    assert serving
    assert all("greys 1" in line for line in serving)
    with server.client() as client:

        def served() -> list[str]:
            return [each["name"] for each in client.get("/models").json()["models"]]

        assert served() == ["greys"]
        few = write_fake_bundle(tmp_path / "few", version="few", classes=FEW, hierarchy=False)
        shutil.copytree(few, tmp_path / "watched" / "shop")
        until(lambda: served() == ["greys", "shop"])
        assert client.post("/models/shop/predict", files={"file": jpeg(250)}).status_code == 200
        shutil.rmtree(tmp_path / "watched" / "shop")
        until(lambda: served() == ["greys"])
