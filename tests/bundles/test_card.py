import shutil
from pathlib import Path
from typing import Any

import pytest

from greengrocer.bundles.attribution import GROCERY, is_grocery
from greengrocer.bundles.bundle import Bundle, load_bundle
from greengrocer.bundles.card import CARD, MAX_CARD_BYTES, card, read_card
from greengrocer.bundles.manifest import Manifest, Network, read_manifest, write_manifest
from greengrocer.errors import BundleRefused
from greengrocer.imaging.geometry import Geometry
from support.bundles import digests

RECIPE = {
    "name": "greys",
    "seed": 7,
    "pretrained": True,
    "data": {"splits": ["train", "val"]},
    "augmentation": {"size": 224, "area": [0.35, 1.0], "flip": 0.0},
    "optimisation": {"epochs": 15, "frozen_norms": True},
    "distillation": {"weight": 0.0, "temperature": 2.0},
    "export": {"known_quantile": 0.03},
}
PROVENANCE = {
    "recipe": RECIPE,
    "training": {"split": "train + val", "pictures": 2936},
    "out_of_fold": {"folds": 5, "pictures": 2900},
    "teachers": ["big", "bigger"],
    "device": "cpu",
    "date": "2026-11-23T12:57:45+00:00",
    "versions": {"torch": "2.13.0"},
}
METRICS = {
    "out_of_fold_pictures": 2900.0,
    "out_of_fold_top1": 90.0,
    "out_of_fold_coarse_top1": 93.0,
    "out_of_fold_int8_gain": -0.5,
    "out_of_fold_int8_gain_low": -1.0,
    "out_of_fold_int8_gain_high": 0.25,
    "refit_int8_agreement": 99.5,
}


@pytest.fixture
def manifest(fake_bundle: Path) -> Manifest:
    """A manifest with every optional field."""
    return read_manifest(fake_bundle).model_copy(
        update={
            "provenance": PROVENANCE,
            "metrics": METRICS,
            "network": Network(architecture="efficientnet-lite0", temperature=0.43),
            "description": "Ten levels of grey.",
        }
    )


def flat(text: str) -> str:
    """A card without its line breaks."""
    return " ".join(text.split())


def with_card(fake_bundle: Path, directory: Path, content: bytes) -> Bundle:
    """A bundle whose manifest vouches for a card of this content."""
    shutil.copytree(fake_bundle, directory)
    (directory / CARD).write_bytes(content)
    plain = read_manifest(directory)
    listed = plain.files | digests(directory, CARD)
    write_manifest(plain.model_copy(update={"files": listed}), directory)
    return load_bundle(directory)


def test_the_card_lists_every_class_with_its_coarse_class(manifest: Manifest) -> None:
    text = flat(card(manifest))
    assert text.startswith("# Model card: greys 1 Ten levels of grey. ## What it recognises")
    assert "It knows 10 classes in 2 coarse ones." in text
    assert "- **dark**: grey-0, grey-1, grey-2, grey-3, grey-4 - **light**: grey-5" in text
    flat_model = manifest.model_copy(update={"coarse": None, "coarse_of": None})
    assert f"It knows 10 classes. They are: {', '.join(manifest.classes)}" in flat(card(flat_model))


def test_coarse_classes_of_one_class_share_a_bullet(manifest: Manifest) -> None:
    alone = {"classes": ("kiwi", "gala", "anjou", "kaiser"), "coarse": ("kiwi", "apple", "pear")}
    text = card(manifest.model_copy(update={**alone, "coarse_of": (0, 1, 2, 2)}))
    assert "- **pear**: anjou, kaiser\n- **of one class each**: kiwi, apple (gala)\n" in text


def test_the_card_says_that_unknown_images_are_not_always_detected(manifest: Manifest) -> None:
    assert "should come back `known: false`, but not always does" in flat(card(manifest))


def test_the_card_says_how_the_model_was_trained(manifest: Manifest) -> None:
    text = card(manifest)
    for line in (
        "- **network**: efficientnet-lite0, pretrained on ImageNet",
        "- **trained on**: 2,936 images (train + val)",
        "- **out of fold**: folds 5, images 2900",
        "- **teachers**: big + bigger",
        "- **recipe**: greys, seed 7",
        "- **augmentation**: size 224, area 0.35 to 1",
        "- **optimisation**: epochs 15, frozen_norms on",
        "- **made**: 2026-11-23 on cpu",
        "- **versions**: torch 2.13.0",
    ):
        assert f"{line}\n" in text
    assert "distillation" not in text, "a recipe's part of weight 0 is off"


def test_figures_have_their_source_and_interval(manifest: Manifest) -> None:
    text = card(manifest)
    folded, refit = (
        text.index("\nOut of fold, on"),
        text.index("\nOn the images that it was trained"),
    )
    # Wilson's intervals of 2,610 and of 2,697 in 2,900.
    for row in (
        "| top-1 | 90.0 % | 88.9 to 91.0 |",
        "| top-1, coarse | 93.0 % | 92.0 to 93.9 |",
        "| top-1 gained by int8 | -0.50 points | -1.00 to 0.25 |",
    ):
        assert folded < text.index(row) < refit
    assert text.index("| int8 answers as float does | 99.5 % |  |") > refit
    assert "on 2,900 images, each answered by one of 5 models" in flat(text)


def test_figures_at_several_apparent_sizes_stand_together(manifest: Manifest) -> None:
    sized = {"top1_at_0.5": 80.0, "top1_at_1.4": 88.0, "top1_over_sizes": 86.0}
    sized |= {"top1_worst_size": 80.0, "answer_precision_at_1.4": 97.0}
    metrics = METRICS | {f"out_of_fold_{name}": value for name, value in sized.items()}
    provenance = PROVENANCE | {"out_of_fold": {"folds": 3, "of": "shops", "pictures": 2900}}
    text = card(manifest.model_copy(update={"metrics": metrics, "provenance": provenance}))
    told = flat(text)
    assert "The same images at apparent sizes of 0.5 / 1 / 1.4: at 0.5 as from twice" in told
    assert "| top-1 | 90.0 % | 88.9 to 91.0 |" in text
    assert "| top-1 | 80.0 / 90.0 / 88.0 %, mean 86.0, worst 80.0 |  |" in text
    assert "| right where it names something | - / - / 97.0 % |  |" in text
    assert "_at_" not in text
    assert "nothing of its scene, nor of others that look as if they were taken in the same" in told
    assert "apparent" not in card(manifest)
    assert "in the same shop" not in card(manifest)


def test_an_image_without_a_name_is_not_called_unknown(manifest: Manifest) -> None:
    """It may be known: only a low known score makes it unknown."""
    text = card(manifest.model_copy(update={"metrics": {"out_of_fold_named_unknown": 11.8}}))
    assert "| not named | 11.8 % |" in text
    assert "called unknown" not in text


def test_held_out_figures_are_distinguished_from_out_of_fold_ones(manifest: Manifest) -> None:
    metrics = {"held_out_top1": 86.8, "strange": 4.0}
    provenance = {"held_out": {"split": "the split val", "pictures": 296}}
    text = card(manifest.model_copy(update={"metrics": metrics, "provenance": provenance}))
    assert "Held out, on images that are not counted (the split val)" in flat(text)
    assert "| top-1 | 86.8 % |  |" in text, "without a count there is no interval"
    assert text.index("\nOn images that the bundle does not name:") < text.index(
        "| strange | 4 |  |"
    )


@pytest.mark.parametrize(
    ("fine", "hierarchy", "told"),
    [
        (0.0, True, "every known image is named by its class"),
        (0.6, True, "at least 0.600 names the class; below, the coarse class may be."),
        (0.6, True, "at least 0.700 names the coarse class instead; below, the answer is `unkn"),
        (0.6, False, "at least 0.600 names the class; below, the answer is `unknown`."),
    ],
)
def test_thresholds_are_described_in_words(
    manifest: Manifest, fine: float, hierarchy: bool, told: str
) -> None:
    thresholds: dict[str, Any] = {"fine_threshold": fine, "coarse_threshold": 0.7}
    if not hierarchy:
        thresholds |= {"coarse": None, "coarse_of": None}
    text = flat(card(manifest.model_copy(update=thresholds)))
    assert told in text
    assert "**temperature**: 0.43;" in text
    assert "a score of at least 0.500; below, `known: false` (set so that at most 3 %" in text


def test_the_licence_of_the_pretrained_weights_is_named(manifest: Manifest) -> None:
    assert "Google trained on ImageNet" in flat(card(manifest))
    scratch = {"recipe": {**RECIPE, "pretrained": False}}
    assert "ImageNet" not in card(manifest.model_copy(update={"provenance": scratch}))


def with_provenance(manifest: Manifest, **fields: object) -> Manifest:
    return manifest.model_copy(update={"provenance": {**PROVENANCE, **fields}})


def test_the_manifest_names_the_pretrained_weights_origin(manifest: Manifest) -> None:
    named = with_provenance(manifest, pretrained_origin="These weights began with <mine>.")
    assert r"These weights began with \<mine\>." in flat(card(named))
    assert "Google" not in card(named)
    assert "- **network**: efficientnet-lite0, pretrained\n" in card(named)


def test_the_manifest_names_the_data_set_and_its_licence(manifest: Manifest) -> None:
    assert "Dataset" not in card(manifest)
    other = {"name": "Shelves", "url": "https://example.org/shelves", "licence": "CC BY 4.0"}
    text = flat(card(with_provenance(manifest, dataset=other)))
    assert "Its classes are those of the [Shelves](https://example.org/shelves)." in text
    assert "The Shelves is under the CC BY 4.0." in text
    evil = {"name": "<b>", "url": "javascript:alert(1)", "licence": 3}
    text = flat(card(with_provenance(manifest, dataset=evil)))
    assert r"Its classes are those of the \<b\>." in text
    assert "javascript" not in text
    grocery = with_provenance(manifest, dataset=GROCERY._asdict())
    assert is_grocery(grocery)
    assert "The Grocery Store Dataset is under the MIT License" in flat(card(grocery))


def test_a_shipped_bundle_names_its_data_set(shipped_bundle: Path) -> None:
    shipped = read_manifest(shipped_bundle)
    assert is_grocery(shipped)
    assert "The Grocery Store Dataset is under the MIT License" in flat(card(shipped))
    assert "Google trained on ImageNet" in flat(card(shipped))


@pytest.mark.parametrize(
    ("sides", "cascade", "told"),
    [
        (None, None, "its aspect given up. What is small"),
        (
            (64, 48),
            None,
            "Of that the network looks at all of it and its middle 75 %, by 48 x 48 pixels. W",
        ),
        (
            (48,),
            None,
            "looks at its middle 75 %, by 48 x 48 pixels. It does not see the edges. What",
        ),
        (
            (48, 64),
            0.7,
            "Where none has, it looks at all of it as well, by as many pixels, and answers by the",
        ),
        (
            (48, 56, 52),
            0.7,
            "by the mean: that takes 3 times the multiply-adds. It does not see the edges. What",
        ),
    ],
)
def test_the_card_says_what_the_network_looks_at(
    manifest: Manifest, sides: tuple[int, ...] | None, cascade: float | None, told: str
) -> None:
    network = Network(
        architecture="efficientnet-lite0", temperature=1, views=sides, cascade=cascade
    )
    geometry = Geometry(width=64, height=64)
    changed = manifest.model_copy(update={"network": network, "geometry": geometry})
    assert told in flat(card(changed))


@pytest.mark.parametrize(
    ("multiply_adds", "told"),
    [
        (568_200_000, "that takes 1.14 G multiply-adds instead of 0.57 G."),
        ("many", "that takes 2 times the multiply-adds."),
    ],
)
def test_the_card_says_what_a_cascade_costs(
    manifest: Manifest, multiply_adds: object, told: str
) -> None:
    network = Network(architecture="efficientnet-lite0", temperature=1, views=(48, 64), cascade=0.7)
    provenance = {"multiply_adds_of_a_view": multiply_adds}
    update = {
        "network": network,
        "geometry": Geometry(width=64, height=64),
        "provenance": provenance,
    }
    assert told in flat(card(manifest.model_copy(update=update)))


def test_sizes_are_given_where_they_are_known(manifest: Manifest) -> None:
    assert "- **model.onnx**\n" in card(manifest)
    text = card(manifest, {"model.onnx": 4_190_000, "golden.jpg": 40_000})
    assert "- **model.onnx**, 4.19 MB\n- **goldens** (1), 0.04 MB: images" in text


def test_the_card_of_a_bare_manifest_says_what_is_unknown(fake_bundle: Path) -> None:
    text = card(read_manifest(fake_bundle))
    assert "The bundle does not say." in text
    assert "The bundle holds no figures." in text


def test_the_card_is_markdown_of_a_readable_width(shipped_bundle: Path) -> None:
    lines = card(read_manifest(shipped_bundle)).splitlines()
    assert max(map(len, lines)) <= 100
    assert len(lines) < 145
    assert not [line for line in lines if line != line.rstrip()]


@pytest.mark.parametrize(
    "odd",
    [
        None,
        "text",
        3,
        10**400,
        float("nan"),
        float("inf"),
        -1.5,
        True,
        [],
        [10**400, 2],
        [[1, 2], None, {"a": 1}],
        {"pictures": "many", "split": ["a", 1], "folds": 1e300},
        {"weight": {}, "known_quantile": 7, "name": {"deep": []}},
    ],
)
def test_an_invalid_provenance_is_omitted_without_an_error(manifest: Manifest, odd: object) -> None:
    names = (
        "recipe",
        "training",
        "held_out",
        "out_of_fold",
        "teachers",
        "date",
        "versions",
        "dataset",
        "pretrained_origin",
    )
    for provenance in (dict.fromkeys(names, odd), {"recipe": dict.fromkeys(RECIPE, odd)}):
        text = card(manifest.model_copy(update={"provenance": provenance}))
        assert "## How it was trained" in text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -5.0, 1e300])
def test_an_invalid_metric_is_no_error(manifest: Manifest, value: float) -> None:
    for metrics in (dict.fromkeys(METRICS, value), METRICS | {"out_of_fold_pictures": value}):
        assert " to 91.0 " not in card(manifest.model_copy(update={"metrics": metrics}))


def test_text_of_the_manifest_is_escaped_in_the_card(manifest: Manifest) -> None:
    evil = "# <b>|`x`[a](b)\n\n## Big\x1b[2J\u202e\x9b"
    fields = {
        "description": evil,
        "classes": ("<i>|", *manifest.classes[1:]),
        "metrics": {evil: 1.0},
        "provenance": {"device": evil, "recipe": {evil: {evil: evil}}},
    }
    text = card(manifest.model_copy(update=fields))
    assert all(c.isprintable() or c == "\n" for c in text)
    shown = r"\# \<b\>\|\`x\`\[a\](b) \#\# Big"
    assert flat(text).count(shown) == 6
    assert text.count("\n## ") == card(manifest).count("\n## ")
    assert r"\<i\>\|, grey-1" in text


def test_a_bundle_may_have_no_card(fake_bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(fake_bundle, tmp_path / "copy")
    assert read_card(load_bundle(copy)) is None
    (copy / CARD).write_text("nobody vouches for this")
    assert read_card(load_bundle(copy)) is None


def test_a_card_is_checked_against_its_digest(fake_bundle: Path, tmp_path: Path) -> None:
    bundle = with_card(fake_bundle, tmp_path / "copy", b"# A card\n")
    assert read_card(bundle) == "# A card\n"
    (bundle.directory / CARD).write_bytes(b"# Another\n")
    with pytest.raises(BundleRefused, match=f"{CARD} has the SHA-256"):
        load_bundle(bundle.directory)
    (bundle.directory / CARD).unlink()
    with pytest.raises(BundleRefused, match=f"{CARD}: No such file"):
        load_bundle(bundle.directory)


def test_control_characters_of_a_card_are_escaped(fake_bundle: Path, tmp_path: Path) -> None:
    content = "a\x1b]0;title\x07\r\x9b2J\u202e\tü\n".encode() + b"\xff"
    found = read_card(with_card(fake_bundle, tmp_path / "copy", content))
    assert found == "a\ufffd]0;title\ufffd\ufffd\ufffd2J\ufffd\tü\n\ufffd"


def test_too_large_a_card_is_refused(fake_bundle: Path, tmp_path: Path) -> None:
    largest = with_card(fake_bundle, tmp_path / "largest", b"x" * MAX_CARD_BYTES)
    assert len(read_card(largest) or "") == MAX_CARD_BYTES
    bundle = with_card(fake_bundle, tmp_path / "over", b"x" * (MAX_CARD_BYTES + 1))
    with pytest.raises(BundleRefused, match=f"{CARD} is over 1048576 bytes"):
        read_card(bundle)
