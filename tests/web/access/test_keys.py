"""The file of keys: its content, who may change it, and what is refused."""

import hmac
import stat
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest

from greengrocer.errors import KeysRefused
from greengrocer.web.access.keys import MOST_KEYS, add_key, find_name, read_keys, remove_key

HASH, OTHER = ("ab" * 32), ("cd" * 32)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def test_a_key_is_accepted_under_its_name_until_it_is_removed(file: Path) -> None:
    keys = {name: add_key(file, name) for name in ("till-1", "till-2", "app")}
    assert len(set(keys.values())) == 3
    known = read_keys(file)
    assert [find_name(known, key.encode()) for key in keys.values()] == list(keys)
    for wrong in (b"", b"gg_", keys["app"].encode()[:-1], bytes(43), known["app"]):
        assert find_name(known, wrong) is None
    remove_key(file, "till-2")
    assert list(read_keys(file)) == ["till-1", "app"]
    assert find_name(read_keys(file), keys["till-2"].encode()) is None


def test_the_file_holds_only_hashes_and_is_private(file: Path) -> None:
    key = add_key(file, "till-1")
    assert file.read_text() == f"till-1 {sha256(key.encode()).hexdigest()}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(key) >= 43  # 256 bits in base64
    assert list(file.parent.iterdir()) == [file]


def test_every_key_is_compared_whichever_matches(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [add_key(file, f"till-{number}") for number in range(5)]
    compared = []

    def compare(first: bytes, second: bytes) -> bool:
        compared.append(second)
        return first == second

    monkeypatch.setattr(hmac, "compare_digest", compare)
    known = read_keys(file)
    for key in (*keys, "gg_wrong"):
        compared.clear()
        find_name(known, key.encode())
        assert compared == list(known.values())


def test_concurrent_changes_are_all_kept(file: Path) -> None:
    names = [f"till-{number}" for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda name: add_key(file, name), names))
    known = read_keys(file)
    assert {find_name(known, key.encode()) for key in keys} == set(names)


def test_a_change_keeps_comments_mode_and_link(file: Path) -> None:
    file.write_text(f"# the tills\n\ntill-1 {HASH}\n")
    file.chmod(0o640)
    link = file.with_name("link")
    link.symlink_to(file)
    add_key(link, "till-2")
    remove_key(link, "till-1")
    assert link.is_symlink()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert file.read_text().startswith("# the tills\n\ntill-2 ")


def test_a_comment_begins_anywhere(file: Path) -> None:
    file.write_text(f"  # the tills\ntill-1 {HASH}  # in front\n")
    file.chmod(0o600)
    assert [*read_keys(file)] == ["till-1"]
    add_key(file, "till-2")
    remove_key(file, "till-1")
    assert [*read_keys(file)] == ["till-2"]


def test_a_duplicate_name_and_removing_an_unknown_one_are_refused(file: Path) -> None:
    add_key(file, "till-1")
    before = file.read_text()
    with pytest.raises(KeysRefused, match="till-1 has a key already"):
        add_key(file, "till-1")
    with pytest.raises(KeysRefused, match="there is no key till-2"):
        remove_key(file, "till-2")
    for name in ("", "two words", "a\nb", "-flag", "#comment", "x" * 65):
        with pytest.raises(KeysRefused, match="is not a valid key name"):
            add_key(file, name)
    assert file.read_text() == before


MALFORMED = {
    "no hash": "till-1\n",
    "short hash": f"till-1 {HASH[:-1]}\n",
    "the key itself": "till-1 gg_0w8aO-6j7WOSbgIcEq6EFEvSXEo7dbKHzaG25he93bY\n",
    "more than a hash": f"till-1 {HASH} {OTHER}\n",
    "a name twice": f"till-1 {HASH}\ntill-1 {OTHER}\n",
    "a key twice": f"till-1 {HASH}\ntill-2 {HASH}\n",
    "no ASCII": f"käse {HASH}\n",
    "too many": "".join(f"till-{n} {n:064x}\n" for n in range(MOST_KEYS + 1)),
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_file_is_refused_in_one_line_and_unchanged(file: Path, text: str) -> None:
    file.write_text(text, encoding="latin-1")
    file.chmod(0o600)
    for act in (lambda: read_keys(file), lambda: add_key(file, "new")):
        with pytest.raises(KeysRefused, match=str(file)) as refused:
            act()
        assert "\n" not in str(refused.value)
        assert HASH not in str(refused.value)
        assert "gg_" not in str(refused.value)
    assert file.read_text(encoding="latin-1") == text


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_writable_by_others_is_refused(file: Path, mode: int) -> None:
    add_key(file, "till-1")
    file.chmod(mode)
    with pytest.raises(KeysRefused, match="others may write it"):
        read_keys(file)
    with pytest.raises(KeysRefused, match="others may write it"):
        add_key(file, "till-2")


def test_a_path_that_is_no_regular_file_is_refused(file: Path) -> None:
    with pytest.raises(KeysRefused, match="no such file"):
        read_keys(file)
    with pytest.raises(KeysRefused, match="is a directory"):
        read_keys(file.parent)
    with pytest.raises(KeysRefused, match="no such file"):
        add_key(file.parent / "nothing" / "keys", "till-1")
