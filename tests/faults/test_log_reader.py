"""The log's reader stalls: the service keeps answering and reports lost lines later."""

import fcntl
import os
import re
from pathlib import Path

import pytest

from support.make_images import jpeg
from support.servers import logging_to
from support.waiting import until
from support.wire import exchange, head, post

PIPE = 1 << 14  # bytes: some eighty lines
MANY = 200  # requests, a line each
PAINT = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.accept
@pytest.mark.parametrize("workers", [(), ("--workers", "1")], ids=["one process", "workers"])
def test_requests_do_not_wait_for_a_stalled_log_reader(
    fake_bundle: Path, workers: tuple[str, ...]
) -> None:
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, PIPE)
    with (
        os.fdopen(read, "rb", buffering=0) as log,
        os.fdopen(write, "wb") as pipe,
        logging_to(pipe, "--engine", "fake", "--bundle", str(fake_bundle), *workers) as url,
    ):
        until(lambda: exchange(url, head("GET", "/readyz")).status == 200)
        for _ in range(MANY):
            assert exchange(url, post(jpeg(250))).status == 200
        told = log.read(PIPE)
        assert exchange(url, head("GET", "/class-names")).status == 200
        while b"/class-names" not in told:
            told += log.read(PIPE)
    lines = PAINT.sub("", told.decode()).splitlines()
    written = sum("/predict" in line for line in lines)
    assert 0 < written < MANY
    (lost,) = re.findall(r"lines_lost=(\d+)", "\n".join(lines))
    assert int(lost) == MANY - written
