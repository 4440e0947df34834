"""How the page looks and reads: no outside request, phone, dark, contrast and labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.app.visitor import give_photo, run, set_number, visit

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


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


def test_what_is_loaded_unfolds(page: Page):
    page.locator(".engine summary").click()
    expect(page.locator(".engine details")).to_contain_text("Untrained; exists for tests.")
    expect(page.locator(".engine details")).to_contain_text("parameters")


def test_phone_has_tabs_and_no_sideways_scroll(context: BrowserContext, address: str, photo_file: Path):
    page = visit(context, address)
    page.set_viewport_size({"width": 390, "height": 844})
    give_photo_on_phone(page, photo_file)
    for pane in ("photo", "maps", "steer", "result"):
        page.locator(f"[data-pane='{pane}']").first.click()
        page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, pane
        expect(page.locator("#run")).to_be_in_viewport()
        assert page.locator("#run-bar").bounding_box()["height"] < 100
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


def test_dark_follows_the_system_and_the_button(browser: Browser, address: str):
    context = browser.new_context(color_scheme="dark")
    page = visit(context, address)
    background = "getComputedStyle(document.querySelector('#pane-photo')).backgroundColor"
    assert page.evaluate(background) == "rgb(24, 27, 32)"
    page.locator("#theme-button").click()
    page.wait_for_function(f"{background} === 'rgb(255, 255, 255)'")
    context.close()


def serious(page: Page, axe: str, place: str) -> dict[str, list[str]]:
    """Serious and critical violations that axe-core finds now."""
    page.wait_for_timeout(300)
    page.evaluate(axe)
    result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return {
        f"{place}: {violation['id']}": [node["html"][:160] for node in violation["nodes"]][:5]
        for violation in result["violations"]
        if violation["impact"] in ("serious", "critical")
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_accessibility_violation(browser: Browser, address: str, photo_file: Path, axe: str, scheme: str):
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme=scheme)
    page = visit(context, address)
    found = serious(page, axe, "empty")
    give_photo(page, photo_file)
    run(page)
    for fold in page.locator("#pane-steer button.label-wrap, .card-more button.label-wrap").all():
        fold.click()
    page.locator(".engine summary").click()
    found |= serious(page, axe, "Studio")
    page.locator("#card-depth .map-open").click()
    found |= serious(page, axe, "painting")
    page.keyboard.press("Escape")
    for tab in ("Compare", "Batch", "Help"):
        page.get_by_role("tab", name=tab).click()
        found |= serious(page, axe, tab)
    context.close()
    assert found == {}, json.dumps(found, indent=1)


def test_no_serious_accessibility_violation_on_a_phone(browser: Browser, address: str, photo_file: Path, axe: str):
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = visit(context, address)
    give_photo_on_phone(page, photo_file)
    run_on_phone(page)
    found = {}
    for pane in ("photo", "maps", "steer", "result"):
        page.locator(f"[data-pane='{pane}']").first.click()
        found |= serious(page, axe, pane)
    context.close()
    assert found == {}, json.dumps(found, indent=1)
