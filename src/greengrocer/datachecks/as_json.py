"""A report as JSON, whose names are stable: docs/guides/photos.md lists them."""

from collections import Counter
from typing import Any

from greengrocer.datachecks.check import Report
from greengrocer.datachecks.problems import shown

FORMAT = 1  # grows where a name changes or goes; new names may come at any time


def report_json(report: Report) -> dict[str, Any]:
    """The report as one JSON object. Paths are below ``root`` where they can be."""
    collection = report.collection
    root = collection.root
    splits = Counter(split for split in report.splits if split is not None)
    return {
        "format": FORMAT,
        "source": str(report.source),
        "root": str(root),
        "layout": collection.layout,
        "trainable": report.trainable,
        "images": len(report.images),
        "splits": dict(sorted(splits.items())),
        "formats": dict(sorted(Counter(each.format for each in report.opened).items())),
        "bytes": sum(each.bytes for each in report.opened),
        "classes": [
            {
                "name": each.name,
                "coarse": each.coarse,
                "images": each.images,
                "by_split": each.by_split,
            }
            for each in report.classes()
        ],
        "problems": [
            {
                "code": problem.code,
                "severity": problem.severity.value,
                "text": problem.text,
                "todo": problem.todo,
                "items": list(problem.items),
            }
            for problem in report.problems
        ],
        "unreadable": [
            {"path": shown(each.path, root), "why": each.why} for each in report.unreadable
        ],
        "left_out": [
            {
                "path": shown(each.path, root),
                "kind": each.kind,
                "format": each.format,
                "why": each.why,
            }
            for each in collection.left_out
        ],
    }
