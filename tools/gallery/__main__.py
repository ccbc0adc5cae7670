"""`python -m tools.gallery [options] [NAME ...]`: draws the named pictures, or all of them."""

import argparse
import logging
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.gallery.catalogue import PICTURES
from tools.gallery.develop import develop
from tools.gallery.export import SceneFolder
from tools.gallery.stage import Picture

LIMIT = 41_000
ROOT = Path(__file__).resolve().parents[2]
SCENE_SCRIPT = Path(__file__).with_name("blender_scene.py")
log = logging.getLogger("gallery")


def draw(picture: Picture, out: Path, blender: str, samples: int) -> int:
    """Draws one picture into `out`; returns its size in bytes."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        SceneFolder(folder, picture, samples).write()
        command = [blender, "-b", "--python-exit-code", "1", "-P", str(SCENE_SCRIPT), "--", made]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode != 0:
            sys.stderr.write(done.stdout[-2000:] + done.stderr[-2000:])
            raise SystemExit(f"Blender could not draw {picture.name}")
        return develop(folder / "frame.png", out / f"{picture.name}.jpg", LIMIT)


def main() -> None:
    """Draws what the command line asks for."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(prog="python -m tools.gallery", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a class name, as Granny-Smith")
    parser.add_argument("--out", type=Path, default=ROOT / "src" / "greengrocer" / "gallery")
    parser.add_argument(
        "--samples", type=int, default=32, help="fewer draw faster, with more grain"
    )
    options = parser.parse_args()
    known = {picture.name: picture for picture in PICTURES}
    if unknown := set(options.names) - set(known):
        parser.error(f"no such picture: {', '.join(sorted(unknown))}")
    blender = shutil.which("blender")
    if blender is None:
        parser.error("Blender is not on the PATH")
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.names or known:
        log.info("%s: %d bytes", name, draw(known[name], options.out, blender, options.samples))


if __name__ == "__main__":
    main()
