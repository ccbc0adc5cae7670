"""``greengrocer bundle pack``: a bundle of a graph that keeps the contract already."""

import argparse
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from greengrocer.cli.output import say
from greengrocer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from greengrocer.bundles.manifest import Manifest
    from greengrocer.cli.commands import Commands
    from greengrocer.ranking import Ranked


def register(commands: "Commands") -> None:
    """Declare the command."""
    parser = commands.add_parser("bundle", help="put a bundle together")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    action = actions.add_parser(
        "pack",
        help="write a bundle of a graph that keeps its contract",
        description="Write a bundle of an ONNX graph that takes `pixels` and gives the outputs of "
        "a bundle, a description in JSON, and images that become its goldens. What is a "
        "classifier only, `greengrocer import` makes a bundle of.",
    )
    action.add_argument("graph", type=Path, metavar="MODEL.onnx", help="graph with the contract")
    action.add_argument(
        "--manifest",
        type=Path,
        required=True,
        metavar="FILE",
        help="name, classes, geometry and thresholds in JSON, as a manifest has them",
    )
    action.add_argument(
        "--golden",
        type=Path,
        action="append",
        required=True,
        metavar="IMAGE",
        help="image whose answer is recorded, as photo.jpg; repeatable",
    )
    action.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="directory")
    action.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Record the goldens' answers, write the bundle, and replay it."""
    from greengrocer.bundles.manifest import read_manifest  # noqa: PLC0415
    from greengrocer.bundles.save import check_new  # noqa: PLC0415
    from greengrocer.bundles.unfinished import unfinished_folder  # noqa: PLC0415
    from greengrocer.cli.limited import run_limited  # noqa: PLC0415

    out: Path = arguments.out
    check_new(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with unfinished_folder(out.parent) as beside:
        made = beside / "bundle"
        given = (arguments.graph, arguments.manifest, arguments.golden, made)
        run_limited(_pack, given, arguments.graph)
        manifest = read_manifest(made)
        made.rename(out)
    say(f"wrote {out}, {manifest.name} {manifest.version}: try `greengrocer serve --bundle {out}`")
    return 0


def _pack(graph: Path, description: Path, goldens: "Sequence[Path]", out: Path) -> None:
    """Write the bundle ``out``, and replay it; raises UsageError or BundleRefused, in one line."""
    from greengrocer.assemble_pipeline import build_pipeline  # noqa: PLC0415
    from greengrocer.bundles.bundle import load_bundle  # noqa: PLC0415
    from greengrocer.bundles.card import CARD, card  # noqa: PLC0415
    from greengrocer.bundles.manifest import GRAPH, Golden, write_manifest  # noqa: PLC0415

    contents = {GRAPH: _read(graph)}
    for number, path in enumerate(goldens, start=1):
        contents[f"goldens/{number}{path.suffix.lower()}"] = _read(path)
    manifest = _described(description, contents)
    (out / "goldens").mkdir(parents=True)
    for name, content in contents.items():
        (out / name).write_bytes(content)
    answers = _answers(out, manifest, [contents[golden.file] for golden in manifest.goldens])
    recorded = tuple(
        Golden(file=golden.file, prediction=best.name, confidence=best.confidence)
        for golden, best in zip(manifest.goldens, answers, strict=True)
    )
    manifest = manifest.model_copy(update={"goldens": recorded})
    text = card(manifest, {name: len(content) for name, content in contents.items()}).encode()
    (out / CARD).write_bytes(text)
    files = {**manifest.files, CARD: hashlib.sha256(text).hexdigest()}
    manifest = manifest.model_copy(update={"files": files})
    write_manifest(manifest, out)
    build_pipeline(load_bundle(out)).close()


def _described(path: Path, contents: "dict[str, bytes]") -> "Manifest":
    """The manifest of ``contents`` by the JSON at ``path``, its goldens not yet answered."""
    from greengrocer.bundles.manifest import GRAPH, Manifest, first_mistake  # noqa: PLC0415

    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    try:
        tree = json.loads(_read(path))
        if not isinstance(tree, dict):
            raise UsageError(f"{path} is not a JSON object")
        classes = tree.get("classes")
        first = classes[0] if isinstance(classes, list) and classes else "?"
        goldens = [name for name in contents if name != GRAPH]
        made = {
            "version": f"{datetime.now(UTC):%Y%m%d}-{digests[GRAPH][:8]}",
            **tree,
            "files": digests,
            "goldens": [{"file": g, "prediction": first, "confidence": 0} for g in goldens],
        }
        return Manifest.model_validate_json(json.dumps(made))
    except ValidationError as error:
        raise UsageError(f"{path}: {first_mistake(error)}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON: {error}") from error


def _answers(directory: Path, manifest: "Manifest", images: "list[bytes]") -> "list[Ranked]":
    """What the graph in ``directory`` answers; raises BundleRefused where it lacks an output."""
    from greengrocer.assemble_pipeline import labels_of  # noqa: PLC0415
    from greengrocer.context import Context  # noqa: PLC0415
    from greengrocer.engines.engine import ONE_THREAD  # noqa: PLC0415
    from greengrocer.engines.registry import make_engine  # noqa: PLC0415
    from greengrocer.errors import ImageRefused  # noqa: PLC0415
    from greengrocer.imaging.decode import DecodeLimits  # noqa: PLC0415
    from greengrocer.pipeline import Pipeline  # noqa: PLC0415

    engine = make_engine("onnx", directory, manifest, "cpu", ONE_THREAD)
    engine.start()
    pipeline = Pipeline(engine, manifest.geometry, labels_of(manifest), DecodeLimits())
    try:
        return [pipeline.classify(image, Context()).top[0] for image in images]
    except ImageRefused as error:
        raise UsageError(f"a golden cannot be read: {error}") from error
    finally:
        pipeline.close()


def _read(path: Path) -> bytes:
    from greengrocer.bundles.files import MAX_BYTES  # noqa: PLC0415
    from greengrocer.regular_files import read_regular  # noqa: PLC0415

    try:
        return read_regular(path, MAX_BYTES)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
