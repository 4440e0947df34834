"""Photos as a few hundred numbers: what is where, in which colours, and how sharp, noisy and blocky the picture is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from mmsr_core.modalities.palette import CLASSES
from mmsr_core.training.data import PhotoStore, random_source
from mmsr_core.training.degradation import flawed

GRID = 4
CROP = 128  # side in pixels of the crop whose quality is measured


@dataclass(frozen=True)
class Described:
    """content (N, 240); quality (N, 2, 9), of a clean and a flawed crop; words: what is wrong with the flawed one."""

    content: Tensor
    quality: Tensor
    words: list[str]


def content(store: PhotoStore, index: int) -> Tensor:
    """(12 + 3) * 16 numbers: square roots of the classes' shares and mean colours of a 4 x 4 grid."""
    classes = torch.from_numpy(store.segmentation[index].copy())
    shares = F.adaptive_avg_pool2d((classes == torch.arange(len(CLASSES))[:, None, None]).float(), GRID)
    colours = F.adaptive_avg_pool2d(torch.from_numpy(store.photos[index].copy()).permute(2, 0, 1).float() / 255, GRID)
    return torch.cat([shares.sqrt().flatten(), colours.flatten()])


def quality(pictures: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1] -> (B, 9): gradients at three scales, fine residue, 8-px blocks."""
    grey = pictures.mean(1, keepdim=True)
    values = []  # logarithms of these are more evenly spread
    for factor in (1, 2, 4):
        level = F.avg_pool2d(grey, factor) if factor > 1 else grey
        slopes = torch.cat([level.diff(dim=-1).abs().flatten(1), level.diff(dim=-2).abs().flatten(1)], 1)
        values += [slopes.mean(1), slopes.square().mean(1).sqrt()]
    residue = (grey - F.avg_pool2d(grey, 3, 1, 1)).abs().flatten(1)
    steps = grey.diff(dim=-1).abs().mean((1, 2))  # (B, W - 1)
    border = torch.arange(steps.shape[1]) % 8 == 7
    blocks = steps[:, border].mean(1) / (steps[:, ~border].mean(1) + 1e-4)
    return (torch.stack([*values, residue.median(1).values, residue.mean(1), blocks], 1) + 1e-3).log()


def describe(store: PhotoStore, seed: int) -> Described:
    """Every photo of a split, with one clean and one flawed crop."""
    rng, generator = random_source(seed, 0)
    contents, qualities, words = [], [], []
    for start in tqdm(range(0, len(store), 16), desc="describing photos"):
        indices = np.arange(start, min(start + 16, len(store)))
        contents += [content(store, int(i)) for i in indices]
        clean = store.crops(indices, rng.integers(0, 24, size=(len(indices), 2)) * 8, CROP)
        bad, wrong = flawed(clean, generator)
        qualities.append(torch.stack([quality(clean), quality(bad)], 1))
        words += wrong
    return Described(torch.stack(contents), torch.cat(qualities), words)
