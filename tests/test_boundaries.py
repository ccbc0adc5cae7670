import ast
import json
import subprocess
import sys
from pathlib import Path

import greengrocer
from support.servers import clean_environment

SOURCE = Path(greengrocer.__file__).parent
FORBIDDEN = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}


def loaded_after(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after ``code``."""
    program = f"{code}\nimport json, sys\nprint('\\n' + json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=clean_environment(),
        check=True,
        timeout=120,
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def imported(path: Path) -> set[str]:
    """The top-level modules that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def test_the_serving_side_imports_without_torch() -> None:
    loaded = loaded_after("import greengrocer.assemble")
    assert "greengrocer" in loaded
    assert not loaded & {"torch", "onnx", "onnxruntime", "grpc"}


def test_the_python_api_loads_no_http_library() -> None:
    loaded = loaded_after("import greengrocer; greengrocer.load('fast').close()")
    assert {"greengrocer", "onnxruntime"} <= loaded
    assert not loaded & {"fastapi", "starlette", "uvicorn", "prometheus_client", "structlog"}


def test_help_loads_neither_engine_nor_numpy() -> None:
    code = (
        "from greengrocer.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: print(0)"
    )
    loaded = loaded_after(code)
    assert "greengrocer" in loaded
    assert not loaded & {"torch", "onnx", "onnxruntime", "numpy", "PIL", "fastapi", "uvicorn"}


def test_a_supervisor_imports_little() -> None:
    loaded = loaded_after("import greengrocer.cli.supervise, greengrocer.web.wire.listener")
    assert "greengrocer" in loaded
    assert not loaded & {"torch", "onnxruntime", "numpy", "PIL", "fastapi", "uvicorn", "uvloop"}


def test_no_source_file_imports_unsafe_deserialisers() -> None:
    files = sorted(SOURCE.rglob("*.py"))
    assert len(files) > 40
    assert {str(path): imported(path) & FORBIDDEN for path in files} == {
        str(path): set() for path in files
    }


def test_only_the_torch_engine_and_training_import_torch() -> None:
    users = {
        path.relative_to(SOURCE).parts[0]
        for path in SOURCE.rglob("*.py")
        if "torch" in imported(path) and path.name != "torch_engine.py"
    }
    assert users <= {"networks", "training"}


def test_a_model_is_imported_without_torch_or_safetensors() -> None:
    """The extra ``import`` has neither."""
    blocked = "import sys; sys.modules.update(torch=None, safetensors=None)"
    loaded = loaded_after(f"{blocked}; import greengrocer.importing.importer")
    assert "onnx" in loaded
