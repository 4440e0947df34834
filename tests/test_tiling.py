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


def fused(grid: torch.Tensor, overlap: float) -> torch.Tensor:
    """The mean of what tiles of 32 cells see of a grid."""
    _, channels, height, width = grid.shape
    fusion = Fusion(channels, width, overlap, grid.device)
    fusion.extend(height)
    for tile in plan(width, height, 32, overlap):
        fusion.add(tile, tile.of(grid))
    return fusion.take(height)


def test_constant_stays_constant():
    grid = torch.full((1, 2, 70, 90), 0.5)
    torch.testing.assert_close(fused(grid, 0.25), grid)


def test_fusing_views_of_one_prediction_gives_it_back():
    grid = torch.randn(1, 3, 64, 96)
    torch.testing.assert_close(fused(grid, 0.5), grid, rtol=1e-4, atol=1e-5)


def test_rows_can_be_taken_as_soon_as_no_tile_below_reaches_them():
    grid = torch.randn(1, 3, 100, 60)
    fusion, tiles, parts = Fusion(3, 60, 0.25, grid.device), plan(60, 100, 32, 0.25), []
    for y, row in itertools.groupby(tiles, lambda tile: tile.y):
        if y > 0:
            parts.append(fusion.take(y))
        fusion.extend(y + 32)
        for tile in row:
            fusion.add(tile, tile.of(grid))
    parts.append(fusion.take(100))
    assert len(parts) == 4
    torch.testing.assert_close(torch.cat(parts, -2), grid, rtol=1e-4, atol=1e-5)


def test_two_tiles_blend_without_a_step():
    fusion = Fusion(1, 56, 0.25, torch.device("cpu"))
    fusion.extend(32)
    for value, tile in enumerate(plan(56, 32, 32, 0.25)):
        fusion.add(tile, torch.full((1, 1, 32, 32), float(value)))
    line = fusion.take(32)[0, 0, 16]
    assert line[0] == 0 and line[-1] == 1
    assert line.diff().abs().max() < 0.3 and (line.diff() >= -1e-6).all()


def test_window_is_positive_and_symmetric():
    weights = window(Tile(0, 0, 24, 16), 0.3, torch.zeros(1))
    assert weights.min() > 0
    torch.testing.assert_close(weights, weights.flip(0, 1))


def test_the_box_of_a_padded_tile_reaches_beyond_the_picture():
    assert Tile(32, 0, 32, 32).box(48, 32) == (32 / 48, 0, 64 / 48, 1)
