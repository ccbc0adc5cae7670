"""Build the distributions of this repository."""

import subprocess
import sys
from pathlib import Path


def build_distribution(project: Path, directory: Path, kind: str = "wheel") -> Path:
    """The wheel or the sdist of ``project``, new in ``directory``."""
    before = {*directory.iterdir()}
    build = [sys.executable, "-m", "build", f"--{kind}", "--no-isolation"]
    command = [*build, "--outdir", str(directory), str(project)]
    subprocess.run(command, check=True, capture_output=True, cwd=directory)
    (found,) = {*directory.iterdir()} - before
    return found
