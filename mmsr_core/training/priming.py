"""A start from which the connector hands on what the maps look like.

A fresh projection of VQ codes is noise to the U-Net, and a small model takes days to find out that one direction of it
is nearness. So a few directions of the tokens are set, in closed form, to what the effects of `dials.py` look at in a
code's cell (nearness, the class's share of detail, lines), found by ridge regression over training maps, and the
connector's cross-attention passes these directions on. From there everything is trained as usual.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from mmsr_core.connector import LatentConnector
from mmsr_core.places import HEAD
from mmsr_core.training.dials import EFFECTS, MAPS, NEUTRAL, Dials

LOUD = 5.0  # length that a unit of a feature adds to a token, whose place and modality have about 11 and 16
PASSED = 0.7  # gain of the values and of the output along these directions
RIDGE = 1e-3


@torch.no_grad()
def prime(connector: LatentConnector, dials: Dials, ids: Tensor) -> dict[str, float]:
    """Changes the connector in place. ids (B, maps, N) of training maps.

    Returns the share of each map's features that its codes explain, 0..1.
    """
    seen, explained, used = dials.seen(ids), {}, []
    side = dials.tokens.grid
    for index, (_, name) in enumerate(MAPS):
        codes = rearrange(dials.tokens.map_codes(ids[:, index]), "b n d -> (b n) d").double()
        features = rearrange(F.adaptive_avg_pool2d(_features(name, seen[:, index]), side), "b f h w -> (b h w) f")
        features = (features - features.mean(0)) / features.std(0).clamp(min=1e-3)
        mean = codes.mean(0)
        gram = (codes - mean).T @ (codes - mean) / len(codes)
        gram += RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
        fit = torch.linalg.solve(gram, (codes - mean).T @ features.double() / len(codes))  # (d, f)
        explained[name] = 1 - float(((codes - mean) @ fit - features).square().mean())
        directions = _directions(connector.config.width, features.shape[1], used)
        layer = connector.project[name]
        layer.weight += LOUD * (directions @ fit.T.float())
        layer.bias -= LOUD * (directions @ (mean @ fit).float())
    along = torch.stack(used, 1)
    passed = PASSED * along @ along.T
    for layer in (connector.cross.attention.value, connector.cross.attention.out):
        layer.weight += passed
    return explained


def _features(name: str, seen: Tensor) -> Tensor:
    """What an effect looks at, (B, 3, h, w) -> (B, f, h, w): its gains at neutral and at the lowest temperature."""
    gains = [EFFECTS[name](seen, torch.full((len(seen), 1, 1, 1), amount)) for amount in (NEUTRAL, 1.0)]
    both = torch.cat(gains, 1)
    return both[:, [channel for channel in range(both.shape[1]) if both[:, channel].std() > 1e-4]]


def _directions(width: int, count: int, used: list[Tensor]) -> Tensor:
    """(width, count) orthonormal directions, orthogonal to those in `used` (they join them) and to the position code,
    which repeats every HEAD channels."""
    made = []
    while len(made) < count:
        new = torch.randn(width)
        periods = rearrange(new, "(p h) -> p h", h=HEAD)
        new = rearrange(periods - periods.mean(0), "p h -> (p h)")
        for other in used:
            new = new - (new @ other) * other
        made.append(F.normalize(new, dim=0))
        used.append(made[-1])
    return torch.stack(made, 1)
