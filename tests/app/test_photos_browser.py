"""One photo after the other: what belongs to a photo goes with it, what the visitor made stays, nothing is mixed up."""

from __future__ import annotations

from pathlib import Path
from time import sleep

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Page, expect

from app.engine import Engine
from mmsr_core.images import read_recipe
from mmsr_core.recipe import Recipe
from tests.app.visitor import begin, choose, download, give_photo, open_fold, paint, run, set_number, visit

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


def put(page: Page, path: Path) -> None:
    """Another file into the photo box."""
    page.locator("#photo input[type=file]").first.set_input_files(path)


def test_the_photo_box_takes_photos_after_it_was_emptied(page: Page, photo_file: Path, other_file: Path):
    give_photo(page, photo_file)
    page.locator("#photo button[aria-label*=emove], #photo button[aria-label*=lear]").first.click()
    expect(page.locator("#plan")).to_contain_text("Load a photo")
    expect(page.locator("#card-depth .badge")).to_have_text("empty")
    give_photo(page, other_file)
    expect(page.locator("#photo-line")).to_contain_text("valley.png")
    run(page)


def test_a_recipe_may_come_before_its_photo(
    page: Page, context: BrowserContext, address: str, photo_file: Path, tmp_path: Path
):
    give_photo(page, photo_file)
    paint(page, "segmentation", "sky")
    open_fold(page, "Protect")
    paint(page, "protect", "Protect", card="#map-protect")
    run(page)
    path = download(page, "#save", tmp_path)

    again = visit(context, address)
    again.locator("input:has(+ #restore)").set_input_files(path)
    expect(again.locator("#notice")).to_contain_text("drop the original photo")
    give_photo(again, photo_file)
    expect(again.locator("#card-segmentation .badge")).to_have_text("restored")
    open_fold(again, "Protect")
    expect(again.locator("#mask-line")).to_contain_text("keeps the plain upscale")
    run(again)
    (tmp_path / "again").mkdir()
    same = download(again, "#save", tmp_path / "again")
    assert Image.open(same).tobytes() == Image.open(path).tobytes()


def test_a_second_photo_is_read_at_once_and_shows_nothing_of_the_first(page: Page, photo_file: Path, other_file: Path):
    give_photo(page, photo_file)
    page.locator("#map-text textarea").fill("a harbour at night")
    expect(page.locator("#card-text .badge")).to_have_text("edited")
    first = page.locator("#card-depth .map-picture").get_attribute("src")
    put(page, other_file)
    expect(page.locator("#notice")).to_contain_text("Your caption came from an earlier photo")
    expect(page.locator("#card-text .badge")).to_have_text("stale")
    expect(page.locator("#card-depth .badge")).to_have_text("auto")
    assert page.locator("#card-depth .map-picture").get_attribute("src") != first
    run(page)
    expect(page.locator("#map-text textarea")).to_have_value("a harbour at night")


def test_a_photo_that_comes_while_another_is_read_is_read_too(
    page: Page, engine: Engine, photo_file: Path, other_file: Path, monkeypatch: pytest.MonkeyPatch
):
    extract = engine.upscaler().extract
    monkeypatch.setattr(engine.upscaler(), "extract", lambda *given: sleep(1.5) or extract(*given))
    put(page, photo_file)
    expect(page.locator("#status")).to_contain_text("Reading the photo")
    put(page, other_file)
    expect(page.locator("#photo-line")).to_contain_text("valley.png")
    expect(page.locator(".card .badge-auto")).to_have_count(4)


def test_another_colour_match_of_an_older_run_leaves_the_newest_alone(page: Page, photo_file: Path, other_file: Path):
    give_photo(page, photo_file)
    run(page)
    give_photo(page, other_file)
    expect(page.locator("#photo-line")).to_contain_text("valley.png")
    run(page)
    page.locator("#history .shelf button").nth(1).click()
    expect(page.locator("#photo-line")).to_contain_text("harbour.png")
    choose(page, "color", "none")
    page.wait_for_timeout(1000)
    page.locator("#history .shelf button").first.click()
    expect(page.locator("#photo-line")).to_contain_text("valley.png")


def test_the_history_brings_the_protected_region_back(page: Page, photo_file: Path, other_file: Path):
    give_photo(page, photo_file)
    open_fold(page, "Protect")
    paint(page, "protect", "Protect", card="#map-protect", fill=True)
    run(page)
    put(page, other_file)
    expect(page.locator("#mask-line")).to_have_text("")
    page.locator("#history .shelf button").first.click()
    expect(page.locator("#mask-line")).to_contain_text("100 %")


def test_a_stroke_on_a_large_map_changes_nothing_elsewhere(page: Page, tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 256, (300, 1000), np.uint8)
    lines = Image.fromarray(np.where(noise > 250, 255, 0).astype(np.uint8))
    Image.fromarray(np.repeat(noise[..., None], 3, -1)).save(tmp_path / "wide.png")
    lines.save(tmp_path / "lines.png")
    give_photo(page, tmp_path / "wide.png")
    page.locator("#card-edge .card-more button.label-wrap").click()
    page.locator("input:has(+ #upload-edge)").set_input_files(tmp_path / "lines.png")
    expect(page.locator("#card-edge .badge")).to_have_text("uploaded")
    paint(page, "edge", "Draw line")
    expect(page.locator("#card-edge .badge")).to_have_text("edited")
    painted = np.asarray(Image.open(download(page, "#save-edge", tmp_path)).convert("L"))
    assert painted.shape == (300, 1000)
    differs = painted != np.asarray(lines)
    assert 0.001 < differs.mean() < 0.1 and (painted[differs] == 255).all()


def test_stop_while_waiting_frees_the_page_at_once(
    page: Page, context: BrowserContext, address: str, photo_file: Path
):
    give_photo(page, photo_file)
    other = visit(context, address)
    give_photo(other, photo_file)
    begin(page)
    other.locator("#run").click()
    expect(other.locator("#status")).to_contain_text("Waiting")
    other.locator("#stop").click()
    expect(other.locator("#status")).to_contain_text("Stopped before it began")
    expect(other.locator("#run")).to_be_enabled()
    other.locator("#run").click()  # again, before the turn of the first one has come
    expect(other.locator("#status")).to_contain_text("Waiting")
    page.locator("#stop").click()
    expect(page.locator("#run")).to_be_enabled()
    expect(other.locator("#save")).to_be_enabled()
    expect(other.locator("#run")).to_be_enabled()
    expect(other.locator("#history .shelf button")).to_have_count(1)  # what was given up did not run after all


def test_a_photo_that_is_too_large_is_shrunk_and_that_is_said(page: Page, tmp_path: Path):
    Image.new("RGB", (1500, 1000), "teal").save(tmp_path / "large.png")
    give_photo(page, tmp_path / "large.png")
    expect(page.locator("#notice")).to_contain_text("large.png has 1.5 megapixels and was shrunk to 1224 × 816")
    expect(page.locator("#plan")).to_contain_text("1224 × 816")


def test_a_reference_belongs_to_its_photo(page: Page, photo_file: Path, other_file: Path, photo: Image.Image, tmp_path):
    photo.crop((0, 0, 37, 27)).resize((148, 108)).save(tmp_path / "reference.png")
    give_photo(page, photo_file)
    run(page)
    page.locator("input:has(+ #reference)").set_input_files(other_file)
    expect(page.locator("#notice .bad")).to_contain_text("proportions")
    page.locator("input:has(+ #reference)").set_input_files(tmp_path / "reference.png")
    expect(page.locator("#readout")).to_contain_text("SSIM")
    put(page, other_file)
    expect(page.locator("#photo-line")).to_contain_text("valley.png")
    expect(page.locator("#card-depth .badge")).to_have_text("auto")
    run(page)
    expect(page.locator("#readout")).not_to_contain_text("SSIM")


def test_the_position_can_be_left_out_after_the_run(page: Page, photo: Image.Image, tmp_path: Path):
    exif = Image.Exif()
    exif.get_ifd(0x8825)[1] = "N"
    photo.crop((0, 0, 37, 27)).save(tmp_path / "somewhere.jpg", exif=exif)
    give_photo(page, tmp_path / "somewhere.jpg")
    run(page)
    path = download(page, "#save", tmp_path)
    assert Image.open(path).getexif().get_ifd(0x8825)
    page.locator("#set-strip_gps input").check()
    page.wait_for_timeout(1000)
    path = download(page, "#save", tmp_path)
    assert not Image.open(path).getexif().get_ifd(0x8825)
    assert Recipe.from_json(read_recipe(path)).settings.strip_gps


def test_a_moved_dial_is_no_starting_point_any_more(page: Page, photo_file: Path):
    give_photo(page, photo_file)
    page.locator("#card-depth .card-on input").uncheck()
    expect(page.locator("#card-depth .badge")).to_have_text("off")
    page.locator("#start input").click()
    page.get_by_role("option", name="Crisp edges").click()
    expect(page.locator("#notice")).to_contain_text("Switched on again: depth")
    set_number(page, "weight", 5)
    expect(page.locator("#start input")).to_have_value("Your own")
