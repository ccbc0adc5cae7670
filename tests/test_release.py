"""`make release` in a copy of this tree."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tools.release import NotReleasable, release_notes

ROOT = Path(__file__).parents[1]
VERSION = "7.8.9"
SECTION = f"## [{VERSION}] - 2027-01-02\n\n### Added\n- A release.\n\n"
UNNEEDED = ("tests/", "docs/", "benchmarks/", "conformance/", "soak/")
PLACES = ("src/greengrocer/version.py", "pyproject.toml")
Done = subprocess.CompletedProcess[str]


def git(directory: Path, *arguments: str) -> str:
    who = ["-c", "user.name=Tester", "-c", "user.email=tester@shop.example"]
    command = ["git", "-C", str(directory), *who, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """This tree as a repository of its own, in which everything says VERSION."""
    copy = tmp_path / "greengrocer"
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in listed.split("\0"):
        if (ROOT / name).is_file() and not name.startswith(UNNEEDED):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    for name in PLACES:
        text = (copy / name).read_text()
        old = r'(__version__ = "|greengrocer-weights==)[0-9.]+'
        (copy / name).write_text(re.sub(old, rf"\g<1>{VERSION}", text))
    changelog = (copy / "CHANGELOG.md").read_text()
    (copy / "CHANGELOG.md").write_text(changelog.replace("## [", f"{SECTION}## [", 1))
    git(tmp_path, "init", "--quiet", str(copy))
    commit(copy)
    return copy


def commit(tree: Path) -> None:
    git(tree, "add", "--all")
    git(tree, "commit", "--quiet", "--message", "A release")


def make_release(tree: Path, version: str = VERSION) -> Done:
    """Run `make release`, with the environment in which the tests run in the place of its own."""
    ready = ["-o", ".venv-dev/installed", f"DEV={Path(sys.executable).parent}"]
    return subprocess.run(
        ["make", "--no-print-directory", *ready, "release", f"VERSION={version}"],
        cwd=tree,
        env=os.environ | {"GIT_COMMITTER_NAME": "Tester", "GIT_COMMITTER_EMAIL": "t@shop.example"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.mark.accept
def test_a_release_is_built_checked_described_and_tagged(tree: Path) -> None:
    done = make_release(tree)
    assert done.returncode == 0, done.stderr
    files = {path.name: path for path in (tree / "dist").iterdir()}
    published = {
        f"greengrocer-{VERSION}.tar.gz",
        f"greengrocer-{VERSION}-py3-none-any.whl",
        f"greengrocer_client-{VERSION}-py3-none-any.whl",
        f"greengrocer_weights-{VERSION}-py3-none-any.whl",
    }
    assert {*files} == published | {"SHA256SUMS", f"notes-{VERSION}.md"}
    assert files[f"notes-{VERSION}.md"].read_text() == "### Added\n- A release.\n"
    sums = dict(line.split()[::-1] for line in files["SHA256SUMS"].read_text().splitlines())
    assert sums == {n: hashlib.sha256(files[n].read_bytes()).hexdigest() for n in published}
    assert git(tree, "rev-parse", f"v{VERSION}^{{commit}}") == git(tree, "rev-parse", "HEAD")
    assert not git(tree, "status", "--porcelain")
    assert "Nothing was uploaded" in done.stdout
    again = make_release(tree)
    assert f"there is a tag v{VERSION} already" in again.stderr


def edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(tree: Path) -> None:
        text = (tree / name).read_text()
        assert old in text
        (tree / name).write_text(text.replace(old, new))
        commit(tree)

    return change


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a file beside": (lambda tree: (tree / "new.txt").touch(), "commit or remove new.txt"),
    "another version": (edit(PLACES[0], VERSION, "1.0.0"), f"version.py must say {VERSION}"),
    "older weights": (edit(PLACES[1], f"=={VERSION}", "==1.0.0"), "must want greengrocer-weights"),
    "no section": (edit("CHANGELOG.md", SECTION, ""), "has no section"),
    "no date": (edit("CHANGELOG.md", " - 2027-01-02", ""), "needs its date"),
    "no licence": (edit("pyproject.toml", 'license = "Apache-2.0"\n', ""), "it has no licence"),
}


@pytest.mark.accept
@pytest.mark.parametrize("case", REFUSED)
def test_an_unready_release_is_refused_in_one_line_and_not_tagged(tree: Path, case: str) -> None:
    change, why = REFUSED[case]
    change(tree)
    done = make_release(tree)
    assert done.returncode != 0
    (line,) = [each for each in done.stderr.splitlines() if each.startswith("release: ")]
    assert why in line
    assert not git(tree, "tag")


def test_an_invalid_version_is_refused(tree: Path) -> None:
    assert "must look like 1.2.3" in make_release(tree, "v7.8.9").stderr
    assert "VERSION is missing" in make_release(tree, "").stderr


def test_the_notes_are_the_changelog_section_of_the_version() -> None:
    before, behind = "## [Unreleased]\n\n- Later.\n\n", "## [1.0.0] - 2026-01-01\n"
    changelog = before + SECTION + behind
    assert release_notes(changelog, VERSION) == "### Added\n- A release.\n"
    with pytest.raises(NotReleasable, match=r"the section 1\.0\.0 is empty"):
        release_notes(changelog, "1.0.0")
