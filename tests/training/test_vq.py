"""The codebook stays alive, the losses point the right way, and the exported model says what the trained one said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import VQModel

from mmsr_core.modalities.palette import COLORS
from mmsr_core.tokens import map_ids
from mmsr_core.training.codebook import LiveCodebook, kmeans
from mmsr_core.training.data import LABEL, PHOTO, PhotoStore
from mmsr_core.training.map_batches import KINDS, MapBatches
from mmsr_core.training.vq import MapAutoencoder, edge_loss, map_loss, segmentation_loss


@pytest.fixture
def store() -> PhotoStore:
    rng = np.random.default_rng(0)
    photos = rng.integers(0, 256, (2, PHOTO, PHOTO, 3), dtype=np.uint8)
    labels = rng.integers(0, 12, (2, LABEL, LABEL), dtype=np.uint8)
    return PhotoStore(photos, labels * 20, labels, ["a", "b"], [["x"], []], ["train/0", "train/1"])


def test_kmeans_finds_separated_groups() -> None:
    torch.manual_seed(0)
    points = torch.cat([torch.randn(50, 3) * 0.01 + centre for centre in (-5.0, 0.0, 5.0)])
    found = kmeans(points, 12)
    assert torch.cdist(points, found).min(1).values.max() < 0.5


def test_dead_codes_are_revived() -> None:
    torch.manual_seed(0)
    book = LiveCodebook(codes=32, width=4, start=2, decay=0.9, revive_every=5)
    for step in range(120):
        book(torch.randn(128, 4) + (10 if step > 10 else 0))  # the latents move away from all codes
    book.eval()
    assert book(torch.randn(512, 4) + 10)[2].unique().numel() > 20


def test_gradients_pass_the_codebook() -> None:
    book = LiveCodebook(codes=8, width=4, start=1)
    for _ in range(3):
        book(torch.randn(64, 4))
    latents = torch.randn(64, 4, requires_grad=True)
    book(latents)[0].sum().backward()
    assert torch.equal(latents.grad, torch.ones(64, 4))


def test_batches_are_a_function_of_the_step(store: PhotoStore) -> None:
    batches = MapBatches(store, 6, seed=3, side=64, crop=32)
    one, again, whole = (batches(step, 0, torch.device("cpu")) for step in (2, 2, 4))
    assert torch.equal(one.maps, again.maps)
    assert one.maps.shape == (6, 3, 32, 32)
    assert whole.maps.shape[-1] == 64
    assert set(whole.kinds.tolist()) == set(range(len(KINDS)))


def test_losses_are_least_at_the_truth() -> None:
    colours = torch.from_numpy(COLORS[np.random.default_rng(0).integers(0, 12, (2, 8, 8))]).permute(0, 3, 1, 2)
    wanted = colours.float() / 255 * 2 - 1
    assert segmentation_loss(wanted, wanted) < segmentation_loss(wanted * 0.8, wanted)
    lines = torch.full((1, 3, 8, 8), -1.0)
    lines[..., 3, :] = 1
    assert edge_loss(lines, lines) == 0
    assert edge_loss(torch.full_like(lines, -1), lines) > edge_loss(lines.roll(4, -2) * 0 - 0.8, lines)


def test_the_exported_model_is_the_trained_one(store: PhotoStore, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = MapAutoencoder(channels=(8, 8), codes=16, width=8, side=32)
    model.codebook.start = 1
    batches = MapBatches(store, 6, seed=0, side=32, crop=32)
    for step in range(4):
        values = map_loss(model, batches(step, 0, torch.device("cpu")))
    assert torch.isfinite(values["loss"])
    model.half().float().eval().export(tmp_path)
    vq = VQModel.from_pretrained(tmp_path, dtype=torch.float32)
    maps = batches(9, 0, torch.device("cpu")).maps
    picture, _, ids = model(maps)
    assert (map_ids(vq, maps) == ids).float().mean() > 0.95  # fp16 may move a latent over a border
    codes = vq.quantize.get_codebook_entry(ids, shape=None).unflatten(1, (16, 16)).permute(0, 3, 1, 2)
    assert torch.allclose(vq.decode(codes, force_not_quantize=True).sample, picture, atol=0.05)
    assert float(vq.quantize.embedding.weight.detach().square().mean()) == pytest.approx(1, abs=0.01)
