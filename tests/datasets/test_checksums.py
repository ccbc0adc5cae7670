"""The shipped list of checksums."""

import gzip
import re
from importlib import resources

from greengrocer.datasets.checksums import SHIPPED, is_test, listed_path, shipped_checksums


def test_the_shipped_list_is_complete_and_well_formed() -> None:
    packed = resources.files("greengrocer.datasets").joinpath(SHIPPED).read_bytes()
    lines = gzip.decompress(packed).decode("ascii").splitlines()

    # 64 hexadecimal digits, and a relative path no part of which starts with a dot.
    part = r"[A-Za-z0-9_-][A-Za-z0-9_.-]*"
    form = re.compile(rf"[0-9a-f]{{64}}  {part}(/{part})*")
    assert [line for line in lines if not form.fullmatch(line)] == []
    assert len(lines) == len(shipped_checksums()) == 5697


def test_the_shipped_list_has_every_split() -> None:
    listing = shipped_checksums()

    assert sum(map(is_test, listing)) == 2486
    assert {"LICENSE", "README.md", "dataset/classes.csv", "dataset/val.txt"} <= listing.keys()


def test_a_listed_path_is_found_at_the_root_or_one_folder_down() -> None:
    wanted = {"a/b"}

    assert [listed_path(name, wanted) for name in ("a/b", "./a/b", "x/a/b")] == ["a/b"] * 3
    for name in ("", "/", "b", "a", "x/y/a/b", "/a/b", "/x/a/b", "../a/b", "x/../a/b", "a/b/.."):
        assert listed_path(name, wanted) is None, name
