"""The page in a real Chromium: one journey after the other, as a visitor makes them."""

from __future__ import annotations

import base64
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from app import controls
from mmsr_core.images import read_recipe
from mmsr_core.recipe import Recipe
from mmsr_core.settings import Settings
from tests.app.visitor import begin, choose, download, give_photo, open_fold, paint, run, set_dial, set_number, visit

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


def recipe_of(path: Path) -> Recipe:
    return Recipe.from_json(read_recipe(path))


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
    again.locator("input:has(+ #restore)").set_input_files(path)
    expect(again.locator("#notice")).to_contain_text("restored")
    expect(again.locator("#card-segmentation .badge")).to_have_text("restored")
    expect(again.locator("#card-edge .badge")).to_have_text("off")
    expect(again.locator("#temperature-depth input[type=number]")).to_have_value("0.5")
    run(again, steps=2)
    same = download(again, "#save", tmp_path / "again" if (tmp_path / "again").mkdir() is None else tmp_path)
    assert Image.open(same).tobytes() == Image.open(path).tobytes()


def test_settings_outlive_a_reload_until_they_are_reset(page: Page):
    def reloaded() -> tuple[str, str, str]:
        page.wait_for_timeout(1000)  # what is kept is encrypted, so nothing tells that all of it is
        page.reload()
        page.locator(".engine.ok").wait_for()
        fields = ("#set-weight input[type=number]", "#temperature-depth input[type=number]")
        weight, depth = (page.locator(field).first.input_value() for field in fields)
        return weight, depth, page.locator("#notice").inner_text()

    set_number(page, "weight", 5)
    set_dial(page, "depth", 0.5)
    weight, depth, said = reloaded()
    assert (weight, depth) == ("5", "0.5") and "last visit" in said
    expect(page.locator("#start input")).to_have_value("Your own")
    page.locator("#reset-all").click()
    expect(page.locator("#set-weight input[type=number]").first).to_have_value("2")
    weight, depth, said = reloaded()
    assert (weight, depth, said.strip()) == ("2", "1", "")


def test_a_browser_that_forbids_storage_shows_the_page_all_the_same(
    context: BrowserContext, address: str, photo_file: Path
):
    denied = "get() { throw new DOMException('denied', 'SecurityError'); }"
    context.add_init_script(f"Object.defineProperty(window, 'localStorage', {{ {denied} }})")
    page = visit(context, address)
    give_photo(page, photo_file)
    set_number(page, "weight", 5)
    expect(page.locator("#plan")).to_contain_text("37 × 27 → 148 × 108")


def test_stop_frees_the_device_and_keeps_the_page(page: Page, photo_file: Path):
    give_photo(page, photo_file)
    begin(page)
    page.locator("#stop").click()
    expect(page.locator("#status")).to_contain_text("Stopped")
    expect(page.locator("#run")).to_be_enabled()
    expect(page.locator("#viewer .view-right")).to_be_visible()
    expect(page.locator("#card-depth .badge")).to_have_text("auto")
    run(page, steps=1)


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
        "scale": 2, "cleanup": 0.5, "guidance": "null-cfg", "weight": 5.5, "steps": 2, "sampler": "ddim", "seed": 123,
        "edit_strength": 2.5,
        "temperature": {"text": 0.5, "depth": 2.0, "segmentation": 3.0, "edge": 4.0}, "temperature_form": "bias",
        "positive": "crisp", "negative": "dull", "color": "adain", "tile": 256, "overlap": 0.5,
        "long_side": 60, "strip_gps": True,
    }  # fmt: skip
    assert set(moved) == set(Settings().to_dict()), "a setting has no control in this test"
    for key in ("weight", "cleanup", "edit_strength", "tile", "overlap", "seed", "long_side"):
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
    assert max(Image.open(download(page, "#save", tmp_path)).size) == moved["long_side"]
    assert all(before[key] != after[key] for key in moved)
    assert len(controls.keys_in_order()) == len(moved) - 1 + len(moved["temperature"])


def test_noise_is_named_under_the_photo_and_taken_out(page: Page, tmp_path: Path):
    values = np.full((48, 64, 3), 120) + np.random.default_rng(0).normal(0, 10, (48, 64, 3))
    Image.fromarray(values.round().clip(0, 255).astype(np.uint8)).save(tmp_path / "night.png")
    give_photo(page, tmp_path / "night.png")
    expect(page.locator("#photo-line")).to_contain_text("grey levels")
    run(page)
    expect(page.locator("#readout")).to_contain_text("grey levels")
    set_number(page, "cleanup", 0)
    run(page)
    expect(page.locator("#readout")).not_to_contain_text("grey levels")


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


DROP = """([selector, name, type, text]) => {
  const data = new DataTransfer();
  data.items.add(new File([text], name, { type }));
  const target = document.querySelector(selector);
  for (const kind of ["dragover", "drop"])
    target.dispatchEvent(new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: data }));
}"""


@pytest.mark.parametrize("place", ["#viewer", "#photo [aria-dropeffect], #photo"])
def test_a_recipe_dropped_anywhere_restores_the_settings(page: Page, photo_file: Path, place: str):
    give_photo(page, photo_file)
    run(page)
    with page.expect_download() as caught:
        page.locator("#save-recipe").click()
    text = Path(caught.value.path()).read_text("utf-8")
    changed = text.replace('"weight": 2.0', '"weight": 6.5')
    assert changed != text
    page.evaluate(DROP, [place, "look.json", "application/json", changed])
    expect(page.locator("#notice")).to_contain_text("restored")
    expect(page.locator("#set-weight input[type=number]")).to_have_value("6.5")


def test_seed_dice_and_reuse_last(page: Page, photo_file: Path, tmp_path: Path):
    give_photo(page, photo_file)
    open_fold(page, "Seed")
    run(page)
    used = str(recipe_of(download(page, "#save-recipe", tmp_path)).seed)
    expect(page.locator("#set-seed input")).to_have_value(used)
    page.get_by_role("button", name="Dice").click()
    expect(page.locator("#set-seed input")).not_to_have_value(used)
    expect(page.locator("#new-seed input")).not_to_be_checked()
    page.get_by_role("button", name="Reuse last").click()
    expect(page.locator("#set-seed input")).to_have_value(used)


def test_two_visitors_do_not_see_each_other(browser: Browser, address: str, photo_file: Path, other_file: Path):
    contexts = [browser.new_context(viewport={"width": 1440, "height": 900}) for _ in range(2)]
    page, other = (visit(context, address) for context in contexts)
    give_photo(page, photo_file)
    give_photo(other, other_file)
    set_number(page, "steps", 40)
    page.locator("#run").click()
    expect(page.locator("#status")).to_contain_text("of 40")
    other.locator("#run").click()
    expect(other.locator("#status")).to_contain_text("queue")  # one device, and the place in the queue is shown
    expect(page.locator("#history .shelf button")).to_have_count(1)
    expect(other.locator("#history .shelf button")).to_have_count(1)
    expect(other.locator("#photo-line")).to_contain_text("valley.png")
    expect(page.locator("#photo-line")).to_contain_text("harbour.png")
    seeds = [tab.locator("#readout dl > div", has_text="Seed").inner_text() for tab in (page, other)]
    assert seeds[0] != seeds[1]
    sources = [tab.locator("#viewer .view-right").get_attribute("src") for tab in (page, other)]
    assert sources[0] != sources[1]
    for context in contexts:
        context.close()


def test_a_pasted_picture_is_the_photo(page: Page, photo_file: Path):
    paste = """async (base64) => {
      const blob = await (await fetch(`data:image/png;base64,${base64}`)).blob();
      const data = new DataTransfer();
      data.items.add(new File([blob], "pasted.png", { type: "image/png" }));
      document.body.dispatchEvent(new ClipboardEvent("paste", { bubbles: true, clipboardData: data }));
    }"""
    page.evaluate(paste, base64.b64encode(photo_file.read_bytes()).decode())
    expect(page.locator("#photo-line")).to_contain_text("pasted.png")
    page.locator("#card-edge .badge-auto").wait_for()


@pytest.mark.parametrize("form", ["jpg", "webp", "tiff"])
def test_other_formats_carry_the_recipe_too(page: Page, photo_file: Path, tmp_path: Path, form: str):
    give_photo(page, photo_file)
    run(page)
    page.locator("#form input").click()
    page.get_by_role("option", name=form, exact=True).click()
    path = download(page, "#save", tmp_path)
    assert path.suffix == f".{form}" and Image.open(path).size == (148, 108)
    assert recipe_of(path).settings.steps == 1


def test_all_again_leaves_alone_what_was_made_by_hand(page: Page, photo_file: Path):
    give_photo(page, photo_file)
    paint(page, "segmentation", "sky")
    expect(page.locator("#card-segmentation .badge")).to_have_text("edited")
    page.locator("#extract-all").click()
    expect(page.locator("#notice")).to_contain_text("Your own segmentation stayed")
    expect(page.locator("#card-segmentation .badge")).to_have_text("edited")
    page.locator("#reextract-segmentation").click()
    expect(page.locator("#card-segmentation .badge")).to_have_text("auto")


def test_a_number_out_of_range_is_refused_in_a_sentence_and_nothing_is_lost(page: Page, photo_file: Path):
    give_photo(page, photo_file)
    set_number(page, "weight", 99)
    expect(page.locator("#set-weight input[type=number]")).to_have_value("14")  # the slider knows its end
    open_fold(page, "Seed")
    set_number(page, "seed", -5)
    page.locator("#run").click()
    expect(page.locator("#notice .bad")).to_contain_text("wanted a whole number from 0")
    expect(page.locator("#run")).to_be_enabled()
    expect(page.locator("#card-depth .badge")).to_have_text("auto")
    set_number(page, "seed", 5)
    run(page)
    expect(page.locator("#readout")).to_contain_text("Seed")


def test_work_that_gradio_turns_away_frees_the_buttons(page: Page, photo_file: Path):
    give_photo(page, photo_file)
    page.route("**/queue/join*", refuse)
    page.locator("#run").click()
    expect(page.locator("#notice .bad")).to_contain_text("Nothing is lost")
    expect(page.locator("#run")).to_be_enabled()
    page.unroute_all()
    run(page)


def refuse(route: Route) -> None:
    route.fulfill(status=503, json={"detail": "Queue is full. Max size is 20 and size is 20."})
