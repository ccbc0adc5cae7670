"""KServe's objects, checked against the types in its Python package."""

import subprocess
from pathlib import Path

import pytest
import yaml
from benchmarks.peers.environments import environment

from support import kserve_types
from support.manifests import DEPLOY, kserve_with_grpc

pytestmark = [pytest.mark.accept, pytest.mark.leg("KServe")]

FILES = sorted((DEPLOY / "kserve").glob("*.yaml"))


def held(*files: Path) -> subprocess.CompletedProcess[str]:
    python = environment("clients", DEPLOY.parent / "requirements" / "clients.txt") / "python"
    command = [str(python), str(kserve_types.__file__), *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_the_objects_match_the_types_of_kserve() -> None:
    assert len(FILES) == 2
    done = held(*FILES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_runtime_with_grpc_matches_the_types_of_kserve(tmp_path: Path) -> None:
    file = tmp_path / "runtime.yaml"
    file.write_text(yaml.safe_dump(kserve_with_grpc()))
    done = held(file)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("autoSelect", "autoselect"), ("failureThreshold: 2", "failureThreshold: two")],
)
def test_a_field_of_a_wrong_type_is_found(tmp_path: Path, right: str, wrong: str) -> None:
    text = (DEPLOY / "kserve" / "serving-runtime.yaml").read_text(encoding="utf-8")
    assert right in text
    file = tmp_path / "runtime.yaml"
    file.write_text(text.replace(right, wrong))
    done = held(file)
    assert done.returncode == 1, done.stderr
    assert wrong.rsplit(maxsplit=1)[-1] in done.stdout
