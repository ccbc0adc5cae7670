import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from greengrocer import __version__
from greengrocer.bundles.bundle import digest_of
from greengrocer.bundles.card import CARD, card
from greengrocer.bundles.manifest import GRAPH, MANIFEST, read_manifest, write_manifest
from support.bundles import digests

Command = Callable[..., CompletedProcess[str]]


@pytest.fixture
def copy(fake_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the fake bundle, to be changed."""
    return shutil.copytree(fake_bundle, tmp_path / "copy")


def update(directory: Path, **fields: object) -> None:
    """Rewrite fields of the manifest."""
    write_manifest(read_manifest(directory).model_copy(update=fields), directory)


def add_card(directory: Path, content: bytes) -> None:
    """Give the bundle a card that its manifest vouches for."""
    (directory / CARD).write_bytes(content)
    update(directory, files=read_manifest(directory).files | digests(directory, CARD))


def test_a_bundle_is_described(greengrocer: Command, fake_bundle: Path) -> None:
    done = greengrocer("info", "--bundle", fake_bundle)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"greys 1, verified, 0.0 MB, in {fake_bundle}\n" in done.stdout
    assert "knows:    10 classes in 2 coarse ones: dark, light\n" in done.stdout
    assert "trained:  the bundle does not say how\n" in done.stdout
    assert "32 x 32 pixels, squeeze\n" in done.stdout
    assert "known:    a score of at least 0.500; below, `known: false`\n" in done.stdout
    assert "figures:" not in done.stdout


def test_figures_come_with_their_source_and_their_interval(
    greengrocer: Command, copy: Path
) -> None:
    update(
        copy,
        description="Ten levels of grey.",
        metrics={"held_out_pictures": 296.0, "held_out_top1": 86.82432},
        provenance={"training": {"split": "train", "pictures": 2640}},
    )
    found = greengrocer("info", "--bundle", copy).stdout
    assert "\nTen levels of grey.\n" in found
    assert "trained:  2,640 images (train)\n" in found
    assert "figures:  held out, on 296 images, which trained nothing but set the" in found
    assert "  top-1        86.8 %  (95 %: 82.5 to 90.2)\n" in found


def test_a_thousand_classes_do_not_flood_the_terminal(greengrocer: Command, copy: Path) -> None:
    classes = ("grey-3", *(f"class {k}" for k in range(1000)))
    update(copy, classes=classes, coarse=None, coarse_of=None)
    found = greengrocer("info", "--bundle", copy).stdout
    assert "knows:    1,001 classes: grey-3, class 0, " in found
    assert "[...]\n" in found
    assert len(found) < 1500


def test_json_has_the_full_manifest_and_the_card(
    greengrocer: Command, fake_bundle: Path, copy: Path
) -> None:
    found = json.loads(greengrocer("info", "--bundle", fake_bundle, "--json").stdout)
    sizes = [(fake_bundle / name).stat().st_size for name in (GRAPH, "golden.jpg")]
    assert found == {
        "greengrocer": __version__,
        "directory": str(fake_bundle),
        "digest": f"sha256:{digest_of(fake_bundle)}",
        "bytes": sum(sizes),
        **read_manifest(fake_bundle).model_dump(mode="json"),
        "card": None,
    }
    add_card(copy, b"# Mine\n")
    found = json.loads(greengrocer("info", "--bundle", copy, "--json").stdout)
    assert found["card"] == "# Mine\n"


def test_the_stored_card_is_printed_or_else_a_generated_one(
    greengrocer: Command, copy: Path
) -> None:
    manifest = read_manifest(copy)
    sizes = {name: (copy / name).stat().st_size for name in manifest.files}
    assert greengrocer("info", "--bundle", copy, "--card").stdout == card(manifest, sizes)
    add_card(copy, b"# Mine\n\nby hand\n")
    assert greengrocer("info", "--bundle", copy, "--card").stdout == "# Mine\n\nby hand\n"


@pytest.mark.parametrize("flags", [[], ["--card"], ["--json"]])
def test_control_characters_of_a_bundle_are_escaped(
    greengrocer: Command, copy: Path, flags: list[str]
) -> None:
    add_card(copy, b"\x1b[2J\x07described\r\n")
    home = copy.rename(copy.with_name("\x1b[2J\x9b\u202ehome"))
    done = greengrocer("info", "--bundle", home, *flags)
    assert (done.returncode, done.stderr) == (0, "")
    assert ("described" if flags else "home") in done.stdout
    assert all(c.isprintable() or c == "\n" for c in done.stdout)
    for field, value in (
        ("description", "\x1b[2J\x9b\u202edescribed\n"),
        ("classes", tuple(f"\x9b{k}" for k in range(10))),
        ("metrics", {"held_out_\x1b]0;": 1.0}),
        ("provenance", {"training": {"split": "\x1btrain"}, "date": "\x07"}),
    ):
        manifest = read_manifest(home)
        update(home, **{field: value})
        done = greengrocer("info", "--bundle", home, *flags)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
        assert all(c.isprintable() or c == "\n" for c in done.stderr)
        write_manifest(manifest, home)


def test_a_damaged_bundle_is_refused_in_one_line(greengrocer: Command, copy: Path) -> None:
    (copy / GRAPH).write_bytes(b"changed")
    done = greengrocer("info", "--bundle", copy)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert GRAPH in done.stderr
    (copy / MANIFEST).unlink()
    assert greengrocer("info", "--bundle", copy).returncode == 2


def test_json_and_card_exclude_each_other(greengrocer: Command, fake_bundle: Path) -> None:
    done = greengrocer("info", "--bundle", fake_bundle, "--json", "--card")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
