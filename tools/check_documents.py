"""Check the documents: links lead somewhere, `make` targets and the files of code exist."""

import re
import sys
from pathlib import Path

LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)|(?:src|href)=\"([^\"#]+)\"")
TARGET = re.compile(r"(?:^|`)make ([a-z-]+)", re.MULTILINE)
CODE = re.compile(r"`((?:\w+/)*\w+\.py)`")
# what a path of code may be relative to
HOMES = (
    Path(),
    Path("src/greengrocer"),
    Path("docs/examples"),
    Path("docs/examples/open_inference"),
)
RULE = re.compile(r"^([a-z-]+):", re.MULTILINE)


def documents() -> list[Path]:
    """Every Markdown file that is ours."""
    return [*sorted(Path().glob("*.md")), *sorted(Path("docs").rglob("*.md"))]


def complaints(document: Path, targets: set[str]) -> list[str]:
    """What is wrong with one document."""
    text = document.read_text(encoding="utf-8")
    links = [first or second for first, second in LINK.findall(text)]
    broken = [
        f"{document}: {link} leads nowhere"
        for link in links
        if "://" not in link and not (document.parent / link).exists()
    ]
    broken += [
        f"{document}: there is no {path}"
        for path in sorted(set(CODE.findall(text)))
        if not any((home / path).exists() for home in HOMES)
    ]
    unknown = set(TARGET.findall(text)) - targets
    return broken + [f"{document}: there is no `make {target}`" for target in sorted(unknown)]


def main() -> int:
    """Check all of them and return 1 if anything is wrong."""
    targets = set(RULE.findall(Path("Makefile").read_text(encoding="utf-8")))
    found = [line for document in documents() for line in complaints(document, targets)]
    sys.stdout.write("\n".join([*found, f"{len(documents())} documents"]) + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
