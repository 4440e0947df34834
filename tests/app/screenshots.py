"""Pictures of the page for the README, made with the bundled weights: `make screenshots`."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from app import ui
from app.engine import Engine, Options
from tests.app.conftest import CHROMIUM, FLAGS
from tests.app.visitor import set_dial, visit

PATIENCE = 600_000  # ms: a laptop that does other things too
FOLDER = Path(__file__).parents[2] / "assets" / "screenshots"


def main() -> None:
    """Serve the page in this process, visit it, save what is seen."""
    engine = Engine(Options(device="cpu"))
    demo = ui.build(engine)
    demo.queue(max_size=4)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, run_history=False, **ui.look())
    engine.upscaler()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        desktop(browser, url)
        dark(browser, url)
        compare(browser, url)
        phone(browser, url)
        browser.close()
    demo.close()


def tab(browser: Browser, url: str, width: int, height: int, scheme: str = "light") -> Page:
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    context.set_default_timeout(PATIENCE)
    return visit(context, url)


def example(page: Page, index: int) -> None:
    """Pick a bundled photo and wait for its maps."""
    page.locator("#examples button").nth(index).click()
    for name in ("text", "depth", "segmentation", "edge"):
        page.locator(f"#card-{name} .badge-auto").wait_for(state="attached")


def run(page: Page) -> None:
    page.locator("#run").click()
    expect(page.locator("#save")).to_be_enabled(timeout=PATIENCE)


def desktop(browser: Browser, url: str) -> None:
    page = tab(browser, url, 1440, 900)
    example(page, 2)
    set_dial(page, "edge", 0.5)
    run(page)
    save(page, "desktop")


def dark(browser: Browser, url: str) -> None:
    page = tab(browser, url, 1440, 900, "dark")
    example(page, 0)
    run(page)
    save(page, "dark")


def compare(browser: Browser, url: str) -> None:
    page = tab(browser, url, 1440, 900)
    page.get_by_role("tab", name="Compare").click()
    page.locator("#worked").click()
    expect(page.locator("#compare-save")).to_be_enabled(timeout=PATIENCE)
    save(page, "compare")


def phone(browser: Browser, url: str) -> None:
    page = tab(browser, url, 390, 844)
    example(page, 1)
    shots = []
    for pane in ("photo", "maps", "steer"):
        page.locator(f"[data-pane='{pane}']").first.click()
        shots.append(shot(page))
    page.locator("[data-pane='result']").first.click()
    run(page)
    shots.append(shot(page))
    gap = 24
    sheet = Image.new("RGB", (sum(image.width + gap for image in shots) - gap, shots[0].height), "white")
    for position, image in enumerate(shots):
        sheet.paste(image, (position * (image.width + gap), 0))
    write(sheet, "phone")


def shot(page: Page) -> Image.Image:
    page.mouse.move(0, 0)
    page.wait_for_timeout(700)
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def save(page: Page, name: str) -> None:
    write(shot(page), name)


def write(image: Image.Image, name: str) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    image.save(FOLDER / f"{name}.jpg", quality=88, subsampling=0, optimize=True)


if __name__ == "__main__":
    main()
