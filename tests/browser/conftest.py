"""A browser with the page open; the page may cause no error."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from greengrocer.bundles.manifest import read_manifest, write_manifest
from support.bundles import write_fake_bundle
from support.chromium import Shop, chromium
from support.make_images import jpeg
from support.servers import Server, start_server

OpenShop = Callable[..., Shop]


# Not for the session: while it is there, other tests of this thread can start no event loop.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The fake engine, which here names no class of which it is not 50% sure."""
    bundle = write_fake_bundle(tmp_path_factory.mktemp("bundles") / "greys")
    thresholds = {"known_threshold": 0.46, "fine_threshold": 0.5, "coarse_threshold": 0.8}
    write_manifest(read_manifest(bundle).model_copy(update=thresholds), bundle)
    server = start_server("--bundle", str(bundle), "--engine", "fake")
    yield server
    assert server.stop() == 0, "".join(server.log)


@pytest.fixture
def open_shop(browser: Browser, server: Server) -> Iterator[OpenShop]:
    """Open the page with options of the test's own."""
    shops: list[Shop] = []

    def open_one(**options: object) -> Shop:
        shops.append(Shop(browser, server.url, **options).open())
        return shops[-1]

    yield open_one
    for shop in shops:
        shop.close()
        assert not shop.complaints


@pytest.fixture
def shop(open_shop: OpenShop) -> Shop:
    """The page at a desk."""
    return open_shop(viewport={"width": 1440, "height": 900})


@pytest.fixture
def pictures(tmp_path: Path) -> dict[str, Path]:
    """Files by what the fake engine says of them; and one that is no image."""
    levels = {"grey-3": 89, "grey-7": 191, "dark": 79, "unknown": 128}
    found = {name: tmp_path / f"{name}.jpg" for name in levels}
    for name, level in levels.items():
        found[name].write_bytes(jpeg(level, (400, 300)))
    found["text"] = tmp_path / "text.jpg"
    found["text"].write_text("no image")
    return found
