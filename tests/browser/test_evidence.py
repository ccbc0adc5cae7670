"""The evidence laid over the image, from an answer whose evidence the test chooses."""

import io
import json
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from browser.conftest import OpenShop
from greengrocer.imaging.overlay import overlay
from support.chromium import Shop
from support.make_images import encoded, photo

pytestmark = [pytest.mark.accept, pytest.mark.leg("browser")]

MAP = np.random.default_rng(5).normal(size=(4, 6)).astype(np.float32)
ANSWER_WITH = """
const send = window.fetch;
window.fetch = async (...request) => {
  const response = await send(...request);
  if (!response.ok || !request[0].startsWith("predict")) return response;
  return Response.json({ ...await response.json(), evidence: %s });
};
"""


def with_evidence(shop: Shop, evidence: object) -> Shop:
    """The page, opened again, where every answer has this evidence."""
    shop.page.add_init_script(ANSWER_WITH % json.dumps(evidence))
    return shop.open()


@pytest.fixture
def lit(shop: Shop) -> Shop:
    values = [float(value) for value in MAP.ravel()]
    return with_evidence(shop, {"class": "grey-3", "shape": MAP.shape, "values": values})


def difference(one: Image.Image, other: Image.Image) -> np.ndarray:
    """How far two images are apart, per pixel and colour, 0 to 255."""
    return np.abs(np.asarray(one, np.float64) - np.asarray(other, np.float64))


def test_without_evidence_there_is_no_button(shop: Shop, pictures: dict[str, Path]) -> None:
    with_evidence(shop, None)
    shop.choose(pictures["grey-3"])
    expect(shop.page.locator(".lay")).to_be_hidden()


def test_the_button_shows_and_hides_the_overlay(lit: Shop, pictures: dict[str, Path]) -> None:
    lit.choose(pictures["grey-3"])
    button = lit.page.get_by_role("button", name="Show evidence")
    canvas = lit.page.locator("canvas")
    for pressed in (False, True, False):
        expect(button).to_have_attribute("aria-pressed", str(pressed).lower())
        expect(canvas).to_be_visible(visible=pressed)
        expect(lit.page.get_by_text("Bright areas count most for grey 3.")).to_be_visible(
            visible=pressed
        )
        button.press("Space")


@pytest.mark.parametrize("size", [(400, 300), (160, 400), (300, 300)])
def test_the_overlay_is_that_of_the_reports(
    lit: Shop, tmp_path: Path, size: tuple[int, int]
) -> None:
    file = tmp_path / "white.png"
    file.write_bytes(encoded(Image.new("RGB", size, "white"), "PNG"))
    lit.choose(file)
    expect(lit.page.locator(".lay")).to_be_visible()
    drawn = lit.page.locator("canvas").evaluate("canvas => canvas.toDataURL()")
    heat = Image.open(io.BytesIO(b64decode(drawn.partition(",")[2])))
    assert heat.width / heat.height == pytest.approx(size[0] / size[1], rel=0.01)
    white = Image.new("RGBA", heat.size, "white")
    expected = overlay(white.convert("RGB"), MAP)
    found = Image.alpha_composite(white, heat).convert("RGB")
    assert difference(found, expected).max() <= 3
    assert difference(found, white.convert("RGB")).max() > 80


def test_the_overlay_covers_the_image(lit: Shop, tmp_path: Path) -> None:
    picture = photo(3, (500, 400))
    file = tmp_path / "photo.png"
    file.write_bytes(encoded(picture, "PNG"))
    lit.choose(file)
    lit.page.get_by_role("button", name="Show evidence").click()
    lit.page.locator(".lay").evaluate("button => { button.style.visibility = 'hidden'; }")
    shot = Image.open(io.BytesIO(lit.page.locator(".photo").screenshot())).convert("RGB")
    expected = overlay(picture, MAP).resize(shot.size, Image.Resampling.BICUBIC)
    assert difference(shot, expected).mean() < 6
    mirrored = expected.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert difference(shot, mirrored).mean() > 20


def test_each_of_several_images_has_its_own_overlay(
    open_shop: OpenShop, pictures: dict[str, Path]
) -> None:
    shop = open_shop(viewport={"width": 320, "height": 640}, has_touch=True, is_mobile=True)
    with_evidence(shop, {"class": "grey-3", "shape": [1, 2], "values": [0, 1]})
    shop.choose(pictures["grey-3"], pictures["grey-7"])
    shop.page.get_by_role("button", name="evidence").nth(1).tap()
    expect(shop.page.locator("canvas").nth(0)).to_be_hidden()
    expect(shop.page.locator("canvas").nth(1)).to_be_visible()
