"""Run without a browser: a photo that is changed while it is read."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from PIL import Image

from app import controls
from app.engine import Engine
from app.maps import NAMES, Maps
from app.page import Page
from app.run import Run
from app.visit import Visit
from mmsr_core.images import open_photo
from mmsr_core.settings import Settings

VALUES = [*controls.write(Settings(steps=1, weight=0.0)), False]


@pytest.mark.parametrize("last", NAMES)
def test_a_photo_that_is_changed_while_run_reads_its_maps_ends_the_run(
    engine: Engine, widgets: Page, guest: Visit, photo_file: Path, other_file: Path, monkeypatch, last: str
):
    """While its `last` modality is read; the maps of the new photo, empty or given by hand, stay as they are."""
    maps, upscaler, left = Maps(engine, widgets), engine.upscaler(), []
    extract = upscaler.extract

    def interrupted(image: Image.Image, names: tuple[str, ...], *rest):
        if names == (last,):
            maps.use(guest, open_photo(other_file), "", *VALUES)
            guest.slots["depth"].set(Image.new("L", (32, 28), 5), "uploaded")
            left.append(copy.deepcopy(guest.slots))
        return extract(image, names, *rest)

    monkeypatch.setattr(upscaler, "extract", interrupted)
    guest.photo = open_photo(photo_file)
    *_, end = Run(maps).run(guest, *VALUES)
    assert "The photo was changed while the one before it was being read; start again." in end[widgets.notice]
    assert [guest.slots] == left and guest.finished is None
    assert end[widgets.status] == "" and end[widgets.run].interactive and not end[widgets.stop].interactive


def test_a_photo_that_stays_runs_to_its_end(engine: Engine, widgets: Page, guest: Visit, photo_file: Path):
    guest.photo = open_photo(photo_file)
    *_, end = Run(Maps(engine, widgets)).run(guest, *VALUES)
    assert widgets.notice not in end and guest.finished.result.sampled.size == (148, 108)


def shown(engine: Engine, page: Page, visit: Visit, *values) -> list[str]:
    """Run, and what can then be put under the handle."""
    changes = [step for step in Run(Maps(engine, page)).run(visit, *values) if page.save in step]
    return [picture["label"] for picture in changes[-1][page.viewer]["pictures"]]


def test_the_run_before_is_there_to_compare_with(engine: Engine, widgets: Page, guest: Visit, photo_file: Path):
    """One of the same photo and size only, whatever was run in between."""
    two, both = ["Plain upscale (bicubic)", "Result"], ["Plain upscale (bicubic)", "Result", "Run before"]
    small = [*controls.write(Settings(steps=1, weight=0.0, scale=2)), False]
    guest.photo = open_photo(photo_file)
    assert shown(engine, widgets, guest, *VALUES) == two
    assert shown(engine, widgets, guest, *VALUES) == both
    assert shown(engine, widgets, guest, *small) == two
    *_, part = Run(Maps(engine, widgets)).run_part(guest, {"box": [0, 0, 16]}, *VALUES)
    assert shown(engine, widgets, guest, *VALUES) == both
    assert guest.before(guest.finished) is guest.history[3]
    guest.photo = open_photo(photo_file)
    assert shown(engine, widgets, guest, *VALUES) == two
    guest.finished = guest.history[-2]
    assert guest.before(guest.finished) is guest.history[-1] and guest.before(guest.history[-1]) is None
