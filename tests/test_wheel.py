"""The wheel and the sdist as pip installs them."""

import hashlib
import json
import os
import subprocess
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tools.release import read_metadata

from greengrocer import __version__
from greengrocer.bundles.bundle import shipped_bundles
from greengrocer.bundles.float_weights import PACKAGE
from greengrocer.bundles.manifest import WEIGHTS, read_manifest
from greengrocer.datasets.gallery import built_in_gallery
from support.commands import mistake, run
from support.distributions import build_distribution
from support.make_images import jpeg
from support.servers import Server, start_server

pytestmark = pytest.mark.leg("wheel")

ROOT = Path(__file__).parents[1]
MAX_ENVIRONMENT = 250_000_000  # bytes, pip included
BARE = {"PYTHONPATH": ""}
MAX_MODEL = {"grocery": 10_000_000, "fast": 6_000_000, "tiny": 3_000_000}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, grocery_bundle: Path) -> Path:
    assert grocery_bundle.is_relative_to(ROOT)
    return build_distribution(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def weights(wheel: Path) -> Path:
    """The wheel of the float weights, beside the other one."""
    return build_distribution(ROOT / "packages" / "weights", wheel.parent)


@pytest.fixture(scope="module")
def client_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_distribution(ROOT / "clients" / "python", tmp_path_factory.mktemp("client"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_distribution(ROOT, tmp_path_factory.mktemp("sdist"), "sdist")


def installed(directory: Path, distribution: Path) -> Path:
    """An environment in ``directory`` that holds ``distribution`` and the pinned requirements."""
    venv.create(directory, with_pip=True)
    pip = [str(directory / "bin" / "python"), "-m", "pip", "--quiet"]
    pins = str(ROOT / "requirements" / "serve.txt")
    for command in (
        ["install", "--no-compile", "-c", pins, str(distribution)],
        ["uninstall", "-y", "setuptools"],
    ):
        subprocess.run([*pip, *command], check=True, capture_output=True)
    return directory


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That of the wheel, as make builds it."""
    return installed(tmp_path_factory.mktemp("environment"), wheel)


def test_the_wheel_holds_the_graphs_the_gallery_the_page_and_the_notices_but_no_float_weights(
    wheel: Path,
) -> None:
    with zipfile.ZipFile(wheel) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    for name, most in MAX_MODEL.items():
        assert sizes[f"greengrocer/bundled/{name}/model.onnx"] <= most
        assert f"greengrocer/bundled/{name}/MODEL_CARD.md" in sizes
        assert sizes[f"greengrocer/bundled/{name}/statistics.safetensors"] <= 3_000_000
    assert sizes["greengrocer/bundled/backbone/backbone.onnx"] <= 6_000_000
    assert {"greengrocer/web/page/index.html", "greengrocer/web/page/assets/page.js"} <= {*sizes}
    assert sum(name.startswith("greengrocer/gallery/") for name in sizes) > 24
    assert not [name for name in sizes if name.endswith("/weights.safetensors")]
    assert {Path(name).name for name in sizes if "/licenses/" in name} == {"LICENSE", "NOTICE"}


def test_the_sdist_holds_only_the_package_and_its_notices(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        paths = [Path(name) for name in archive.getnames()]
    beside = {path.parts[1] for path in paths} - {"src"}
    papers = {"README.md", "CHANGELOG.md", "LICENSE", "NOTICE"}
    assert beside == papers | {"pyproject.toml", "PKG-INFO", ".gitignore"}
    assert {path.parts[2] for path in paths if path.parts[1] == "src"} == {"greengrocer"}
    assert not [path for path in paths if path.name == WEIGHTS]


def test_the_sdist_makes_the_wheel_of_the_tree_byte_for_byte(
    sdist: Path, wheel: Path, tmp_path: Path
) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (tree,) = tmp_path.iterdir()
    assert build_distribution(tree, sdist.parent).read_bytes() == wheel.read_bytes()


def test_the_distributions_have_complete_metadata(wheel: Path, weights: Path) -> None:
    ours = read_metadata(wheel)
    assert (ours.name, str(ours.version), ours.license_expression) == (
        "greengrocer",
        __version__,
        "Apache-2.0",
    )
    assert ours.summary
    assert ours.keywords
    assert ours.project_urls
    assert (ours.description or "").startswith("# Greengrocer")
    assert "Typing :: Typed" in (ours.classifiers or [])
    with zipfile.ZipFile(wheel) as archive:
        assert "greengrocer/py.typed" in archive.namelist()
    assert (read_metadata(weights).description or "").strip()


def test_the_other_wheel_holds_the_float_weights_that_the_manifests_name(weights: Path) -> None:
    with zipfile.ZipFile(weights) as archive:
        for name, directory in shipped_bundles().items():
            data = archive.read(f"{PACKAGE}/{name}/{WEIGHTS}")
            assert hashlib.sha256(data).hexdigest() == read_manifest(directory).files[WEIGHTS]
        names = {entry.filename for entry in archive.infolist()}
    assert {f"{PACKAGE}/LICENSE", f"{PACKAGE}/NOTICE"} <= names
    assert not [name for name in names if name.startswith("greengrocer/")]


def test_the_wheel_of_the_client_holds_the_client_alone_and_its_types(client_wheel: Path) -> None:
    with zipfile.ZipFile(client_wheel) as archive:
        names = {*archive.namelist()}
    ours = {f"greengrocer_client/{name}" for name in ("__init__.py", "py.typed", "LICENSE")}
    assert ours <= names
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"greengrocer_client"}
    found = read_metadata(client_wheel)
    assert (found.name, str(found.version)) == ("greengrocer-client", __version__)
    assert {each.name for each in found.requires_dist or [] if not each.marker} == {"httpx"}
    assert (found.description or "").strip()


def test_the_extra_requires_the_weights_of_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"greengrocer-weights=={__version__}" in project["optional-dependencies"]["torch"]


@pytest.mark.accept
def test_an_installed_wheel_serves_from_an_empty_environment(environment: Path) -> None:
    server = start_server(python=str(environment / "bin" / "python"), **BARE)
    picture = built_in_gallery().pictures[0].path
    try:
        with server.client() as client:
            assert client.get("/page/page.js").status_code == 200
            answer = client.post("/predict", files={"file": picture.read_bytes()})
            assert answer.status_code == 200, answer.text
            assert client.get("/random-image").headers["x-gallery"] == "built-in"
    finally:
        assert server.stop() == 0


@pytest.mark.accept
def test_an_installed_client_asks_without_numpy_pillow_or_the_product(
    client_wheel: Path, tmp_path: Path, fake_server: Server
) -> None:
    venv.create(tmp_path, with_pip=True)
    python = str(tmp_path / "bin" / "python")
    pip = [python, "-m", "pip", "--quiet", "install", "--no-compile"]
    subprocess.run([*pip, str(client_wheel)], check=True, capture_output=True)
    program = (
        "import sys; from greengrocer_client import Client\n"
        f"print(Client({fake_server.url!r}).predict(sys.stdin.buffer.read()).prediction)\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [python, "-c", program],
        input=jpeg(89),
        capture_output=True,
        env=os.environ | BARE,
        check=True,
        timeout=120,
    )
    prediction, modules = done.stdout.decode().splitlines()
    assert prediction == "grey-3"
    assert "httpx" in modules.split()
    assert not {"numpy", "PIL", "greengrocer"} & {*modules.split()}


@pytest.mark.accept
def test_an_installed_wheel_has_no_engine_for_tests(environment: Path) -> None:
    # an empty PYTHONPATH: the processes that tests start find the tests' own plugins by it
    python = str(environment / "bin" / "python")
    done = run("serve", "--port", "0", "--engine", "fake", python=python, environment=BARE)
    assert mistake(done).endswith(
        "there is no engine fake: choose one of auto, onnx, openvino, torch"
    )


@pytest.mark.accept
def test_an_installed_sdist_recognises_images(sdist: Path, tmp_path: Path) -> None:
    python = str(installed(tmp_path / "environment", sdist) / "bin" / "python")
    picture = built_in_gallery().pictures[0].path
    done = run("predict", "--json", str(picture), python=python, environment=BARE)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["prediction"]


@pytest.mark.accept
def test_the_serving_environment_is_small_and_has_no_torch(environment: Path) -> None:
    modules = "import greengrocer.cli.serve, greengrocer.assemble, greengrocer.web.app"
    subprocess.run([environment / "bin" / "python", "-c", modules], check=True)  # compiles them
    size = sum(
        os.lstat(Path(folder) / name).st_size
        for folder, _, names in os.walk(environment)
        for name in names
    )
    assert size <= MAX_ENVIRONMENT, f"{size / 1e6:.0f} MB"
    assert not list(environment.glob("lib/python*/site-packages/torch"))


@pytest.mark.accept
def test_the_torch_engine_says_in_one_line_what_it_needs(environment: Path) -> None:
    command = [str(environment / "bin" / "greengrocer"), "serve", "--engine", "torch"]
    run = subprocess.run(
        [*command, "--port", "0"], capture_output=True, text=True, check=False, timeout=60
    )
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1
    assert "pip install 'greengrocer[torch]'" in run.stderr


@pytest.fixture
def with_torch(environment: Path) -> Iterator[Path]:
    """The environment, where torch is there for this test: it comes from ours."""
    (packages,) = environment.glob("lib/python*/site-packages")
    link = packages / "torch-of-another-environment.pth"
    link.write_text(f"{sysconfig.get_path('purelib')}\n")
    yield environment
    link.unlink()
    pip = [str(environment / "bin" / "python"), "-m", "pip", "--quiet"]
    command = [*pip, "uninstall", "--yes", "greengrocer-weights"]
    subprocess.run(command, check=True, capture_output=True)


def asked(environment: Path, bundle: str) -> str:
    """What the engine torch of the environment answers for an image, over HTTP."""
    flags = ("--engine", "torch", "--device", "cpu", "--bundle", bundle)
    server = start_server(*flags, python=str(environment / "bin" / "python"))
    picture = built_in_gallery().pictures[0].path
    try:
        with server.client() as client:
            answer = client.post("/predict", files={"file": picture.read_bytes()})
            assert answer.status_code == 200, answer.text
            return str(answer.json()["model"]["name"])
    finally:
        assert server.stop() == 0, "".join(server.log)


@pytest.mark.accept
def test_the_extra_brings_what_the_torch_engine_needs(with_torch: Path, weights: Path) -> None:
    command = [str(with_torch / "bin" / "greengrocer"), "serve", "--engine", "torch"]
    run = subprocess.run(
        [*command, "--port", "0"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (run.returncode, run.stderr.count("\n")) == (2, 1)
    assert "pip install 'greengrocer[torch]'" in run.stderr
    pip = [str(with_torch / "bin" / "python"), "-m", "pip", "--quiet", "install", "--no-index"]
    subprocess.run(
        [*pip, "--find-links", str(weights.parent), "greengrocer[torch]"],
        check=True,
        capture_output=True,
    )
    assert [asked(with_torch, bundle) for bundle in MAX_MODEL] == [*MAX_MODEL]
