"""What a run leaves behind for the next one, and when it must not be used."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from mmsr_core import canvas
from mmsr_core.codec import PATCH
from mmsr_core.images import to_tensor
from mmsr_core.pipeline import MMSRPipeline
from mmsr_core.settings import Settings

SETTINGS = Settings(seed=0, steps=1)


def test_a_run_on_the_same_picture_gets_the_same_canvas(pipeline: MMSRPipeline, photo: Image.Image) -> None:
    lr = to_tensor(photo)
    first = pipeline.canvas(lr, SETTINGS)
    assert pipeline.canvas(lr.clone(), SETTINGS.with_(weight=5.0, seed=3)) is first


def test_another_picture_or_tile_gets_its_own(pipeline: MMSRPipeline, photo: Image.Image) -> None:
    lr = to_tensor(photo)
    first = pipeline.canvas(lr, SETTINGS)
    other = pipeline.canvas(lr.flip(-1), SETTINGS)
    assert not torch.equal(other.condition, first.condition)
    assert pipeline.canvas(lr.flip(-1), SETTINGS.with_(tile=128)) is not other


def test_changed_weights_make_a_new_one(pipeline: MMSRPipeline, photo: Image.Image) -> None:
    lr, bias = to_tensor(photo), pipeline.codec.base.out.bias
    first = pipeline.canvas(lr, SETTINGS)
    try:
        with torch.no_grad():
            bias.add_(0.1)
        change = pipeline.canvas(lr, SETTINGS).condition - first.condition
        assert torch.allclose(change[:, -PATCH:], torch.full_like(change[:, -PATCH:], 0.1), atol=1e-5)
    finally:
        with torch.no_grad():
            bias.sub_(0.1)


def test_a_large_one_is_not_kept(pipeline: MMSRPipeline, photo: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canvas, "KEPT", 16)
    lr = to_tensor(photo).flip(-2)
    assert pipeline.canvas(lr, SETTINGS) is not pipeline.canvas(lr, SETTINGS)


def test_tokens_are_made_once_and_the_oldest_go(
    pipeline: MMSRPipeline, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = pipeline.tokenizers
    tokens.known.clear()
    given = {"text": "a cat", "depth": photo.convert("L")}
    fresh = tokens.tokenise(given)
    assert len(tokens.known) == 2
    again = pipeline.tokenizers.tokenise(given)
    assert all(torch.equal(fresh[name], again[name]) for name in given) and len(tokens.known) == 2
    monkeypatch.setattr("mmsr_core.tokens.REMEMBERED", 2)
    tokens.text("a dog")
    assert len(tokens.known) == 2 and "a dog" in tokens.known
