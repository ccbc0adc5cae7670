"""``greengrocer import``: a model that exists as an ONNX file becomes a bundle."""

import argparse
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from greengrocer.cli.output import say
from greengrocer.errors import MissingExtra, UsageError
from greengrocer.minimum_versions import check_minimum_versions

if TYPE_CHECKING:
    from collections.abc import Callable

    from greengrocer.cli.commands import Commands
    from greengrocer.engines.engine import Floats
    from greengrocer.importing.importer import Imported
    from greengrocer.importing.order import Order
    from greengrocer.importing.preprocessing import Wishes

PRESETS = (
    *("torchvision", "timm", "timm-half", "ultralytics"),
    *("keras-raw", "keras-half", "keras-caffe", "keras-torch"),
)


def register(commands: "Commands") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "import",
        help="make a bundle of a model in ONNX",
        description="Make a bundle of a classifier that torchvision, timm, Keras, Ultralytics or "
        "Hugging Face exported to ONNX, and prove that it answers as before. Needs the extra "
        "`import`.",
    )
    parser.add_argument("model", type=Path, metavar="MODEL.onnx", help="the exported classifier")
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="names of the classes, one a line, in the order of their ids, as labels.txt",
    )
    parser.add_argument(
        "--coarse",
        metavar="FILE|none",
        help="a CSV with the columns class and coarse, as groups.csv; none: of nested folders of "
        "--data the outermost are the classes (default: no hierarchy)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="PHOTOS",
        help="labelled photos that calibrate it and prove it: a folder for each class, a CSV or "
        "JSONL that lists images, or a zip, as photos (default: none)",
    )
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="GLOB",
        help="photos or folders that do not count, as '*_thumb.jpg'; repeatable",
    )
    parser.add_argument(
        "--out", type=Path, metavar="BUNDLE", help="directory to write (default: runs/MODEL)"
    )
    parser.add_argument(
        "--precision",
        default="auto",
        choices=("auto", "float32"),
        help="auto: int8 where it keeps the answers and is faster here (default: auto)",
    )
    _add_preprocessing(parser)
    parser.set_defaults(run=run)


def _add_preprocessing(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "preprocessing", "What neither the model nor the files beside it say."
    )
    group.add_argument("--preset", choices=PRESETS, help="how a framework prepares images")
    group.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="preprocessor_config.json or timm's config.json",
    )
    group.add_argument(
        "--size", type=_size, metavar="N|WxH", help="pixels of the input, as 224 or 320x240"
    )
    group.add_argument(
        "--mean", type=_numbers, metavar="R,G,B", help="as 0.485,0.456,0.406, or of 255"
    )
    group.add_argument("--std", type=_numbers, metavar="R,G,B", help="as 0.229,0.224,0.225")
    group.add_argument(
        "--pixel-range",
        type=int,
        choices=(1, 255),
        help="largest pixel that --mean and --std are for (default: 1, or 255 if one is over 1)",
    )
    group.add_argument(
        "--crop", type=float, metavar="SHARE", help="share of the shorter side kept, as 0.875"
    )
    group.add_argument(
        "--resize", type=int, metavar="N", help="shorter side before the crop, as 256"
    )
    group.add_argument("--shape", choices=("squeeze", "crop", "letterbox"))
    group.add_argument("--resample", choices=("nearest", "bilinear", "bicubic", "lanczos"))
    group.add_argument(
        "--no-antialias", action="store_true", help="resize as TensorFlow does by default"
    )
    group.add_argument("--fill", type=_numbers, metavar="R,G,B", help="a letterbox's colour")
    group.add_argument("--bgr", action="store_true", help="the model reads blue first")
    group.add_argument("--layout", choices=("nchw", "nhwc"), help="where the channels are")
    group.add_argument("--output", metavar="NAME", help="the output with the scores")
    group.add_argument(
        "--scaled-decoding",
        action="store_true",
        help="decode large JPEGs at a fraction of their size: faster, but answers differ a little",
    )


def run(arguments: argparse.Namespace) -> int:
    """Import, prove and save."""
    check_minimum_versions({"import"})
    try:
        from greengrocer.importing.importer import import_model  # noqa: PLC0415
        from greengrocer.importing.source import bytes_of  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtra("import", extra="import") from error
    from greengrocer.bundles.save import check_new  # noqa: PLC0415
    from greengrocer.cli.limited import bounded_memory, run_limited  # noqa: PLC0415

    order = _order(arguments)
    check_new(order.out)
    told = {name: value for name, value in vars(arguments).items() if name != "run"}
    run_limited(_try, [told], order.model)
    with bounded_memory(bytes_of(order.model), str(order.model)):
        imported = import_model(order, _open_bundle, say)
    _say_proof(imported)
    say(f"wrote {order.out}: try `greengrocer serve --bundle {order.out}`")
    return 0


def _try(arguments: "dict[str, object]") -> None:
    """Read and run the graph, in the process of a trial; ``arguments`` are the command's."""
    from greengrocer.importing.importer import try_import  # noqa: PLC0415

    try_import(_order(argparse.Namespace(**arguments)))


def _order(arguments: argparse.Namespace) -> "Order":
    from greengrocer.importing.order import Order  # noqa: PLC0415

    called = arguments.out.resolve().name if arguments.out else arguments.model.stem
    name = re.sub(r"[^a-z0-9]+", "-", called.lower()).strip("-") or "imported"
    return Order(
        model=arguments.model,
        out=arguments.out or Path("runs", name),
        name=name[:100],
        labels=arguments.labels,
        coarse=None if arguments.coarse in (None, "none") else Path(arguments.coarse),
        config=arguments.config,
        photos=arguments.data,
        photos_coarse="none" if arguments.coarse == "none" else None,
        exclude=arguments.exclude,
        wishes=_wishes(arguments),
        layout=arguments.layout and arguments.layout.upper(),
        output=arguments.output,
        scaled=arguments.scaled_decoding,
        allow_int8=arguments.precision == "auto",
    )


def _wishes(arguments: argparse.Namespace) -> "Wishes":
    from greengrocer.importing.preprocessing import Wishes, triple  # noqa: PLC0415

    if arguments.crop is not None and not 0 < arguments.crop <= 1:
        raise UsageError(f"--crop is {arguments.crop:g}: it is a share, as 0.875")
    fill = arguments.fill and triple(arguments.fill, "--fill")
    return Wishes(
        preset=arguments.preset,
        size=arguments.size,
        mean=arguments.mean and triple(arguments.mean, "--mean"),
        std=arguments.std and triple(arguments.std, "--std"),
        pixel_range=arguments.pixel_range,
        shape=arguments.shape,
        crop=arguments.crop,
        resize=arguments.resize,
        resample=arguments.resample,
        antialias=False if arguments.no_antialias else None,
        fill=fill and (int(fill[0]), int(fill[1]), int(fill[2])),
        bgr=True if arguments.bgr else None,
    )


def _open_bundle(directory: Path) -> "Callable[[bytes], Floats]":
    """Answers by the bundle in ``directory``, as the service gives them: probabilities."""
    from greengrocer.assemble_pipeline import build_pipeline  # noqa: PLC0415
    from greengrocer.bundles.bundle import load_bundle  # noqa: PLC0415
    from greengrocer.context import Context  # noqa: PLC0415
    from greengrocer.ranking import AnswerOptions  # noqa: PLC0415

    pipeline = build_pipeline(load_bundle(directory))
    options = AnswerOptions(top=1, tensors=("probabilities",))

    def answer(data: bytes) -> "Floats":
        return pipeline.classify(data, Context(), options).tensors["probabilities"]

    return answer


def _say_proof(imported: "Imported") -> None:
    """The table of the proof: each probe by the source and by the bundle."""
    rows, classes = imported.rows, imported.taxonomy.classes
    name = max(len("probe"), *(len(row.probe) for row in rows))
    label = min(40, max(len("the model says"), *(len(classes[row.source]) for row in rows)))
    heads = f"{'the model says':{label}}  {'the bundle':10}  {'apart':>8}  graph alone"
    say(f"{'probe':{name}}  {heads}")
    for row in rows:
        same = "the same" if row.source == row.bundle else classes[row.bundle][:40]
        source = classes[row.source][:label]
        say(f"{row.probe:{name}}  {source:{label}}  {same:10}  {row.apart:8.1e}  {row.alone:11.1e}")
    agree = sum(row.source == row.bundle for row in rows)
    if imported.precision != "float32":
        worst = max(row.by_float for row in rows)
        some = " with some layers in float" if imported.precision == "mixed" else ""
        away = f"at most {worst:.1e} from those of float"
        say(f"the bundle is int8{some}: its probabilities are {away}")
    say(
        f"same top-1 on {agree} of {len(rows)} probes; probabilities at most "
        f"{max(row.apart for row in rows):.1e} apart from file to answer, and the float graph "
        f"alone {max(row.alone for row in rows):.1e}"
    )


def _numbers(text: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = [math.nan]
    if not all(map(math.isfinite, numbers)):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not one number, or three with commas between, as 0.485,0.456,0.406"
        )
    return numbers


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    try:
        return int(width), int(height or width)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no size, as 224 or 320x240") from None
