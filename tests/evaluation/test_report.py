import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from greengrocer.assemble_pipeline import build_pipeline
from greengrocer.bundles.attribution import GROCERY
from greengrocer.bundles.bundle import load_bundle
from greengrocer.datachecks.files import UnreadableFile
from greengrocer.datasets.dataset import read_split
from greengrocer.errors import UsageError
from greengrocer.evaluation.corruptions import CORRUPTIONS, SEVERITIES
from greengrocer.evaluation.evaluate import evaluate
from greengrocer.evaluation.fold_answers import FoldAnswers
from greengrocer.evaluation.report.page import render, write_report
from greengrocer.evaluation.robustness import Robustness
from greengrocer.evaluation.run import Run, Stopwatch, served_bytes
from support.bundles import write_fake_bundle
from support.folders import write_folders

HOSTILE = "grey <b>\"3\"</b> & 'co'"
VOID = {"meta", "img", "br", "circle", "rect", "polyline", "polygon"}


class Page(HTMLParser):
    """The page, read strictly: every element is closed, in order, and no id comes twice."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def make_run(bundle_directory: Path, data: Path) -> Run:
    bundle = load_bundle(bundle_directory)
    stopwatch = Stopwatch()
    pipeline = build_pipeline(bundle, "fake", observer=stopwatch)
    evaluation = evaluate(pipeline, bundle.manifest, read_split(data, "val"), 2)
    size = served_bytes(bundle)
    return Run(bundle.manifest, "val", "fake", 2, size, evaluation, stopwatch)


@pytest.fixture
def run(fake_bundle: Path, tmp_path: Path) -> Run:
    """Five images: two of them lie in the wrong folder, one within its half and one beyond."""
    levels = {"grey-0": [12, 15], "grey-4": [90, 100], "grey-9": [100, 240]}
    return make_run(fake_bundle, write_folders(tmp_path / "data", levels))


@pytest.fixture
def damaged(run: Run) -> Run:
    """The same, with every version of the rightly named images right up to severity 3."""
    corrupted = np.zeros((6, len(CORRUPTIONS), len(SEVERITIES)), bool)
    corrupted[run.correct, :, :3] = True
    corrupted[np.flatnonzero(run.correct)[0], :, 2] = False
    return replace(run, robustness=Robustness(run.correct, corrupted))


def test_the_pages_figures_are_those_of_the_scores(run: Run) -> None:
    page = Page(render(run))
    scores = run.evaluation.scores
    assert scores.fine_top1 == pytest.approx(0.5)
    assert scores.coarse_top1 == pytest.approx(5 / 6)
    assert scores.coarse_top1 is not None
    for label, share in (
        ("Fine top-1", scores.fine_top1),
        ("Coarse top-1", scores.coarse_top1),
        ("Fine top-5", scores.fine_top5),
        ("Macro-F1", scores.macro_f1),
    ):
        assert f"{label} {share:.1%}".replace("%", " %") in page.text
    assert "18.8 to 81.2 %" in page.text  # Wilson's interval of 3 of 6
    assert f"ECE {100 * scores.ece:.1f} %" in page.text
    assert "grey 9 grey 3 1 of 2 light \u2192 dark" in page.text
    assert "grey 4 grey 3 2 of 2 inside dark" in page.text
    assert "threshold 0.500" in page.text


def test_the_page_loads_nothing_from_any_host(damaged: Run) -> None:
    rendered = render(damaged)
    for mark in ("http:", "https:", "//", "url(", "@import", "<script", "<link"):
        assert mark not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", rendered)
    sources = [attributes["src"] or "" for tag, attributes in Page(rendered).tags if tag == "img"]
    # Each mistake and its evidence, and one image in all its damaged versions.
    assert len(sources) == 2 * 3 + len(CORRUPTIONS) * len(SEVERITIES)
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)


def test_images_charts_and_tables_have_labels(damaged: Run) -> None:
    page = Page(render(damaged))
    assert all(attributes["alt"] for tag, attributes in page.tags if tag == "img")
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    for tag, attributes in page.tags:
        if tag == "svg" and "aria-hidden" not in attributes:
            assert attributes["role"] == "img"
            assert set((attributes["aria-labelledby"] or "").split()) <= set(ids)
        if tag == "th":
            assert attributes["scope"] in ("col", "row")


def test_names_are_escaped(run: Run) -> None:
    classes = tuple(HOSTILE if name == "grey-3" else name for name in run.manifest.classes)
    manifest = run.manifest.model_copy(update={"classes": classes, "coarse": ("<i>", "a&b")})
    rendered = render(replace(run, manifest=manifest))
    assert HOSTILE not in rendered
    assert "<b>&quot;3" not in rendered
    page = Page(rendered)
    assert HOSTILE in page.text
    assert "<i>" in page.text
    alts = {attributes.get("alt") for tag, attributes in page.tags if tag == "img"}
    assert f"The same image with the evidence for {HOSTILE} laid over" in alts


def test_unknown_images_are_shown_with_their_auroc(run: Run) -> None:
    assert "AUROC" not in render(run)
    unknown = np.zeros(4, np.float32)
    text = Page(render(replace(run, unknown=unknown))).text
    assert "AUROC 1.000" in text
    assert "Unknown turned away 100.0 % 4 of 4 images" in text


def test_corrupted_images_have_a_section_where_they_were_evaluated(run: Run, damaged: Run) -> None:
    assert "When the images are bad" not in render(run)
    rendered = render(damaged)
    text = Page(rendered).text
    # Right of six: three clean, at severities 1 to 3 three, three and two.
    assert "Relative loss 11.1 %" in text
    assert "At severity 3 33.3 %" in text
    assert "Fine top-1 at severities 1 to 5: 50 %, 50 %, 33 %, 0 %, 0 %; clean 50 %." in text
    for corruption in CORRUPTIONS.values():
        assert f"{corruption.title} at severity 1, answered rightly" in rendered
        assert f"{corruption.title} at severity 5, answered wrongly" in rendered
    assert rendered.count('class="lost"') == 3 * len(CORRUPTIONS)
    assert damaged.robustness is not None
    nothing = Robustness(np.zeros(6, bool), np.zeros_like(damaged.robustness.corrupted))
    text = Page(render(replace(damaged, robustness=nothing))).text
    assert "Clean 0.0 %" in text
    assert "Relative loss " not in text


def test_held_out_groups_have_a_section_where_their_answers_are_known(run: Run) -> None:
    assert "In places that it has not seen" not in render(run)
    labels = np.tile(np.arange(2), 20)
    sure = np.where(labels[:, None] == np.arange(2), 0.9, 0.1).astype(np.float32)
    sure[30:36] = sure[30:36, ::-1]  # six of the second group are wrong
    groups = np.repeat([0, 1], 20)
    found = FoldAnswers(groups, labels, sure)
    rendered = render(replace(run, fold_answers=found))
    text = Page(rendered).text
    assert "40 images of the training, in 2 groups of whole scenes" in text
    assert "fold 1 20 100.0 % 83.9 to 100.0 % 100.0 % 10.0 %" in text
    assert "fold 2 20 70.0 % 48.1 to 85.5 %" in text
    assert "all 40 85.0 % 70.9 to 92.9 %" in text
    assert "fold 2: ECE 20.0 %" in text
    assert "apparent size" not in text
    right = np.stack([np.arange(40) < 10, found.right])
    sized = replace(found, sizes=(0.5, 1.0), right_by_size=right)
    shops = {"out_of_fold": {"of": "shops"}}
    manifest = run.manifest.model_copy(update={"provenance": shops})
    page = Page(render(replace(run, manifest=manifest, fold_answers=sized)))
    assert "Fine top-1: 25.0% at 0.5, 85.0% at 1." in page.text
    assert "The mean is 55.0 %, the worst 25.0 % at 0.5." in page.text
    assert "shop 2 20 70.0 %" in page.text
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)


def test_the_page_is_complete_without_mistakes_or_hierarchy(tmp_path: Path) -> None:
    flat = write_fake_bundle(tmp_path / "flat", hierarchy=False)
    text = Page(render(make_run(flat, write_folders(tmp_path / "data", {"grey-0": [12]})))).text
    assert "Fine top-1 100.0 %" in text
    assert "Coarse" not in text
    assert "every answer is right" in text


def test_only_a_model_of_the_grocery_data_set_is_compared_with_published_results(run: Run) -> None:
    assert "DenseNet" not in render(run)
    other = run.manifest.model_copy(update={"provenance": {"dataset": {"name": "Shelves"}}})
    assert "DenseNet" not in render(replace(run, manifest=other))
    same = run.manifest.model_copy(update={"provenance": {"dataset": GROCERY._asdict()}})
    text = Page(render(replace(run, manifest=same))).text
    assert "DenseNet-201 86.04 % 91.99 % Antioquia, PCSC 2021" in text
    assert "Ours is from the split val" in text


@pytest.mark.parametrize(
    ("provenance", "told"),
    [
        ({}, "Trained on images that the bundle does not name."),
        ({"training": "no object"}, "Trained on images that the bundle does not name."),
        ({"training": {"split": "train + val"}}, "trained on images of this very split"),
        (
            {"training": {"split": "train"}, "held_out": {"split": "the split val"}},
            "This split set the temperature and the threshold",
        ),
    ],
)
def test_the_page_says_whether_the_model_was_trained_on_the_images(
    run: Run, provenance: dict[str, object], told: str
) -> None:
    manifest = run.manifest.model_copy(update={"provenance": provenance})
    assert told in Page(render(replace(run, manifest=manifest))).text


def test_a_report_that_cannot_be_written_is_refused_in_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(UsageError, match=r"index\.html cannot be written: ") as refused:
        write_report(run, tmp_path / "taken")
    assert "\n" not in str(refused.value)


def test_a_report_that_is_stopped_leaves_no_folder(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_: Run) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("greengrocer.evaluation.report.page.mistakes", stop)
    with pytest.raises(KeyboardInterrupt):
        write_report(run, tmp_path / "report")
    assert not (tmp_path / "report").exists()


def epochs(*points: tuple[int, object, int, int]) -> list[dict[str, object]]:
    return [dict(zip(("epoch", "loss", "right", "of"), point, strict=True)) for point in points]


CURVE = epochs((1, 1.25, 10, 40), (2, 0.5, 36, 40), (3, 0.25, 34, 40))


def trained(run: Run, curve: object) -> Run:
    """The same, of a bundle whose provenance has this ``curve``."""
    return replace(run, manifest=run.manifest.model_copy(update={"provenance": {"curve": curve}}))


def test_the_page_draws_how_the_training_went(run: Run) -> None:
    page = Page(render(trained(run, CURVE)))
    assert "How it learned" in page.text
    assert "From 25.0% after epoch 1 to 85.0% after epoch 3." in page.text
    told = "are right: 85.0 % after the last epoch, at best 90.0 % after epoch 2."
    assert told in page.text
    assert "From 1.25 in epoch 1 to 0.25 in the last." in page.text
    assert "40 held-out images were answered" in page.text


@pytest.mark.parametrize(
    "curve",
    [
        None,
        "rising",
        CURVE[:1],
        [*CURVE, "four"],
        [*CURVE, {"epoch": 4}],
        epochs((1, 1.0, 1, 4), (1, 1.0, 1, 4)),
        epochs((1, 1.0, 1, 4), (2, float("nan"), 1, 4)),
        epochs((1, 1.0, 1, 4), (2, "low", 1, 4)),
        epochs((1, 1.0, 1, 4), (2, 1.0, 5, 4)),
        epochs((1, 1.0, 0, 0), (2, 1.0, 0, 0)),
    ],
)
def test_a_curve_that_is_none_is_not_drawn(run: Run, curve: object) -> None:
    assert "How it learned" not in render(trained(run, curve))


def test_images_that_could_not_be_read_are_named_at_the_head(run: Run) -> None:
    files = tuple(UnreadableFile(Path(f"pear/<{n}>.jpg"), "empty") for n in range(7))
    page = render(replace(run, evaluation=replace(run.evaluation, unreadable=files)))
    listed = ", ".join(f"&lt;{n}&gt;.jpg" for n in range(5))
    assert f"Could not be read, and are left out: {listed} and 2 more." in page
    assert "Could not be read" not in render(run)
