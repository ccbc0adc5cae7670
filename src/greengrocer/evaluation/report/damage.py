"""A report's section on damaged images: how accuracy falls, and what the damage looks like."""

import numpy as np
from PIL import Image

from greengrocer.evaluation.corruptions import CORRUPTIONS, SEVERITIES, Corruption, corrupt, shrink
from greengrocer.evaluation.report.charts import severity_chart
from greengrocer.evaluation.report.markup import (
    cell,
    escape,
    image_tag,
    number,
    section,
    table,
    tile,
)
from greengrocer.evaluation.robustness import JUDGED, Robustness
from greengrocer.evaluation.run import Run
from greengrocer.imaging.decode import decode

CUT = 220  # pixels a side: a whole image, made smaller, would hide noise and blur


def damage(run: Run) -> str:
    """Accuracy by corruption and severity; nothing for a run without them."""
    if (found := run.robustness) is None:
        return ""
    lead = (
        f"Every image once more in {len(CORRUPTIONS) * len(SEVERITIES)} damaged versions. The "
        "corruptions are our own, after the idea of ImageNet-C (Hendrycks and Dietterich, ICLR "
        "2019): severity 1 is just seen, 5 makes a person hesitate. The relative loss is the share "
        "of the clean fine top-1 that is lost on average over severities "
        f"1 to {JUDGED}, which stand on the darker ground."
    )
    return section(
        "damage",
        "When the images are bad",
        lead,
        f'<div class="stack"><dl class="tiles">{_tiles(found)}</dl>',
        f'<figure><div class="multiples">{_charts(found)}</div><figcaption>Fine top-1 by severity; '
        "the dotted line is the clean images'. The bands are Wilson's 95 % intervals, "
        "that of the relative loss is a bootstrap's over the images."
        "</figcaption></figure>",
        f"{_samples(run, found)}</div>",
    )


def _tiles(found: Robustness) -> str:
    clean, at = float(found.clean.mean()), found.by_severity
    loss, interval = found.relative_loss, found.relative_loss_interval
    tiles = [tile("Clean", number(clean), "fine top-1")]
    if loss is not None and interval is not None:
        ends = f"{100 * interval.low:.1f} to {number(interval.high)}"
        tiles.insert(0, tile("Relative loss", number(loss), ends))
    for severity in (JUDGED, SEVERITIES[-1]):
        note = "mean of the corruptions"
        tiles.append(tile(f"At severity {severity}", number(at[severity - 1]), note))
    return "".join(tiles)


def _charts(found: Robustness) -> str:
    clean, n = float(found.clean.mean()), len(found.clean)
    charts = [
        severity_chart(f"damage-{name}", CORRUPTIONS[name].title, shares, clean, n, JUDGED)
        for name, shares in found.fine_top1.items()
    ]
    mean = severity_chart("damage-mean", "Mean of them", found.by_severity, clean, None, JUDGED)
    return "".join([*charts, mean])


def _samples(run: Run, found: Robustness) -> str:
    """One image in all its versions, each above the accuracy that all images have there."""
    index = _typical(found)
    image = shrink(decode(run.evaluation.paths[index].read_bytes()))
    rows = []
    for row, (name, corruption) in enumerate(CORRUPTIONS.items()):
        cells = [
            _sample(
                corrupt(image, name, severity, index),
                bool(found.corrupted[index, row, column]),
                corruption,
                severity,
                found.fine_top1[name][column],
            )
            for column, severity in enumerate(SEVERITIES)
        ]
        head = f"{escape(corruption.title)}<small>{escape(corruption.unit)}</small>"
        rows.append(f'<tr><th scope="row">{head}</th>{"".join(cells)}</tr>')
    heads = [("", "Corruption"), *(("", f"Severity {severity}") for severity in SEVERITIES)]
    caption = (
        "The middle of one image that fares about as most do, outlined in red where it was "
        "answered wrongly. Below each: the corruption's level, and the fine top-1 of all images."
    )
    shown = table("The corruptions", heads, rows, "damaged")
    return f"<figure>{shown}<figcaption>{caption}</figcaption></figure>"


def _sample(
    image: Image.Image, right: bool, corruption: Corruption, severity: int, share: float
) -> str:
    answered = "rightly" if right else "wrongly"
    words = f"{corruption.title} at severity {severity}, answered {answered}"
    level = f"{corruption.levels[severity - 1]:g}"
    return cell(
        f'{image_tag(_middle(image), words)}<span class="under"><span class="soft">{level}</span>'
        f"<b>{number(share)}</b></span>",
        "" if right else "lost",
    )


def _typical(found: Robustness) -> int:
    """The image, rightly named when clean, whose versions are right about as often as most."""
    shares = found.corrupted.mean(axis=(1, 2))
    return int(np.where(found.clean, np.abs(shares - shares.mean()), np.inf).argmin())


def _middle(image: Image.Image) -> Image.Image:
    left, top = (max(0, (side - CUT) // 2) for side in image.size)
    return image.crop((left, top, min(left + CUT, image.width), min(top + CUT, image.height)))
