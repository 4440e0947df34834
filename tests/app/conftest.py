"""The page on the tiny model, served in this process, and a Chromium to visit it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
import torch
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from app import ui, wiring
from app.engine import Engine, Options
from app.page import Page as Widgets
from app.visit import Visit
from tests.app.visitor import visit

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 120_000  # ms: the machine may be busy
expect.set_options(timeout=60_000)


@pytest.fixture(scope="session")
def engine() -> Engine:
    torch.set_num_threads(1)  # the browser needs the other core
    return Engine(Options(preset="tiny", device="cpu", max_megapixels=1.0))


@pytest.fixture(scope="session")
def widgets(engine: Engine) -> Widgets:
    """The widgets of a page that nobody visits, for handlers that are called without a browser."""
    found, wire = [], wiring.wire
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wiring, "wire", lambda demo, engine, page: found.append(page) or wire(demo, engine, page))
        ui.build(engine)
    return found[0]


@pytest.fixture
def guest() -> Iterator[Visit]:
    """A visit of that page."""
    visit = Visit()
    yield visit
    visit.close()


@pytest.fixture(scope="session")
def address(engine: Engine) -> Iterator[str]:
    """The page, as `app.py` serves it."""
    demo = ui.build(engine)
    demo.queue(max_size=20, default_concurrency_limit=4)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, run_history=False, **ui.look())
    engine.upscaler()
    yield url.rstrip("/")
    demo.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, address: str) -> Page:
    """A fresh visit of the loaded page."""
    return visit(context, address)


@pytest.fixture(scope="session")
def photo_file(tmp_path_factory: pytest.TempPathFactory, photo: Image.Image) -> Path:
    """37 x 27 px: odd sides, so that an output size snapped to a multiple would show."""
    path = tmp_path_factory.mktemp("photos") / "harbour.png"
    photo.crop((0, 0, 37, 27)).save(path)
    return path


@pytest.fixture(scope="session")
def other_file(tmp_path_factory: pytest.TempPathFactory, photo: Image.Image) -> Path:
    path = tmp_path_factory.mktemp("photos") / "valley.png"
    photo.crop((5, 5, 37, 33)).rotate(180).save(path)
    return path


@pytest.fixture(scope="session")
def axe() -> str:
    """Source of axe-core, as `axe-playwright-python` ships it."""
    return (resources.files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
