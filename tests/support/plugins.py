"""What the processes that tests start can import, and which plugins they find."""

import os
from pathlib import Path

from greengrocer.engines.registry import GROUP

PLUGINS = Path(__file__).parents[1] / "plugins"  # a package with the engine `fake`


def python_path(*first: Path) -> dict[str, str]:
    """The variable PYTHONPATH: the directories ``first``, then the plugins, then what it has."""
    inherited = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    path = dict.fromkeys([*map(str, first), str(PLUGINS), *inherited])  # each once
    return {"PYTHONPATH": os.pathsep.join(path)}


def write_plugin(directory: Path, package: str, engine: str, where: str, code: str = "") -> Path:
    """A package as pip would install it into ``directory``, with one entry point of an engine.

    ``where`` is the entry point's ``module:attribute``; ``code`` becomes that module.
    """
    metadata = directory / f"{package.replace('-', '_')}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {package}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{GROUP}]\n{engine} = {where}\n")
    if code:
        (directory / f"{where.partition(':')[0]}.py").write_text(code)
    return directory
