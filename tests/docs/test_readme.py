"""The README: its first screen and its table of error codes."""

import re

import pytest

import greengrocer
from greengrocer.answer_json import KINDS
from support.documents import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
ERRORS = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")


def test_the_first_screen_has_summary_command_request_and_answer() -> None:
    order = [TEXT.index(part) for part in ("tells what", "make serve", "curl", "```json", "<img")]
    assert order == sorted(order)
    assert TEXT[: order[-1]].count("\n") < 40


def test_every_status_and_code_in_the_table_exists() -> None:
    said = {
        (int(status), code)
        for row in re.findall(r"^\| ([0-9, ]+) \| (.+) \|$", TEXT, re.MULTILINE)
        for status in row[0].split(",")
        for code in re.findall(r"`([a-z-]+)`", row[1])
    }
    ours = {(kind.status, refusal.code) for refusal, kind in KINDS.items() if kind.status != 499}
    # those of any request; test_reference.py holds them to a real server
    other = re.findall(r"^\| (\d+) \| `([a-z-]+)` \|", ERRORS, re.MULTILINE)
    assert said == ours | {(int(status), code) for status, code in other}


def test_the_gallery_is_named_as_often_as_is_said() -> None:
    images = sorted((ROOT / "src" / "greengrocer" / "gallery").glob("*.jpg"))
    with greengrocer.load("grocery") as model:
        answers = [model.predict(image) for image in images]
    named = sum(
        answer.prediction == image.stem for answer, image in zip(answers, images, strict=True)
    )
    unknown = sum(not answer.known for answer in answers)
    said = re.search(r"of the (\d+) images .+ names (\d+) correctly and calls (\d+) unknown", TEXT)
    assert said
    told, *counts = map(int, said.groups())
    assert told == len(images)
    # a label near a boundary may differ on another processor
    assert counts == pytest.approx([named, unknown], abs=2)
