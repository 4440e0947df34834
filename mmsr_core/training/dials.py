"""What maps, temperatures and words do to a picture, taught by example.

The paper reports (section 4.3) what its pretrained, large model does at low temperatures: of the depth, more depth of
field; of the segmentation, objects that stand out; of the edges, sharper detail. A small model trained for hours does
not come to that by itself, so it is shown what each map means: detail belongs to near things, textured classes and
lines. At neutral temperatures a map moves a little detail there from elsewhere (`NEUTRAL`), too little to cost quality
worth the name; over many photos what it adds and takes evens out (`TYPICAL`), and a null token leaves the picture as it
is.
A lower δ gives more, and then far things are out of focus and the surroundings of objects soft; a higher one less;
another map puts the detail elsewhere; words that call the picture blurry take a little of it. All of that is a map of
gains on the picture's own detail, which is part of the latents (`PatchCodec`). Our choice; the paper gives no training
of this kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from mmsr_core.codec import softened
from mmsr_core.modalities import MODALITIES
from mmsr_core.modalities.palette import COLORS, NAMES, OBJECTS
from mmsr_core.settings import TEMPERATURE_RANGE, declared
from mmsr_core.tokens import Tokenizers

DROP = 0.1  # of each modality to its null token (paper, section 4.1)
TURNED, LOWEST = 0.35, 0.3  # share of the dials that are turned, and of those that are at their lowest
PASTED = 0.3  # share of the maps with a piece of another picture's
WORDED = 0.25  # share of the pictures whose words call them blurry
NEUTRAL = 0.2  # how much of an effect there is at δ = 1
WORDS = 0.01  # fine detail that such words take: at w = 14 as much is added 14 times
TEXTURE = {  # share of fine detail that a class lays claim to
    "person": 0.5, "animal": 1.1, "vehicle": 0.6, "food": 0.8, "furniture": 0.4, "object": 0.7,
    "building": 0.9, "plant": 1.2, "ground": 0.6, "sky": -0.8, "water": 0.2, "other": 0.0,
}  # fmt: skip
TYPICAL = {"depth": 0.43, "segmentation": 0.58, "edge": 0.46}  # mean claim of a map to detail over training photos
SEEN = 64  # side in pixels at which maps are kept
MAPS = tuple((column, row.name) for column, row in enumerate(MODALITIES) if row.kind == "map")


@dataclass(frozen=True)
class Steering:
    """What a batch of B pictures is steered by.

    Attributes:
        ids: (B, maps, N) map tokens.
        seen: (B, maps, 3, SEEN, SEEN) the maps that these say, in [-1, 1].
        delta: (B, modalities) temperatures.
        drop: (B, modalities) bool, modalities that are null tokens.
        soft: (B,) bool, the words call the picture blurry.
        form: of the temperature; one for the batch.
    """

    ids: Tensor
    seen: Tensor
    delta: Tensor
    drop: Tensor
    soft: Tensor
    form: str = "keys"

    def to(self, device: torch.device) -> Steering:
        moved = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **moved)

    def beside(self, other: Steering) -> Steering:
        """Both as one batch of twice as many pictures."""
        pairs = {name: (value, getattr(other, name)) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **{name: torch.cat(pair) for name, pair in pairs.items()})

    def gains(self, grid: tuple[int, int]) -> Tensor:
        """How much fine and coarse detail is added (above 0) or taken at each cell of a grid: (B, 2, h, w)."""
        total = -WORDS * self.soft.float()[:, None, None, None] * torch.tensor([1.0, 0.0])[:, None, None]
        for index, (column, name) in enumerate(MAPS):
            heard = amount(self.delta[:, column]) * ~self.drop[:, column, None, None, None]
            total = total + EFFECTS[name](self.seen[:, index], heard)
        return F.interpolate(total, grid, mode="area")


@dataclass(frozen=True)
class Dials:
    """Draws what the pictures of a batch are steered by."""

    tokens: Tokenizers
    _decoded: dict[bytes, Tensor] = field(default_factory=dict, repr=False)

    def draw(self, ids: Tensor, rng: np.random.Generator, look: bool = True) -> Steering:
        """ids (B, maps, N) of the pictures' own maps -> what the pictures are steered by.

        `look`: whether gains are wanted, for which the maps have to be seen.
        """
        seen = self.seen(ids) if look else torch.zeros(*ids.shape[:2], 3, SEEN, SEEN)
        shape = (len(ids), len(MODALITIES))
        drop, delta = torch.from_numpy(rng.random(shape) < DROP), torch.ones(shape)
        for row, index in np.argwhere(rng.random(ids.shape[:2]) < TURNED):
            lowest = rng.random() < LOWEST
            delta[row, MAPS[index][0]] = TEMPERATURE_RANGE[0] if lowest else _temperature(rng)
        soft = torch.from_numpy(rng.random(len(ids)) < WORDED)
        form = str(rng.choice(declared("temperature_form").metadata["choices"]))
        given = Steering(ids.clone(), seen.clone(), delta, drop, soft, form)
        for row, index in np.argwhere(rng.random(ids.shape[:2]) < PASTED):
            _paste((given.ids[:, index], ids[:, index]), (given.seen[:, index], seen[:, index]), row, rng)
        return given

    def edited(self, given: Steering, ids: Tensor, rng: np.random.Generator) -> Steering:
        """The same with a piece of another picture's in one map of each; ids (B, maps, N) of the pictures' own maps."""
        seen, made = self.seen(ids), replace(given, ids=given.ids.clone(), seen=given.seen.clone())
        for row, index in enumerate(rng.integers(ids.shape[1], size=len(ids))):
            _paste((made.ids[:, index], ids[:, index]), (made.seen[:, index], seen[:, index]), row, rng)
        return made

    def seen(self, ids: Tensor) -> Tensor:
        """ids (B, maps, N) -> the maps that they say, (B, maps, 3, SEEN, SEEN) in [-1, 1]; kept, decoding is slow."""
        flat = rearrange(ids, "b m n -> (b m) n").cpu()
        keys = [row.numpy().astype(np.uint16).tobytes() for row in flat]
        new = list({key: row for key, row in zip(keys, flat) if key not in self._decoded}.items())
        if new:
            rows = torch.stack([row for _, row in new]).to(ids.device)
            pictures = F.interpolate(self.tokens.reconstruct(rows), (SEEN, SEEN), mode="area").cpu().half()
            self._decoded.update(zip((key for key, _ in new), pictures))
        maps = torch.stack([self._decoded[key] for key in keys]).float().to(ids.device)
        return rearrange(maps, "(b m) c h w -> b m c h w", b=len(ids))


def _paste(ids: tuple[Tensor, Tensor], seen: tuple[Tensor, Tensor], row: int, rng: np.random.Generator) -> None:
    """A rectangle of one map becomes that of the next picture; each pair (to change, own) is (B, N) or (B, 3, h, w)."""
    side, other = math.isqrt(ids[0].shape[-1]), (row + 1) % len(ids[0])
    height, width = rng.integers(side // 4, side, 2)
    y, x = rng.integers(0, side - height + 1), rng.integers(0, side - width + 1)
    gridded = tuple(rearrange(part, "b (h w) -> b h w", h=side) for part in ids)
    for (values, own), cell in ((gridded, 1), (seen, SEEN // side)):
        part = (..., slice(y * cell, (y + height) * cell), slice(x * cell, (x + width) * cell))
        values[row][part] = own[other][part]


def _temperature(rng: np.random.Generator) -> float:
    """Anywhere in its range."""
    return float(np.exp(rng.uniform(*np.log(TEMPERATURE_RANGE))))


def amount(delta: Tensor) -> Tensor:
    """δ (B,) -> how much of an effect: 1 at the lowest, NEUTRAL at 1, 0 at the highest; (B, 1, 1, 1)."""
    low, high = (math.log(value) for value in TEMPERATURE_RANGE)
    turned = torch.where(delta < 1, NEUTRAL + (1 - NEUTRAL) * delta.log() / low, NEUTRAL * (1 - delta.log() / high))
    return turned.clamp(0, 1)[:, None, None, None]


def beyond(amount: Tensor) -> Tensor:
    """The share of an effect that only a δ below 1 has."""
    return ((amount - NEUTRAL) / (1 - NEUTRAL)).clamp(0, 1)


def depth_of_field(depth: Tensor, amount: Tensor) -> Tensor:
    """Near things (bright in the depth map) are crisper, and beyond neutral the far ones are out of focus.

    depth (B, 3, h, w) in [-1, 1], amount (B, 1, 1, 1) -> gains (B, 2, h, w).
    """
    near = depth.mean(1, keepdim=True) * 0.5 + 0.5  # 0 far, 1 near
    claim = ((near - 0.4) / 0.4).clamp(0, 1) - TYPICAL["depth"]
    far = ((0.65 - near) / 0.5).clamp(0, 1)
    fine = 0.8 * amount * claim - beyond(amount) * (2 * far).clamp(max=1)
    return torch.cat([fine, -beyond(amount) * far.square()], 1)


def objects_out(classes: Tensor, amount: Tensor) -> Tensor:
    """Each class has its share of fine detail; beyond neutral objects gain contrast and all around them is softer."""
    palette = classes.new_tensor(COLORS / 255 * 2 - 1)
    nearest = torch.cdist(rearrange(classes, "b c h w -> b (h w) c"), palette[None]).argmin(-1)
    table = classes.new_tensor([[TEXTURE[name], float(name in OBJECTS)] for name in NAMES])
    shares = rearrange(table[nearest], "b (h w) f -> b f h w", h=classes.shape[-2])
    texture, objects = softened(shares, 1.0).split(1, 1)
    popped = beyond(amount) * (objects.mean((1, 2, 3), keepdim=True) > 0.01)
    placed = 0.7 * amount * (texture - TYPICAL["segmentation"])
    fine = torch.lerp(placed, torch.full_like(texture, -0.8), popped * (1 - objects))
    return torch.cat([fine, 0.6 * popped * objects], 1)


def along_edges(lines: Tensor, amount: Tensor) -> Tensor:
    """Crisper along the given lines (white on black), a little softer away from them."""
    near = F.max_pool2d(lines.mean(1, keepdim=True) * 0.5 + 0.5, 3, 1, 1)
    fine = 0.7 * amount * (near - TYPICAL["edge"]) + 0.9 * beyond(amount) * near
    return torch.cat([fine, torch.zeros_like(near)], 1)


EFFECTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "depth": depth_of_field,
    "segmentation": objects_out,
    "edge": along_edges,
}
