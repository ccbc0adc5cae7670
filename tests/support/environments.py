"""Virtual environments with other versions, built once and kept."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tools.check_floors import requirements

ROOT = Path(__file__).parents[2]

# What the quick tests of the service need beside it, at the versions of requirements/dev.txt.
TOOLS = (
    *("editables", "grpcio", "grpcio-health-checking", "grpcio-reflection", "hatchling"),
    *("hypothesis", "markdown-it-py", "obstore", "onnx", "opentelemetry-exporter-otlp-proto-http"),
    *("opentelemetry-sdk", "pillow-heif", "pytest", "pytest-xdist", "pyyaml", "safetensors"),
)
DEV = ROOT / "requirements" / "dev.txt"


def find_python(version: str) -> Path | None:
    """A Python of ``version``, as 3.13: ours, one on the path, or one that pyenv has."""
    pyenv = Path.home() / ".pyenv" / "versions"
    found = [sys.executable, shutil.which(f"python{version}")]
    found += sorted(map(str, pyenv.glob(f"{version}.*/bin/python")))
    return next((Path(each) for each in found if each and _is(each, version)), None)


def build(name: str, python: Path, wanted: Path) -> Path:
    """The Python of an environment with the pins in ``wanted``, the tools, product and client.

    Raises CalledProcessError where pip fails.
    """
    home = ROOT / f".venv-{name}"
    installed = home / "installed"
    sources = (wanted, ROOT / "pyproject.toml", DEV, Path(__file__))
    pins = "".join(source.read_text(encoding="utf-8") for source in sources)
    ours = home / "bin" / "python"
    if not installed.exists() or installed.read_text(encoding="utf-8") != pins:
        subprocess.run([str(python), "-m", "venv", "--clear", str(home)], check=True)
        constraints = home / "constraints.txt"
        constraints.write_text("\n".join(_others(requirements(wanted))), encoding="utf-8")
        pip = [str(ours), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        pinned = ["-r", str(wanted), "-c", str(constraints), *TOOLS]
        ours_alone = ["--no-deps", "--no-build-isolation", "-e", str(ROOT)]
        ours_alone += ["-e", str(ROOT / "clients" / "python")]
        for more in (pinned, ours_alone):
            subprocess.run([*pip, *more], check=True)
        installed.write_text(pins, encoding="utf-8")
    return ours


def _others(pinned: Sequence[str]) -> list[str]:
    """The pins of the tools, but of what is pinned otherwise."""
    known = {canonicalize_name(Requirement(line).name) for line in pinned}
    return [line for line in requirements(DEV) if Requirement(line).name not in known]


def _is(python: str, version: str) -> bool:
    """A shim may be there for a version that is not."""
    told = "import sys; print('{}.{}'.format(*sys.version_info))"
    done = subprocess.run([python, "-c", told], capture_output=True, text=True, check=False)
    return done.stdout.strip() == version
