"""``greengrocer models``: list, load, unload and change the models of a running service."""

import argparse
import re
from typing import TYPE_CHECKING

from greengrocer.cli.orders import add_service_flags, bundle_as_sent, send_order, told
from greengrocer.cli.output import complain, say
from greengrocer.errors import UsageError
from greengrocer.model_names import KEY, parse_source
from greengrocer.serving.splits import ALL, check_part

if TYPE_CHECKING:
    from greengrocer.cli.commands import Commands

MOST_DIGITS = 5
COLUMNS = ("model", "version", "state", "part", "bundle", "reason")


def register(commands: "Commands") -> None:
    """Declare the command, and those below it."""
    parser = commands.add_parser(
        "models",
        help="list and change the models of a running service",
        description="List and change the models of a running service, without downtime. A change "
        "that is refused leaves them as they are.",
    )
    below = parser.add_subparsers(metavar="COMMAND", required=True)
    _add(below, "list", "list the models, those that do not serve among them").set_defaults(
        run=list_models
    )
    load = _add(below, "load", "load one more model")
    load.add_argument(
        "source",
        metavar="NAME=BUNDLE",
        help="a name, and a shipped bundle's name, a bundle's directory, or its address, as "
        "shop=runs/shop or shop=s3://bucket/shop; "
        "shop@next=runs/new is another version beside the model shop; a bundle alone is served "
        "under its own name; a name alone is a model that was unloaded, or could not be loaded",
    )
    load.set_defaults(run=load_model)
    for name, meaning in (
        ("unload", "unload a model, and free its memory"),
        ("default", "answer with this model where a request names none"),
        ("rollback", "return a model to its previous version"),
        ("promote", "make the version beside a model, as shop@next, its current one"),
    ):
        order = _add(below, name, meaning)
        _add_model(order)
        order.set_defaults(run=change, order=name)
    reload = _add(below, "reload", "load a model's bundle again, or another bundle")
    _add_model(reload)
    reload.add_argument(
        "--bundle",
        metavar="BUNDLE",
        help="a shipped bundle's name, a bundle's directory, or its address (default: the model's "
        "own, again)",
    )
    reload.set_defaults(run=reload_model)
    split = _add(below, "split", "share a model's requests out among its versions, in per cent")
    split.add_argument(
        "parts",
        nargs="+",
        metavar="NAME=N",
        help="a version and its part, as shop=95 shop@next=5; shop=100 ends the split",
    )
    split.set_defaults(run=split_model)
    shadow = _add(below, "shadow", "copy a part of a model's images to the version beside it")
    _add_model(shadow)
    shadow.add_argument("part", metavar="N%", help="the part, in per cent, as 20%%; 0%% ends it")
    # a negative part is told to be none: argparse would take -5% for an unknown flag
    shadow._negative_number_matcher = re.compile(r"-\d|-.*%")  # noqa: SLF001
    shadow.set_defaults(run=shadow_model)
    _add(below, "compare", "compare a model with the version that gets copies").set_defaults(
        run=compare_models
    )


def list_models(arguments: argparse.Namespace) -> int:
    """Print the models as a table."""
    answer = send_order(arguments, {"order": "list"})
    models = answer["models"]
    assert isinstance(models, list)
    rows = [COLUMNS, *(tuple(str(model[column]) for column in COLUMNS) for model in models)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        say("  ".join(map(str.ljust, row, widths)).rstrip())
    return 0


def _warn(answer: dict[str, object]) -> None:
    """Print what the service warns of, to standard error."""
    if answer.get("warning"):
        complain(f"warning: {answer['warning']}")


def load_model(arguments: argparse.Namespace) -> int:
    """Have a model loaded, and print it."""
    key, bundle = parse_source(arguments.source)
    order: dict[str, object] = {"order": "load", "bundle": bundle_as_sent(bundle)}
    if key is None and _is_absent(arguments, bundle):
        order = {"order": "load", "bundle": None, "model": bundle}
    elif key is not None:
        order["model"] = key
    say(f"loaded {told(send_order(arguments, order)['new'])}")
    return 0


def change(arguments: argparse.Namespace) -> int:
    """Have a model changed, and print how."""
    answer = send_order(arguments, {"order": arguments.order, "model": arguments.model})
    if answer["new"] is None:
        say(f"unloaded {told(answer['old'])}")
    else:
        say(f"now serving {told(answer['new'])} (before: {told(answer['old'])})")
    return 0


def reload_model(arguments: argparse.Namespace) -> int:
    """Have a model loaded again, and print it."""
    bundle = arguments.bundle and bundle_as_sent(arguments.bundle)
    order = {"order": "reload", "bundle": bundle, "model": arguments.model}
    answer = send_order(arguments, order)
    say(f"now serving {told(answer['new'])} (before: {told(answer['old'])})")
    return 0


def split_model(arguments: argparse.Namespace) -> int:
    """Have a model's requests split, and print how."""
    parts = dict(map(_part, arguments.parts))
    answer = send_order(arguments, {"order": "split", "parts": parts})
    checked = answer["parts"]
    assert isinstance(checked, list)
    say(", ".join(f"{key} gets {part}%" for key, part in checked))
    _warn(answer)
    return 0


def shadow_model(arguments: argparse.Namespace) -> int:
    """Have a version get copies of a model's images."""
    part = _percent(arguments.part)
    order = {"order": "shadow", "model": arguments.model, "part": part}
    answer = send_order(arguments, order)
    say(f"{arguments.model} gets a copy of {part}% of the images")
    _warn(answer)
    return 0


def compare_models(arguments: argparse.Namespace) -> int:
    """Print what models and the versions beside them answered to the same images."""
    compared = send_order(arguments, {"order": "compare"})["models"]
    assert isinstance(compared, list)
    for each in compared:
        first, second = each["versions"]
        names = f"{each['model']} {first}", f"{each['shadow']} {second}"
        if not each["images"]:
            say(f"{names[1]}: no image yet ({each['skipped']} skipped)")
            continue
        images, skipped, agreement = (each[name] for name in ("images", "skipped", "agreement"))
        say(f"{images} images ({skipped} skipped), agreement {agreement:.1%}")
        for place, name in enumerate(names):
            confidence, seconds = each["confidence"][place], each["seconds"][place]
            say(f"{name}: confidence {confidence:.1%}, {1000 * seconds:.1f} ms of a thread")
    if not compared:
        say("no version gets copies")
    return 0


def _part(text: str) -> tuple[str, int]:
    key, _, part = text.partition("=")
    if not KEY.fullmatch(key) or not part:
        raise UsageError(f"{text!r} is not a version and its part, as shop@next=5")
    return key, _percent(part)


def _percent(text: str) -> int:
    """The part in ``20%`` or ``20``; raises UsageError where it is none."""
    digits = text.removesuffix("%")
    if not (digits.isascii() and digits.isdecimal() and len(digits) < MOST_DIGITS):
        raise UsageError(f"{text} is not a part: 0% to {ALL}%")
    check_part(int(digits))
    return int(digits)


def _is_absent(arguments: argparse.Namespace, name: str) -> bool:
    """Whether the service knows a model of this name that it does not serve."""
    models = send_order(arguments, {"order": "list"})["models"]
    assert isinstance(models, list)
    return any(each["model"] == name and not each["version"] for each in models)


def _add(
    below: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    meaning: str,
) -> argparse.ArgumentParser:
    parser = below.add_parser(name, help=meaning, description=f"{meaning[0].upper()}{meaning[1:]}.")
    add_service_flags(parser)
    return parser


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="NAME", type=_key, help="a model, as shop or shop@next")


def _key(text: str) -> str:
    if not KEY.fullmatch(text):
        raise UsageError(f"{text!r} is not a model's name, as shop or shop@next")
    return text
