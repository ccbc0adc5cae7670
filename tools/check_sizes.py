"""Check what ruff does not: files, functions and folders stay short enough to be read."""

import ast
import sys
from collections import Counter
from pathlib import Path

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 60
MAX_MODULES = 10  # in a folder of the product
PRODUCT = Path("src")
ONE_EACH = PRODUCT / "greengrocer" / "cli"  # a file a command, however many there are
ROOTS = ("src", "tests", "benchmarks", "tools", "conformance", "soak")

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def complaints(path: Path) -> list[str]:
    """What is too long in one file."""
    text = path.read_text(encoding="utf-8")
    lines = text.count("\n")
    found = []
    if lines > MAX_FILE_LINES:
        found.append(f"{path}: {lines} lines, over {MAX_FILE_LINES}")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, FUNCTIONS) and node.end_lineno:
            length = node.end_lineno - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                found.append(f"{path}:{node.lineno}: {node.name} has {length} lines")
    return found


def crowded() -> list[str]:
    """Which folders of the product have too many modules to be seen at a glance."""
    modules = Counter(path.parent for path in PRODUCT.rglob("*.py") if path.stem != "__init__")
    return [
        f"{folder}: {count} modules, over {MAX_MODULES}"
        for folder, count in modules.items()
        if count > MAX_MODULES and folder != ONE_EACH
    ]


def main() -> int:
    """Look at every Python file and folder and return 1 if any is too long."""
    files = [path for root in ROOTS for path in sorted(Path(root).rglob("*.py"))]
    found = [complaint for path in files for complaint in complaints(path)] + crowded()
    sys.stdout.write("\n".join([*found, f"{len(files)} files, {len(found)} too long"]) + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
