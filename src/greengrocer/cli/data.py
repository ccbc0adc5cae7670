"""``greengrocer data``: checks labelled images, or downloads the public data set."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from greengrocer.cli.commands import add_layout_flags
from greengrocer.cli.output import say, say_json, warn

if TYPE_CHECKING:
    from greengrocer.cli.commands import Commands
    from greengrocer.datachecks.check import Report


if TYPE_CHECKING:
    Actions = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001

UNTRAINABLE = 1  # exit status
LAYOUTS = (
    "a folder with a folder for each class, a CSV or JSONL that lists images, or a zip, as ~/photos"
)


def register(commands: "Commands") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "data", help="check a folder of photos, or download the Grocery Store Dataset"
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    _register_check(actions)
    action = actions.add_parser("download", help="download the data set and verify each file")
    action.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="directory to write, as ~/groceries (default: where `serve` and `evaluate` look)",
    )
    action.add_argument(
        "--from",
        dest="source",
        metavar="DIR|ARCHIVE|URL",
        help="source, as groceries.zip (default: the data set's public repository)",
    )
    action.set_defaults(run=run)


def _register_check(actions: "Actions") -> None:
    action = actions.add_parser(
        "check",
        help="check labelled images before training",
        description="Open every image and say what is wrong. The exit status is 0 where the "
        "images can be trained on, 1 where not, and 2 where there are no classes to check.",
    )
    action.add_argument("photos", type=Path, metavar="PHOTOS", help=LAYOUTS)
    action.add_argument("--json", action="store_true", help="print one JSON object")
    action.add_argument(
        "--report",
        type=Path,
        metavar="DIR",
        help="write an HTML page with the images to look at, and the hold-out, into DIR, as report",
    )
    action.add_argument(
        "--files-only",
        action="store_true",
        help="open the files, but look for no duplicates, wrong labels and the like",
    )
    add_layout_flags(action)
    action.set_defaults(run=run_check)


def run_check(arguments: argparse.Namespace) -> int:
    """Check the images, and print what was found."""
    from greengrocer.cli.check_text import report_lines  # noqa: PLC0415
    from greengrocer.datachecks.as_json import report_json  # noqa: PLC0415
    from greengrocer.datachecks.check import check  # noqa: PLC0415
    from greengrocer.errors import UsageError  # noqa: PLC0415

    if arguments.report and arguments.files_only:
        raise UsageError("--report shows what --files-only leaves out: give one of the two")
    report = check(
        arguments.photos,
        coarse=arguments.coarse,
        exclude=arguments.exclude,
        contents=not arguments.files_only,
    )
    if arguments.report:
        _write_report(report, arguments.report)
    if arguments.json:
        say_json(report_json(report))
    else:
        for line in report_lines(report):
            say(line)
    return 0 if report.trainable else UNTRAINABLE


def _write_report(report: "Report", directory: Path) -> None:
    from greengrocer.datachecks.hold_out import write_hold_out  # noqa: PLC0415
    from greengrocer.datachecks.problems import find_problems  # noqa: PLC0415
    from greengrocer.datachecks.report.page import write_report  # noqa: PLC0415
    from greengrocer.datasets.layouts.zipped import is_archive  # noqa: PLC0415

    if report.groups is None or report.hold_out is None:
        warn("there is nothing to show: no image can be read")
        return
    root, images = report.collection.root, report.images
    classes = report.collection.taxonomy.classes
    chosen = report.hold_out
    shown = (root, images, classes, report.findings, report.groups, chosen)
    on_disk = find_problems(report.collection, report.unreadable)
    archive = report.source if is_archive(report.source) else None
    page = write_report(directory, *shown, on_disk, archive)
    write_hold_out(directory / "hold-out.csv", root, images, chosen, report.splits)
    warn(f"the report is {page}")


def run(arguments: argparse.Namespace) -> int:
    """Download what is missing, and print what was done."""
    from greengrocer.datasets.download import download  # noqa: PLC0415
    from greengrocer.datasets.locations import default_data_dir  # noqa: PLC0415

    report = download(arguments.data or default_data_dir(), arguments.source)
    done = f"{report.written} files written" if report.written else "everything was there already"
    say(f"{report.destination}: {report.files} files, {report.size / 1e6:.0f} MB, {done}")
    if report.without_test:
        warn("the source has no test split: `evaluate --split test` cannot be used with it")
    return 0
