"""A library's warning is one line or none."""

import subprocess
import sys
from pathlib import Path

import pytest
from conformance.exif import ORIENTATION, SHORT, Entry

from conformance import exif
from support.make_images import encoded, photo
from support.servers import clean_environment, start_server
from support.stills import still

WARNED = """
import warnings
from greengrocer.telemetry.library_warnings import report_warnings

told = []
report_warnings(told.append)
path = "/x/site-packages/PIL/a.py"
for k in range(100):
    text = f"entry {k}\\n\\x1b[31m" + "x" * 9999
    warnings.warn_explicit(text, UserWarning, path, 7)
warnings.warn_explicit("another", RuntimeWarning, path, 8)
warnings.warn_explicit("old", DeprecationWarning, path, 9)
for line in told:
    print(line)
print(len(globals().get("__warningregistry__", {})))
"""

CORRUPT = {
    "cut": exif.TURNED[:13],
    "an entry that lies outside": exif.exif(
        Entry(ORIENTATION, SHORT, 1, 6), *[Entry(0x9000 + k, 2, 5000, 60000 + k) for k in range(50)]
    ),
    "more entries than there are": exif.exif(claimed=0xFFFF),
    "an odd type": exif.exif(Entry(ORIENTATION, 255, 1, 1)),
    "an orientation of many values": exif.exif(Entry(ORIENTATION, SHORT, 2, 0x00060006)),
    "no header": b"Exif\0\0" + b"ZZ" * 20,
}


def pictures() -> list[bytes]:
    """Each with a sound image, and EXIF that libraries warn of."""
    found = [
        encoded(photo(1), kind, exif=block)
        for block in CORRUPT.values()
        for kind in ("JPEG", "PNG", "WEBP")
    ]
    return [*found, *[still("HEIC", exif=block) for block in CORRUPT.values()]]


def test_a_warning_is_logged_once_in_one_line_and_not_kept() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WARNED], capture_output=True, text=True, check=True
    )
    first, second, kept = done.stdout.splitlines()
    assert first.startswith("PIL: UserWarning: entry 0 \\u001b[31mxxx")
    assert len(first) < 400
    assert (second, kept) == ("PIL: RuntimeWarning: another", "0")
    assert done.stderr == ""


@pytest.mark.accept
@pytest.mark.parametrize("flags", [(), ("--workers", "1")], ids=["one process", "workers"])
@pytest.mark.parametrize("level", ["info", "debug"])
def test_images_with_corrupt_exif_do_not_flood_the_log(
    fake_bundle: Path, flags: tuple[str, ...], level: str
) -> None:
    server = start_server(
        *("--bundle", str(fake_bundle), "--engine", "fake", "--access-log", "false"),
        *("--log-level", level, *flags),
    )
    bodies = pictures()
    with server.client() as client:
        before = len(server.log)
        for _ in range(50):
            for body in bodies if _ == 0 else bodies[:: len(bodies) // 3]:
                reply = client.post(
                    "/predict", content=body, headers={"Content-Type": "image/jpeg"}
                )
                assert reply.status_code == 200, reply.text
    assert server.stop() == 0
    said = [line for line in server.log[before:] if "warn" in line or "PIL" in line]
    assert len(said) <= 5, said
    assert not any(".py" in line or "warnings.warn" in line for line in server.log)


def test_a_command_prints_a_warning_in_one_line_or_not_at_all(tmp_path: Path) -> None:
    for k, body in enumerate(pictures()):
        (tmp_path / f"{k}.jpg").write_bytes(body)
    done = subprocess.run(
        [sys.executable, "-m", "greengrocer", "predict", str(tmp_path), "--json"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert len([line for line in done.stderr.splitlines() if "Warning" in line]) <= 5
    assert ".py" not in done.stderr
