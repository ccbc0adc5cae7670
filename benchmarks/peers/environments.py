"""A virtual environment for each peer, so that their requirements cannot conflict."""

import fcntl
import subprocess
import sys
from pathlib import Path

HOME = Path(".venv-peers")


def environment(name: str, requirements: Path, *options: str) -> Path:
    """The folder of the programs of an environment that holds ``requirements``, built if need be.

    ``options`` are pip's. Raises CalledProcessError where pip fails.
    """
    home = (HOME / name).absolute()
    installed = home / "installed"
    wanted = requirements.read_text(encoding="utf-8")
    HOME.mkdir(exist_ok=True)
    with HOME.joinpath(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests in several processes may want the same one at once
        if not installed.exists() or installed.read_text(encoding="utf-8") != wanted:
            sys.stderr.write(f"building {home}\n")
            subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
            pip = [str(home / "bin/pip"), "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, *options, "-r", str(requirements)], check=True)
            installed.write_text(wanted, encoding="utf-8")
    return home / "bin"


def pinned(requirements: Path, package: str) -> str:
    """A package and the version that ``requirements`` pin; raises StopIteration without one."""
    lines = requirements.read_text(encoding="utf-8").splitlines()
    return next(line.replace("==", " ") for line in lines if line.startswith(f"{package}=="))
