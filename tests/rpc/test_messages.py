"""The generated messages are those of the file that they are generated from."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import greengrocer
from greengrocer.rpc import messages

SOURCE = Path(greengrocer.__file__).parents[1]
# A newer protoc writes the same, but for its version.
VERSION = re.compile(r"# Protobuf Python Version: .*|Domain\.PUBLIC,\s+\d+,\s+\d+,\s+\d+,")
FILE = Path(messages.__file__).with_name("open_inference.proto").relative_to(SOURCE)


def test_the_messages_are_generated_from_the_file(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools")  # other versions are tested without it
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{SOURCE}", str(FILE)]
    command += [f"--python_out={tmp_path}", f"--pyi_out={tmp_path}"]
    subprocess.run(command, cwd=SOURCE, check=True)
    for suffix in (".py", ".pyi"):
        made = (tmp_path / FILE).with_name(f"open_inference_pb2{suffix}")
        kept = SOURCE / FILE.with_name(made.name)
        assert VERSION.sub("", made.read_text()) == VERSION.sub("", kept.read_text())


def test_the_messages_are_read_by_the_oldest_protobuf_that_the_extra_allows() -> None:
    project = tomllib.loads((SOURCE.parent / "pyproject.toml").read_text())["project"]
    wanted = map(Requirement, project["optional-dependencies"]["grpc"])
    needed = next(requirement for requirement in wanted if requirement.name == "protobuf")
    kept = (SOURCE / FILE.with_name("open_inference_pb2.py")).read_text()
    made = re.search("Protobuf Python Version: (.+)", kept)
    assert made is not None
    assert needed.specifier.contains(made[1])
    assert Version(made[1]).major == 6  # Triton's client does not allow 7
