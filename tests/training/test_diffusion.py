"""The stages that train connector and U-Net: batches that can be made again, and a short run of the whole loop."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mmsr_core.codec import PATCH
from mmsr_core.connector import READ
from mmsr_core.fresh import build_connector
from mmsr_core.settings import Settings
from mmsr_core.tiling import Tile
from mmsr_core.training import steering
from mmsr_core.training.cache import TokenStore
from mmsr_core.training.data import LABEL, PHOTO, PhotoStore
from mmsr_core.training.dials import Dials, Steering
from mmsr_core.training.diffusion import Batches, Denoiser, DiffusionLoss, add_arguments, start
from mmsr_core.training.loop import TrainConfig, fit
from mmsr_core.training.losses import Adversary


@pytest.fixture
def args(tmp_path: Path) -> Namespace:
    parser = ArgumentParser()
    add_arguments(parser)
    given = f"--out {tmp_path} --parts . --perceptual-weights . --perceptual 0 --steps 2 --batch 4"
    return parser.parse_args([*given.split(), "--shrink", "8", "--log-every", "1"])


@pytest.fixture
def cached(pipeline) -> tuple[PhotoStore, TokenStore]:
    """Four photos of noise, with random map tokens."""
    rng, tokens = np.random.default_rng(0), pipeline.tokenizers
    photos = rng.integers(0, 256, (4, PHOTO, PHOTO, 3), dtype=np.uint8)
    labels = np.zeros((4, LABEL, LABEL), dtype=np.uint8)
    store = PhotoStore(photos, labels, labels, ["a cat"] * 4, [[]] * 4, list("abcd"))
    codes = rng.integers(0, pipeline.vq.config.num_vq_embeddings, (4, 1, 2, 3, tokens.grid**2)).astype(np.uint16)
    windows = np.tile(np.array([0, 0, PHOTO], dtype=np.int16), (4, 1, 1))
    return store, TokenStore(codes, windows)


@pytest.fixture
def batches(pipeline, cached, args) -> Batches:
    store, tokens_of = cached
    return Batches(store, pipeline.tokenizers, tokens_of, Dials(pipeline.tokenizers), args)


@pytest.fixture
def loss(pipeline, args) -> DiffusionLoss:
    return DiffusionLoss(pipeline, nn.Identity(), Adversary(), args)


def test_a_batch_is_the_same_again(batches):
    first, again, other = (batches(step, 0, torch.device("cpu")) for step in (3, 3, 4))
    for name in ("lr", "photo", "text"):
        assert torch.equal(getattr(first, name), getattr(again, name))
    assert torch.equal(first.given.ids, again.given.ids) and not torch.equal(first.photo, other.photo)
    assert first.photo.shape[-1] == 4 * first.lr.shape[-1]


def test_the_photos_own_latents_have_no_loss(pipeline, loss, batches):
    batch = batches(0, 0, torch.device("cpu"))
    condition = pipeline.codec.condition(batch.lr)
    loss._made = lambda *_: pipeline.codec.encode(batch.photo, condition)[:, :PATCH]
    with torch.no_grad():
        assert float(loss(None, batch)["loss"]) == pytest.approx(0, abs=1e-3)


def test_the_loop_trains_the_unet_and_nothing_else(pipeline, loss, batches, args, tmp_path):
    before = {name: value.clone() for name, value in pipeline.unet.state_dict().items()}
    parts = {"codec": pipeline.codec, "vq": pipeline.vq, "connector": pipeline.connector}
    frozen = {name: {key: value.clone() for key, value in part.state_dict().items()} for name, part in parts.items()}
    try:
        fit(Denoiser(pipeline.unet), loss, batches, TrainConfig.from_arguments(args))
        rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
        assert [row["step"] for row in rows] == [1, 2]
        assert all(np.isfinite(row["loss"]) for row in rows)
        assert any(not torch.equal(value, before[name]) for name, value in pipeline.unet.state_dict().items())
        for name, part in parts.items():
            assert all(torch.equal(value, frozen[name][key]) for key, value in part.state_dict().items()), name
    finally:
        pipeline.unet.load_state_dict(before)


def test_steering_learns_one_batch_and_leaves_the_frozen_parts_alone(pipeline, cached, tmp_path):
    parser, tokens = ArgumentParser(), pipeline.tokenizers
    steering.add_arguments(parser)
    args = parser.parse_args(f"--out {tmp_path} --parts . --batch 4 --steps 30 --lr 5e-3 --warmup 1".split())
    store, tokens_of = cached
    torch.manual_seed(0)
    connector = build_connector(tokens, 32, depth=1, loud=True, gains=2)
    made = steering.Batches(store.captions, tokens, tokens_of, Dials(tokens), args)
    model, loss = steering.Reading(connector), steering.SteeringLoss(tokens)
    batch = made(0, 0, torch.device("cpu"))
    assert batch.gains.shape == (4, 2, READ, READ)
    assert torch.equal(batch.text[:2], batch.text[2:]) and torch.equal(batch.given.delta[:2], batch.given.delta[2:])
    assert not torch.equal(batch.given.ids[:2], batch.given.ids[2:]), "the second half is the first, edited"
    first = float(loss(model, batch)["loss"].detach())
    codes = pipeline.vq.quantize.embedding.weight.clone()
    fit(model, loss, lambda *_: batch, TrainConfig.from_arguments(args))
    assert float(loss(model, batch)["loss"].detach()) < 0.7 * first
    assert torch.equal(pipeline.vq.quantize.embedding.weight, codes)


def test_training_and_inference_give_a_null_token_no_temperature(pipeline, photo, maps):
    """What `hear` makes of dropped modalities is what the pipeline makes of missing ones."""
    settings = Settings(weight=0.0, positive="", temperature={"depth": 0.4, "edge": 0.4})
    tokens = pipeline.tokenizers
    codes = tokens.tokenise({**maps, "text": tokens.prompt(maps["text"], "")})
    ids = torch.zeros(1, 3, tokens.grid**2, dtype=torch.long)
    delta, drop = torch.tensor([[1.0, 0.4, 1.0, 0.4]]), torch.tensor([[False, True, False, False]])
    given = Steering(ids, torch.zeros(1, 3, 3, 8, 8), delta, drop, drop[:, 0])
    without = {name: value for name, value in maps.items() if name != "depth"}
    with torch.no_grad():
        heard = steering.hear(pipeline.connector, codes, given)
    seen = pipeline.contexts(without, Tile(0, 0, *photo.size), photo.size, settings).context
    torch.testing.assert_close(heard, seen, rtol=1e-4, atol=1e-5)


def test_the_stage_needs_a_connector(pipeline, args):
    with pytest.raises(ValueError, match="wanted a connector"):
        start(args, pipeline.tokenizers, pipeline.codec)


def test_the_last_layer_of_the_reader_is_solved(pipeline, cached):
    tokens, (store, tokens_of) = pipeline.tokenizers, cached
    torch.manual_seed(0)
    connector = build_connector(tokens, 32, depth=1, loud=True, gains=2)
    made = steering.Batches(store.captions, tokens, tokens_of, Dials(tokens), Namespace(seed=0, batch=8))
    batches = [made(step, 0, torch.device("cpu")) for step in range(4)]
    loss, model = steering.SteeringLoss(tokens), steering.Reading(connector)
    with torch.no_grad():
        nothing = sum(float(loss(model, batch)["share"]) for batch in batches)
        steering.solve(connector, tokens, batches)
        assert sum(float(loss(model, batch)["share"]) for batch in batches) < 0.9 * nothing
