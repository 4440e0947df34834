"""Try a part first: what is cut from a photo and its maps, and what becomes of the whole."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from app import controls, part
from app.engine import Engine
from app.maps import Maps
from app.page import Page
from app.restore import Restore
from app.run import Run, recipe
from app.visit import Finished, Slot, Visit
from mmsr_core.images import Photo
from mmsr_core.settings import Settings

VALUES = [*controls.write(Settings(steps=1, weight=0.0, seed=3)), False]
PLACE = {"box": [40, 8, 24], "moved": True}
BOX = (40, 8, 64, 32)


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


@pytest.fixture
def whole() -> Finished:
    """A run of 80 x 48 px with maps of several sizes and sources."""
    rgb, depth = noise(80, 48), noise(40, 24, 1).convert("L")
    slots = {
        "text": Slot("a harbour", "a harbour", "auto"),
        "depth": Slot(depth, depth, "auto"),
        "segmentation": Slot(noise(160, 96, 2), noise(80, 48, 3), "edited"),
        "edge": Slot(on=False),
    }
    alpha = noise(80, 48, 4).convert("L")
    return Finished(Photo(rgb, alpha=alpha, name="harbour.png"), Settings(), None, slots, noise(20, 12, 5).convert("L"))


@pytest.mark.parametrize("size", [(4000, 1000), (1000, 4000), (150, 700), (37, 27), (16, 16)])
def test_a_frame_stands_inside_its_photo(size: tuple[int, int]):
    side = min(part.USUAL, *size)
    for sent in (None, {}, {"box": [-50, 10**6, 10**6]}, {"box": [3.7, 2, 1]}, {"box": "abc"}, {"box": [1, 2]}):
        left, top, right, bottom = part.read(sent, size)
        assert left >= 0 and right <= size[0] and top >= 0 and bottom <= size[1]
        assert 16 <= right - left == bottom - top
    left, top, right, bottom = part.middle(size)
    assert right - left == bottom - top == side
    assert abs(left - (size[0] - right)) <= 1 and abs(top - (size[1] - bottom)) <= 1


def test_a_frame_comes_back_as_it_was_sent():
    photo = Photo(noise(80, 48))
    assert part.read(part.shown(photo, BOX), (80, 48)) == part.read(PLACE, (80, 48)) == BOX
    assert part.read(part.shown(photo), (80, 48)) == part.middle((80, 48))
    assert part.shown(None) is None


def test_a_part_has_the_pixels_of_the_whole_at_every_size(whole: Finished):
    cut = part.cut(whole, BOX)
    assert cut.photo.rgb.tobytes() == whole.photo.rgb.crop(BOX).tobytes()
    assert cut.photo.alpha.tobytes() == whole.photo.alpha.crop(BOX).tobytes()
    assert cut.photo.name == "harbour-part.png"
    assert cut.slots["depth"].value.tobytes() == whole.slots["depth"].value.crop((20, 4, 32, 16)).tobytes()
    segmentation = whole.slots["segmentation"]
    assert cut.slots["segmentation"].value.tobytes() == segmentation.value.crop((80, 16, 128, 64)).tobytes()
    assert cut.slots["segmentation"].extracted.tobytes() == segmentation.extracted.crop(BOX).tobytes()
    assert cut.mask.tobytes() == whole.mask.crop((10, 2, 16, 8)).tobytes()
    assert (cut.whole, cut.box) == (whole, BOX)


def test_what_was_read_from_the_whole_counts_as_given_and_the_rest_stays_what_it_was(whole: Finished):
    cut = part.cut(whole, BOX).slots
    assert {name: slot.source for name, slot in cut.items()} == {
        "text": "file", "depth": "file", "segmentation": "edited", "edge": "none",
    }  # fmt: skip
    assert cut["text"].value == "a harbour" and not cut["edge"].on
    assert cut["depth"].extracted is cut["depth"].value  # still not edited
    assert whole.slots["depth"].source == "auto" and whole.slots["depth"].value.size == (40, 24)


def test_a_map_of_few_pixels_has_one_left_and_a_mask_beside_the_part_is_none(whole: Finished):
    assert part.inside(noise(2, 2), (95, 95, 100, 100), (100, 100)).size == (1, 1)
    mask = Image.new("L", (80, 48))
    mask.paste(255, (0, 0, 40, 48))
    assert part.cut(replace(whole, mask=mask), BOX).mask is None


@pytest.fixture
def tried(engine: Engine, widgets: Page, guest: Visit, photo: Image.Image) -> Visit:
    """A visit with a photo of 159 x 111 px, a reference of it, and a run of a part."""
    maps = Maps(engine, widgets)
    maps.use(guest, Photo(photo.resize((159, 111)), name="harbour.png"), "", *VALUES)
    guest.slots["depth"].set(noise(53, 37).convert("L"), "uploaded")
    guest.reference = photo.resize((318, 222))
    run = Run(maps)
    changes = list(run.run_part(guest, PLACE, *VALUES))
    assert widgets.notice not in changes[-1]
    assert "96 × 96" in run.learnt(guest, PLACE, *VALUES)[widgets.part_plan]
    readout = next(one[widgets.readout] for one in changes if widgets.readout in one)
    assert "24 × 24 px at 40, 8" in readout and "PSNR" in readout
    return guest


def test_the_run_of_a_part_leaves_the_whole_alone_and_its_recipe_makes_it_again(engine: Engine, tried: Visit):
    run = tried.finished
    assert run.result.sampled.size == (96, 96) and tried.photo.rgb.size == (159, 111)
    assert tried.slots["edge"].source == "auto" and tried.slots["edge"].value.size == (159, 111)
    made = recipe(run)
    sources = {"text": "file", "depth": "uploaded", "segmentation": "file", "edge": "file"}
    assert made.sources == sources and made.fits(tried.photo.rgb.crop(BOX))
    given = {"text": made.caption, **{name: made.map(name) for name in made.maps}}
    again = engine.upscaler().restore(run.photo.rgb, given, made.used_settings())
    assert again.sampled.tobytes() == run.result.sampled.tobytes()


def test_choosing_a_part_in_the_history_brings_the_whole_photo_and_its_maps_back(
    engine: Engine, widgets: Page, tried: Visit, photo: Image.Image
):
    maps = Maps(engine, widgets)
    restore, whole, run = Restore(maps, Run(maps)), tried.photo, tried.finished
    maps.use(tried, Photo(photo, name="valley.png"), "", *VALUES)
    changes = restore.choose(tried, SimpleNamespace(index=0))
    assert "part 24 × 24 px at 40, 8" in changes[widgets.notice]
    assert tried.photo is whole and tried.finished is run
    assert {slot.value.size for name, slot in tried.slots.items() if name != "text"} == {(159, 111), (53, 37)}
    assert tried.slots["edge"].source == "auto" and tried.slots["depth"].source == "uploaded"
    assert changes[widgets.part]["box"] == PLACE["box"] and "harbour.png" in changes[widgets.photo_line]
    assert "159 × 111" in changes[widgets.plan] and "96 × 96" in changes[widgets.part_plan]
    reference = tried.reference = photo.resize((318, 222))
    changes = restore.choose(tried, SimpleNamespace(index=0))
    assert tried.reference is reference and widgets.photo_line not in changes  # what is said of the whole stays


def test_the_recipe_of_a_part_brings_settings_but_no_cut_maps(
    engine: Engine, widgets: Page, tried: Visit, photo: Image.Image
):
    maps = Maps(engine, widgets)
    restore, whole, run = Restore(maps, Run(maps)), tried.photo, tried.finished
    text = replace(recipe(run), settings=Settings(weight=6.5)).to_json()
    before = {name: (slot.value, slot.source) for name, slot in tried.slots.items()}
    changes = restore.recipe(tried, text)
    assert changes[widgets.settings["weight"]] == 6.5 and changes[widgets.settings["seed"]] == 3
    assert tried.photo is whole and widgets.photo not in changes
    assert {name: (slot.value, slot.source) for name, slot in tried.slots.items()} == before
    maps.use(tried, Photo(photo, name="valley.png"), "", *VALUES)
    restore.recipe(tried, text)
    assert tried.photo is whole


def test_without_a_photo_the_part_is_refused_and_its_frame_goes_with_the_photo(
    engine: Engine, widgets: Page, tried: Visit
):
    maps = Maps(engine, widgets)
    changes = maps.drop(tried, None, *VALUES)
    assert changes[widgets.part] is None and changes[widgets.part_plan] == ""
    *_, end = Run(maps).run_part(tried, None, *VALUES)
    assert "Load a photo" in end[widgets.notice] and end[widgets.run_part].interactive
