"""Check what ruff does not: files and functions stay short enough to be read."""

import ast
import sys
from pathlib import Path

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
ROOTS = ("src", "clients", "tests", "benchmarks", "tools", "conformance", "soak")

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


def main() -> int:
    """Look at every Python file and return 1 if any is too long."""
    files = [path for root in ROOTS for path in sorted(Path(root).rglob("*.py"))]
    found = [complaint for path in files for complaint in complaints(path)]
    sys.stdout.write("\n".join([*found, f"{len(files)} files, {len(found)} too long"]) + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
