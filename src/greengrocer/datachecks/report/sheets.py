"""The contact sheets: each suspect beside what it resembles, class by class, the worst first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from greengrocer.datachecks.findings import (
    Copy,
    Crossing,
    Duplicate,
    Findings,
    Flaw,
    OneScene,
    WrongLabel,
)
from greengrocer.datachecks.report.markup import class_name, figure, file_name, section, text
from greengrocer.datachecks.report.steps import Steps

MOST = 150  # cards of a section with images; the others are listed
SCENE_SHOWN = 6  # images of a class of one scene

Finding = TypeVar("Finding", Duplicate, WrongLabel, Flaw)


@dataclass(frozen=True)
class Sheets:
    """What the cards need to know of the folder."""

    root: Path
    classes: Sequence[str]
    label_of: dict[Path, int]
    steps: Steps

    def sections(self, findings: Findings) -> list[str]:
        """The sections that have something to show, the most important first."""
        by_crossing = {
            crossing: [each for each in findings.duplicates if each.crossing is crossing]
            for crossing in Crossing
        }
        return [
            *self._duplicates(
                "leaks",
                "The same photo, or nearly, in two splits",
                by_crossing[Crossing.SPLITS],
                "The model would be tested on what it was trained on, and its score would flatter. "
                "Remove the file on the left.",
            ),
            *self._duplicates(
                "contradictions",
                "The same photo, or nearly, with two labels",
                by_crossing[Crossing.CLASSES],
                "One of both labels is wrong. Keep the file whose class is right, and remove the "
                "other: the command removes the one on the left.",
            ),
            *self._labels(findings.wrong_labels),
            *self._duplicates(
                "duplicates",
                "The same photo, or nearly, in one class",
                by_crossing[Crossing.NOTHING],
                "They are kept on one side of every split, so they do no harm to the score. The "
                "same photo counts double in training: remove the file on the left to have it "
                "once. Two shots that are nearly the same may stay.",
            ),
            *self._flaws(findings.flaws),
            *self._scenes(findings.one_scenes),
        ]

    def _duplicates(
        self, anchor: str, title: str, found: Sequence[Duplicate], lead: str
    ) -> list[str]:
        return self._section(anchor, title, lead, found, self._duplicate)

    def _labels(self, found: Sequence[WrongLabel]) -> list[str]:
        lead = (
            "On the left the suspect, on the right images of the class that it resembles. If they "
            "are right, move it; if the label is right, leave it: the model needs hard images."
        )
        title = "Labels that may be wrong"
        return self._section("labels", title, lead, found, self._label)

    def _flaws(self, found: Sequence[Flaw]) -> list[str]:
        lead = "Look at them. Remove those that show nothing, or something else."
        return self._section("flaws", "Images that teach little", lead, found, self._flaw)

    def _scenes(self, found: Sequence[OneScene]) -> list[str]:
        if not found:
            return []
        lead = (
            "These classes are judged by images of the same scene, so their scores flatter. Take "
            "some photos of them in other places or on other days."
        )
        cards = "".join(
            '<li class="card wide"><div class="row">'
            + "".join(figure(path, "", self.root) for path in scene.paths[:SCENE_SHOWN])
            + f"</div><p>{class_name(self.classes[scene.label])}: {text(scene.reason)}</p></li>"
            for scene in found
        )
        body = f'<ul class="cards">{cards}</ul>'
        return [section("scenes", "Classes that are all one scene", len(found), lead, body)]

    def _section(
        self,
        anchor: str,
        title: str,
        lead: str,
        found: Sequence[Finding],
        card: Callable[[Finding], str],
    ) -> list[str]:
        """Class by class, the class with the worst finding first; nothing where there is none."""
        if not found:
            return []
        shown: dict[int, list[str]] = {}
        for each in found[:MOST]:
            shown.setdefault(self.label_of[each.path], []).append(card(each))
        sheets = "".join(
            f'<div class="sheet"><h3>{class_name(self.classes[label])} '
            f'<span class="count">{len(cards)}</span></h3>'
            f'<ul class="cards">{"".join(cards)}</ul></div>'
            for label, cards in shown.items()
        )
        rest = "".join(
            f"<li>{file_name(each.path, self.root)} {text(each.reason)}</li>"
            for each in found[MOST:]
        )
        more = f"<details><summary>{len(found) - MOST:,} more</summary><ul>{rest}</ul></details>"
        body = f'<div class="sheets">{sheets}</div>{more if rest else ""}'
        return [section(anchor, title, len(found), lead, body)]

    def _duplicate(self, each: Duplicate) -> str:
        other = class_name(self.classes[self.label_of[each.original]])
        return _card(
            figure(each.path, self._class(each.path), self.root)
            + figure(each.original, f"{other} ", self.root),
            f'<span class="badge">{text(each.kind.value)}, {each.likeness:.2f}</span> '
            + text(_sentence(each.reason)),
            "" if _may_stay(each) else self.steps.remove(each.path),
        )

    def _label(self, each: WrongLabel) -> str:
        like = "".join(
            figure(path, f"{class_name(self.classes[each.suggested])} ", self.root)
            for path in each.resembles[:2]
        )
        return _card(
            figure(each.path, self._class(each.path), self.root) + like,
            f'<span class="badge">{100 * each.confidence:.0f} % sure</span> '
            + text(_sentence(each.reason)),
            self.steps.move(each.path, each.suggested),
        )

    def _flaw(self, each: Flaw) -> str:
        return _card(
            figure(each.path, self._class(each.path), self.root),
            f'<span class="badge">{text(each.kind.value)}</span> {text(_sentence(each.reason))}',
            self.steps.remove(each.path),
        )

    def _class(self, path: Path) -> str:
        return f"{class_name(self.classes[self.label_of[path]])} "


def _may_stay(each: Duplicate) -> bool:
    """Whether it is another photo, which harms nothing."""
    return each.kind is Copy.NEAR and each.crossing is Crossing.NOTHING


def _card(figures: str, words: str, step: str) -> str:
    return f'<li class="card"><div class="row">{figures}</div><p>{words}</p>{step}</li>'


def _sentence(reason: str) -> str:
    return f"{reason[:1].upper()}{reason[1:]}."
