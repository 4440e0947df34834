"""What a visitor does, in a few words."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import BrowserContext, Download, Page, expect

SLOW = 120_000  # ms


def visit(context: BrowserContext, address: str) -> Page:
    """A new tab, and the model loaded."""
    page = context.new_page()
    page.goto(address)
    page.locator(".engine.ok").wait_for()
    return page


def give_photo(page: Page, path: Path) -> None:
    """Put a file into the photo box and wait for its maps."""
    page.locator("#photo input[type=file]").first.set_input_files(path)
    page.locator("#card-edge .badge-auto").wait_for()


def set_number(page: Page, key: str, value: float) -> None:
    """Type into the number field of a slider or number box."""
    field = page.locator(f"#set-{key} input[type=number]").first
    field.fill(str(value))
    field.press("Tab")


def set_dial(page: Page, name: str, value: float) -> None:
    field = page.locator(f"#temperature-{name} input[type=number]")
    field.fill(str(value))
    field.press("Tab")


def choose(page: Page, key: str, value: str) -> None:
    """Pick from a dropdown."""
    page.locator(f"#set-{key} input").first.click()
    page.get_by_role("option", name=value, exact=True).click()


def open_fold(page: Page, title: str) -> None:
    page.locator("#pane-steer").locator("button.label-wrap", has_text=title).click()


_RUN_ENDS = """() => {
  const button = document.querySelector("#run");
  window.runEnds = new Promise((done) => new MutationObserver(() => { if (!button.disabled) done(); })
    .observe(button, { attributes: true, attributeFilter: ["disabled"] }));
}"""


def run(page: Page, steps: int = 1) -> None:
    """Run and wait for the result."""
    set_number(page, "steps", steps)
    page.evaluate(_RUN_ENDS)  # before the click: a tiny model may be done before anybody looks
    page.locator("#run").click()
    page.evaluate("window.runEnds")
    assert page.locator("#notice .bad").all_inner_texts() == []
    expect(page.locator("#save")).to_be_enabled()


def begin(page: Page) -> None:
    """Start a run that lasts, and wait until it is under way."""
    set_number(page, "steps", 100)
    page.locator("#run").click()
    expect(page.locator("#status")).to_contain_text("of 100")


def download(page: Page, button: str, folder: Path) -> Path:
    """Press a button that hands over a file."""
    with page.expect_download(timeout=SLOW) as caught:
        page.locator(button).click()
    return saved(caught.value, folder)


def saved(download: Download, folder: Path) -> Path:
    path = folder / download.suggested_filename
    download.save_as(path)
    return path


def paint(page: Page, name: str, tool: str, card: str | None = None, fill: bool = False) -> None:
    """Draw a stroke on a map, or fill the region in its middle, and apply it."""
    page.locator(f"#card-{name} .map-open" if card is None else f"{card} .map-open").click()
    dialog = page.locator("dialog[open]")
    dialog.locator(f"[data-name='{tool}']").click()
    canvas = dialog.locator("canvas")
    box = canvas.bounding_box()
    if fill:
        dialog.get_by_role("radio", name="Fill region").click()
        canvas.click()
    else:
        page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.2)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.5, steps=4)
        page.mouse.up()
    dialog.locator(".paint-apply").click()
    expect(dialog).to_have_count(0)
