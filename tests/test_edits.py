"""Edits of maps act where they were made, in a pipeline whose context is heard loudly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from mmsr_core.edits import AROUND, DIFFERS, LARGEST, kept_inside, where
from mmsr_core.images import to_tensor
from mmsr_core.modalities.given import Edited, as_read, beside, now
from mmsr_core.pipeline import MMSRPipeline
from mmsr_core.settings import Settings
from mmsr_core.tokens import WHOLE

QUICK = Settings(seed=3, steps=2, weight=2.0, edit_strength=1.0)


def run(pipeline: MMSRPipeline, photo, maps, settings=QUICK) -> np.ndarray:
    *_, last = pipeline.stream(to_tensor(photo), maps, settings)
    return np.asarray(last.picture).astype(int)


def painted(image: Image.Image, box: tuple[float, float, float, float], color=255) -> Image.Image:
    """The map with the box (fractions) in one colour."""
    edited, (width, height) = image.copy(), image.size
    edited.paste(color, (round(box[0] * width), round(box[1] * height), round(box[2] * width), round(box[3] * height)))
    return edited


def test_now_and_as_read_and_beside():
    one, other = Image.new("L", (4, 4)), Image.new("L", (8, 8), 9)
    pair = {"text": "a cat", "depth": Edited(one, other)}
    assert now(pair) == {"text": "a cat", "depth": one} and as_read(pair) == {"text": "a cat", "depth": other}
    given = {"text": "typed", "depth": one}
    assert beside(given, {"depth": other}.__getitem__) == {"text": "typed", "depth": (one, other)}


def test_a_map_that_nothing_can_be_read_beside_stays_alone():
    def read(name: str) -> Image.Image:
        raise ValueError("no network")

    said, one = [], Image.new("L", (4, 4))
    assert beside({"depth": one}, read, said.append) == {"depth": one}
    assert said == ["the given depth acts as a whole, as none can be read beside it: no network"]
    assert beside({"depth": one}, read) == {"depth": one}


def test_where_is_one_inside_and_zero_outside_with_a_soft_border():
    before = Image.new("L", (64, 64))
    pair = {"depth": Edited(painted(before, (0, 0, 0.5, 1)), before), "text": "words"}
    mask = where(pair, WHOLE, 64)[0, 0]
    assert mask[:, :32].eq(1).all() and mask[:, 32 + 2 * AROUND + 1 :].eq(0).all()
    border = mask[10, 30 : 32 + 2 * AROUND + 2]
    assert (border.diff() <= 0).all() and 0 < border[4] < 1


def test_where_follows_the_box_of_a_tile():
    before = Image.new("L", (64, 64))
    pair = {"depth": Edited(painted(before, (0, 0, 0.25, 1)), before)}
    assert where(pair, (0.5, 0, 1, 1), 32).max() == 0
    assert where(pair, (0, 0, 0.25, 1), 32).min() == 1


def test_where_needs_an_edited_map_and_overlooks_what_a_lossy_file_does():
    depth = Image.new("L", (32, 32), 100)
    assert where({"depth": depth, "text": "words"}, WHOLE, 32) is None
    faint, plain = (Image.new("L", (32, 32), 100 + more) for more in (DIFFERS, DIFFERS + 1))
    assert where({"depth": Edited(faint, depth)}, WHOLE, 32).max() == 0
    assert where({"depth": Edited(plain, depth)}, WHOLE, 32).min() == 1


def test_gains_change_in_the_mask_only():
    after, before, mask = torch.ones(2, 3, 16, 16), torch.zeros(2, 3, 16, 16), torch.zeros(1, 1, 32, 32)
    mask[..., :8] = 1
    assert torch.equal(kept_inside(after, before, mask), mask.expand(2, 3, 32, 32))


def test_a_strong_edit_goes_beyond_the_map_but_not_without_end():
    after, before, mask = torch.full((1, 1, 4, 4), 0.5), torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    assert kept_inside(after, before, 2 * mask).eq(1).all()
    assert kept_inside(after, before, 8 * mask).eq(LARGEST).all()
    assert kept_inside(-after, before, 8 * mask).eq(-4).all()  # the codec stops at -1
    assert kept_inside(4 * after, before, mask).eq(2).all()  # what the map itself says stays


def test_the_strength_of_an_edit(pipeline, photo, maps):
    given = {**maps, "depth": Edited(painted(maps["depth"], (0, 0, 0.4, 1)), maps["depth"])}
    plain = run(pipeline, photo, maps)
    none, one, two = (
        np.abs(run(pipeline, photo, given, QUICK.with_(edit_strength=strength)) - plain) for strength in (0.0, 1.0, 2.0)
    )
    assert none.max() <= 1 and two.sum() > 1.5 * one.sum()


@pytest.mark.parametrize("settings", [QUICK, QUICK.with_(weight=0.0), QUICK.with_(temperature={"depth": 0.5})])
def test_a_map_beside_itself_is_no_edit(pipeline, photo, maps, settings):
    pair = {**maps, "depth": Edited(maps["depth"], maps["depth"])}
    assert np.abs(run(pipeline, photo, maps, settings) - run(pipeline, photo, pair, settings)).max() <= 1


def test_an_edit_everywhere_is_the_map_alone(pipeline, photo, maps):
    inverted = maps["depth"].point(lambda value: 255 if value < 128 else 0)
    far = maps["depth"].point(lambda value: 0 if value < 128 else 255)
    alone = run(pipeline, photo, {**maps, "depth": inverted})
    assert np.abs(alone - run(pipeline, photo, {**maps, "depth": Edited(inverted, far)})).max() <= 1
    assert np.abs(alone - run(pipeline, photo, {**maps, "depth": far})).max() > 1


@pytest.mark.parametrize("name", ["depth", "segmentation", "edge"])
def test_an_edit_changes_its_own_place_more_than_the_map_alone_would(pipeline, photo, maps, name):
    edit = painted(maps[name], (0, 0, 0.4, 1), 255 if name != "segmentation" else (0, 60, 200))
    plain = run(pipeline, photo, maps)
    inside = (slice(None), slice(0, plain.shape[1] * 4 // 10))

    def share(given) -> float:
        change = np.abs(run(pipeline, photo, {**maps, name: given}) - plain)
        return change[inside].sum() / change.sum()

    assert share(Edited(edit, maps[name])) > share(edit) + 0.1


def test_tiles_with_and_without_an_edit_go_together(pipeline, photo, maps, monkeypatch):
    given = {**maps, "depth": Edited(painted(maps["depth"], (0, 0, 0.2, 0.2)), maps["depth"])}
    settings = QUICK.with_(tile=128, overlap=0.25)
    one_by_one = run(pipeline, photo, given, settings)
    monkeypatch.setattr("mmsr_core.pipeline.tiles_at_once", lambda kind: 3)
    assert np.abs(one_by_one - run(pipeline, photo, given, settings)).max() <= 1
