import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from greengrocer.datachecks import files
from greengrocer.datachecks.files import SMALL, open_all
from greengrocer.features import photo_decoder
from greengrocer.features.photo_decoder import MEMORY
from greengrocer.imaging.decode import plan_decode
from support.make_images import encoded, jpeg, photo


def test_each_file_is_told_by_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(photo(1, (64, 48)), "PNG"))
    (image,) = open_all([path]).images
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert (image.path, image.digest, image.format) == (path, digest, "PNG")
    assert (image.width, image.height, image.bytes) == (64, 48, path.stat().st_size)


def test_all_unreadable_files_are_listed_at_once_in_their_order(tmp_path: Path) -> None:
    whole = encoded(photo(2), "JPEG")
    contents = {
        "a.jpg": b"",
        "b.jpg": whole,
        "c.jpg": whole[: len(whole) // 2],
        "d.png": encoded(photo(3), "PNG")[:-400],
        "e.jpg": b"text",
        "f.jpg": b"GIF89a",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    paths = [tmp_path / name for name in (*contents, "gone.jpg")]
    found = open_all(paths, threads=3)
    assert [image.path.name for image in found.images] == ["b.jpg"]
    why = {each.path.name: each.why for each in found.unreadable}
    assert list(why) == ["a.jpg", "c.jpg", "d.png", "e.jpg", "f.jpg", "gone.jpg"]
    assert "0 bytes" in why["a.jpg"]
    assert "truncated" in why["c.jpg"]
    assert "GIF" in why["f.jpg"]
    assert why["gone.jpg"] == "No such file or directory"


def test_a_file_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_IMAGE_BYTES", 100)
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    (refused,) = open_all([tmp_path / "a.jpg"]).unreadable
    assert "has over 100 bytes" in refused.why


def test_images_wait_for_one_another_where_memory_holds_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{level}.jpg" for level in range(8)]
    for level, path in enumerate(paths):
        path.write_bytes(jpeg(level))
    needed = max(plan_decode(path.read_bytes(), SMALL).memory_bytes for path in paths)
    monkeypatch.setattr(photo_decoder, "MEMORY", needed)
    assert [image.path for image in open_all(paths, threads=4).images] == paths


MEASURED = """
import sys
from pathlib import Path
from greengrocer.datachecks.check import check
report = check(Path(sys.argv[1]), threads=8)
# Not getrusage: a process that is started by another begins with the peak of that one.
status = Path("/proc/self/status").read_text()
print(len(report.images), status.partition("VmHWM:")[2].split()[0])
"""


def measured(folder: Path) -> tuple[int, int]:
    """The images that a check of ``folder`` can read, and its memory at the peak in kilobytes."""
    command = [sys.executable, "-c", MEASURED, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    images, kilobytes = map(int, done.stdout.split())
    return images, kilobytes


@pytest.mark.accept
def test_photos_of_12_megapixels_are_opened_in_little_memory(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (375, 500, 3), np.uint8)
    large = Image.fromarray(noise).resize((4000, 3000), Image.Resampling.BICUBIC)
    content = encoded(large, "JPEG", quality=90)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for index in range(150):
            (tmp_path / name / f"{index}.jpg").write_bytes(content + bytes([index]))
    images, kilobytes = measured(tmp_path)
    assert images == 300
    assert kilobytes * 1024 < MEMORY + 4e8


@pytest.mark.accept
def test_progressive_jpegs_and_pngs_of_12_megapixels_are_too(tmp_path: Path) -> None:
    large = photo(5, (4000, 3000))
    contents = {"jpg": encoded(large, "JPEG", progressive=True), "png": encoded(large, "PNG")}
    for name, content in contents.items():
        (tmp_path / name).mkdir()
        for index in range(40):
            (tmp_path / name / f"{index}.{name}").write_bytes(content)
    images, kilobytes = measured(tmp_path)
    assert images == 80
    assert kilobytes * 1024 < MEMORY + 4e8


@pytest.mark.accept
def test_image_bombs_are_held_within_the_memory(tmp_path: Path) -> None:
    """Large images that are read share it; one that needs more alone is not decoded."""
    read = {"RGB": (10_000, 5_000), "RGBA": (8_000, 6_000), "L": (10_900, 10_000)}
    refused = encoded(Image.new("RGB", (10_000, 8_000)), "WEBP", method=0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "refused.webp").write_bytes(refused)
        for mode, size in read.items():
            content = encoded(Image.new(mode, size), "PNG", compress_level=1)
            (tmp_path / name / f"{mode}{size[0]}.png").write_bytes(content + name.encode())
    images, kilobytes = measured(tmp_path)
    assert images == 2 * len(read)
    assert kilobytes * 1024 < MEMORY + 4e8  # and the program itself, with its network
