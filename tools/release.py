"""`python -m tools.release VERSION`: build, check and tag a release. It uploads nothing.

The tree must be clean, `version.py` must have VERSION, and CHANGELOG.md a section of it. In dist/
are then the sdist, the wheels, their SHA-256 and the notes; the tag vVERSION is in this repository.
"""

import hashlib
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from datetime import date
from pathlib import Path

from packaging.metadata import Metadata

VERSION_FILE = Path("src/greengrocer/version.py")
CHANGELOG = Path("CHANGELOG.md")
# the first needs no other
PROJECTS = (Path("packages/weights"), Path(), Path("clients/python"))
FORM = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+")
SECTION = re.compile(r"^## \[(.+?)\](?: - (\S+))?$", re.MULTILINE)
LARGEST = 100_000_000  # bytes of a file that package registries take


class NotReleasable(Exception):
    """What must be changed before this can be a release, in one line."""


def release(version: str, out: Path) -> list[Path]:
    """Check the tree, build everything twice into ``out``, check it, and tag the commit.

    Returns the files that are to be published. Raises NotReleasable before anything is tagged.
    """
    check_tree(version)
    notes = release_notes(CHANGELOG.read_text(encoding="utf-8"), version)
    files = build(out)
    for file in files:
        check_distribution(file, version)
    with tempfile.TemporaryDirectory() as directory:
        again = {file.name: digest(file) for file in build(Path(directory))}
    for file in files:
        if digest(file) != again[file.name]:
            raise NotReleasable(f"{file.name} differs when it is built again")
    sums = "".join(f"{digest(file)}  {file.name}\n" for file in files)
    (out / "SHA256SUMS").write_text(sums, encoding="utf-8")
    (out / f"notes-{version}.md").write_text(notes, encoding="utf-8")
    git("tag", "--annotate", f"v{version}", "--message", f"greengrocer {version}")
    return files


def check_tree(version: str) -> None:
    """Raise NotReleasable unless this commit, and nothing beside it, is ``version``."""
    if not FORM.fullmatch(version):
        raise NotReleasable(f"the version {version!r} must look like 1.2.3")
    if changed := git("status", "--porcelain"):
        raise NotReleasable(f"the tree is not clean: commit or remove {changed.split()[-1]}")
    if git("tag", "--list", f"v{version}"):
        raise NotReleasable(f"there is a tag v{version} already")
    if f'__version__ = "{version}"\n' not in VERSION_FILE.read_text(encoding="utf-8"):
        raise NotReleasable(f"{VERSION_FILE} must say {version}")
    extras = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    if f"greengrocer-weights=={version}" not in extras["optional-dependencies"]["torch"]:
        raise NotReleasable(f"pyproject.toml: torch must want greengrocer-weights=={version}")


def release_notes(changelog: str, version: str) -> str:
    """The section of ``version`` in a changelog; raises NotReleasable where it is not dated."""
    sections = list(SECTION.finditer(changelog))
    for place, section in enumerate(sections):
        if section[1] != version:
            continue
        try:
            date.fromisoformat(section[2] or "")
        except ValueError:
            raise NotReleasable(f"{CHANGELOG}: the section {version} needs its date") from None
        end = sections[place + 1].start() if place + 1 < len(sections) else len(changelog)
        if text := changelog[section.end() : end].strip():
            return text + "\n"
        raise NotReleasable(f"{CHANGELOG}: the section {version} is empty")
    raise NotReleasable(f"{CHANGELOG} has no section '## [{version}] - DATE'")


def build(out: Path) -> list[Path]:
    """An sdist, the wheel that is made of it, and the wheels of the weights and the client."""
    for old in (*out.glob("*.whl"), *out.glob("*.tar.gz")):
        old.unlink()
    for project in PROJECTS:
        kinds = [] if project == Path() else ["--wheel"]
        command = [sys.executable, "-m", "build", "--no-isolation", *kinds, "--outdir", str(out)]
        done = subprocess.run(  # noqa: S603 - this Python, on our own projects
            [*command, str(project)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise NotReleasable(f"the build fails: {(done.stderr or done.stdout).strip()}")
    return sorted([*out.glob("*.whl"), *out.glob("*.tar.gz")])


def check_distribution(file: Path, version: str) -> None:
    """Raise NotReleasable where a package registry, or a reader, would refuse ``file``."""
    try:
        found = read_metadata(file)
    except ExceptionGroup as error:
        raise NotReleasable(f"{file.name}: {error.exceptions[0]}") from error
    wrong = {
        f"it is of version {found.version}": str(found.version) != version,
        "it has no description": not (found.description or "").strip(),
        "its description is not Markdown": found.description_content_type != "text/markdown",
        "it has no licence": not found.license_expression,
        f"it is larger than {LARGEST:,} bytes": file.stat().st_size > LARGEST,
    }
    if reasons := [reason for reason, holds in wrong.items() if holds]:
        raise NotReleasable(f"{file.name}: {reasons[0]}")


def read_metadata(file: Path) -> Metadata:
    """The validated metadata of a wheel or an sdist; raises ExceptionGroup for what is invalid."""
    if file.suffix == ".whl":
        with zipfile.ZipFile(file) as archive:
            (name,) = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
            return Metadata.from_email(archive.read(name))
    with tarfile.open(file) as archive:
        stream = archive.extractfile(f"{file.name.removesuffix('.tar.gz')}/PKG-INFO")
        assert stream is not None
        return Metadata.from_email(stream.read())


def digest(file: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def git(*arguments: str) -> str:
    """The output of git."""
    command = ["git", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    return done.stdout.strip()


def main(arguments: list[str]) -> int:
    """Make the release and print what remains to do; returns 2 if it cannot be made."""
    if len(arguments) != 1:
        sys.stderr.write("release: VERSION is missing, as in make release VERSION=1.2.3\n")
        return 2
    (version,) = arguments
    try:
        files = release(version, Path("dist"))
    except NotReleasable as error:
        sys.stderr.write(f"release: {error}\n")
        return 2
    named = " ".join(map(str, files))
    sys.stdout.write(
        f"v{version} is tagged; dist/notes-{version}.md has its notes. Nothing was uploaded:\n"
        f"  git push origin v{version}\n  twine upload {named}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
