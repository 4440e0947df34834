"""Tiny real models, built once a run, and pictures to feed them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import pytest
import torch
from PIL import Image

from mmsr_core.fresh import build_tiny
from mmsr_core.pipeline import MMSRPipeline
from mmsr_core.upscaler import Upscaler


@pytest.fixture(scope="session", autouse=True)
def exact() -> Iterator[None]:
    """One thread (tiny models gain nothing from more) and full precision: laws must not drown in bf16's rounding."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MMSRPipeline, "compute_dtype", torch.float32)
        yield


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    build_tiny(folder)
    return folder


@pytest.fixture(scope="session")
def pipeline(tiny_folder: Path) -> MMSRPipeline:
    """Random weights everywhere, the last layers included (fresh ones predict nothing there), and a context that is
    heard (fresh attention hardly moves an 8-bit picture)."""
    pipeline = MMSRPipeline.from_pretrained(tiny_folder)
    torch.manual_seed(1)
    torch.nn.init.normal_(pipeline.unet.conv_out.weight, std=0.2)
    for name, parameter in pipeline.unet.named_parameters():
        if name.endswith("to_v.weight"):
            torch.nn.init.normal_(parameter, std=1.0)
    torch.nn.init.normal_(pipeline.connector.gain.weight, std=0.1)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="session")
def upscaler() -> Upscaler:
    return Upscaler.load("tiny", device="cpu")


@pytest.fixture(scope="session")
def photo() -> Image.Image:
    """A 53 x 37 px picture with shapes, smooth light and texture."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:37, :53]
    light = np.stack([x * 4, y * 5, 255 - x * 3], -1).astype(float)
    light[8:20, 10:30] = (200, 60, 40)
    return Image.fromarray(np.clip(light + rng.normal(0, 6, light.shape), 0, 255).astype(np.uint8))


@pytest.fixture(scope="session")
def maps(photo: Image.Image, upscaler: Upscaler) -> dict[str, Image.Image | str]:
    return upscaler.extract(photo)
