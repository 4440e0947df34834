"""Edits act where they were made: each place hears of the maps as they are there, edited or as read from the photo.

Ours, not the paper's. The connector mixes all places of a map into its 128 tokens, so an edit would be heard a little
everywhere. Of an `Edited` map both contexts are made, with the edit and before it; attention to the one is blended with
attention to the other by a mask of where the maps differ. A mask above 1 goes beyond the edit, as guidance does.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmsr_core.modalities.given import Edited, Modalities
from mmsr_core.tokens import Box, map_row, render_map

DIFFERS = 8  # grey levels: less is what a lossy file does to a map
LARGEST = 1.5  # gain that a strengthened edit stops at; the lowest temperatures reach 1.2 (more brings out the patches)
AROUND = 2  # map pixels by which an edit is widened, and again the half width of its soft border


def where(modalities: Modalities, box: Box, side: int) -> Tensor | None:
    """How far each place of `box` belongs to an edit: (1, 1, side, side) in 0..1; None where no map is `Edited`."""
    edited = {name: value for name, value in modalities.items() if isinstance(value, Edited)}
    if not edited:
        return None
    changed = np.zeros((side, side), bool)
    for name, value in edited.items():
        one, other = (np.asarray(render_map(map_row(name), image, box, side), np.int16) for image in value)
        changed |= np.abs(one - other).max(-1) > DIFFERS
    wide = F.max_pool2d(torch.from_numpy(changed).float()[None, None], 2 * AROUND + 1, 1, AROUND)
    return F.avg_pool2d(wide, 2 * AROUND + 1, 1, AROUND, count_include_pad=False)


def kept_inside(gains: Tensor, before: Tensor, edited: Tensor) -> Tensor:
    """Gains with the edits and before them, (B, G, h, w), and a mask (1, 1, s, s) -> (B, G, s, s)."""
    gains, before = (F.interpolate(grid, edited.shape[-2:], mode="bilinear") for grid in (gains, before))
    blended = torch.lerp(before, gains, edited.to(gains))
    beyond = (blended > LARGEST) & (edited > 1)
    return torch.where(beyond, torch.maximum(gains, before).clamp(min=LARGEST), blended)
