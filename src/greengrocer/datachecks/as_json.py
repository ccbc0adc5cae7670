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
        **_contents(report),
    }


def _contents(report: Report) -> dict[str, Any]:
    """What was found in the images; null for what was not looked for."""
    root, classes = report.collection.root, report.collection.taxonomy.classes
    names = ("duplicates", "label_suspects", "quality", "one_scenes", "groups", "hold_out")
    if report.groups is None or report.hold_out is None:
        return dict.fromkeys(names)
    paths = [shown(image.path, root) for image in report.images]
    return {
        "duplicates": [
            {
                "path": shown(each.path, root),
                "original": shown(each.original, root),
                "kind": each.kind.value,
                "crossing": each.crossing.value,
                "likeness": round(each.likeness, 4),
                "reason": each.reason,
            }
            for each in report.duplicates or ()
        ],
        "label_suspects": [
            {
                "path": shown(each.path, root),
                "given": classes[each.given],
                "suggested": classes[each.suggested],
                "confidence": round(each.confidence, 4),
                "resembles": [shown(path, root) for path in each.resembles],
                "reason": each.reason,
            }
            for each in report.label_suspects or ()
        ],
        "quality": [
            {"path": shown(each.path, root), "kind": each.kind.value, "reason": each.reason}
            for each in report.quality or ()
        ],
        "one_scenes": [classes[each.label] for each in report.one_scenes or ()],
        "groups": [
            {
                "paths": [paths[index] for index in members],
                "ties": [tie.value for tie in report.groups.ties.get(number, ())],
            }
            for number, members in enumerate(report.groups.members())
            if len(members) > 1
        ],
        "hold_out": [
            path for path, out in zip(paths, report.hold_out.held_out, strict=True) if out
        ],
    }
