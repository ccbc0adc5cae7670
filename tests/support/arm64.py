"""Linux on arm64, emulated: Python of Debian's packages, and the wheels that pip takes there."""

import os
import shutil
import subprocess
import venv
from pathlib import Path

import pytest

from support.environments import DEV, ROOT

EMULATOR = "qemu-aarch64"
PACKAGES = (
    *("libc6", "libgcc-s1", "libstdc++6"),  # what every wheel needs
    *("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib"),
    *("libbz2-1.0", "libexpat1", "libffi8", "liblzma5", "libssl3", "zlib1g"),  # what Python needs
)
GLIBC = 36  # Debian 12 has 2.36
PLATFORMS = [f"manylinux_2_{minor}_aarch64" for minor in range(17, GLIBC + 1)]
EXTRAS = ("onnx", "pillow-heif", "safetensors")  # of `quick` and `heif`
# qemu-user shows the file of the host, in which ONNX Runtime looks for a processor of Arm's and
# crashes. A model that no library knows: what it can do is then what the kernel says of it.
CPUINFO = """\
processor\t: {}
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd0f
CPU revision\t: 0

"""


def skip_without_programs() -> None:
    """Skip where there is no emulator or no apt, or fail where REQUIRE_DEBIAN_PROGRAMS is set."""
    for program, package in (EMULATOR, "qemu-user"), ("apt-get", "apt"), ("dpkg-deb", "dpkg"):
        if shutil.which(program) is None and "REQUIRE_DEBIAN_PROGRAMS" not in os.environ:
            pytest.skip(f"needs {program}, from Debian's package {package}")


class Arm64:
    """An arm64 system in ``home`` that has the pinned packages and ``wheel``.

    The host's package database is not touched. Raises CalledProcessError where a download fails,
    as where a package has no wheel for arm64.
    """

    def __init__(self, home: Path, wheel: Path) -> None:
        self.home = home
        self.root = home / "root"
        self._unpack_debian()
        self._install(wheel)

    def python(self, processor: str) -> str:
        """A program that runs Python on ``processor``, one of qemu-aarch64's."""
        program = self.home / f"python-{processor}"
        python = f"{EMULATOR} -cpu {processor} -L {self.root} {self.root}/usr/bin/python3.11"
        program.write_text(f'#!/bin/sh\nPYTHONPATH={self.home}/wheels exec {python} "$@"\n')
        program.chmod(0o755)
        return str(program)

    def _unpack_debian(self) -> None:
        lists, files = self.home / "lists", self.home / "packages"
        (lists / "partial").mkdir(parents=True)
        files.mkdir()
        apt = ["apt-get", "-qq", "-oAPT::Architecture=arm64", "-oAPT::Architectures=arm64"]
        apt += [f"-oDir::State::Lists={lists}", "-oAPT::Sandbox::User="]  # pytest's own directory
        subprocess.run([*apt, "update"], check=True)
        subprocess.run([*apt, "download", *PACKAGES], check=True, cwd=files)
        for file in files.iterdir():
            subprocess.run(["dpkg-deb", "-x", str(file), str(self.root)], check=True)
        cpuinfo = self.root / "proc" / "cpuinfo"
        cpuinfo.parent.mkdir()
        cpuinfo.write_text("".join(map(CPUINFO.format, range(os.cpu_count() or 1))))

    def _install(self, wheel: Path) -> None:
        """Install what is pinned as pip on arm64 would: only wheels of its platforms."""
        venv.create(self.home / "pip", with_pip=True)
        pip = [str(self.home / "pip" / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        platforms = [f"--platform={each}" for each in ("manylinux2014_aarch64", *PLATFORMS)]
        arm64 = ["--only-binary=:all:", "--python-version=3.11", *platforms]
        pins = ["-c", str(ROOT / "requirements" / "serve.txt"), "-c", str(DEV)]
        target = ["--no-compile", "--target", str(self.home / "wheels")]
        subprocess.run([*pip, *target, *arm64, *pins, str(wheel), *EXTRAS], check=True)
