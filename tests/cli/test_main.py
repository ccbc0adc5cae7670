import shlex
import subprocess
import sys
from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

from greengrocer import __version__
from greengrocer.cli.main import COMMANDS, main
from support.servers import clean_environment

Command = Callable[..., CompletedProcess[str]]


def test_help_lists_every_command(greengrocer: Command) -> None:
    done = greengrocer("--help")
    assert done.returncode == 0
    for command in COMMANDS:
        name = command.__name__.rpartition(".")[2].removesuffix("_model")
        assert f"    {name} " in done.stdout


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"greengrocer {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["dance"],
        ["predict"],
        ["predict", "x.jpg", "--top", "0"],
        ["predict", "x.jpg", "--top", "-1"],
        ["predict", "x.jpg", "--top", "five"],
        ["predict", "x.jpg", "--engine", "magic"],
        ["predict", "x.jpg", "--bundle", "/no/bundle"],
        ["info", "--bundle", "/no/bundle"],
        ["evaluate", "--data", "/no/data"],
        ["evaluate", "--split", "all"],
        ["predict", "x.jpg", "--js"],
        ["data", "check", "/no/data", "--files"],
        ["serve", "--por", "1"],
        ["data"],
        ["train", "--recipe", "/no/recipe"],
    ],
    ids=" ".join,
)
def test_an_error_is_one_line_with_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(arguments)
    except SystemExit as left:
        code = int(left.code or 0)
    output = capsys.readouterr()
    assert code == 2
    assert output.out == ""
    assert len(output.err.splitlines()) == 1
    assert output.err.startswith("greengrocer")


@pytest.mark.parametrize(("closed", "code"), [("2>&-", 0), ("<&-", 0), (">&-", 2)])
def test_a_command_works_with_a_closed_stream_unless_it_must_print(closed: str, code: int) -> None:
    command = shlex.join([sys.executable, "-m", "greengrocer", "info", "--bundle", "fast"])
    done = subprocess.run(
        ["sh", "-c", f"{command} {closed}"],
        capture_output=True,
        text=True,
        env=clean_environment(),
        check=False,
    )
    assert done.returncode == code
    assert ("fast" in done.stdout) == (code == 0)
    assert len(done.stderr.splitlines()) == (1 if code else 0)
