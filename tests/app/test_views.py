"""Pictures for the page: transparent photos on checks, wherever they are shown."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from app import views
from app.engine import Engine
from app.maps import Maps
from app.page import Page
from app.run import Run, picture
from app.visit import Finished, Visit
from mmsr_core.images import Photo
from mmsr_core.settings import Settings

BAND = 16  # px of the photo: one clear, one half clear, one solid


@pytest.fixture
def rgb() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (BAND, 3 * BAND, 3), np.uint8))


@pytest.fixture
def alpha() -> Image.Image:
    return Image.fromarray(np.repeat(np.repeat(np.uint8([[0, 128, 255]]), BAND, axis=0), BAND, axis=1))


def assert_on_checks(shown: Image.Image, plain: Image.Image, scale: int) -> None:
    """`shown` is `plain` with the bands' transparency; at a band's border the enlarged alpha is in between."""
    seen, under = (np.asarray(image.convert("RGB")).astype(int) for image in (shown, plain))
    assert seen.shape == under.shape == (BAND * scale, 3 * BAND * scale, 3)
    y, x = np.mgrid[: seen.shape[0], : seen.shape[1]]
    checks = np.where((x // 8 + y // 8) % 2, 205, 240)[..., None]  # grey squares of 8 px
    border = 3 * (scale - 1)
    clear, half, solid = (slice(n * BAND * scale + border, (n + 1) * BAND * scale - border) for n in range(3))
    assert (seen[:, clear] == checks[:, clear]).all()
    assert np.abs(seen[:, half] - (under + checks)[:, half] / 2).max() <= 1
    assert (seen[:, solid] == under[:, solid]).all()


def test_the_photo_box_shows_transparent_photos_on_checks(rgb, alpha):
    assert_on_checks(views.boxed(Photo(rgb, alpha)), rgb, 1)


def test_the_photo_box_shows_opaque_photos_as_they_are(rgb):
    assert views.boxed(Photo(rgb)).tobytes() == rgb.tobytes() and views.boxed(None) is None


def in_viewer(engine: Engine, widgets: Page, visit: Visit, photo: Photo) -> tuple[list[Image.Image], Finished]:
    """The plain upscale and the result as they travel to the page, and the run they are of."""
    settings = Settings(steps=1, weight=0.0, seed=0)
    result = engine.upscaler().restore(photo.rgb, {}, settings)
    run = Finished(photo, settings, result, visit.slots)
    visit.remember(run)
    shown = Run(Maps(engine, widgets)).finished(visit)[widgets.viewer]["pictures"]
    coded = [one["src"].removeprefix("data:image/png;base64,") for one in shown]
    return [Image.open(io.BytesIO(base64.b64decode(one))) for one in coded], run


def test_the_viewer_shows_transparent_photos_on_checks(engine, widgets, guest, rgb, alpha):
    (plain, made), run = in_viewer(engine, widgets, guest, Photo(rgb, alpha))
    assert_on_checks(plain, run.result.bicubic, 4)
    assert_on_checks(made, picture(run), 4)


def test_the_viewer_shows_opaque_photos_as_they_are(engine, widgets, guest, rgb):
    (plain, made), run = in_viewer(engine, widgets, guest, Photo(rgb))
    assert plain.tobytes() == run.result.bicubic.tobytes() and made.tobytes() == picture(run).tobytes()
