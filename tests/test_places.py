"""Laws of the position code."""

import torch

from mmsr_core.places import grid_places, position_code


def test_equal_places_have_the_largest_product():
    code = position_code(grid_places(8, 8), 32)
    assert torch.equal((code @ code.T).argmax(-1), torch.arange(64))


def test_grid_places_run_row_by_row():
    assert torch.allclose(grid_places(1, 2), torch.tensor([[0.25, 0.5], [0.75, 0.5]]))
