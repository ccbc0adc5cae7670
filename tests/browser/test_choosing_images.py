"""The ways to give the page an image: files, drag and drop, clipboard, camera."""

from pathlib import Path

import pytest
from playwright.sync_api import CDPSession, expect

from browser.conftest import OpenShop
from support.chromium import Shop

pytestmark = [pytest.mark.accept, pytest.mark.leg("browser")]

COPY_A_PICTURE = """async () => {
  const canvas = document.createElement("canvas");
  const image = await new Promise((resolve) => canvas.toBlob(resolve));
  await navigator.clipboard.write([new ClipboardItem({ "image/png": image })]);
}"""


def drag(devtools: CDPSession, kind: str, *files: Path) -> None:
    """The drag event that the system sends for files under the pointer."""
    data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
    event = {"type": kind, "x": 700, "y": 700, "data": data}
    devtools.send("Input.dispatchDragEvent", event)


def test_a_chosen_image_is_answered(shop: Shop, pictures: dict[str, Path]) -> None:
    shop.choose(pictures["grey-3"])
    assert shop.names() == ["grey 3"]
    expect(shop.page.get_by_role("img", name="grey-3.jpg")).to_be_visible()
    shop.choose(pictures["grey-7"])
    assert shop.names() == ["grey 7"]  # the next one takes its place
    shop.choose(pictures["grey-7"])


def test_images_can_be_dropped_anywhere(shop: Shop, pictures: dict[str, Path]) -> None:
    devtools = shop.page.context.new_cdp_session(shop.page)
    files = (pictures["grey-3"], pictures["grey-7"])
    welcome = shop.page.get_by_text("Drop it anywhere")
    for kind in ("dragEnter", "dragOver"):
        drag(devtools, kind, *files)
    expect(welcome).to_be_visible()
    drag(devtools, "drop", *files)
    expect(welcome).to_be_hidden()
    shop.answered(["grey-3.jpg", "grey-7.jpg"])
    assert shop.names() == ["grey 3", "grey 7"]


def test_a_cancelled_drag_leaves_the_page_as_it_was(shop: Shop, pictures: dict[str, Path]) -> None:
    devtools = shop.page.context.new_cdp_session(shop.page)
    welcome = shop.page.get_by_text("Drop it anywhere")
    for kind in ("dragEnter", "dragOver"):
        drag(devtools, kind, pictures["grey-3"])
    expect(welcome).to_be_visible()
    shop.page.dispatch_event("#dropzone", "dragleave")  # the tools know no leaving of the window
    expect(welcome).to_be_hidden()


def test_an_image_can_be_pasted(shop: Shop) -> None:
    shop.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    shop.page.evaluate(COPY_A_PICTURE)
    shop.page.keyboard.press("Control+V")
    shop.answered(["image.png"])
    expect(shop.card.get_by_role("listitem")).to_have_count(5)


def test_pasting_text_shows_a_notice(shop: Shop) -> None:
    shop.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    shop.page.evaluate("navigator.clipboard.writeText('a pear')")
    shop.page.keyboard.press("Control+V")
    expect(shop.page.locator("#notice")).to_contain_text("No image file was received")
    expect(shop.status).to_contain_text("No image file was received")
    expect(shop.page.locator(".card")).to_have_count(0)


def test_the_camera_button_of_a_phone_takes_one_image(
    open_shop: OpenShop, pictures: dict[str, Path]
) -> None:
    shop = open_shop(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, color_scheme="dark"
    )
    with shop.page.expect_file_chooser() as chooser:
        shop.page.get_by_role("button", name="Photograph").tap()
    assert chooser.value.element.get_attribute("capture") == "environment"
    assert not chooser.value.is_multiple()
    chooser.value.set_files(pictures["grey-7"])
    shop.answered(["grey-7.jpg"])
    assert shop.names() == ["grey 7"]


def test_a_desktop_has_no_camera_button(shop: Shop) -> None:
    expect(shop.page.get_by_role("button", name="Photograph")).to_be_hidden()


def test_several_images_are_shown_in_a_grid(shop: Shop, pictures: dict[str, Path]) -> None:
    shop.choose(*(pictures[name] for name in ("grey-3", "text", "grey-7", "dark")))
    assert shop.names() == ["grey 3", "The image cannot be read", "grey 7", "Some kind of dark"]
    expect(shop.status).to_have_text(
        "4 images: grey 3, The image cannot be read, grey 7, Some kind of dark."
    )
    boxes = [card.bounding_box() for card in shop.page.locator(".card").all()]
    places = [(box["x"], box["y"]) for box in boxes if box]
    assert len({y for _, y in places[:3]}) == 1
    assert len({x for x, _ in places[:3]}) == 3
    assert places[3][0] == places[0][0]
    assert places[3][1] > places[0][1]


def test_no_more_than_two_images_are_sent_at_once(shop: Shop, pictures: dict[str, Path]) -> None:
    shop.page.evaluate("""() => {
      const send = window.fetch;
      window.most = window.underWay = 0;
      window.fetch = async (...request) => {
        window.most = Math.max(window.most, window.underWay += 1);
        return send(...request).finally(() => { window.underWay -= 1; });
      };
    }""")
    shop.choose(*[pictures["grey-3"]] * 7)
    assert shop.names() == ["grey 3"] * 7
    assert shop.page.evaluate("window.most") == 2


def test_the_page_can_be_used_by_keyboard_alone(shop: Shop, pictures: dict[str, Path]) -> None:
    keys = shop.page.keyboard
    keys.press("Tab")
    expect(shop.page.get_by_role("button", name="Choose images")).to_be_focused()
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert shop.page.evaluate(outline) == "solid"  # the focus is seen
    with shop.page.expect_file_chooser() as chooser:
        keys.press("Enter")
    chooser.value.set_files(pictures["grey-3"])
    shop.answered(["grey-3.jpg"])
    keys.press("Tab")
    expect(shop.page.get_by_role("button", name="Random image")).to_be_focused()
    keys.press("Space")
    shop.answered(["A random image, drawn"])
    expect(shop.page.get_by_role("button", name="Random image")).to_be_focused()
    keys.press("Tab")
    expect(shop.page.get_by_role("button", name="Show evidence")).to_be_focused()
    keys.press("Space")
    expect(shop.page.locator("canvas")).to_be_visible()
    keys.press("Tab")
    keys.press("Enter")
    expect(shop.page.get_by_text("10 things: grey 0, grey 1,")).to_be_visible()
    keys.press("Tab")
    expect(shop.page.get_by_role("link", name="HTTP interface")).to_be_focused()
