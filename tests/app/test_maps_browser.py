"""The modality cards in a real Chromium: paint, fill, upload, download, look through the model's eyes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.app.visitor import download, give_photo, open_fold, paint, run

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


def test_painting_works_from_the_keyboard_and_can_be_undone(page: Page, photo_file: Path):
    give_photo(page, photo_file)
    page.locator("#card-depth .map-open").focus()
    page.keyboard.press("Enter")
    dialog = page.locator("dialog[open]")
    dialog.locator("canvas").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    expect(dialog.locator(".paint-status")).to_contain_text("edited")
    page.keyboard.press("Control+z")
    expect(dialog.get_by_role("button", name="Undo")).to_be_disabled()
    page.keyboard.press("Escape")
    expect(page.locator("#card-depth .badge")).to_have_text("auto")


def test_fill_replaces_a_whole_region_by_one_class(page: Page, photo_file: Path, tmp_path: Path):
    give_photo(page, photo_file)
    open_files(page, "segmentation")
    before = colours(download(page, "#save-segmentation", tmp_path))
    page.locator("#card-segmentation .map-open").click()
    dialog = page.locator("dialog[open]")
    dialog.locator("[data-name='vehicle']").click()
    dialog.get_by_role("radio", name="Fill region").click()
    dialog.locator("canvas").click(position={"x": 40, "y": 40})
    dialog.locator(".paint-apply").click()
    expect(page.locator("#card-segmentation .legend")).to_contain_text("vehicle")
    after = colours(download(page, "#save-segmentation", tmp_path))
    assert after != before and len(after) <= len(before) + 1  # exact palette colours, no blended ones


def colours(path: Path) -> set[tuple[int, int, int]]:
    return {colour for _, colour in Image.open(path).convert("RGB").getcolors(1 << 16)}


def open_files(page: Page, name: str) -> None:
    page.locator(f"#card-{name} .card-more button.label-wrap").click()
    page.locator(f"#save-{name}").wait_for()


def test_depth_can_be_uploaded_upside_down_and_downloaded_in_16_bit(page: Page, photo_file: Path, tmp_path: Path):
    give_photo(page, photo_file)
    given = np.tile(np.linspace(0, 255, 37).astype(np.uint8), (27, 1))
    Image.fromarray(given).save(tmp_path / "given.png")
    open_files(page, "depth")
    page.locator("#invert-depth input").check()
    upload(page, "depth", tmp_path / "given.png")
    expect(page.locator("#card-depth .badge")).to_have_text("uploaded")
    eight = np.asarray(Image.open(download(page, "#save-depth", tmp_path)).convert("L"))
    sixteen = np.asarray(Image.open(download(page, "#save16-depth", tmp_path)))
    assert eight[0, 0] > 250 and eight[0, -1] < 5
    assert sixteen.dtype == np.uint16 or sixteen.max() > 255
    assert np.array_equal(sixteen // 257, eight)
    page.locator("#reset-depth").click()
    expect(page.locator("#card-depth .badge")).to_have_text("auto")


def upload(page: Page, name: str, path: Path) -> None:
    page.locator(f"input:has(+ #upload-{name})").set_input_files(path)


def test_off_palette_segmentation_is_snapped_and_said(page: Page, photo_file: Path, tmp_path: Path):
    give_photo(page, photo_file)
    Image.effect_noise((37, 27), 90).convert("RGB").save(tmp_path / "noise.png")
    open_files(page, "segmentation")
    upload(page, "segmentation", tmp_path / "noise.png")
    expect(page.locator("#notice")).to_contain_text("colours of no class")
    assert page.locator("#card-segmentation .legend li").count() >= 2
    run(page)


def test_a_picture_that_is_no_map_is_refused_and_the_map_stays(page: Page, photo_file: Path, tmp_path: Path):
    give_photo(page, photo_file)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    open_files(page, "edge")
    upload(page, "edge", tmp_path / "broken.png")
    expect(page.locator("#notice .bad")).to_contain_text("broken.png")
    expect(page.locator("#card-edge .badge")).to_have_text("auto")


def test_what_the_model_sees_of_a_map(page: Page, photo_file: Path):
    give_photo(page, photo_file)
    page.locator("#see-depth").click()
    expect(page.locator("#card-depth .seen img")).to_be_visible()


def test_caption_counter_shows_what_is_cut(page: Page, photo_file: Path):
    give_photo(page, photo_file)
    page.locator("#map-text textarea").fill(" ".join(f"tree number {number}" for number in range(60)) + " goodbye")
    expect(page.locator("#card-text .tokens.over")).to_contain_text("of 77 tokens")
    expect(page.locator("#card-text .tokens s")).to_contain_text("goodbye")
    page.locator("#reset-text").click()
    expect(page.locator("#card-text .badge")).to_have_text("auto")


def test_protected_region_keeps_the_plain_upscale(page: Page, photo_file: Path, tmp_path: Path):
    give_photo(page, photo_file)
    open_fold(page, "Protect")
    paint(page, "protect", "Protect", card="#map-protect", fill=True)
    expect(page.locator("#mask-line")).to_contain_text("100 %")
    run(page)
    result = Image.open(download(page, "#save", tmp_path)).convert("RGB")
    plain = Image.open(photo_file).convert("RGB").resize(result.size, Image.Resampling.BICUBIC)
    assert np.array_equal(np.asarray(result), np.asarray(plain))


def test_an_extractor_that_sends_the_photo_away_waits_for_consent(page: Page, photo_file: Path):
    give_photo(page, photo_file)
    page.locator("#card-text .card-more button.label-wrap").click()
    expect(page.locator("#consent-text")).to_have_count(0)
    page.get_by_label("Caption extractor").click()
    page.get_by_role("option", name="Gemini Flash").click()
    expect(page.locator("#consent-text")).to_contain_text("The photo leaves this machine")
    expect(page.locator("#key-text input")).to_have_attribute("type", "password")
    expect(page.locator("#card-text .badge")).to_have_text("stale")
    page.locator("#reextract-text").click()
    expect(page.locator("#notice .bad")).to_contain_text("Wanted your consent")
    page.get_by_label("Caption extractor").click()
    page.get_by_role("option", name="Composed (bundled)").click()
    expect(page.locator("#consent-text")).to_have_count(0)
    page.locator("#reextract-text").click()
    expect(page.locator("#card-text .badge")).to_have_text("auto")
