"""The quick start quotes the log as it is."""

import re

import pytest

from support.documents import ROOT
from support.servers import StartServer

pytestmark = pytest.mark.leg("documentation")

TEXT = (ROOT / "docs" / "guides" / "quick-start.md").read_text(encoding="utf-8")


def test_the_quoted_line_of_the_log_is_that_of_a_start(serve: StartServer) -> None:
    (quoted,) = re.findall(r"^`(serving .*?)`", TEXT, re.MULTILINE)
    server = serve()
    (line,) = [line for line in server.log if "serving" in line]
    line = " ".join(line.split())  # columns are padded
    assert line.endswith(quoted.replace(":8000", f":{server.port}"))
