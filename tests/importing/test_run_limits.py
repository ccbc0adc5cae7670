"""A run of a foreign graph ends, whatever it computes."""

import subprocess
import sys


def test_a_node_that_does_not_end_ends_the_process_in_a_line() -> None:
    code = """
from threading import Event
from greengrocer.importing import run_limits
run_limits.SECONDS = run_limits.GRACE = 0
with run_limits.limited_run("m.onnx"):
    Event().wait()
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr == (
        "greengrocer: m.onnx took over 0 seconds for an image: import a smaller network\n"
    )
