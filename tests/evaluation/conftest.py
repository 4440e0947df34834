"""Small test pictures and stand-ins, of the right shape, for the model files that cannot be bundled."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mmsr_core.evaluation.niqe import features

SIDE = 96  # of an HR picture in px: NIQE's smallest
STAGES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))  # of SqueezeNet v1.0


def picture(seed: int, side: int = SIDE) -> Image.Image:
    """Texture that falls off like a photo's, and a bright square."""
    noise = np.random.default_rng(seed).normal(0, 1, (side, side, 3))
    values = 120 + sum(150 * cv2.GaussianBlur(noise, (0, 0), sigma) * sigma**0.5 for sigma in (1.0, 3.0))
    values[side // 4 : side // 2, side // 3 : side // 2] += 70
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three LR/HR pairs."""
    folder = tmp_path_factory.mktemp("pairs")
    for part in ("lr", "hr"):
        (folder / part).mkdir()
    for i in range(3):
        hr = picture(i)
        hr.save(folder / "hr" / f"p_{i}.png")
        hr.resize((SIDE // 4, SIDE // 4), Image.Resampling.BICUBIC).save(folder / "lr" / f"p_{i}.png")
    return folder


@pytest.fixture(scope="session")
def niqe_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model fitted on one picture, instead of on many pristine ones."""
    file = tmp_path_factory.mktemp("niqe") / "model.npz"
    kernel = cv2.getGaussianKernel(7, 7 / 6)
    window = kernel @ kernel.T
    mean = features(picture(0), window).mean(0)
    np.savez(file, mu_pris_param=mean[None], cov_pris_param=np.eye(36), gaussian_window=window)
    return file


@pytest.fixture(scope="session")
def squeezenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SqueezeNet v1.0 with random weights."""
    rng, arrays, width = np.random.default_rng(0), {}, 96

    def conv(name: str, outputs: int, inputs: int, side: int) -> None:
        arrays[f"{name}.w"] = rng.normal(0, (2 / (inputs * side**2)) ** 0.5, (outputs, inputs, side, side))
        arrays[f"{name}.b"] = np.zeros(outputs)

    conv("conv1", width, 3, 7)
    for i, (squeezed, expanded) in enumerate(STAGES, 2):
        conv(f"fire{i}__conv1x1_1", squeezed, width, 1)
        conv(f"fire{i}__conv1x1_2", expanded, squeezed, 1)
        conv(f"fire{i}__conv3x3_2", expanded, squeezed, 3)
        width = 2 * expanded
    file = tmp_path_factory.mktemp("squeezenet") / "weights.npz"
    np.savez(file, **arrays)
    return file
