"""The Compare and Batch tabs in a real Chromium."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.app.visitor import download, give_photo, set_number

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


def test_compare_modes_under_one_handle(page: Page, photo_file: Path, tmp_path: Path):
    give_photo(page, photo_file)
    set_number(page, "steps", 1)
    page.get_by_role("tab", name="Compare").click()
    page.locator("#compare-start").click()
    expect(page.locator("#compare-save")).to_be_enabled()
    viewer = page.locator("#compare-viewer")
    labels = viewer.get_by_label("Left picture").locator("option").all_inner_texts()
    assert labels[1:] == ["cfg", "null-cfg", "m-cfg"]
    left = viewer.locator(".view-tag-left").inner_text()
    viewer.get_by_role("button", name="Flip").click()
    assert viewer.locator(".view-tag-right").inner_text() == left
    viewer.get_by_label("Overlay").select_option("Difference")
    expect(viewer.locator(".view-overlay")).to_be_visible()
    expect(page.locator("#compare-numbers")).to_contain_text("null-cfg")
    assert Image.open(download(page, "#compare-save", tmp_path)).width > 300


def start(page: Page, kind: str) -> None:
    """Choose a kind of comparison, start it and wait for its grid."""
    page.get_by_role("tab", name="Compare").click()
    page.locator("#compare-kind").get_by_label(kind).check()
    page.locator("#compare-start").click()


def test_sweep_of_the_weight_with_a_reference(page: Page, photo_file: Path, tmp_path: Path, photo: Image.Image):
    reference = tmp_path / "truth.png"
    photo.crop((0, 0, 37, 27)).resize((148, 108)).save(reference)
    give_photo(page, photo_file)
    set_number(page, "steps", 1)
    page.locator("#reference + input, input:has(+ #reference)").first.set_input_files(reference)
    expect(page.locator("#notice")).to_contain_text("Reference loaded")
    page.get_by_role("tab", name="Compare").click()
    page.locator("#compare-kind").get_by_label("Sweep of the weight w").check()
    page.locator("#compare-weights textarea, #compare-weights input").fill("0, 99")
    page.locator("#compare-start").click()
    expect(page.locator("#compare-notice .bad")).to_contain_text("0 to 14")
    page.locator("#compare-weights textarea, #compare-weights input").fill("0, 4, 8")
    page.locator("#compare-start").click()
    expect(page.locator("#compare-save")).to_be_enabled()
    numbers = page.locator("#compare-numbers")
    expect(numbers).to_contain_text("m-cfg, w = 8")
    expect(numbers).to_contain_text("PSNR")
    sheet = Image.open(download(page, "#compare-save", tmp_path))
    assert sheet.height > sheet.width  # the curves stand below the grid


def test_sweep_of_a_temperature_can_be_stopped(page: Page, photo_file: Path):
    give_photo(page, photo_file)
    set_number(page, "steps", 60)
    start(page, "Sweep of one temperature")
    expect(page.locator("#compare-status")).to_contain_text("Picture 1 of 4")
    page.locator("#compare-stop").click()
    expect(page.locator("#compare-status")).to_contain_text("Stopped")
    expect(page.locator("#compare-start")).to_be_enabled()
    expect(page.locator("#compare-save")).to_be_disabled()


def test_did_my_edits_matter(page: Page, photo_file: Path):
    give_photo(page, photo_file)
    set_number(page, "steps", 1)
    start(page, "Did my edits matter?")
    expect(page.locator("#compare-notice .bad")).to_contain_text("Nothing is edited")
    page.get_by_role("tab", name="Studio").click()
    page.locator("#map-text textarea").fill("a lighthouse in fog")
    expect(page.locator("#card-text .badge")).to_have_text("edited")
    start(page, "Did my edits matter?")
    expect(page.locator("#compare-numbers")).to_contain_text("with your edits")
    expect(page.locator("#compare-viewer .view-note")).to_contain_text("mean difference")


def test_worked_example_needs_no_photo_and_leaves_the_visitors_alone(page: Page):
    page.get_by_role("tab", name="Compare").click()
    page.locator("#worked").click()
    expect(page.locator("#compare-save")).to_be_enabled(timeout=120_000)
    expect(page.locator("#compare-numbers")).to_contain_text("depth temperature 0.4")
    expect(page.locator("#compare-numbers")).to_contain_text("depth temperature 10")
    page.get_by_role("tab", name="Studio").click()
    expect(page.locator("#card-depth .badge")).to_have_text("empty")


def test_batch_reports_each_file_and_packs_one_zip(page: Page, photo_file: Path, other_file: Path, tmp_path: Path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    set_number(page, "steps", 1)
    page.get_by_role("tab", name="Batch").click()
    page.locator("#batch-files input[type=file]").set_input_files([photo_file, other_file, broken])
    expect(page.locator("#batch-files")).to_contain_text("valley")
    page.locator("#batch-start").click()
    expect(page.locator("#batch-status")).to_contain_text("2 of 3 done")
    expect(page.locator("#batch-report .failed")).to_contain_text("broken.png")
    bundle = zipfile.ZipFile(download(page, "#batch-save", tmp_path))
    assert sorted(bundle.namelist()) == ["harbour-x4.png", "valley-x4.png"]
    assert Image.open(io.BytesIO(bundle.read("harbour-x4.png"))).size == (148, 108)


def test_a_stopped_batch_keeps_what_is_done(page: Page, photo_file: Path, other_file: Path):
    set_number(page, "steps", 100)
    page.get_by_role("tab", name="Batch").click()
    page.locator("#batch-files input[type=file]").set_input_files([photo_file, other_file])
    expect(page.locator("#batch-files")).to_contain_text("valley")
    page.locator("#batch-start").click()
    expect(page.locator("#batch-status")).to_contain_text("2 of 2")
    page.locator("#batch-stop").click()
    expect(page.locator("#batch-status")).to_contain_text("1 of 2 done")
    expect(page.locator("#batch-report .done")).to_contain_text("harbour.png")
    expect(page.locator("#batch-save")).to_be_enabled()
