"""What the page shows for an image, and how it reports that there is no answer."""

from pathlib import Path
from urllib.parse import unquote

import pytest
from playwright.sync_api import Route, expect

from greengrocer.datasets.gallery import built_in_gallery
from greengrocer.imaging.formats import accepted
from support.chromium import Shop

pytestmark = [pytest.mark.accept, pytest.mark.leg("browser")]

PREDICT = "**/predict?*"


def leave_unanswered(route: Route) -> None:
    """A service that never comes to it."""
    del route


def test_the_answer_shows_name_bars_and_coarse_class(shop: Shop, pictures: dict[str, Path]) -> None:
    shop.choose(pictures["grey-3"])
    card = shop.card
    expect(card.get_by_role("heading")).to_have_text("grey 3")
    expect(card.get_by_text("56% sure", exact=True)).to_be_visible()
    expect(card.get_by_text("A kind of dark: 99% sure.")).to_be_visible()
    bars = card.get_by_role("list", name="Confidence").get_by_role("listitem")
    expect(bars).to_have_count(5)
    expect(bars.first).to_have_text("grey 3 56%")
    expect(bars.last).to_have_text("grey 5 1%")
    track, filled = (
        bars.first.locator(place).bounding_box() for place in (".track", ".track > span")
    )
    assert track
    assert filled
    assert filled["width"] / track["width"] == pytest.approx(0.564, abs=0.01)
    expect(shop.status).to_have_text("Grey 3. 56% sure. A kind of dark: 99% sure.")
    expect(shop.page.get_by_role("contentinfo")).to_contain_text("Model greys 1")


def test_the_coarse_class_is_shown_where_the_fine_one_is_unsure(
    shop: Shop, pictures: dict[str, Path]
) -> None:
    shop.choose(pictures["dark"])
    assert shop.names() == ["Some kind of dark"]
    expect(shop.card.get_by_text("Over 99% sure", exact=True)).to_be_visible()
    expect(shop.card.get_by_text("Perhaps grey 3.")).to_be_visible()


def test_an_unknown_image_is_shown_as_unknown(shop: Shop, pictures: dict[str, Path]) -> None:
    shop.choose(pictures["unknown"])
    assert shop.names() == ["I don\u2019t know this"]
    expect(shop.card.get_by_text("My nearest guess is grey 5.")).to_be_visible()
    expect(shop.page.locator(".sure")).to_be_hidden()


def test_a_random_image_is_shown_with_its_true_name_and_the_answer(shop: Shop) -> None:
    with shop.page.expect_response("**/random-image") as response:
        shop.page.get_by_role("button", name="Random").click()
    shop.answered(["A random image, drawn"])
    true_class = unquote(response.value.headers["x-class"])
    assert true_class in {shown.true_class for shown in built_in_gallery().pictures}
    expect(shop.page.locator(".truth")).to_contain_text(true_class.replace("-", " "))


@pytest.mark.parametrize(
    ("said", "verdict"), [("pear", "Right: it is pear."), ("plum", "Wrong: it is pear.")]
)
def test_right_and_wrong_answers_are_marked(shop: Shop, said: str, verdict: str) -> None:
    answer = {
        "prediction": said,
        "confidence": 0.9,
        "coarse": None,
        "answer": {"level": "fine", "name": said},
        "known": True,
        "top": [{"class": said, "confidence": 0.9}],
        "model": {"name": "greys", "version": "1"},
    }
    headers = {"X-Class": "pear", "Content-Type": "image/jpeg"}
    body = built_in_gallery().pictures[0].path.read_bytes()
    shop.page.route("**/random-image", lambda route: route.fulfill(body=body, headers=headers))
    shop.page.route(PREDICT, lambda route: route.fulfill(json=answer))
    shop.page.get_by_role("button", name="Random").click()
    shop.answered(["A random image"])
    expect(shop.card.get_by_text(verdict, exact=True)).to_be_visible()


def test_a_refusal_shows_the_services_message(
    shop: Shop, pictures: dict[str, Path], tmp_path: Path
) -> None:
    shop.choose(pictures["text"])
    assert shop.names() == ["The image cannot be read"]
    expect(shop.card.get_by_text(f"send {accepted()}.")).to_be_visible()
    expect(shop.status).to_contain_text("The image cannot be read. The file is not an image")
    expect(shop.page.get_by_role("button", name="Try again")).to_be_hidden()
    large = tmp_path / "large.jpg"
    large.write_bytes(pictures["grey-3"].read_bytes() + bytes(21_000_000))
    shop.choose(large)
    assert shop.names() == ["The upload has too many bytes"]


def test_a_request_without_a_connection_can_be_retried(
    shop: Shop, pictures: dict[str, Path]
) -> None:
    shop.page.context.set_offline(True)
    shop.choose(pictures["grey-3"])
    assert shop.names() == ["The service did not answer"]
    expect(shop.card.get_by_text("check the connection")).to_be_visible()
    shop.page.context.set_offline(False)
    shop.page.get_by_role("button", name="Try again").click()
    expect(shop.page.get_by_role("heading", name="grey 3")).to_be_focused()
    expect(shop.status).to_contain_text("Grey 3.")


def test_a_busy_service_is_retried_after_its_retry_after(
    shop: Shop, pictures: dict[str, Path]
) -> None:
    asked: list[Route] = []

    def busy_once(route: Route) -> None:
        asked.append(route)
        if len(asked) > 1:
            route.continue_()
            return
        route.fulfill(
            status=429,
            headers={"Retry-After": "1"},
            json={"title": "The service is overloaded", "detail": "come back later"},
        )

    shop.page.route(PREDICT, busy_once)
    shop.choose(pictures["grey-3"])
    assert shop.names() == ["grey 3"]
    assert len(asked) == 2


def test_an_earlier_answer_does_not_replace_a_later_one(
    shop: Shop, pictures: dict[str, Path]
) -> None:
    shop.page.route(PREDICT, leave_unanswered, times=1)
    with shop.page.expect_file_chooser() as chooser:
        shop.page.get_by_role("button", name="Choose").click()
    with shop.page.expect_request(PREDICT):
        chooser.value.set_files(pictures["grey-3"])
    expect(shop.page.get_by_role("heading", name="Looking…")).to_be_visible()
    with shop.page.expect_event("requestfailed"):  # nobody waits for it any more
        shop.choose(pictures["grey-7"])
    assert shop.names() == ["grey 7"]
