"""Where in the picture something is, as a code that connector and U-Net share."""

from __future__ import annotations

import math

import torch
from torch import Tensor

HEAD = 32  # channels of one attention head, and period of the code
CYCLES = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)  # frequencies of the code, in cycles a picture side


def position_code(xy: Tensor, channels: int) -> Tensor:
    """Sine-cosine code of places in the picture. xy (N, 2) in 0..1 -> (N, channels), repeating every 32 channels.

    One period holds 8 frequencies x (sin x, cos x, sin y, cos y), so equal places have the largest dot product in every
    attention head, and connector and U-Net share one code whatever their widths.
    """
    angle = 2 * math.pi * xy[:, None, :] * xy.new_tensor(CYCLES)[None, :, None]  # (N, 8, 2)
    code = torch.cat([angle.sin(), angle.cos()], 2).flatten(1)  # (N, 32)
    return code.repeat(1, -(-channels // HEAD))[:, :channels]


def grid_places(height: int, width: int, device: torch.device | str | None = None) -> Tensor:
    """(height * width, 2) cell centres as x, y in 0..1, row by row."""
    y = (torch.arange(height, device=device) + 0.5) / height
    x = (torch.arange(width, device=device) + 0.5) / width
    return torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1).reshape(-1, 2)
