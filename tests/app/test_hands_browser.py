"""Hands on the page: brush and keys in the painting dialog, zoom in the viewer, what stays in view and what is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.app.visitor import give_photo, run, set_number, visit

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

COLOURS = """(canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height), count = {};
  for (let i = 0; i < data.length; i += 4) {
    const key = data.slice(i, i + 4).join();
    count[key] = (count[key] ?? 0) + 1;
  }
  return count;
}"""


def wheel(page: Page, over: Locator, notches: int, key: str | None = "Control") -> None:
    """Turn the wheel over the middle of something, away from the handle; a negative number zooms in."""
    box = over.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] / 2)
    if key:
        page.keyboard.down(key)
    for _ in range(abs(notches)):
        page.mouse.wheel(0, 100 if notches > 0 else -100)
    if key:
        page.keyboard.up(key)
    page.wait_for_timeout(300)


def drag(page: Page, start: tuple[float, float], by: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(start[0] + by[0], start[1] + by[1], steps=4)
    page.mouse.up()
    page.wait_for_timeout(200)


def stroke(page: Page, dialog: Locator, tool: str) -> None:
    dialog.locator(f"[data-name='{tool}']").click()
    box = dialog.locator("canvas").bounding_box()
    drag(page, (box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.3), (box["width"] * 0.4, 0))


def test_a_card_shows_the_whole_map_of_a_tall_photo(page: Page, photo: Image.Image, tmp_path: Path):
    photo.crop((0, 0, 24, 48)).save(tmp_path / "tall.png")
    give_photo(page, tmp_path / "tall.png")
    for name in ("depth", "segmentation", "edge"):
        place = page.locator(f"#card-{name} .map-open").bounding_box()
        picture = page.locator(f"#card-{name} .map-picture")
        assert picture.bounding_box() == place
        assert picture.evaluate("(node) => getComputedStyle(node).objectFit") == "contain"


def test_undo_works_wherever_the_focus_is_and_esc_keeps_strokes(page: Page, photo_file: Path):
    give_photo(page, photo_file)
    page.locator("#card-segmentation .map-open").click()
    dialog = page.locator("dialog[open]")
    stroke(page, dialog, "sky")
    painted = dialog.locator("canvas").evaluate(COLOURS)
    dialog.locator("[data-name='sky']").focus()
    page.keyboard.press("Control+z")
    expect(dialog.get_by_role("button", name="Undo")).to_be_disabled()
    assert dialog.locator("canvas").evaluate(COLOURS) != painted
    page.keyboard.press("Control+Shift+Z")
    page.keyboard.press("Escape")
    expect(dialog.locator(".paint-question")).to_contain_text("not applied")
    page.keyboard.press("Escape")  # the question is answered with: go on
    expect(dialog.locator(".paint-question")).to_be_empty()
    assert dialog.locator("canvas").evaluate(COLOURS) == painted
    dialog.get_by_role("button", name="Cancel").click()
    dialog.get_by_role("button", name="Discard strokes").click()
    expect(dialog).to_have_count(0)
    expect(page.locator("#card-segmentation .badge")).to_have_text("auto")


def test_painting_is_exact_at_every_zoom_and_space_moves_the_picture(page: Page, photo_file: Path):
    give_photo(page, photo_file)
    page.locator("#card-segmentation .map-open").click()
    dialog = page.locator("dialog[open]")
    canvas, scroll = dialog.locator("canvas"), dialog.locator(".paint-scroll")
    before, fits, box = canvas.evaluate(COLOURS), canvas.bounding_box(), scroll.bounding_box()
    wheel(page, scroll, -2)
    assert canvas.bounding_box()["width"] > 1.5 * fits["width"]
    assert scroll.bounding_box() == box  # the picture grows, its place does not
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    was = scroll.evaluate("(node) => [node.scrollLeft, node.scrollTop]")
    canvas.focus()
    page.keyboard.down("Space")
    drag(page, middle, (-60, -40))
    page.keyboard.up("Space")
    now = scroll.evaluate("(node) => [node.scrollLeft, node.scrollTop]")
    assert [new - old for new, old in zip(now, was, strict=True)] == pytest.approx([60, 40], abs=2)
    assert canvas.evaluate(COLOURS) == before
    for _ in range(64):
        page.keyboard.press("[")
    dialog.locator("[data-name='water']").click()
    page.mouse.click(*middle)
    after = canvas.evaluate(COLOURS)
    assert after["0,60,200,255"] - before.get("0,60,200,255", 0) == 1
    assert sum(after.values()) == sum(before.values()) and len(after) <= len(before) + 1


def test_both_pictures_zoom_and_move_together_and_the_handle_stays(page: Page, photo_file: Path):
    give_photo(page, photo_file)
    run(page)
    viewer = page.locator("#viewer")
    frame, scroll = viewer.locator(".view-frame"), viewer.locator(".view-scroll")
    fits = frame.bounding_box()
    wheel(page, frame, -2, key=None)  # the wheel alone scrolls the page
    assert frame.bounding_box()["width"] == fits["width"]
    page.locator("#pane-result").evaluate("(node) => { node.scrollTop = 0; }")
    height = scroll.bounding_box()["height"]
    wheel(page, frame, -3)
    assert frame.bounding_box()["width"] > 2 * fits["width"]
    assert scroll.bounding_box()["height"] == pytest.approx(height, abs=2)
    grip = viewer.locator(".view-grip").bounding_box()
    was = frame.bounding_box()
    box = scroll.bounding_box()
    drag(page, (box["x"] + box["width"] * 0.8, box["y"] + box["height"] / 2), (-50, -30))
    now = frame.bounding_box()
    assert [was["x"] - now["x"], was["y"] - now["y"]] == pytest.approx([50, 30], abs=2)
    assert viewer.locator(".view-left").bounding_box() == viewer.locator(".view-right").bounding_box()
    assert viewer.locator(".view-grip").bounding_box()["x"] == pytest.approx(grip["x"], abs=2)
    drag(page, (grip["x"] + 22, box["y"] + box["height"] / 2), (70, 0))
    assert viewer.locator(".view-grip").bounding_box()["x"] == pytest.approx(grip["x"] + 70, abs=3)
    assert frame.bounding_box() == now
    viewer.get_by_role("button", name="100 %").click()
    assert frame.bounding_box()["width"] == 148
    viewer.get_by_role("button", name="Fit").click()
    assert frame.bounding_box()["width"] == pytest.approx(fits["width"], abs=1)


def test_a_picture_chosen_to_compare_with_stays_chosen_in_the_next_run(page: Page, photo_file: Path):
    give_photo(page, photo_file)
    viewer, left = page.locator("#viewer"), page.locator("#viewer").get_by_label("Left picture")
    run(page, steps=1)
    assert left.locator("option").all_text_contents() == ["Plain upscale (bicubic)", "Result"]
    run(page, steps=1)
    expect(left.locator("option:checked")).to_have_text("Plain upscale (bicubic)")
    left.select_option("Run before")
    expect(viewer.locator(".view-tag-left")).to_have_text("Run before")
    expect(viewer.locator(".view-note")).to_contain_text("mean difference")
    run(page, steps=1)
    expect(left.locator("option:checked")).to_have_text("Run before")
    expect(viewer.locator(".view-tag-right")).to_have_text("Result")


def test_full_screen_and_back(page: Page, photo_file: Path):
    give_photo(page, photo_file)
    run(page)
    viewer = page.locator("#viewer")
    viewer.get_by_role("button", name="Full screen").click()
    page.wait_for_function("document.fullscreenElement?.classList.contains('viewer')")
    assert viewer.locator(".view-frame").bounding_box()["height"] > 700
    viewer.get_by_role("button", name="Leave full screen").click()
    page.wait_for_function("!document.fullscreenElement")


@pytest.mark.parametrize("size", [(390, 844), (820, 1180), (1024, 768)])
def test_run_and_what_is_said_are_in_view_wherever_one_is(
    context: BrowserContext, address: str, photo_file: Path, tmp_path: Path, size: tuple[int, int]
):
    page = visit(context, address)
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.locator("#photo input[type=file]").first.set_input_files(photo_file)
    page.locator("#card-edge .badge-auto").wait_for(state="attached")
    if size[0] < 761:
        page.locator("[data-pane='maps']").first.click()
    (tmp_path / "broken.png").write_bytes(b"no picture")
    page.locator("#photo input[type=file]").first.set_input_files(tmp_path / "broken.png")
    expect(page.locator("#notice .bad")).to_be_in_viewport(ratio=1)
    expect(page.locator("#run")).to_be_in_viewport(ratio=1)
    page.locator("#run").click(trial=True)  # nothing lies over it
    page.get_by_role("button", name="Close this notice").click()
    expect(page.locator("#notice")).to_be_hidden()
    page.locator("#photo input[type=file]").first.set_input_files(tmp_path / "broken.png")
    expect(page.locator("#notice .bad")).to_be_in_viewport(ratio=1)  # the same words, said again


def test_run_stays_in_view_in_its_column(page: Page, photo_file: Path):
    give_photo(page, photo_file)
    run(page)
    page.locator("#pane-result").evaluate("(node) => { node.scrollTop = 400; }")
    assert page.locator("#pane-result").evaluate("(node) => node.scrollTop") > 100
    expect(page.locator("#run")).to_be_in_viewport(ratio=1)


def test_the_choice_of_light_or_dark_survives_a_reload(page: Page):
    dark = "document.body.classList.contains('dark')"
    assert not page.evaluate(dark)
    page.locator("#theme-button").click()
    page.wait_for_function(dark)
    page.reload()
    page.locator(".engine.ok").wait_for()
    page.wait_for_function(dark)


def test_ctrl_enter_runs_esc_stops_and_a_tab_out_of_sight_says_the_end(page: Page, photo_file: Path):
    give_photo(page, photo_file)
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    set_number(page, "steps", 5)
    page.locator("#set-steps input[type=number]").first.fill("100")  # still being typed
    page.keyboard.press("Control+Enter")
    expect(page.locator("#status")).to_contain_text("of 100")
    page.evaluate("""() => {
      Object.defineProperty(document, "hidden", { value: true });
      const now = Date.now;
      Date.now = () => now() + 11000;
    }""")
    page.keyboard.press("Escape")
    expect(page.locator("#status")).to_contain_text("Stopped")
    page.wait_for_function("document.title.includes('Finished')")
    page.locator("#map-text textarea").fill("a harbour at night")
    page.reload()
    page.locator(".engine.ok").wait_for()
    assert asked == ["beforeunload"]
