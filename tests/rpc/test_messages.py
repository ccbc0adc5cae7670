"""The generated messages are those of the file that they are generated from."""

import subprocess
import sys
from pathlib import Path

import pytest

import greengrocer
from greengrocer.rpc import messages

SOURCE = Path(greengrocer.__file__).parents[1]
FILE = Path(messages.__file__).with_name("open_inference.proto").relative_to(SOURCE)


def test_the_messages_are_generated_from_the_file(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools")  # other versions are tested without it
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{SOURCE}", str(FILE)]
    command += [f"--python_out={tmp_path}", f"--pyi_out={tmp_path}"]
    subprocess.run(command, cwd=SOURCE, check=True)
    for suffix in (".py", ".pyi"):
        made = (tmp_path / FILE).with_name(f"open_inference_pb2{suffix}")
        assert made.read_text() == (SOURCE / FILE.with_name(made.name)).read_text()
