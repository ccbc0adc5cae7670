"""``greengrocer bundle pack`` writes a bundle of a graph that keeps the contract."""

import json
from pathlib import Path
from typing import Any

import pytest

import greengrocer
from greengrocer.cli.main import main
from support import hostile
from support.bundles import CLASSES
from support.graphs import SIDE, grey_graph
from support.make_images import jpeg

DESCRIPTION: dict[str, Any] = {
    "name": "greys",
    "classes": CLASSES,
    "coarse": ["dark", "light"],
    "coarse_of": [k * 2 // len(CLASSES) for k in range(len(CLASSES))],
    "geometry": {"width": SIDE, "height": SIDE},
    "known_threshold": 0.1,
}


def pack(home: Path, graph: bytes, description: object) -> int:
    (home / "graph.onnx").write_bytes(graph)
    (home / "about.json").write_text(json.dumps(description))
    for level in (30, 200):
        (home / f"{level}.jpg").write_bytes(jpeg(level))
    goldens = [f"--golden={home / f'{level}.jpg'}" for level in (30, 200)]
    flags = ["--manifest", str(home / "about.json"), *goldens, "--out", str(home / "packed")]
    return main(["bundle", "pack", str(home / "graph.onnx"), *flags])


def test_a_graph_with_all_outputs(tmp_path: Path) -> None:
    assert pack(tmp_path, grey_graph(), DESCRIPTION) == 0
    with greengrocer.load(tmp_path / "packed") as model:
        answer = model.predict(jpeg(100), evidence=True)
    assert answer.prediction == "grey-3"
    assert answer.known
    assert answer.evidence is not None


def test_a_graph_with_probabilities_alone(tmp_path: Path) -> None:
    about = {
        "name": "greys",
        "classes": CLASSES,
        "geometry": DESCRIPTION["geometry"],
        "known_threshold": None,
        "evidence": False,
        "calibrated": False,
    }
    assert pack(tmp_path, grey_graph(outputs=("probabilities",)), about) == 0
    with greengrocer.load(tmp_path / "packed") as model:
        answer = model.predict(jpeg(100), evidence=True)
    assert (answer.prediction, answer.known, answer.evidence) == ("grey-3", None, None)
    assert answer.named.name == "grey-3"


def test_a_description_without_an_end_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pack(tmp_path, grey_graph(), DESCRIPTION) == 0
    (tmp_path / "about.json").write_text("[" * 100_000)
    flags = ["--manifest", str(tmp_path / "about.json"), "--golden", str(tmp_path / "30.jpg")]
    out = ["--out", str(tmp_path / "other")]
    assert main(["bundle", "pack", str(tmp_path / "graph.onnx"), *flags, *out]) == 2
    assert "about.json is not JSON" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("graph", "description", "said"),
    [
        (grey_graph(), {**DESCRIPTION, "known_threshold": None}, "has the outputs"),
        (grey_graph(), {**DESCRIPTION, "evidence": False}, "has the outputs"),
        (grey_graph(), {**DESCRIPTION, "classes": ["one"]}, "about.json: classes"),
        (grey_graph(), {**DESCRIPTION, "size": 3}, "about.json: size"),
        (grey_graph(), [], "is not a JSON object"),
        (b"no graph", DESCRIPTION, "does not load"),
        (hostile.greedy(4_000_000_000), DESCRIPTION, "memory"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    graph: bytes,
    description: object,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert pack(tmp_path, graph, description) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "packed").exists()
