"""Run a built image as Kubernetes would: unprivileged, on a read-only root."""

import os
import shutil
import subprocess

import pytest

from support.dockerfile import Image
from support.servers import Server, serving

ROOTLESS = "needs root, to be another user than the one who built the image"
# Runs "$@" where the file system and $1 are read-only; where $2 is named, it is for writing.
READ_ONLY = """
mount --make-rprivate / && mount --bind "$1" "$1" || exit 125
mount -o remount,bind,ro "$1" && mount -o remount,bind,ro / || exit 125
test -z "$2" || mount -t tmpfs -o mode=1777 tmpfs "$2" || exit 125
shift 2
exec "$@"
"""


def may_mount() -> bool:
    """Whether this process may make file systems read-only for another.

    Where all must be tested, the test fails if not.
    """
    may = subprocess.run(["unshare", "--mount", "true"], check=False).returncode == 0
    assert may or "REQUIRE_DEBIAN_PROGRAMS" not in os.environ, "cannot mount"
    return may


def start_container(image: Image, *, writable: bool, **environment: str) -> Server:
    """Start the entry point, on 127.0.0.1 and any port, and wait until it says where it serves.

    Its root is read-only; with ``writable`` an empty directory stands at /tmp. Skips without root.
    """
    if os.geteuid():
        assert "REQUIRE_DEBIAN_PROGRAMS" not in os.environ, ROOTLESS
        pytest.skip(ROOTLESS)
    place = image.root / "tmp"  # every base image has one
    place.mkdir(exist_ok=True)
    user, _, group = image.user.partition(":")
    command = ["setpriv", "--reuid", user, "--regid", group, "--clear-groups", "--no-new-privs"]
    command += ["--inh-caps=-all", "--bounding-set=-all", *image.entrypoint]
    if may_mount():
        confined = ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh", str(image.root)]
        command = [*confined, str(place) if writable else "", *command]
    elif writable:
        place.chmod(0o1777)
    ours = {"GREENGROCER_HOST": "127.0.0.1", "GREENGROCER_PORT": "0"}
    told = {"HOME": str(image.root), "TMPDIR": str(place)}
    program = shutil.which(command[0])
    assert program is not None
    process = subprocess.Popen(
        [program, *command[1:]],
        env=image.environment | told | ours | environment,
        cwd=image.directory,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    return serving(process)
