"""What turned dials do to a target: nothing at 1, each effect in its place, the stronger the lower δ."""

import numpy as np
import pytest
import torch
from torch import Tensor

from mmsr_core.modalities import MODALITIES
from mmsr_core.modalities.palette import COLORS, NAMES
from mmsr_core.training.dials import Dials, along_edges, depth_of_field, objects_out, softened, strength

COLUMN = {row.name: i for i, row in enumerate(MODALITIES)}


@pytest.fixture
def photo() -> Tensor:
    return torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8


def halves(left: float | list[float], right: float | list[float]) -> Tensor:
    """A map with one value on the left and one on the right, in [-1, 1]."""
    picture = torch.empty(1, 3, 64, 64)
    picture[..., :32] = torch.tensor(left, dtype=torch.float).reshape(1, -1, 1, 1)
    picture[..., 32:] = torch.tensor(right, dtype=torch.float).reshape(1, -1, 1, 1)
    return picture


def detail(picture: Tensor) -> Tensor:
    """Mean gradient."""
    return picture.diff(dim=-1).abs().mean()


def test_strength_is_none_at_one_and_full_at_the_lowest_delta():
    assert strength(torch.tensor([1.0, 0.7, 0.4])).flatten().tolist() == pytest.approx([0, 0.389, 1], abs=1e-3)


def test_the_far_side_is_blurred_and_the_near_side_is_not(photo):
    depth = halves(-1.0, 1.0)
    weak, strong = (depth_of_field(photo, depth, torch.full((1, 1, 1, 1), amount)) for amount in (0.3, 1.0))
    assert torch.equal(strong[..., 40:], photo[..., 40:])
    assert detail(strong[..., :24]) < detail(weak[..., :24]) < detail(photo[..., :24])


def test_objects_gain_contrast_and_the_rest_loses_detail(photo):
    colour = lambda name: (COLORS[NAMES.index(name)] / 255 * 2 - 1).tolist()  # noqa: E731
    out = objects_out(photo, halves(colour("person"), colour("sky")), torch.ones(1, 1, 1, 1))
    assert detail(out[..., :24]) > detail(photo[..., :24])
    assert detail(out[..., 40:]) < detail(photo[..., 40:])
    nothing = objects_out(photo, halves(colour("water"), colour("sky")), torch.ones(1, 1, 1, 1))
    assert torch.equal(nothing, photo)


def test_edges_sharpen_where_the_lines_are(photo):
    out = along_edges(photo, halves(1.0, -1.0), torch.ones(1, 1, 1, 1))
    assert detail(out[..., :24]) > detail(photo[..., :24])
    torch.testing.assert_close(out[..., 44:], photo[..., 44:])


def test_neutral_and_dropped_dials_leave_the_photo_alone(pipeline, photo):
    tokens = pipeline.tokenizers
    ids = torch.zeros(1, 3, tokens.grid**2, dtype=torch.long)
    neutral, kept = torch.ones(1, len(COLUMN)), torch.zeros(1, len(COLUMN), dtype=torch.bool)
    assert torch.equal(Dials(tokens).targets(photo, ids, neutral, kept), photo)
    turned = torch.full_like(neutral, 0.4)
    assert torch.equal(Dials(tokens).targets(photo, ids, turned, ~kept), photo)
    above = torch.full_like(neutral, 8.0)
    assert torch.equal(Dials(tokens).targets(photo, ids, above, kept), photo)
    assert not torch.equal(Dials(tokens).targets(photo, ids, turned, kept), photo)


def test_soft_targets_lose_detail(photo):
    assert detail(softened(photo)) < detail(photo)
    assert softened(photo[:0]).shape == (0, 3, 64, 64)


def test_draws_stay_in_range_and_pastes_come_from_the_neighbour(pipeline):
    dials, rng = Dials(pipeline.tokenizers), np.random.default_rng(0)
    delta, soft = dials.draw(500, rng)
    assert delta.shape == (1000, len(COLUMN)) and (delta[:500] == 1).all() and not soft[:500].any()
    assert ((delta[500:] < 1).any(1) | soft[500:] | (delta[500:] > 1).any(1)).all()
    assert 0.4 <= delta.min() < 0.5 and 8 < delta.max() <= 10 and 0.15 < soft[500:].float().mean() < 0.35
    delta, soft = dials.draw(50, rng, easy=True)
    assert not soft.any() and ((delta[50:] < 0.401).sum(1) == 1).all()
    ids = torch.arange(20)[:, None, None].expand(20, 3, 16)
    pasted = dials.pasted(ids, rng)
    changed = pasted != ids
    assert changed.any() and torch.equal(pasted[changed], ids.roll(1, 0)[changed])
