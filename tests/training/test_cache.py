"""The token cache: windows inside the photo, chunks that can be shared out and resumed, ids as made one by one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import VQModel
from PIL import Image

from mmsr_core.modalities import MODALITIES
from mmsr_core.modalities.palette import render
from mmsr_core.tokens import Tokenizers
from mmsr_core.training.cache import ALIGN, TokenStore, WindowTokens, fill
from mmsr_core.training.data import LABEL, PHOTO, PhotoStore


@pytest.fixture(scope="module")
def make(tiny_folder: Path) -> WindowTokens:
    rng = np.random.default_rng(0)
    photos = rng.integers(0, 256, (2, PHOTO, PHOTO, 3), dtype=np.uint8)
    labels = rng.integers(0, 12, (2, LABEL // 16, LABEL // 16), dtype=np.uint8).repeat(16, 1).repeat(16, 2)
    store = PhotoStore(photos, labels * 20, labels, ["a"] * 2, [[]] * 2, list("ab"))
    vq = VQModel.from_pretrained(tiny_folder / "vq").eval()
    rows = [row for row in MODALITIES if row.kind == "map"]
    extractors = {row.name: next(iter(row.extractors.values()))(tiny_folder, "cpu") for row in rows}
    return WindowTokens(store, vq, extractors, seed=0)


def test_windows_lie_inside_the_photo_on_the_low_grid(make: WindowTokens) -> None:
    windows = make.chunk(range(2), 256)[1].astype(int)
    assert (windows[:, 2] == 256).all()
    assert (windows[:, :2] >= 0).all() and (windows[:, :2] + windows[:, 2:] <= PHOTO).all()
    assert (windows[:, :2] % ALIGN == 0).all()


def test_shares_and_resumes_give_the_same_tokens(make: WindowTokens, tmp_path: Path) -> None:
    fill(make, tmp_path / "alone" / "train", (128, 384), 1, rank=0, world=1)
    for rank in (1, 0, 1):  # the last one only joins
        fill(make, tmp_path / "shared" / "train", (128, 384), 1, rank=rank, world=2)
    alone, shared = (TokenStore.open(tmp_path / name, "train") for name in ("alone", "shared"))
    assert alone.ids.shape == (2, 2, 2, 3, make.vq.config.sample_size**2 // 16**2)
    assert alone.ids.dtype == np.uint16
    assert alone.windows[..., 2].tolist() == [[128, 384]] * 2
    assert np.array_equal(alone.ids, shared.ids)
    assert np.array_equal(alone.windows, shared.windows)


def test_ids_are_those_of_the_labels_in_the_window(make: WindowTokens, tiny_folder: Path) -> None:
    ids, windows = make.chunk(range(1, 2), 128)
    x, y, side = (windows[0] / PHOTO).tolist()
    tokens = Tokenizers.load(tiny_folder)
    maps = {"depth": Image.fromarray(make.store.depth[1]), "segmentation": render(make.store.segmentation[1])}
    for column, (name, image) in enumerate(maps.items()):
        found = tokens.map_ids(tokens.render(name, image, (x, y, x + side, y + side)))
        assert np.array_equal(ids[0, 0, column], found[0].numpy())


def test_the_seed_decides(make: WindowTokens) -> None:
    torch.manual_seed(5)
    one, again = make.chunk(range(1), 128), make.chunk(range(1), 128)
    assert np.array_equal(one[0], again[0])
    assert not np.array_equal(one[1], replace(make, seed=1).chunk(range(1), 128)[1])


def test_an_unfinished_cache_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="wanted a cache that the tokens stage has finished"):
        TokenStore.open(tmp_path, "train")
