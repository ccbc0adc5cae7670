"""A Dockerfile followed without a container: its steps, in an empty directory of their own.

Every absolute path in the file means one below the stage's directory; of the base image there is
only what the caller has in ``base``, and the shell. It knows the instructions that our file has.
"""

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SYSTEM = "/usr/bin:/bin"  # of the base image: the shell and the programs that come with it
ABSOLUTE = re.compile(r"(?<![\w./$}-])/(?=\w)")
SECONDS = 600.0  # for a step; only a hang takes as long
PASSED = ("PIP_", "HTTPS_PROXY", "https_proxy")  # from outside: where packages come from


@dataclass
class Image:
    """A stage when its last step is done."""

    root: Path  # stands for /
    base: str  # the image that it begins with
    environment: dict[str, str]
    directory: Path
    user: str = "0"
    ports: list[str] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)

    def here(self, text: str) -> str:
        """``text`` with this directory in the place of /."""
        return ABSOLUTE.sub(f"{self.root}/", text)

    def path(self, said: str) -> Path:
        """The place that a step means by ``said``."""
        return Path(self.here(said)) if said.startswith("/") else self.directory / said


def steps(text: str) -> Iterator[tuple[str, str]]:
    """The instructions and what stands behind each; comments and line ends are gone."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            instruction, _, rest = line.strip().partition(" ")
            yield instruction.upper(), " ".join(rest.split())


class Build:
    """Follows ``dockerfile`` with the files of ``context``; its directories are below ``work``."""

    def __init__(
        self, dockerfile: Path, context: Path, base: Path, work: Path, **arguments: str
    ) -> None:
        self.context = context
        self.base = base
        self.work = work
        self.told = arguments  # over the file's own
        self.arguments: dict[str, str] = {}
        self.stages: dict[str, Path] = {}
        self.ignored = _patterns(dockerfile.with_name(dockerfile.name + ".dockerignore"))
        self.steps = list(steps(dockerfile.read_text(encoding="utf-8")))

    def run(self) -> Image:
        """The image of the last stage. Raises CalledProcessError where a step fails."""
        image: Image | None = None
        name = ""
        for instruction, rest in self.steps:
            if instruction == "ARG":
                key, _, value = rest.partition("=")
                self.arguments[key] = self.told.get(key, value)
            elif instruction == "FROM":
                if image is not None:  # out of the way, so that the next has the same paths
                    self.stages[name] = image.root.rename(self.work / f"stage-{name}")
                said, _, name = self._expand(rest, self.arguments).partition(" AS ")
                image = self._begin(said)
            else:
                assert image is not None, f"{instruction} before FROM"
                self._step(image, instruction, rest)
        assert image is not None
        return image

    def _begin(self, base: str) -> Image:
        root = self.work / "root"
        root.mkdir()
        return Image(root, base, {"PATH": f"{self.base}:{SYSTEM}"}, root)

    def _step(self, image: Image, instruction: str, rest: str) -> None:
        match instruction:
            case "RUN":
                self._call(image, rest)
            case "COPY":
                self._copy(image, rest.split())
            case "WORKDIR":
                image.directory = image.path(rest)
                image.directory.mkdir(parents=True)
            case _:
                self._declare(image, instruction, rest)

    def _declare(self, image: Image, instruction: str, rest: str) -> None:
        match instruction:
            case "ENV":
                for key, _, value in (each.partition("=") for each in shlex.split(rest)):
                    image.environment[key] = self._expand(image.here(value), image.environment)
            case "EXPOSE":
                image.ports.append(rest)
            case "USER":
                image.user = rest
            case "ENTRYPOINT":
                image.entrypoint = json.loads(rest)  # the exec form: no shell between
            case _:  # for who runs it
                assert instruction in ("LABEL", "STOPSIGNAL", "HEALTHCHECK"), instruction

    def _call(self, image: Image, command: str) -> None:
        passed = {key: value for key, value in os.environ.items() if key.startswith(PASSED)}
        home = {"HOME": os.environ.get("HOME", "/")}  # pip's configuration may be there
        subprocess.run(
            ["/bin/sh", "-c", image.here(command)],
            cwd=image.directory,
            env=home | passed | self.arguments | image.environment,
            check=True,
            timeout=SECONDS,
        )

    def _copy(self, image: Image, words: list[str]) -> None:
        *sources, target = [word for word in words if not word.startswith("--")]
        (origin,) = [word.partition("=")[2] for word in words if word.startswith("--from=")] or [""]
        for said in sources:
            if origin:
                source = self.stages[origin] / said.lstrip("/")
            else:
                source = self.context / said
                assert not self._is_ignored(source), f"{said}: not in the context"
            to = image.path(target)
            if source.is_dir():
                ignore = None if origin else self._ignore
                shutil.copytree(source, to, symlinks=True, ignore=ignore, dirs_exist_ok=True)
            else:
                to.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, to)

    def _ignore(self, directory: str, names: list[str]) -> set[str]:
        return {name for name in names if self._is_ignored(Path(directory, name))}

    def _is_ignored(self, path: Path) -> bool:
        """Whether the builder never sees it: the last pattern decides that it or a parent meets."""
        relative = path.relative_to(self.context)
        met = [str(each) for each in (relative, *relative.parents[:-1])]
        found = False
        for pattern, again in self.ignored:
            if fnmatch.filter(met, pattern):
                found = not again
        return found

    def _expand(self, text: str, values: dict[str, str]) -> str:
        return re.sub(r"\$\{?(\w+)\}?", lambda name: values[name[1]], text)


def _patterns(file: Path) -> list[tuple[str, bool]]:
    """The lines of a .dockerignore, and whether each lets in again."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return [(line.lstrip("!"), line.startswith("!")) for line in lines if line and line[0] != "#"]
