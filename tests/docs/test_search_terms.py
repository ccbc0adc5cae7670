"""Common search terms are in headings of the documents."""

import re

import pytest

from support.documents import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
HEADINGS = [
    heading
    for document in DOCUMENTS
    for heading in re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
]


@pytest.mark.parametrize(
    "words",
    [
        *("rate limit", "time-out", "add an endpoint", "your own ResNet", "pod crash"),
        *("health check", "load shedding", "backpressure", "graceful shutdown", "troubleshooting"),
        *("class activation map", "out-of-distribution score", "known-answer images"),
        *("calibration", "API key", "metrics", "logs", "memory", "exit code", "error code"),
    ],
)
def test_a_common_search_term_is_in_a_heading(words: str) -> None:
    assert any(words.lower() in heading.lower() for heading in HEADINGS)


def test_the_paragraph_on_the_request_time_out_names_its_setting() -> None:
    guide = (ROOT / "docs" / "guides" / "production.md").read_text(encoding="utf-8")
    after = guide[guide.index("## Limits and time-outs") :]
    (paragraph,) = [each for each in after.split("\n\n") if "raise the request time-out" in each]
    assert "--request-timeout-seconds" in paragraph
