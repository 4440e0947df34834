"""Features of an ImageNet network as a training term of the students: computed once per photo, compressed, kept.

A few thousand labelled crops teach shapes and borders but little about what things look like; a linear map from the
student's deepest features is therefore also asked to predict these (FitNets, Romero et al. 2015,
https://arxiv.org/abs/1412.6550). Training only: nothing of the teacher is in the students.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

CHANNELS = 64  # principal components kept of the teacher's 512
SIDE = 320  # side at which the teacher sees a photo, pixels
MEAN_BGR = (104.0, 117.0, 123.0)  # SqueezeNet v1.0's Caffe training


class SqueezeNet:
    """SqueezeNet v1.0 up to fire9 (https://arxiv.org/abs/1602.07360), weights from an npz of `NAME.w`, `NAME.b`."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as arrays:
            self.weights = {name: torch.from_numpy(arrays[name].astype(np.float32)) for name in arrays.files}

    def conv(self, x: Tensor, name: str, **options: int) -> Tensor:
        return F.relu(F.conv2d(x, self.weights[f"{name}.w"], self.weights[f"{name}.b"], **options))

    def __call__(self, rgb: Tensor) -> Tensor:
        """rgb (B, 3, H, W) in 0..255 -> (B, 512, about H/16, about W/16)."""
        x = self.conv(rgb.flip(1) - rgb.new_tensor(MEAN_BGR)[:, None, None], "conv1", stride=2)
        for number in range(2, 10):
            if number in (2, 5, 9):
                x = F.max_pool2d(x, 3, 2, ceil_mode=True)
            squeezed = self.conv(x, f"fire{number}__conv1x1_1")
            wide = self.conv(squeezed, f"fire{number}__conv3x3_2", padding=1)
            x = torch.cat([self.conv(squeezed, f"fire{number}__conv1x1_2"), wide], 1)
        return x


@torch.no_grad()
def features(teacher: SqueezeNet, photos: np.ndarray) -> Tensor:
    """photos (B, H, W, 3) uint8 -> unit-length features (B, 512, h, w)."""
    rgb = torch.from_numpy(np.ascontiguousarray(photos)).permute(0, 3, 1, 2).float()
    return F.normalize(teacher(F.interpolate(rgb, (SIDE, SIDE), mode="bilinear", antialias=True)), dim=1)


def prepare(teacher: SqueezeNet, photos: np.ndarray, out: Path, sample: int = 256) -> None:
    """Writes float16 principal components (N, 64, h, w), mean 0 and overall variance 1, to `out`."""
    picked = np.linspace(0, len(photos) - 1, min(sample, len(photos))).astype(int)
    rows = torch.cat([features(teacher, photos[i : i + 1])[0].flatten(1).T for i in picked])  # (n, 512)
    mean = rows.mean(0)
    _, values, basis = torch.pca_lowrank(rows - mean, CHANNELS, niter=4)
    basis = basis / (values.pow(2).sum() / len(rows) / CHANNELS).sqrt()  # (512, 64)
    first = features(teacher, photos[:1])
    partial = out.with_suffix(".partial.npy")
    hints = np.lib.format.open_memmap(partial, "w+", np.float16, (len(photos), CHANNELS, *first.shape[2:]))
    for i in tqdm(range(0, len(photos), 8), desc="hints"):
        found = features(teacher, photos[i : i + 8]) - mean[:, None, None]
        hints[i : i + 8] = torch.einsum("bchw,cd->bdhw", found, basis).half().numpy()
    hints.flush()
    partial.replace(out)
