"""Try a part first in a real Chromium: the frame follows mouse, finger and keys, and its part is run."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from mmsr_core.images import read_recipe
from mmsr_core.recipe import Recipe
from tests.app.visitor import download, give_photo, run, set_number, visit

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


@pytest.fixture
def wide_file(tmp_path: Path, photo: Image.Image) -> Path:
    """300 x 200 px."""
    photo.resize((300, 200)).save(tmp_path / "harbour.png")
    return tmp_path / "harbour.png"


def unfold(page: Page) -> None:
    page.locator("#part-fold button.label-wrap").click()
    page.locator("#part").wait_for()


def choose_side(page: Page, side: int) -> None:
    page.locator("#part").get_by_role("radio", name=f"{side} px", exact=True).click()


def place(page: Page) -> list[int]:
    """Side, left and top as the page says them."""
    return [int(number) for number in re.findall(r"\d+", page.locator("#part output").inner_text())][1:]


def middle(page: Page) -> tuple[float, float]:
    box = page.locator(".part-frame").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def scale(page: Page) -> float:
    """Screen pixels per pixel of the photo."""
    return page.locator(".part-stage").bounding_box()["width"] / 300


def test_a_part_is_dragged_run_downloaded_and_the_whole_photo_stays(page: Page, wide_file: Path, tmp_path: Path):
    unfold(page)
    expect(page.locator("#part")).to_contain_text("Load a photo")
    give_photo(page, wide_file)
    assert place(page) == [192, 54, 4]
    choose_side(page, 96)
    expect(page.locator("#part-plan")).to_contain_text("384 × 384")
    assert place(page) == [96, 102, 52]
    page.mouse.move(*middle(page))
    page.mouse.down()
    x, y = middle(page)
    page.mouse.move(x - 40 * scale(page), y + 20 * scale(page), steps=4)
    page.mouse.up()
    assert place(page) == pytest.approx([96, 62, 72], abs=1)
    side, left, top = place(page)
    depth = page.locator("#card-depth .map-picture").get_attribute("src")
    set_number(page, "steps", 1)
    page.locator("#run-part").click()
    expect(page.locator("#readout")).to_contain_text(f"96 × 96 px at {left}, {top}")
    expect(page.locator("#run-part")).to_be_enabled()
    expect(page.locator("#plan")).to_contain_text("300 × 200")
    assert page.locator("#card-depth .map-picture").get_attribute("src") == depth
    path = download(page, "#save", tmp_path)
    assert path.name == "harbour-part-x4.png" and Image.open(path).size == (384, 384)
    recipe = Recipe.from_json(read_recipe(path))
    assert recipe.fits(Image.open(wide_file).convert("RGB").crop((left, top, left + side, top + side)))
    bundle = zipfile.ZipFile(download(page, "#bundle", tmp_path))
    assert Image.open(bundle.open("depth.png")).size == (96, 96)

    run(page)
    expect(page.locator("#readout")).not_to_contain_text("Part of the photo")
    choose_side(page, 200)
    page.locator("#history .shelf button[title^=part]").click()
    expect(page.locator("#notice")).to_contain_text("Restored: part 96 × 96")
    expect(page.locator("#part output")).to_have_text(f"96 × 96 px at {left}, {top}")
    expect(page.locator("#photo-line")).to_contain_text("300 × 200")
    assert page.locator("#card-depth .map-picture").get_attribute("src") == depth


def test_clicks_and_keys_place_the_frame_and_another_photo_brings_it_back(
    page: Page, wide_file: Path, photo_file: Path
):
    give_photo(page, wide_file)
    unfold(page)
    choose_side(page, 96)
    page.locator(".part-stage").click(position={"x": 3, "y": 3})
    assert place(page) == [96, 0, 0]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert place(page) == [96, 0, 13]
    give_photo(page, photo_file)
    expect(page.locator("#part output")).to_have_text("27 × 27 px at 5, 0")
    expect(page.locator("#part").get_by_role("radio")).to_have_count(1)
    page.locator("#photo button[aria-label*=emove], #photo button[aria-label*=lear]").first.click()
    expect(page.locator("#part")).to_contain_text("Load a photo")
    expect(page.locator(".part-stage")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_finger_drags_the_frame_on_a_phone(browser: Browser, address: str, wide_file: Path, axe: str, scheme: str):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, color_scheme=scheme)
    page = visit(context, address)
    page.locator("#photo input[type=file]").first.set_input_files(wide_file)
    page.locator("#card-edge .badge-auto").wait_for(state="attached")
    unfold(page)
    choose_side(page, 96)
    page.locator(".part-frame").scroll_into_view_if_needed()
    touch = context.new_cdp_session(page)
    (x, y), scrolled = middle(page), page.evaluate("window.scrollY")
    for kind, by in (("touchStart", 0), ("touchMove", 10), ("touchMove", 20), ("touchMove", 30), ("touchEnd", None)):
        points = [] if by is None else [{"x": x - by * scale(page), "y": y - by * scale(page)}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert place(page) == pytest.approx([96, 72, 22], abs=1)
    assert page.evaluate("window.scrollY") == scrolled
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.evaluate(axe)
    found = page.evaluate("axe.run('#part-fold', {resultTypes: ['violations']})")["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
    context.close()
