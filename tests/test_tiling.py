"""Laws of the tiles: they cover everything, weights are smooth, fusing agrees with not tiling."""

import itertools

import pytest
import torch

from mmsr_core.tiling import Fusion, Tile, plan, starts, window


@pytest.mark.parametrize("length,tile,overlap", itertools.product((8, 40, 64, 100, 333), (32, 64), (0.1, 0.25, 0.75)))
def test_starts_cover_with_the_wanted_overlap(length, tile, overlap):
    found = starts(length, min(tile, length), overlap)
    assert found[0] == 0 and found[-1] + min(tile, length) == length
    for a, b in itertools.pairwise(found):
        assert tile - (b - a) >= int(tile * overlap)


def test_one_tile_where_it_fits():
    assert plan(48, 32, 64, 0.25) == [Tile(0, 0, 48, 32)]


def test_constant_stays_constant():
    grid = torch.full((1, 2, 70, 90), 0.5)
    fusion = Fusion(grid, 0.25)
    for tile in plan(90, 70, 32, 0.25):
        fusion.add(tile, tile.of(grid))
    torch.testing.assert_close(fusion.result(), grid)


def test_fusing_views_of_one_prediction_gives_it_back():
    grid = torch.randn(1, 3, 64, 96)
    fusion = Fusion(grid, 0.5)
    for tile in plan(96, 64, 32, 0.5):
        fusion.add(tile, tile.of(grid))
    torch.testing.assert_close(fusion.result(), grid, rtol=1e-4, atol=1e-5)


def test_two_tiles_blend_without_a_step():
    fusion = Fusion(torch.zeros(1, 1, 32, 56), 0.25)
    for value, tile in enumerate(plan(56, 32, 32, 0.25)):
        fusion.add(tile, torch.full((1, 1, 32, 32), float(value)))
    line = fusion.result()[0, 0, 16]
    assert line[0] == 0 and line[-1] == 1
    assert line.diff().abs().max() < 0.3 and (line.diff() >= -1e-6).all()


def test_window_is_positive_and_symmetric():
    weights = window(Tile(0, 0, 24, 16), 0.3, torch.zeros(1))
    assert weights.min() > 0
    torch.testing.assert_close(weights, weights.flip(0, 1))


def test_box_is_cut_at_the_border():
    assert Tile(32, 0, 32, 32).box(48, 32) == (32 / 48, 0, 1, 1)
