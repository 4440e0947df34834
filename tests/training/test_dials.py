"""What steers a picture: each effect in its place, little of it at neutral, the stronger the lower δ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from mmsr_core.modalities import MODALITIES
from mmsr_core.modalities.palette import COLORS, NAMES
from mmsr_core.training.dials import (
    EFFECTS,
    MAPS,
    NEUTRAL,
    SEEN,
    TYPICAL,
    WORDS,
    Dials,
    Steering,
    _paste,
    along_edges,
    amount,
    depth_of_field,
    objects_out,
)

COLUMN = {name: column for column, name in MAPS}
FULL = torch.ones(1, 1, 1, 1)
WEAK = torch.full_like(FULL, NEUTRAL)
LEFT, RIGHT = (..., slice(0, 28)), (..., slice(36, SEEN))


@pytest.fixture
def ids(pipeline) -> Tensor:
    """(12, maps, N) random tokens."""
    shape = (12, len(MAPS), pipeline.tokenizers.grid**2)
    return torch.randint(pipeline.vq.config.num_vq_embeddings, shape, generator=torch.Generator().manual_seed(0))


def halves(left: float | list[float], right: float | list[float]) -> Tensor:
    """A map with one value on the left and one on the right, in [-1, 1]."""
    picture = torch.empty(1, 3, SEEN, SEEN)
    picture[..., : SEEN // 2] = torch.tensor(left, dtype=torch.float).reshape(1, -1, 1, 1)
    picture[..., SEEN // 2 :] = torch.tensor(right, dtype=torch.float).reshape(1, -1, 1, 1)
    return picture


def colour(name: str) -> list[float]:
    return (COLORS[NAMES.index(name)] / 255 * 2 - 1).tolist()


def steering(**turned: float) -> Steering:
    """One picture's, near on the right, an animal on the left, lines on the left; temperatures by name."""
    maps = {
        "depth": halves(-1.0, 1.0),
        "segmentation": halves(colour("animal"), colour("sky")),
        "edge": halves(1.0, -1.0),
    }
    ids = torch.zeros(1, len(MAPS), 4, dtype=torch.long)
    seen, off = torch.stack([maps[name][0] for _, name in MAPS])[None], torch.zeros(1, len(MODALITIES)).bool()
    delta = torch.tensor([[turned.get(row.name, 1.0) for row in MODALITIES]])
    return Steering(ids, seen, delta, off, off[:, 0])


def test_the_amount_falls_from_the_lowest_temperature_to_the_highest():
    amounts = amount(torch.tensor([0.4, 0.7, 1.0, 3.0, 10.0])).flatten()
    assert amounts[[0, 2, 4]].tolist() == pytest.approx([1, NEUTRAL, 0], abs=1e-6)
    assert (amounts.diff() < 0).all()


def test_no_amount_gains_nothing():
    for effect in EFFECTS.values():
        assert not effect(halves(0.3, -0.3), torch.zeros(1, 1, 1, 1)).any()


def test_the_near_side_is_crisper_and_beyond_neutral_the_far_one_is_blurred():
    weak, strong = (depth_of_field(halves(-1.0, 1.0), value) for value in (WEAK, FULL))
    assert (weak[:, 0][LEFT] < 0).all() and (weak[:, 0][RIGHT] > 0).all() and not weak[:, 1].any()
    assert (strong[LEFT] <= -1).all() and (strong[:, 0][RIGHT] > weak[:, 0][RIGHT]).all()


def test_classes_have_their_share_of_detail_and_beyond_neutral_objects_stand_out():
    classes = halves(colour("animal"), colour("sky"))
    weak, strong = (objects_out(classes, value) for value in (WEAK, FULL))
    for gains in (weak, strong):
        assert (gains[:, 0][LEFT] > 0).all() and (gains[:, 0][RIGHT] < 0).all()
    assert not weak[:, 1].any() and (strong[:, 1][LEFT] > 0.5).all()
    plant = objects_out(halves(colour("plant"), colour("plant")), FULL)
    assert (plant[:, 0] > 0).all() and not plant[:, 1].any(), "softened without an object to stand out"


def test_edges_are_crisper_where_the_lines_are():
    weak, strong = (along_edges(halves(1.0, -1.0), value)[:, 0] for value in (WEAK, FULL))
    assert (weak[LEFT] > 0).all() and (strong[LEFT] > 1).all()
    assert (weak[RIGHT] < 0).all() and (strong[RIGHT] < weak[RIGHT]).all()


def test_what_is_typical_of_a_map_moves_nothing_at_neutral():
    """So that over many photos a map adds what it takes."""
    grey = {"depth": 0.4 + 0.4 * TYPICAL["depth"], "edge": TYPICAL["edge"]}
    for name, value in grey.items():
        gains = EFFECTS[name](torch.full((1, 3, SEEN, SEEN), value * 2 - 1), WEAK)
        torch.testing.assert_close(gains, torch.zeros_like(gains), atol=1e-6, rtol=0)


def test_a_dropped_map_gains_nothing_and_a_turned_one_more():
    neutral, turned = steering(), steering(edge=0.4)
    grid, left, right = (16, 16), (..., slice(0, 7)), (..., slice(9, 16))
    assert neutral.gains(grid).shape == (1, 2, *grid)
    moved = (turned.gains(grid) - neutral.gains(grid))[:, 0]
    assert (moved[left] > 0.5).all() and (moved[right] <= 0).all() and (moved[right] > -0.5).all()
    drop = neutral.drop.clone()
    drop[0, COLUMN["edge"]] = True
    dropped = replace(turned, drop=drop).gains(grid)
    assert (dropped[:, 0][left] < neutral.gains(grid)[:, 0][left]).all()
    everything = replace(neutral, drop=torch.ones_like(drop))
    assert not everything.gains(grid).any()


def test_words_take_a_little_fine_detail():
    good = steering()
    bad = replace(good, soft=torch.ones(1, dtype=torch.bool))
    change = bad.gains((8, 8)) - good.gains((8, 8))
    torch.testing.assert_close(change[:, 0], torch.full((1, 8, 8), -WORDS))
    assert not change[:, 1].any()


def test_draws_turn_and_paste_some_maps_and_leave_the_own_ones_alone(pipeline, ids):
    dials, rng = Dials(pipeline.tokenizers), np.random.default_rng(0)
    before, worded, dropped, forms = ids.clone(), 0, 0, set()
    for _ in range(10):
        given = dials.draw(ids, rng)
        assert torch.equal(ids, before)
        maps = given.delta[:, list(COLUMN.values())]
        assert maps.min() > 0.39 and maps.max() <= 10 and 0.1 < (maps != 1).float().mean() < 0.7
        assert (given.delta[:, [row.kind == "text" for row in MODALITIES]] == 1).all(), "words have no such effect"
        moved = given.ids != ids
        assert moved.any() and torch.equal(given.ids[moved], ids.roll(-1, 0)[moved])
        worded, dropped = worded + int(given.soft.sum()), dropped + int(given.drop.sum())
        forms.add(given.form)
    assert 15 < worded < 50 and 25 < dropped < 75 and forms == {"keys", "bias"}


def test_a_pasted_piece_is_seen_where_its_tokens_are(pipeline, ids):
    seen = Dials(pipeline.tokenizers).seen(ids)
    given_ids, given_seen = ids.clone(), seen.clone()
    _paste((given_ids[:, 2], ids[:, 2]), (given_seen[:, 2], seen[:, 2]), 0, np.random.default_rng(1))
    grid = pipeline.tokenizers.grid
    moved = (given_ids != ids)[0, 2].reshape(grid, grid)
    pixels = (given_seen != seen)[0, 2].any(0)
    inside = moved.repeat_interleave(SEEN // grid, 0).repeat_interleave(SEEN // grid, 1)
    assert moved.any() and pixels[inside].float().mean() > 0.5 and not pixels[~inside].any()
    assert torch.equal(given_ids[1:], ids[1:]) and torch.equal(given_ids[0, :2], ids[0, :2])


def test_what_maps_say_is_decoded_once(pipeline, ids):
    dials = Dials(pipeline.tokenizers)
    first = dials.seen(ids[:2])
    assert first.shape == (2, len(MAPS), 3, SEEN, SEEN)
    kept = len(dials._decoded)
    assert torch.equal(dials.seen(ids[:2]), first) and len(dials._decoded) == kept


def test_an_edit_changes_one_map_of_each_picture_and_nothing_else(pipeline, ids):
    dials, rng = Dials(pipeline.tokenizers), np.random.default_rng(2)
    given = dials.draw(ids, rng)
    before = given.ids.clone()
    edited = dials.edited(given, ids, rng)
    assert torch.equal(given.ids, before)
    assert ((edited.ids != given.ids).any(-1).sum(1) <= 1).all() and (edited.ids != given.ids).any()
    for name in ("delta", "drop", "soft", "form"):
        assert getattr(edited, name) is getattr(given, name)
    both = given.beside(edited)
    assert both.form == given.form and len(both.delta) == len(both.seen) == 2 * len(ids)
    assert torch.equal(both.gains((8, 8)), torch.cat([given.gains((8, 8)), edited.gains((8, 8))]))
