"""The tokenizer reads any text; the text tower's training tells captions and quality words apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPTokenizer, CLIPTokenizerFast

from mmsr_core.settings import Settings
from mmsr_core.training.data import LABEL, PHOTO, PhotoStore
from mmsr_core.training.degradation import blur, gaussian_kernels
from mmsr_core.training.descriptions import describe, quality
from mmsr_core.training.text import TextBatches, TextPretraining, measure, new_tower, text_loss
from mmsr_core.training.tokenizer import corpus, train


@pytest.fixture(scope="module")
def store() -> PhotoStore:
    rng = np.random.default_rng(0)
    photos = rng.integers(0, 256, (4, PHOTO // 8, PHOTO // 8, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    labels = rng.integers(0, 12, (4, LABEL, LABEL), dtype=np.uint8)
    captions = ["a red house", "a dog on grass", "blue sky over the sea", "a plate of food"]
    return PhotoStore(photos, labels, labels, captions, [["house"], ["dog", "grass"], [], ["food"]], list("abcd"))


@pytest.fixture(scope="module")
def tokenizer(store: PhotoStore) -> CLIPTokenizerFast:
    return train(corpus(store), 1200)


@pytest.mark.parametrize("text", ["", "a dog", "größe 漢字 🙂", "x1 ~ `tab`", "żółw"])
def test_every_text_can_be_encoded_and_decoded(tokenizer: CLIPTokenizerFast, text: str) -> None:
    ids = tokenizer(text).input_ids
    assert tokenizer.eos_token_id not in ids[1:-1]
    assert tokenizer.decode(ids, skip_special_tokens=True).replace(" ", "") == text.replace(" ", "")


def test_quality_words_are_whole_tokens(tokenizer: CLIPTokenizerFast) -> None:
    settings = Settings()
    for word in (settings.positive + " " + settings.negative).replace(",", "").split():
        assert len(tokenizer(word, add_special_tokens=False).input_ids) == 1, word


def test_both_tokenizer_classes_load_it(tokenizer: CLIPTokenizerFast, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path)
    for kind in (CLIPTokenizer, CLIPTokenizerFast):
        loaded = kind.from_pretrained(tmp_path)
        assert loaded.model_max_length == 77
        assert loaded("a sharp photo").input_ids == tokenizer("a sharp photo").input_ids


def test_a_vocabulary_too_small_for_the_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="vocabulary: got 300, wanted at least 514"):
        train(["a"], 300)


def test_pooled_output_is_the_state_of_the_first_end_mark(tokenizer: CLIPTokenizerFast) -> None:
    tower = new_tower(tokenizer, 16, 1).eval()
    short = tokenizer("a dog", return_tensors="pt").input_ids
    padded = tokenizer("a dog", padding="max_length", return_tensors="pt").input_ids
    with torch.no_grad():
        states, pooled = tower(padded).last_hidden_state, tower(padded).pooler_output
        assert torch.equal(pooled, states[:, short.shape[1] - 1])
        assert torch.allclose(tower(short).pooler_output, pooled, atol=1e-5)


def test_blur_and_quality_numbers_agree() -> None:
    sharp = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    sigma = torch.full((2,), 2.0)
    soft = blur(sharp, gaussian_kernels(sigma, sigma, sigma * 0))
    assert (quality(soft)[:, :2] < quality(sharp)[:, :2]).all()


def test_training_learns_four_captions(store: PhotoStore, tokenizer: CLIPTokenizerFast) -> None:
    torch.manual_seed(0)
    described = describe(store, 0)
    model = TextPretraining(new_tower(tokenizer, 64, 1), described)
    batches = TextBatches(store, described, tokenizer, 8, 0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for step in range(30):
        values = text_loss(model, batches(step, 0, torch.device("cpu")))
        values["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(values["loss"].detach()))
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    assert measure(model, store, described, tokenizer)["top 1"] >= 0.5
