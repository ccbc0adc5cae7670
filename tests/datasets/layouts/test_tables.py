import json
import os
from pathlib import Path
from zipfile import ZipFile

import pytest

from greengrocer.datachecks.problems import Severity, find_problems
from greengrocer.datasets.layouts.read import read_collection
from greengrocer.errors import DatasetUnusable
from support.layouts import by_class, codes, draw, groups, left_out
from support.make_images import jpeg

FILES = ("img/1.jpg", "img/2.jpg", "img/3.jpg")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return draw(tmp_path, *FILES)


def refusal(source: Path) -> str:
    with pytest.raises(DatasetUnusable) as refused:
        read_collection(source)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    "header",
    [
        *("path,label,coarse,split", "File,Class,Superclass,Subset"),
        *("file_name,class_name,super_class,set", "Image Path,Label,Coarse Label,Split"),
        *("path;label;coarse;split", "path\tlabel\tcoarse\tsplit"),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_columns_under_the_names_that_people_use(data: Path, header: str, *, named: bool) -> None:
    rows = [header, "img/1.jpg,fig,fruit,Train", "img/2.jpg,leek,root,VALID", "img/3.jpg,fig,fruit"]
    delimiter = next(c for c in ";\t," if c in header)
    text = "\ufeff" + "\r\n".join(row.replace(",", delimiter) for row in rows)
    (data / "labels.csv").write_text(text)
    found = read_collection(data / "labels.csv" if named else data)
    assert found.layout == "table"
    assert by_class(found) == {"fig": ["train:1.jpg", "train:3.jpg"], "leek": ["val:2.jpg"]}
    assert groups(found) == {"fig": "fruit", "leek": "root"}
    assert "no-split" in codes(found)


def test_json_lines(data: Path) -> None:
    rows = [{"path": "img/1.jpg", "label": 1}, {"path": "./img/2.jpg", "label": "leek"}]
    (data / "labels.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    found = read_collection(data)
    assert by_class(found) == {"1": ["1.jpg"], "leek": ["2.jpg"]}
    assert found.taxonomy.coarse is None
    assert {"labels-from-list", "unlisted"} <= codes(found)


def test_a_list_for_each_split(data: Path) -> None:
    (data / "train.csv").write_text("image,label\nimg/1.jpg,fig\nimg/2.jpg,leek\n")
    (data / "Validation.csv").write_text("image,label\nimg/3.jpg,fig\n")
    assert by_class(read_collection(data)) == {
        "fig": ["train:1.jpg", "val:3.jpg"],
        "leek": ["train:2.jpg"],
    }


def test_several_lists_are_refused(data: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (data / name).write_text("image,label\nimg/1.jpg,fig\n")
    assert "several lists of images (a.csv, b.csv): name the one that counts" in refusal(data)


def test_what_cannot_be_used_is_left_out(data: Path) -> None:
    (data / "labels.csv").write_text(
        "path,label\nimg\\1.jpg,fig\nimg/2.jpg,\nimg/9.jpg,fig\nimg/1.jpg,fig\nimg/3.jpg, fig \n"
    )
    found = read_collection(data)
    assert by_class(found) == {"fig": ["1.jpg", "3.jpg"]}
    assert left_out(found) == {"2.jpg": "unlabelled", "9.jpg": "missing"}
    assert "listed-twice" in codes(found)


def test_a_name_in_another_unicode_form_is_found(tmp_path: Path) -> None:
    draw(tmp_path, "cre\u0301me.jpg", "fig.jpg")
    (tmp_path / "l.csv").write_text("path,label\ncr\u00e9me.jpg,a\nfig.jpg,b\n")
    assert by_class(read_collection(tmp_path)) == {"a": ["cre\u0301me.jpg"], "b": ["fig.jpg"]}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a,b\nimg/1.jpg,fig\n", "names of its columns, path and label among them: it has a, b"),
        ("path,label\nimg/1.jpg,a\nimg/1.jpg,b\n", "line 2 and l.csv, line 3: 1.jpg is listed as"),
        ("path,label,split\nimg/1.jpg,a,dev\n", "line 2: 'dev' is no split: write train, val"),
        ("path,label\n,a\n", "line 2: the column 'path' is empty"),
        ("path,label\nimg/7.jpg,a\n", "none of the 1 images that l.csv lists can be used"),
        ("path,label,coarse\nimg/1.jpg,a,x\nimg/2.jpg,a,y\n", "the class 'a' is in 'x' and in 'y'"),
    ],
)
def test_a_bad_list_is_refused_by_its_line(data: Path, text: str, why: str) -> None:
    (data / "l.csv").write_text(text)
    assert why in refusal(data / "l.csv")


@pytest.mark.parametrize("line", ["[1]", "{", '{"path": "img/1.jpg", "label": ["a", "b"]}'])
def test_a_bad_line_of_json_is_refused_by_its_number(data: Path, line: str) -> None:
    (data / "l.jsonl").write_text('{"path": "img/1.jpg", "label": "a"}\n' + line)
    assert "l.jsonl, line 2: " in refusal(data / "l.jsonl")


def test_a_list_in_another_encoding_is_refused(data: Path) -> None:
    (data / "l.csv").write_bytes("path,label\nimg/1.jpg,p\xeache\n".encode("latin-1"))
    assert "is not UTF-8: save it as CSV UTF-8" in refusal(data / "l.csv")


@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.csv"])
def test_an_imagefolder_with_metadata(tmp_path: Path, name: str) -> None:
    draw(tmp_path, "train/1.jpg", "train/2.jpg", "validation/3.jpg")
    for split, rows in (("train", {"1": "fig", "2": "leek"}), ("validation", {"3": "fig"})):
        records = [{"file_name": f"{file}.jpg", "label": label} for file, label in rows.items()]
        lines = [json.dumps(record) for record in records]
        if name.endswith("csv"):
            lines = ["file_name,label", *(",".join(record.values()) for record in records)]
        (tmp_path / split / name).write_text("\n".join(lines))
    found = read_collection(tmp_path)
    assert found.layout == "imagefolder"
    assert by_class(found) == {"fig": ["train:1.jpg", "val:3.jpg"], "leek": ["train:2.jpg"]}


def test_metadata_at_the_root_tells_splits_by_folders(tmp_path: Path) -> None:
    draw(tmp_path, "train/1.jpg", "test/2.jpg")
    rows = [{"file_name": f"{f}.jpg", "label": "fig"} for f in ("train/1", "test/2")]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert by_class(read_collection(tmp_path)) == {"fig": ["train:1.jpg", "test:2.jpg"]}


def test_metadata_without_labels_leaves_them_to_the_folders(tmp_path: Path) -> None:
    draw(tmp_path, "fig/1.jpg", "leek/2.jpg")
    (tmp_path / "metadata.csv").write_text("file_name,text\nfig/1.jpg,a fig\n")
    found = read_collection(tmp_path)
    assert (found.layout, by_class(found)) == ("folders", {"fig": ["1.jpg"], "leek": ["2.jpg"]})


@pytest.mark.parametrize("pattern", ["2.*", "raw", "raw/", "lists/img/raw", "*/raw/*"])
@pytest.mark.parametrize("written", ["img/raw/2.jpg", "./img/raw/2.jpg", "img\\raw\\2.jpg"])
def test_what_is_excluded_does_not_count(tmp_path: Path, pattern: str, written: str) -> None:
    """A pattern is matched against a file, and each folder that it is in, from the root."""
    home = draw(tmp_path / "lists", "img/1.jpg", "img/raw/2.jpg")
    (home / "l.csv").write_text(f"path,label\nimg/1.jpg,a\n{written},a\n")
    found = read_collection(tmp_path, exclude=[pattern])
    assert by_class(found) == {"a": ["1.jpg"]}
    assert found.left_out == ()


def test_a_folder_around_a_list_of_absolute_paths_is_not_excluded(tmp_path: Path) -> None:
    data = draw(tmp_path / "raw", "img/1.jpg", "img/2.jpg")
    (data / "l.csv").write_text(f"path,label\n{data}/img/1.jpg,a\n{data}/img/2.jpg,b\n")
    found = read_collection(data, exclude=["raw", "2.jpg"])
    assert by_class(found) == {"a": ["1.jpg"]}


def test_a_file_in_two_splits_is_a_leak(data: Path) -> None:
    lines = ("1.jpg,a,train", "2.jpg,b,train", "2.jpg,b,train", "3.jpg,a,val", "1.jpg,a,val")
    (data / "l.csv").write_text("path,label,split\n" + "\n".join(f"img/{row}" for row in lines))
    found = read_collection(data)
    assert by_class(found) == {"a": ["train:1.jpg", "val:3.jpg"], "b": ["train:2.jpg"]}
    notes = {note.code: note for note in found.notes}
    assert notes["two-splits"].names == (str(data / "img" / "1.jpg"),)
    assert notes["listed-twice"].text == "1 lines repeat an earlier one"
    told = {problem.code: problem.severity for problem in find_problems(found, ())}
    assert told["two-splits"] is Severity.WARNING


def test_a_file_in_the_lists_of_two_splits_is_a_leak(data: Path) -> None:
    for split in ("train", "val"):
        (data / f"{split}.csv").write_text("path,label\nimg/1.jpg,a\nimg/2.jpg,b\n")
    assert "two-splits" in codes(read_collection(data))


def test_the_folder_of_a_class_is_no_split(tmp_path: Path) -> None:
    data = draw(tmp_path, "valid/1.jpg", "invalid/2.jpg")
    (data / "labels.csv").write_text("path,label\nvalid/1.jpg,Valid\ninvalid/2.jpg,invalid\n")
    assert by_class(read_collection(data)) == {"Valid": ["1.jpg"], "invalid": ["2.jpg"]}


def test_a_list_in_another_unicode_form_is_not_passed_over(tmp_path: Path) -> None:
    data = draw(tmp_path, "cre\u0301me/1.jpg", "fig/2.jpg")
    (data / "l.csv").write_text("path,label\ncr\u00e9me/1.jpg,a\n")
    assert by_class(read_collection(data)) == {"a": ["1.jpg"]}


@pytest.mark.parametrize("path", ["a\0b.jpg", "x" * 5000 + ".jpg"])
@pytest.mark.parametrize("confined", [True, False])
def test_a_name_that_no_system_has_is_missing(data: Path, path: str, *, confined: bool) -> None:
    (data / "l.csv").write_text(f"path,label\nimg/1.jpg,a\n{path},b\n")
    source = data
    if confined:
        source = data / "data.zip"
        with ZipFile(source, "w") as archive:
            for name in (*FILES, "l.csv"):
                archive.write(data / name, name)
    assert list(left_out(read_collection(source, exclude=["none"])).values()) == ["missing"]


def test_backslashes_do_not_lead_out_of_an_archive(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("1.jpg", jpeg(1))
        archive.writestr("l.csv", "path,label\n1.jpg,a\n..\\..\\2.jpg,b\n")
    assert "leads out of the archive" in refusal(tmp_path / "data.zip")


@pytest.mark.parametrize("mark", ["\u2028", "\x85", "\x0b", "\x0c"])
@pytest.mark.parametrize("name", ["l.csv", "l.jsonl"])
def test_lines_end_at_line_breaks_alone(data: Path, mark: str, name: str) -> None:
    note = f"a{mark}b"
    lines = ["path,label,note", f"img/1.jpg,a,{note}", f"img/2.jpg,b,{note}"]
    if name == "l.jsonl":
        rows = [{"path": f"img/{i}.jpg", "label": i, "note": note} for i in (1, 2)]
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (data / name).write_text("\r\n".join(lines), encoding="utf-8", newline="")
    assert len(read_collection(data).images) == 2


def test_each_object_of_json_lines_has_its_own_names(data: Path) -> None:
    rows = [
        {"file": "img/1.jpg"},
        {"file": "img/2.jpg", "label": "b", "split": "val"},
        {"path": "img/3.jpg", "label": "a", "coarse": "x", "split": "train"},
    ]
    (data / "l.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = read_collection(data)
    assert by_class(found) == {"a": ["train:3.jpg"], "b": ["val:2.jpg"]}
    assert left_out(found) == {"1.jpg": "unlabelled"}
    (data / "l.jsonl").write_text('{"path": "img/1.jpg"}\n{"path": "img/2.jpg"}\n')
    assert "line 2: needs an object with the names of its columns" in refusal(data / "l.jsonl")


@pytest.mark.parametrize("name", ["labels.csv", "labels.jsonl"])
def test_a_list_whose_files_are_not_there_is_not_passed_over(tmp_path: Path, name: str) -> None:
    data = draw(tmp_path, "img/1.jpg", "img/2.jpg")
    text = "path,label\n/home/me/1.jpg,fig\n/home/me/2.jpg,pear\n"
    if name.endswith("l"):
        text = '{"path": "/home/me/1.jpg", "label": "fig"}\n'
    (data / name).write_text(text)
    with pytest.raises(DatasetUnusable, match=f"{name} lists is there, as /home/me/1.jpg: a path"):
        read_collection(data)
    (data / "img").rename(data / "fig")
    draw(data, "pear/3.jpg")
    assert "unused-list" in codes(read_collection(data))


def test_a_list_beside_its_images_whose_paths_are_wrong(tmp_path: Path) -> None:
    data = draw(tmp_path, "1.jpg", "2.jpg")
    (data / "labels.csv").write_text("path,label\nimg/1.jpg,fig\n")
    with pytest.raises(DatasetUnusable, match=r"as img/1\.jpg: a path is relative to the folder"):
        read_collection(data)


def test_a_list_that_cannot_be_used_is_told_with_the_reason(tmp_path: Path) -> None:
    data = draw(tmp_path, "fig/1.jpg", "pear/2.jpg")
    (data / "notes.csv").write_text("name,price\nfig,3\n")
    (data / "labels.jsonl").write_text("{\n")
    (data / "export.csv").write_bytes("path,label\nfig/1.jpg,f\xefg\n".encode("latin-1"))
    found = read_collection(data)
    assert by_class(found) == {"fig": ["1.jpg"], "pear": ["2.jpg"]}
    (note,) = (note for note in found.notes if note.code == "unusable-list")
    assert note.text == "3 files look like lists of images, but cannot be used"
    assert note.names == (
        "export.csv: is not UTF-8: save it as CSV UTF-8",
        "labels.jsonl: line 1: not JSON",
        "notes.csv: it has no column path and no column label",
    )
    assert {p.code: p.severity for p in find_problems(found, ())}["unusable-list"] == (
        Severity.WARNING
    )


LISTED = "path,label\nimg/1.jpg,a\nimg/2.jpg,b\n"


def json_lines(count: int) -> str:
    rows = [{"path": f"img/{i % 2 + 1}.jpg", "label": i % 2, f"k{i}": 1} for i in range(count)]
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("l.csv", LISTED.replace("label", "label" + ",c" * 999), "line 1: over 1,000 columns"),
        ("l.csv", '"\n",' * 1001 + LISTED, "line 1002: over 1,000 columns"),
        ("l.csv", LISTED + "img/1.jpg,a" + "," * 2**20, "line 4: over 1,048,576 characters in one"),
        ("l.csv", LISTED + '"\n",' * 2**19, "line 4: over 1,048,576 characters in one"),
        ("l.jsonl", json_lines(999), "line 999: over 1,000 columns, the limit"),
        ("l.jsonl", json_lines(2) + "[" * 2**21, "line 3: over 1,048,576 characters in one row"),
    ],
    ids=["wide", "wide-in-lines", "long", "long-in-lines", "names", "long-json"],
)
def test_a_list_of_unbounded_width_is_refused(data: Path, name: str, text: str, why: str) -> None:
    (data / name).write_text(text)
    assert f"{name}, {why}" in refusal(data / name)


def test_a_field_may_be_as_long_as_a_row(data: Path) -> None:
    (data / "l.csv").write_text(f"note,{LISTED}".replace("img", f"{'x' * 1_000_000},img"))
    assert by_class(read_collection(data / "l.csv")) == {"a": ["1.jpg"], "b": ["2.jpg"]}


@pytest.mark.parametrize(
    "rows",
    [
        'img/1.jpg,"a\nimg/2.jpg,b\n',
        'img/1.jpg,"a\nimg/2.jpg,"b"\n',
        '"img/1.jpg,a\nimg/2.jpg,b\n',
        f'img/1.jpg,"a\n{"img/2.jpg,b" * 100_000}',
        'img/1.jpg,"a\nimg/2.jpg,b"\n',
    ],
    ids=["to-the-end", "to-the-next", "in-the-path", "long", "closed-late"],
)
def test_a_quote_that_is_not_closed_is_refused_with_its_line(data: Path, rows: str) -> None:
    (data / "l.csv").write_text(f"path,label\nimg/3.jpg,b\n{rows}")
    said = refusal(data / "l.csv")
    assert "l.csv, line 3: " in said
    assert "quote" in said


def test_a_path_may_have_a_line_break(data: Path) -> None:
    draw(data, "img/a\nb.jpg")
    (data / "l.csv").write_text(f'{LISTED}"img/a\nb.jpg",b\n')
    assert by_class(read_collection(data / "l.csv"))["b"] == ["2.jpg", "a\nb.jpg"]


@pytest.mark.parametrize("name", ["labels.csv", "metadata.jsonl"])
def test_a_list_that_is_no_regular_file_is_told(tmp_path: Path, name: str) -> None:
    data = draw(tmp_path, "1.jpg", "2.jpg")
    os.mkfifo(data / name)
    why = "is not a regular file: a list is a regular file"
    with pytest.raises(DatasetUnusable, match=f"{name}: {why}"):
        read_collection(data)
    with pytest.raises(DatasetUnusable, match=f"{name} {why}"):
        read_collection(data / name)
    draw(data, "train/fig/1.jpg", "train/pear/2.jpg")
    (data / "train" / "metadata.csv").symlink_to("nowhere")
    (note,) = (note for note in read_collection(data).notes if note.code == "unusable-list")
    assert [each.partition(": ")[0] for each in note.names] == [name, "train/metadata.csv"]


def test_a_list_at_the_limit_of_columns_is_read(data: Path) -> None:
    (data / "l.csv").write_text(LISTED.replace("label", "label" + ",c" * 998))
    (data / "l.jsonl").write_text(json_lines(998))
    assert by_class(read_collection(data / "l.csv")) == {"a": ["1.jpg"], "b": ["2.jpg"]}
    assert by_class(read_collection(data / "l.jsonl")) == {"0": ["1.jpg"], "1": ["2.jpg"]}


def test_lists_that_are_too_large_together_are_not_read(tmp_path: Path) -> None:
    data = draw(tmp_path, "a/1.jpg", "b/2.jpg")
    for number in range(5):
        with (data / f"{number}.csv").open("wb") as file:
            file.truncate(60_000_000)
    assert "5 files named as lists, of 300 MB together, over the limit" in refusal(data)
    with (data / "0.csv").open("r+b") as file:
        file.truncate(70_000_000)  # by itself too large, and never read
    assert len(read_collection(data).images) == 2


def test_the_file_of_the_groups_is_no_list(tmp_path: Path) -> None:
    data = draw(tmp_path, "fig/1.jpg", "pear/2.jpg")
    (data / "groups.csv").write_text("class,coarse\nfig,x\npear,y\n")
    assert "unusable-list" not in codes(read_collection(data, coarse=data / "groups.csv"))


def test_images_beside_a_list_that_cannot_be_used(tmp_path: Path) -> None:
    data = draw(tmp_path, "1.jpg", "2.jpg")
    (data / "labels.csv").write_text("path,kind\n1.jpg,fig\n2.jpg,pear\n")
    with pytest.raises(DatasetUnusable, match=r"by its list labels\.csv: it has no column label"):
        read_collection(data)


def test_paths_that_lead_out_of_the_folder_are_told_once(tmp_path: Path, outside: Path) -> None:
    draw(outside, "2.jpg", "3.jpg")
    data = draw(tmp_path, "1.jpg")
    rows = (f"{outside}/2.jpg,b", f"{outside}/3.jpg,b")
    (data / "l.csv").write_text("\n".join(("path,label", "1.jpg,a", *rows)))
    found = read_collection(data)
    assert by_class(found) == {"a": ["1.jpg"], "b": ["2.jpg", "3.jpg"]}
    (note,) = (note for note in found.notes if note.code == "outside")
    assert note.text.startswith(f"2 paths lead out of the folder of the list, as {outside}/2.jpg")


def test_a_list_beside_the_folder_around_the_classes(tmp_path: Path) -> None:
    data = draw(tmp_path, "photos/fig/1.jpg", "photos/pear/2.jpg")
    (data / "labels.csv").write_text("path,kind\n1.jpg,fig\n")
    assert {"wrapper", "unusable-list"} <= codes(read_collection(data))
    (data / "labels.csv").write_text("path,label\n1.jpg,fig\n")
    assert {"wrapper", "unused-list"} <= codes(read_collection(data))
