"""Run without a browser: what happens while it waits and reads, what is kept of it, and what its recipe brings back."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from app import controls, views, visit
from app.engine import Engine
from app.maps import NAMES, Maps
from app.page import Page
from app.restore import Restore
from app.run import Run, picture, recipe
from app.visit import Visit
from mmsr_core.images import Photo, open_photo
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


def test_stop_and_run_again_before_the_first_turn_has_come(
    engine: Engine, widgets: Page, guest: Visit, photo_file: Path
):
    guest.photo, run = open_photo(photo_file), Run(Maps(engine, widgets))
    run.press(guest)
    run.stop(guest)
    run.press(guest)
    given_up = list(run.run(guest, *VALUES))
    assert not any(widgets.run in changes for changes in given_up) and guest.history == []  # still busy
    *_, end = run.run(guest, *VALUES)
    assert end[widgets.run].interactive and len(guest.history) == 1
    run.press(guest)
    run.stop(guest)
    *_, end = run.run(guest, *VALUES)
    assert end[widgets.run].interactive and len(guest.history) == 1 and guest.waiting == guest.given_up == []


def test_what_is_made_of_a_map_while_it_is_read_stays(
    engine: Engine, widgets: Page, guest: Visit, photo_file: Path, monkeypatch
):
    maps, upscaler, mine = Maps(engine, widgets), engine.upscaler(), Image.new("L", (32, 28), 5)
    extract = upscaler.extract

    def meanwhile(image: Image.Image, names: tuple[str, ...], *rest):
        if names == ("depth",):
            guest.slots["depth"].set(mine, "uploaded")
        return extract(image, names, *rest)

    monkeypatch.setattr(upscaler, "extract", meanwhile)
    guest.photo = open_photo(photo_file)
    list(maps.extract_new(guest))
    slot = guest.slots["depth"]
    assert slot.value is mine and slot.source == "uploaded" and slot.extracted is not None
    maps.reset(guest, name="depth")
    assert slot.value is slot.extracted and slot.source == "auto"


def test_a_photo_that_is_taken_away_while_the_model_loads_is_not_read(
    engine: Engine, widgets: Page, guest: Visit, photo_file: Path, monkeypatch
):
    maps = Maps(engine, widgets)
    guest.photo = open_photo(photo_file)
    monkeypatch.setattr(maps, "waiting", lambda: iter([maps.forget(guest) or {}]))
    assert not any(widgets.notice in changes for changes in maps.extract_new(guest))
    assert all(slot.value is None for slot in guest.slots.values())


def test_a_refused_stroke_leaves_the_card_as_it_was(engine: Engine, widgets: Page, guest: Visit, photo_file: Path):
    maps = Maps(engine, widgets)
    guest.photo = open_photo(photo_file)
    list(maps.extract_new(guest))
    before, card = guest.slots["edge"].value, widgets.cards["edge"]
    white = views.data_url(Image.new("RGB", before.size, "white"))
    changes = maps.painted(guest, {"src": white}, name="edge")
    assert "white" in changes[widgets.notice] and guest.slots["edge"].value is before
    assert changes[card.view]["src"] == maps.card(guest, "edge")[card.view]["src"] != white


def test_the_history_is_bounded_by_the_pixels_of_its_results(guest: Visit, monkeypatch):
    monkeypatch.setattr(visit, "HISTORY_PIXELS", 250)

    def done(side: int) -> visit.Finished:
        result = SimpleNamespace(sampled=Image.new("RGB", (side, side)), seed=1)
        return visit.Finished(Photo(Image.new("RGB", (16, 16))), Settings(), result, {})

    for _ in range(4):
        guest.remember(done(10))
    assert len(guest.history) == 2  # 300 px would be too many
    guest.remember(done(20))
    assert [run.result.sampled.width for run in guest.history] == [20, 10]  # the last two are kept whatever they take


def test_the_recipe_of_another_photo_leaves_the_maps_alone_until_its_own_comes(
    engine: Engine, widgets: Page, guest: Visit, photo_file: Path, other_file: Path
):
    maps = Maps(engine, widgets)
    run = Run(maps)
    restore, first, second = Restore(maps, run), open_photo(photo_file), open_photo(other_file)
    maps.use(guest, first, "", *VALUES)
    edited, guest.mask = Image.new("L", first.rgb.size, 200), Image.new("L", first.rgb.size, 255)
    guest.slots["depth"].set(edited, "edited")
    list(run.run(guest, *VALUES))
    text = recipe(guest.finished).to_json()

    other = Visit()
    maps.use(other, second, "", *VALUES)
    list(maps.extract_new(other))
    before = {name: slot.value for name, slot in other.slots.items()}
    changes = restore.recipe(other, text)
    assert "another photo" in changes[widgets.notice] and changes[widgets.seed] == guest.seed
    assert {name: slot.value for name, slot in other.slots.items()} == before and other.mask is None
    maps.use(other, first, "", *VALUES)
    assert other.slots["depth"].value.tobytes() == edited.tobytes() and other.slots["depth"].source == "file"
    assert other.mask is not None
    other.close()


def test_a_reference_measures_results_of_its_photo_only(
    engine: Engine, widgets: Page, guest: Visit, photo_file: Path, other_file: Path
):
    maps = Maps(engine, widgets)
    run = Run(maps)
    maps.use(guest, open_photo(photo_file), "", *VALUES)
    list(run.run(guest, *VALUES))
    maps.use(guest, open_photo(other_file), "", *VALUES)
    guest.reference = Image.new("RGB", (128, 112))
    assert "PSNR" not in run.finished(guest)[widgets.readout]


def test_a_long_name_is_cut_for_the_files_made_of_it(engine: Engine, widgets: Page, guest: Visit, photo_file: Path):
    run = Run(Maps(engine, widgets))
    guest.photo = replace(open_photo(photo_file), name="д" * 125 + ".png")
    list(run.run(guest, *VALUES))
    for changes in (run.save(guest, "png"), run.bundle(guest, "png"), run.save_recipe(guest)):
        assert Path(changes[widgets.file]).exists()


def test_giving_a_photo_and_pressing_run_keep_the_visit_alive(
    engine: Engine, widgets: Page, guest: Visit, photo_file: Path
):
    """Gradio counts a state's time to live from when it was handed back last."""
    maps = Maps(engine, widgets)
    assert maps.use(guest, open_photo(photo_file), "", *VALUES)[widgets.visit] is guest
    assert Run(maps).press(guest)[widgets.visit] is guest


def test_a_result_can_become_the_photo_with_its_transparency(
    engine: Engine, widgets: Page, guest: Visit, photo_file: Path, monkeypatch
):
    maps = Maps(engine, widgets)
    run, photo = Run(maps), open_photo(photo_file)
    maps.use(guest, replace(photo, alpha=Image.new("L", photo.rgb.size, 100), bits=16), "", *VALUES)
    list(run.run(guest, *VALUES))
    made, restore = picture(guest.finished), Restore(maps, run)
    changes = restore.further(guest, *VALUES)
    assert guest.photo.rgb.tobytes() == made.tobytes() and guest.photo.name == "harbour-x4.png"
    assert guest.photo.alpha.size == made.size and guest.photo.alpha.getextrema() == (100, 100)
    assert "Result · 148 × 108" in changes[widgets.photo_line] and "16-bit" not in changes[widgets.photo_line]
    assert all(slot.value is None for slot in guest.slots.values())  # its maps are read anew
    monkeypatch.setattr(engine, "options", replace(engine.options, max_megapixels=0.004))
    assert "was shrunk" in restore.further(guest, *VALUES)[widgets.notice] and guest.photo.rgb.size == (74, 54)
