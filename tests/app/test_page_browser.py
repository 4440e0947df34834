"""The page in a real Chromium: one journey after the other, as a visitor makes them."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Page, expect

from app import controls
from mmsr_core.images import read_recipe
from mmsr_core.recipe import Recipe
from mmsr_core.settings import Settings
from tests.app.visitor import choose, download, give_photo, open_fold, run, set_dial, set_number, visit

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


def recipe_of(path: Path) -> Recipe:
    return Recipe.from_json(read_recipe(path))


def test_the_first_page_asks_nothing_of_other_servers_and_has_no_errors(context: BrowserContext, address: str):
    asked, wrong = [], []
    context.on("request", lambda request: asked.append(request.url))
    context.on("weberror", lambda error: wrong.append(str(error.error)))
    context.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page = visit(context, address)
    expect(page.locator("#examples button")).to_have_count(6)
    expect(page.locator(".engine.ok")).to_contain_text("untrained")
    outside = [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert outside == [] and wrong == []


def test_upload_paint_switch_off_steer_run_download_and_restore(
    page: Page, context: BrowserContext, address: str, photo_file: Path, tmp_path: Path
):
    give_photo(page, photo_file)
    expect(page.locator("#plan")).to_contain_text("37 × 27 → 148 × 108")
    paint(page, "segmentation", "sky")
    expect(page.locator("#card-segmentation .badge")).to_have_text("edited")
    expect(page.locator("#card-segmentation .legend")).to_contain_text("sky")
    page.locator("#card-edge .card-on input").uncheck()
    expect(page.locator("#card-edge .badge")).to_have_text("off")
    set_dial(page, "depth", 0.5)
    set_number(page, "weight", 4)
    run(page, steps=2)
    expect(page.locator("#attention")).to_contain_text("Depth")
    expect(page.locator("#readout")).to_contain_text("Fidelity")

    path = download(page, "#save", tmp_path)
    assert Image.open(path).size == (148, 108)
    recipe = recipe_of(path)
    assert recipe.sources == {"text": "auto", "depth": "auto", "segmentation": "edited", "edge": "off"}
    assert recipe.settings.temperature_of("depth") == 0.5 and recipe.settings.weight == 4
    bundle = zipfile.ZipFile(download(page, "#bundle", tmp_path))
    assert {"recipe.json", "depth.png", "segmentation.png", "text.txt", path.name} == set(bundle.namelist())

    again = visit(context, address)
    give_photo(again, photo_file)
    again.locator("#restore").set_input_files(path) if again.locator("input#restore").count() else again.locator(
        "#photo input[type=file]"
    ).first.set_input_files(path)
    expect(again.locator("#notice")).to_contain_text("restored")
    expect(again.locator("#card-segmentation .badge")).to_have_text("restored")
    expect(again.locator("#card-edge .badge")).to_have_text("off")
    expect(again.locator("#temperature-depth input[type=number]")).to_have_value("0.5")
    run(again, steps=2)
    same = download(again, "#save", tmp_path / "again" if (tmp_path / "again").mkdir() is None else tmp_path)
    assert Image.open(same).tobytes() == Image.open(path).tobytes()


def paint(page: Page, name: str, tool: str) -> None:
    page.locator(f"#card-{name} .map-open").click()
    dialog = page.locator("dialog[open]")
    dialog.locator(f"[data-name='{tool}']").click()
    canvas = dialog.locator("canvas")
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.5, steps=4)
    page.mouse.up()
    dialog.locator(".paint-apply").click()
    expect(dialog).to_have_count(0)


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


def test_stop_frees_the_device_and_keeps_the_page(page: Page, photo_file: Path):
    give_photo(page, photo_file)
    set_number(page, "steps", 100)
    page.locator("#run").click()
    expect(page.locator("#status")).to_contain_text("of 100")
    page.locator("#stop").click()
    expect(page.locator("#status")).to_contain_text("Stopped")
    expect(page.locator("#run")).to_be_enabled()
    expect(page.locator("#viewer .view-right")).to_be_visible()
    expect(page.locator("#card-depth .badge")).to_have_text("auto")
    run(page, steps=1)


def test_a_new_photo_makes_maps_stale_and_keeps_edits(page: Page, photo_file: Path, other_file: Path):
    give_photo(page, photo_file)
    page.locator("#map-text textarea").fill("a harbour at night")
    expect(page.locator("#card-text .badge")).to_have_text("edited")
    page.locator("#photo input[type=file]").first.set_input_files(other_file)
    expect(page.locator("#card-depth .badge")).to_have_text("stale")
    expect(page.locator("#card-text .badge")).to_have_text("stale")
    expect(page.locator("#notice")).to_contain_text("earlier photo")
    run(page)
    expect(page.locator("#card-depth .badge")).to_have_text("auto")
    expect(page.locator("#map-text textarea")).to_have_value("a harbour at night")


def test_a_broken_file_is_refused_in_a_sentence_and_the_photo_stays(page: Page, photo_file: Path, tmp_path: Path):
    give_photo(page, photo_file)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"this is no picture")
    page.locator("#photo input[type=file]").first.set_input_files(broken)
    notice = page.locator("#notice .bad")
    expect(notice).to_contain_text("roken.png")
    expect(notice).to_contain_text("stays in use")
    assert "/" not in notice.inner_text().replace("w/o", "")
    expect(page.locator("#photo-line")).to_contain_text("harbour.png")


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


def test_two_visitors_do_not_see_each_other(
    page: Page, context: BrowserContext, address: str, photo_file: Path, other_file: Path
):
    other = visit(context, address)
    give_photo(page, photo_file)
    give_photo(other, other_file)
    run(page)
    expect(page.locator("#history .shelf button")).to_have_count(1)
    expect(other.locator("#history .shelf button")).to_have_count(0)
    expect(other.locator("#photo-line")).to_contain_text("valley.png")
    expect(other.locator("#save")).to_be_disabled()


def test_history_and_colour_match_need_no_sampling(page: Page, photo_file: Path, tmp_path: Path):
    give_photo(page, photo_file)
    run(page)
    set_number(page, "weight", 7)
    run(page)
    expect(page.locator("#history .shelf button")).to_have_count(2)
    choose(page, "color", "none")
    expect(page.locator("#run")).to_be_enabled()
    page.wait_for_timeout(500)
    assert recipe_of(download(page, "#save", tmp_path)).settings.color == "none"
    page.locator("#history .shelf button").nth(1).click()
    expect(page.locator("#set-weight input[type=number]")).to_have_value("2")


def test_every_control_reaches_the_pipeline(page: Page, photo_file: Path, tmp_path: Path):
    """Every control is moved; every field of the recipe must have followed."""
    give_photo(page, photo_file)
    run(page)
    before = recipe_of(download(page, "#save-recipe", tmp_path)).settings.to_dict()
    for fold in ("Words", "Seed", "Advanced"):
        open_fold(page, fold)
    moved = {
        "scale": 2, "guidance": "null-cfg", "weight": 5.5, "steps": 2, "sampler": "ddim", "seed": 123,
        "temperature": {"text": 0.5, "depth": 2.0, "segmentation": 3.0, "edge": 4.0}, "temperature_form": "bias",
        "positive": "crisp", "negative": "dull", "color": "adain", "tile": 256, "overlap": 0.5, "strip_gps": True,
    }  # fmt: skip
    assert set(moved) == set(Settings().to_dict()), "a setting has no control in this test"
    for key in ("weight", "tile", "overlap", "seed"):
        set_number(page, key, moved[key])
    for key in ("scale", "guidance", "sampler", "temperature_form"):
        page.locator(f"#set-{key}").get_by_label(str(moved[key]), exact=True).check()
    for name, value in moved["temperature"].items():
        set_dial(page, name, value)
    for key in ("positive", "negative"):
        page.locator(f"#set-{key} textarea").fill(moved[key])
    page.locator("#set-strip_gps input").check()
    choose(page, "color", moved["color"])
    run(page, steps=moved["steps"])
    after = recipe_of(download(page, "#save-recipe", tmp_path)).settings.to_dict()
    assert after == moved
    assert all(before[key] != after[key] for key in moved)
    assert len(controls.keys_in_order()) == len(moved) - 1 + len(moved["temperature"])


def test_starting_points_set_several_controls_and_reset_brings_them_back(page: Page, photo_file: Path):
    give_photo(page, photo_file)
    page.locator("#start input").click()
    page.get_by_role("option", name="Crisp edges").click()
    expect(page.locator("#temperature-edge input[type=number]")).to_have_value("0.5")
    expect(page.locator("#set-weight input[type=number]")).to_have_value("3")
    page.locator("#start input").click()
    page.get_by_role("option", name="All modalities off").click()
    expect(page.locator("#card-text .badge")).to_have_text("off")
    expect(page.locator("#temperature-edge input[type=number]")).to_have_value("1")


def test_phone_has_tabs_and_no_sideways_scroll(context: BrowserContext, address: str, photo_file: Path):
    page = visit(context, address)
    page.set_viewport_size({"width": 390, "height": 844})
    give_photo_on_phone(page, photo_file)
    for pane in ("photo", "maps", "steer", "result"):
        page.locator(f"[data-pane='{pane}']").first.click()
        page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, pane
        expect(page.locator("#run")).to_be_in_viewport()
    expect(page.locator("#pane-maps")).to_be_hidden()
    run_on_phone(page)
    for tab in ("Compare", "Batch", "Help"):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, tab


def give_photo_on_phone(page: Page, path: Path) -> None:
    page.locator("#photo input[type=file]").first.set_input_files(path)
    page.locator("#card-edge .badge-auto").wait_for(state="attached")


def run_on_phone(page: Page) -> None:
    page.locator("[data-pane='steer']").first.click()
    set_number(page, "steps", 1)
    page.locator("[data-pane='result']").first.click()
    page.locator("#run").click()
    expect(page.locator("#viewer .view-left")).to_be_visible()


def test_dark_follows_the_system_and_the_button(browser, address: str):
    context = browser.new_context(color_scheme="dark")
    page = visit(context, address)
    background = "getComputedStyle(document.querySelector('#pane-photo')).backgroundColor"
    assert page.evaluate(background) == "rgb(24, 27, 32)"
    page.locator("#theme-button").click()
    page.wait_for_function(f"{background} === 'rgb(255, 255, 255)'")
    context.close()


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
    assert sorted(bundle.namelist()) == ["harbour.png", "valley.png"]
    assert Image.open(io.BytesIO(bundle.read("harbour.png"))).size == (148, 108)


def test_no_serious_accessibility_violation(page: Page, photo_file: Path, axe: str):
    give_photo(page, photo_file)
    run(page)
    found = {}
    for tab in ("Studio", "Compare", "Batch", "Help"):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(300)
        page.evaluate(axe)
        result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        for violation in result["violations"]:
            if violation["impact"] in ("serious", "critical"):
                found[f"{tab}: {violation['id']}"] = [node["html"][:160] for node in violation["nodes"]][:5]
    assert found == {}, json.dumps(found, indent=1)
