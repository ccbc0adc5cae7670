"""Every command and program of the README and the guides runs, and their answers are true."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from benchmarks.peers.environments import environment
from PIL import Image

from support.documents import ROOT, Reader, blocks, needs
from support.make_images import encoded, photo

pytestmark = pytest.mark.leg("documentation")

# for clusters and stores: tests/deploy, tests/scale and tests/stores have these
ELSEWHERE = {"bundle-stores", "kubernetes", "ray-serve"}
WITHOUT = {"capacity"}  # has sums and no commands
GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
DOCUMENTS = [
    ROOT / "README.md",
    *(guide for guide in GUIDES if guide.stem not in ELSEWHERE | WITHOUT),
]
# The data set is needed, or a network trained, or other packages, or a GPU.
LONG = (
    *("groceries", "greengrocer train", "pip install", "ask_triton", "ask_kserve", "npx "),
    "prometheus ",
    *("make wheels", "docker ", "--device cuda", "uvx ", "runs/fruit", "greengrocer import model"),
    "pip uninstall",
)
QUICK = {"quick-start"}  # the others are among the long tests
WHOLE = {"training", "quick", "photos"}  # where all later commands need what a long one made

# What a test does in the place of a command, and why.
INSTEAD = {
    # Of the split "test" nothing is here.
    ".venv/bin/greengrocer evaluate --data groceries --split test": (
        ".venv/bin/greengrocer evaluate --data groceries --split val"
    ),
    # 35 versions of 296 images: a few of them do.
    ".venv/bin/greengrocer evaluate --data groceries --split val --report report --corruptions": (
        "cd groceries/dataset && head -n 4 val.txt > few && mv few val.txt && cd ../.. && "
        ".venv/bin/greengrocer evaluate --data groceries --split val --report report --corruptions"
    ),
    # Both bundles as they ship take hours. tests/training trains small ones.
    "make train DATA=groceries": "",
    # tests/importing imports models of many kinds.
    ".venv/bin/greengrocer import model.onnx --labels labels.txt --preset torchvision "
    "--out runs/mine": "",
    # As it is it takes minutes; tests/training follows it.
    "greengrocer train photos": "",
    # tests/deploy runs it on a free port.
    "prometheus --config.file=deploy/observability/prometheus.yml": "",
    # tests/client makes the types and compiles the program.
    "npx openapi-typescript http://127.0.0.1:8000/openapi.json --output greengrocer.d.ts": "",
    # The guide's recipe, but two small epochs of it.
    "greengrocer train --recipe shop.toml --data photos --out runs/shop": (
        "sed -i 's/^epochs = .*/epochs = 2/; s/^size = .*/size = 64/' shop.toml && "
        "greengrocer train --recipe shop.toml --data photos --out runs/shop"
    ),
    # tests/test_wheel.py builds and installs them. No GPU is here.
    "make wheels": "",
    "pip install greengrocer": "",
    "pip install 'greengrocer[quick]'": "",
    "pip install 'greengrocer[openvino]'": "",
    "pip install 'greengrocer[otel]'": "",
    "pip install greengrocer-client": "",
    "pip install 'greengrocer-client[pillow]'": "",
    ".venv/bin/pip install -e '.[quick]'": "",
    ".venv/bin/pip install -e '.[import]'": "",
    "uvx greengrocer serve": "",
    "pip install --find-links dist 'greengrocer[torch]'": "",
    # No GPU is here; tests/engines has the CPU stand in for one.
    "pip install 'greengrocer[cuda]'": "",
    "pip uninstall --yes onnxruntime": "",
    "pip install --force-reinstall --no-deps onnxruntime-gpu": "",
    "greengrocer serve --device cuda": "",
    "greengrocer serve --engine torch --device cuda": (
        "greengrocer serve --engine torch --device cpu"
    ),
    # tests/deploy/test_image.py follows the Dockerfile.
    "docker build -f deploy/Dockerfile --build-arg ENGINE=torch -t greengrocer:0.1.0-torch .": "",
    "docker run --gpus all -p 8080:8080 -e GREENGROCER_ENGINE=torch greengrocer:0.1.0-torch": "",
    # They are, pinned, in the environment in which the two programs run.
    "pip install 'tritonclient[http]' kserve": "",
    "pip install 'greengrocer[grpc]' 'tritonclient[grpc]'": "",
    "pip install 'greengrocer[grpc]'": "",
    # Three more fits of the same kind. tests/training trains in folds.
    "greengrocer train --recipe shop.toml --data photos --out runs/folds --folds 3": "",
}
TINTS = {"apple": (1.0, 0.3, 0.2), "lime": (0.4, 1.0, 0.3), "plum": (0.5, 0.2, 0.9)}


@pytest.fixture
def reader(tmp_path: Path, grocery_bundle: Path) -> Iterator[Reader]:
    """A reader in a clone, who has trained a bundle, and has labelled photos."""
    reader = Reader(tmp_path, INSTEAD)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "grocery").symlink_to(grocery_bundle)
    for name in ("photos", "other-photos"):
        write_photos(tmp_path / name)
    (tmp_path / "more").mkdir()
    for seed in range(4):
        (tmp_path / "more" / f"{seed}.jpg").write_bytes(encoded(photo(100 + seed), "JPEG"))
    yield reader
    reader.leave()


def write_photos(directory: Path) -> None:
    """A folder a class, with images in a colour of its own."""
    for name, tint in TINTS.items():
        (directory / name).mkdir(parents=True)
        for seed in range(20):
            pixels = np.asarray(photo(seed, (96, 72))) * np.array(tint)
            jpeg = encoded(Image.fromarray(pixels.astype(np.uint8)), "JPEG", quality=90)
            (directory / name / f"{seed}.jpg").write_bytes(jpeg)


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_a_guide_that_needs_an_extra_says_how_a_clone_gets_it(guide: Path) -> None:
    commands = [command for block in blocks(guide) for command in block.commands()]
    if any(command.startswith("pip install 'greengrocer[") for command in commands):
        text = " ".join(guide.read_text(encoding="utf-8").split())
        assert "In a clone" in text
        assert ".venv/bin/pip install -e '.[" in text


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_a_guide_with_commands_says_where_a_clone_has_them(guide: Path) -> None:
    commands = [command for block in blocks(guide) for command in block.commands()]
    if any(command.startswith("greengrocer ") for command in commands):
        text = " ".join(guide.read_text(encoding="utf-8").split())
        assert any(each in text for each in (".venv/bin/greengrocer", "environment `.venv-dev`"))


def long_commands(document: Path) -> list[str]:
    shells = [block for block in blocks(document) if block.language == "sh"]
    commands = [command for block in shells for command in block.commands()]
    return [command for command in commands if any(word in command for word in LONG)]


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(document, marks=() if document.stem in QUICK else pytest.mark.accept)
        for document in DOCUMENTS
        if document.stem not in WHOLE
    ],
    ids=lambda document: document.stem,
)
def test_the_commands_of_a_document_work(document: Path, reader: Reader) -> None:
    needs(document)
    reader.instead = {**INSTEAD, **dict.fromkeys(long_commands(document), "")}
    shown = blocks(document)
    assert shown
    for block in shown:
        reader.follow(document, block)


@pytest.mark.accept
@pytest.mark.parametrize(
    "document",
    [document for document in DOCUMENTS if long_commands(document)],
    ids=lambda document: document.stem,
)
def test_the_long_commands_of_a_document_work(
    document: Path, reader: Reader, request: pytest.FixtureRequest
) -> None:
    needs(document)
    if any("groceries" in command for command in long_commands(document)):
        dataset: Path = request.getfixturevalue("dataset")
        download = ".venv/bin/greengrocer data download --data groceries"
        reader.instead = {**INSTEAD, download: f"{download} --from {dataset}"}
    asks = [command for command in long_commands(document) if "/ask_" in command]
    if asks:
        clients = environment("clients", ROOT / "requirements" / "clients.txt")
        reader.instead = {**INSTEAD, **{command: f"{clients}/{command}" for command in asks}}
    for block in blocks(document):
        reader.follow(document, block)


def test_every_replaced_command_is_in_a_document() -> None:
    assert set(INSTEAD) <= {
        command for document in DOCUMENTS for command in long_commands(document)
    }
