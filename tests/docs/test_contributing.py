"""The lists and steps of CONTRIBUTING.md, followed as a contributor would."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from tools import reference_pages

from greengrocer.read_settings import RENAMED
from greengrocer.settings import Settings, flag_of
from greengrocer.web.app import create_app
from greengrocer.web.endpoint import Endpoint
from greengrocer.web.table import ENDPOINTS
from support.bundles import write_fake_bundle
from support.commands import run
from support.documents import ROOT, blocks
from support.live import make_service, served
from support.make_images import jpeg
from support.plugins import python_path
from support.workers import start_workers

CONTRIBUTING = ROOT / "CONTRIBUTING.md"
TEXT = CONTRIBUTING.read_text(encoding="utf-8")
SOURCE = ROOT / "src" / "greengrocer"
DECLARING = {SOURCE / "settings.py", SOURCE / "read_settings.py"}


def section(title: str) -> str:
    """The text below a heading, up to the next."""
    _, _, rest = TEXT.partition(f"\n## {title}\n")
    assert rest, f"there is no section {title!r}"
    return rest.partition("\n## ")[0]


def test_the_paths_in_the_table_exist() -> None:
    cells = [line.split("|")[2] for line in section("Run one test").splitlines() if "|" in line]
    paths = [each for cell in cells for each in re.findall(r"`([\w./-]+)`", cell)]
    assert len(paths) > 15
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_each_target_in_the_table_is_in_the_makefile() -> None:
    told = set(re.findall(r"^\| `make ([a-z]+)` \|", TEXT, re.MULTILINE))
    rules = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"test", "check", "accept"} <= told <= {*rules}


@pytest.mark.accept
def test_the_commands_to_run_one_test_work() -> None:
    (lines,) = [each for each in blocks(CONTRIBUTING) if "pytest tests/engines -k" in each.text]
    for command in lines.commands():
        program, *arguments = command.split()
        assert program == ".venv-dev/bin/pytest"
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "--collect-only", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout


def test_every_setting_has_a_flag_and_a_row_and_is_read() -> None:
    flags = run("serve", "--help").stdout
    page = reference_pages.settings()
    code = "".join(
        path.read_text() for path in sorted(SOURCE.rglob("*.py")) if path not in DECLARING
    )
    for name, field in Settings.model_fields.items():
        flag = flag_of(name)
        assert re.search(rf"{flag}\b", flags), flag
        assert f"`{flag}`" in page
        assert field.description
        assert re.search(rf"settings\.{name}\b", code), f"nothing reads {name}"
    assert {new for new, _ in RENAMED.values()} <= {*Settings.model_fields}


def test_an_engine_can_be_added_as_described(tmp_path: Path) -> None:
    project, target = tmp_path / "mean", tmp_path / "installed"
    project.mkdir()
    ours = [each for each in blocks(CONTRIBUTING) if "mean_engine" in each.text]
    module, settings = (each.text for each in ours)
    (project / "mean_engine.py").write_text(module)
    (project / "pyproject.toml").write_text(settings)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    command = [*pip, "--disable-pip-version-check", "--target", str(target), str(project)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    bundle = write_fake_bundle(tmp_path / "greys", hierarchy=False)
    (tmp_path / "light.jpg").write_bytes(jpeg(240))
    flags = ("--json", "--engine", "mean", "--bundle", str(bundle))
    done = run("predict", str(tmp_path / "light.jpg"), *flags, environment=python_path(target))
    assert '"grey-9"' in done.stdout, done.stderr


def test_an_endpoint_can_be_added_as_described(fake_bundle: Path) -> None:
    (module,) = [each.text for each in blocks(CONTRIBUTING) if "WEIGH = Endpoint" in each.text]
    found: dict[str, Endpoint] = {}
    exec(module, found)
    service = make_service(fake_bundle)
    app = create_app(service, (*ENDPOINTS, found["WEIGH"]))
    try:
        with served(app, service.readiness) as url:
            assert httpx.get(f"{url}/weigh").text == "greys: 1 kg"
            assert httpx.get(f"{url}/weigh", params={"unit": "lb"}).status_code == 422
            described = httpx.get(f"{url}/openapi.json").json()["paths"]["/weigh"]["get"]
            assert {"200", "401", "429"} <= described["responses"].keys()
    finally:
        service.classifier.close()


@pytest.mark.accept
def test_an_engine_process_prints_its_stacks_as_described(fake_bundle: Path) -> None:
    assert "PYTHONFAULTHANDLER=1" in section("Debug an engine process")
    flags = ("--bundle", str(fake_bundle), "--engine", "fake")
    workers = start_workers(1, *flags, environment={"PYTHONFAULTHANDLER": "1"})
    try:
        engine = workers.engine
        os.kill(engine, signal.SIGABRT)
        workers.server.until_logged(
            lambda: "Fatal Python error: Aborted" in "".join(workers.server.log)
        )
        workers.server.until_logged(lambda: "in run_engine" in "".join(workers.server.log))
    finally:
        assert workers.server.stop() == 0
