"""What a turned temperature shows, taught by example.

The paper reports (section 4.3) what its pretrained, large model does at low temperatures: of the depth, more depth of
field; of the segmentation, objects that stand out; of the edges, sharper detail. A small model trained for hours does
not come to that by itself. So every picture of a batch is there twice, with all temperatures neutral and with some of
them turned; where a δ is below 1 the *target* shows that effect, the stronger the lower δ, where the map says. The map
is the one that the model sees (decoded from its codes), in some samples with a piece of another picture's map pasted
in, so that an edit acts where it was made. Above 1 a modality is heard less and nothing else happens. Our choice; the
paper gives no training of this kind.

The context has to be noticed first: turned at random at all time steps, nothing was learnt in 700 steps. One dial at a
time, at its lowest and from pure noise (`easy`), the effect showed after 160.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from mmsr_core.modalities import MODALITIES
from mmsr_core.modalities.palette import COLORS, NAMES
from mmsr_core.settings import TEMPERATURE_RANGE
from mmsr_core.tokens import Tokenizers
from mmsr_core.training.degradation import blur, gaussian_kernels

ANOTHER = 0.3  # share of the turned pictures with a second dial, anywhere in its range
PASTED = 0.3  # share of pictures with a piece of another's map
OBJECTS = ("person", "animal", "vehicle", "furniture", "object", "food")
NEAR, REACH = 0.65, 0.5  # depth (0 far, 1 near) from which all is sharp; distance over which the blur grows to its full
SOFT = 0.9  # sigma of a picture that the text calls blurry, in output pixels
LENS = 4.0  # sigma of the strongest blur, in output pixels


@dataclass(frozen=True)
class Dials:
    """Draws temperatures and makes the targets that belong to them."""

    tokens: Tokenizers

    def draw(self, count: int, rng: np.random.Generator, easy: bool = False) -> tuple[Tensor, Tensor]:
        """δ (2 * count, modalities) and which pictures are to be soft (2 * count,); the first half is neutral.

        Of a turned picture one of the dials that have an effect is below 1, or else its words say that it is blurry.
        `easy` turns a dial to the lowest δ, and no words.
        """
        able = [column for column, row in enumerate(MODALITIES) if row.name in EFFECTS]
        which = rng.integers(0 if easy else -1, len(able), count)  # -1: the words
        delta, soft = np.ones((2 * count, len(MODALITIES))), np.zeros(2 * count, bool)
        for row, turned in enumerate(which, start=count):
            if turned < 0:
                soft[row] = True
            else:
                delta[row, able[turned]] = TEMPERATURE_RANGE[0] ** (1 if easy else rng.random() ** 0.5)
            if not easy and rng.random() < ANOTHER:
                delta[row, rng.choice(able)] = np.exp(rng.uniform(*np.log(TEMPERATURE_RANGE)))
        return torch.from_numpy(delta).float(), torch.from_numpy(soft)

    def pasted(self, ids: Tensor, rng: np.random.Generator) -> Tensor:
        """ids (B, maps, N): in a share of the pictures a rectangle of every map is the next picture's."""
        side = math.isqrt(ids.shape[-1])
        grid = rearrange(ids, "b m (h w) -> b m h w", h=side).clone()
        other = grid.roll(1, 0)
        for i in np.flatnonzero(rng.random(len(ids)) < PASTED):
            height, width = rng.integers(side // 4, side, 2)
            y, x = rng.integers(0, side - height + 1), rng.integers(0, side - width + 1)
            grid[i, :, y : y + height, x : x + width] = other[i, :, y : y + height, x : x + width]
        return rearrange(grid, "b m h w -> b m (h w)")

    def targets(self, photo: Tensor, ids: Tensor, delta: Tensor, drop: Tensor) -> Tensor:
        """photo (B, 3, H, W) in [-1, 1], ids (B, maps, N), delta and drop (B, modalities) -> (B, 3, H, W)."""
        photo, maps = photo.clone(), [column for column, row in enumerate(MODALITIES) if row.kind == "map"]
        for index, column in reversed(list(enumerate(maps))):  # depth last: a lens blurs what the others sharpened
            effect = EFFECTS.get(MODALITIES[column].name)
            rows = (delta[:, column] < 1) & ~drop[:, column]
            if effect is None or not rows.any():
                continue
            seen = F.interpolate(self.tokens.reconstruct(ids[rows, index]), photo.shape[-2:], mode="bilinear")
            photo[rows] = effect(photo[rows], seen, strength(delta[rows, column]))
        return photo.clamp(-1, 1)


def strength(delta: Tensor) -> Tensor:
    """δ <= 1 -> how much of the effect: 0 at 1, 1 at the lowest δ; (B, 1, 1, 1)."""
    return (delta.log() / math.log(TEMPERATURE_RANGE[0])).clamp(0, 1)[:, None, None, None]


def softened(photo: Tensor) -> Tensor:
    """The target of a text that calls the picture blurry: as much softer as guidance by the words is to sharpen.

    (B, 3, H, W) -> same. Noise and JPEG blocks are no good targets: the mean of what they might be is a clean picture.
    """
    return _soft(photo, SOFT) if len(photo) else photo


def depth_of_field(photo: Tensor, depth: Tensor, amount: Tensor) -> Tensor:
    """Blurs what the depth map (near = bright) calls far. photo, depth (B, 3, H, W), amount (B, 1, 1, 1)."""
    near = depth.mean(1, keepdim=True) * 0.5 + 0.5
    wanted = amount * ((NEAR - near) / REACH).clamp(0, 1) * LENS  # sigma of every pixel
    sigmas = (0.0, LENS / 4, LENS / 2, LENS)
    stack = [photo, *(_soft(photo, sigma) for sigma in sigmas[1:])]
    out = photo
    for low, high, sharper, softer in zip(sigmas, sigmas[1:], stack, stack[1:]):
        part = ((wanted - low) / (high - low)).clamp(0, 1)
        out = torch.where(part > 0, sharper + part * (softer - sharper), out)
    return out


def objects_out(photo: Tensor, classes: Tensor, amount: Tensor) -> Tensor:
    """Objects gain local contrast and their surroundings lose detail; nothing where there is no object."""
    palette = classes.new_tensor(COLORS / 255 * 2 - 1)
    nearest = torch.cdist(rearrange(classes, "b c h w -> b (h w) c"), palette[None]).argmin(-1)
    is_object = torch.isin(nearest, nearest.new_tensor([NAMES.index(name) for name in OBJECTS]))
    mask = rearrange(is_object.to(photo.dtype), "b (h w) -> b 1 h w", h=photo.shape[-2])
    amount = amount * (mask.mean((1, 2, 3), keepdim=True) > 0.01)
    mask = _soft(mask, 2.0)
    objects = photo + 0.5 * amount * (photo - _soft(photo, 4.0))
    around = photo + 0.8 * amount * (_soft(photo, 1.6) - photo)
    return mask * objects + (1 - mask) * around


def along_edges(photo: Tensor, lines: Tensor, amount: Tensor) -> Tensor:
    """Sharpens along the given lines (white on black)."""
    near = F.max_pool2d(lines.mean(1, keepdim=True) * 0.5 + 0.5, 5, 1, 2)
    return photo + 1.2 * amount * _soft(near, 1.0).clamp(0, 1) * (photo - _soft(photo, 1.2))


EFFECTS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "depth": depth_of_field,
    "segmentation": objects_out,
    "edge": along_edges,
}


def _soft(x: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (B, C, H, W)."""
    width = x.new_full((len(x),), sigma)
    return blur(x, gaussian_kernels(width, width, torch.zeros_like(width), 2 * math.ceil(2.5 * sigma) + 1))
