"""The limits that the guide of gRPC names are those of the code."""

import re

from greengrocer.rpc import call_limits
from greengrocer.rpc.call_limits import CallLimit
from support.documents import ROOT

TEXT = (ROOT / "docs" / "guides" / "grpc.md").read_text(encoding="utf-8")
LIMITS = (
    call_limits.MODEL_INFER,
    call_limits.PROBES,
    call_limits.SHORT_CALLS,
    call_limits.WATCHES,
    call_limits.REFLECTIONS,
)


def test_the_documented_limits_of_calls_are_true() -> None:
    _, _, table = TEXT.partition("| calls at once | in a process |")
    rows = re.findall(r"^\| [^|]+ \| ([\d,]+) \| (\d+) \|$", table, re.MULTILINE)
    assert rows == [(f"{limit.of_process:,}", f"{limit.of_address}") for limit in LIMITS]


def test_the_documented_sizes_and_seconds_are_true() -> None:
    assert f"and {call_limits.MESSAGE_OVERHEAD >> 10} KiB" in TEXT
    assert f"up to {call_limits.SHORT_SECONDS:g} s, and less where others wait" in TEXT
    assert f"lasts at most {call_limits.REFLECTION_SECONDS:g} s" in TEXT
    quarter_and_eighth = "a quarter of `--upload-memory-bytes` in a process, and an eighth for"
    assert quarter_and_eighth in TEXT
    assert call_limits.unread_limit(800) == CallLimit(200, 100)


def test_each_kind_may_be_full_and_further_calls_are_still_told_why() -> None:
    assert sum(limit.of_process for limit in LIMITS) < call_limits.MOST_CALLS
