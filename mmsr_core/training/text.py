"""Stage `text`: gives the small text tower its meaning before it is frozen.

Contrastive (Radford et al. 2021, https://arxiv.org/abs/2103.00020), against a hand-made description of the photo (see
`descriptions.py`) instead of an image tower. Each photo comes clean and flawed, so quality words must be read to tell
the two apart.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizerFast

from mmsr_core.training.data import PhotoStore, random_source
from mmsr_core.training.descriptions import Described, describe
from mmsr_core.training.loop import TrainConfig, fit
from mmsr_core.training.words import FLAW_WORDS, POSITIVE

JOINT = 128  # width of the space in which texts and photos meet
SHORT = 40  # tokens; most captions fit, and attention is causal, so padding may be left out
BARE = 0.2  # share of texts that are quality words alone, as a negative prompt is
WORDED = 0.8  # share of captions that carry quality words


class Standard(nn.Module):
    """Zero mean and unit variance, by the training split's own numbers."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", values.mean(0))
        self.register_buffer("scale", values.std(0).clamp(min=1e-3))

    def forward(self, values: Tensor) -> Tensor:
        return (values - self.mean) / self.scale


class TextPretraining(nn.Module):
    """The tower, and what is needed to train it and then thrown away."""

    def __init__(self, tower: CLIPTextModel, described: Described) -> None:
        super().__init__()
        width = tower.config.hidden_size
        self.tower = tower
        self.content_scale, self.quality_scale = Standard(described.content), Standard(described.quality.flatten(0, 1))
        numbers = described.content.shape[1] + described.quality.shape[2]
        self.photo = nn.Sequential(nn.Linear(numbers, 256), nn.GELU(), nn.Dropout(0.1), nn.Linear(256, JOINT))
        self.text = nn.Linear(2 * width, JOINT)
        self.judge = nn.Linear(2 * width, described.quality.shape[2])
        self.warmth = nn.Parameter(torch.tensor(2.0))

    def summary(self, ids: Tensor) -> Tensor:
        """ids (B, L) -> (B, 2 * width): the end mark's state and the mean state up to it."""
        out = self.tower(ids)
        ends = (ids == self.tower.config.eos_token_id).long()
        inside = (ends.cumsum(1) - ends == 0).float()[..., None]  # 1 up to the first end mark, 0 on the padding
        return torch.cat([out.pooler_output, (out.last_hidden_state * inside).sum(1) / inside.sum(1)], 1)

    def photo_point(self, contents: Tensor, qualities: Tensor) -> Tensor:
        numbers = torch.cat([self.content_scale(contents), self.quality_scale(qualities)], 1)
        return F.normalize(self.photo(numbers), dim=1)

    def text_point(self, summary: Tensor) -> Tensor:
        return F.normalize(self.text(summary), dim=1)


@dataclass(frozen=True)
class TextBatch:
    """ids (B, L); contents (B, 240); qualities (B, 9); bare (B,): the text is quality words alone."""

    ids: Tensor
    contents: Tensor
    qualities: Tensor
    bare: Tensor


class TextBatches:
    """(step, rank, device) -> TextBatch; every photo is in it twice, clean and flawed."""

    def __init__(
        self, store: PhotoStore, described: Described, tokenizer: CLIPTokenizerFast, batch: int, seed: int
    ) -> None:
        self.store, self.described, self.tokenizer = store, described, tokenizer
        self.batch, self.seed = batch, seed

    def __call__(self, step: int, rank: int, device: torch.device) -> TextBatch:
        rng, _ = random_source(self.seed, step, rank)
        photos = rng.choice(len(self.store), size=min(self.batch // 2, len(self.store)), replace=False)
        bare = rng.random(2 * len(photos)) < BARE
        bad = np.arange(2 * len(photos)) % 2
        index = photos.repeat(2)
        texts = [self.text(int(i), bool(b), bool(alone), rng) for i, b, alone in zip(index, bad, bare, strict=True)]
        length = self.tokenizer.model_max_length if step % 8 == 0 else SHORT
        encoded = self.tokenizer(texts, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
        chosen = torch.from_numpy(index)
        contents, qualities = self.described.content[chosen], self.described.quality[chosen, torch.from_numpy(bad)]
        values = (encoded.input_ids, contents, qualities, torch.from_numpy(bare))
        return TextBatch(*(value.to(device) for value in values))

    def text(self, index: int, bad: bool, bare: bool, rng: np.random.Generator) -> str:
        words = ", ".join(quality_words(self.described.words[index] if bad else None, rng))
        if bare:
            return words
        tags = self.store.tags[index]
        caption = self.store.captions[index]
        if rng.random() < 0.3 and tags:
            caption = ", ".join(rng.permutation(tags)[: int(rng.integers(1, len(tags) + 1))])
        if rng.random() > WORDED:
            return caption
        return f"{caption.rstrip('.')}, {words}" if rng.random() < 0.8 else f"{words}, {caption}"


def quality_words(wrong: str | None, rng: np.random.Generator) -> list[str]:
    """Words for a clean picture, or other words for the flaws named in `wrong` ("blurry, low quality")."""
    if wrong is None:
        return list(rng.choice(POSITIVE, size=int(rng.integers(1, 5)), replace=False))
    named = [str(rng.choice(FLAW_WORDS[word])) if rng.random() < 0.5 else word for word in wrong.split(", ")]
    return list(rng.permutation(named))


def text_loss(model: TextPretraining, batch: TextBatch) -> dict[str, Tensor]:
    """Symmetric contrastive loss on the captions, and the picture's quality read from every text."""
    summary = model.summary(batch.ids)
    told = ~batch.bare
    texts = model.text_point(summary[told])
    photos = model.photo_point(batch.contents[told], batch.qualities[told])
    logits = model.warmth.exp().clamp(max=50) * texts @ photos.T
    same = torch.arange(len(logits), device=logits.device)
    contrast = (F.cross_entropy(logits, same) + F.cross_entropy(logits.T, same)) / 2
    judged = F.smooth_l1_loss(model.judge(summary), model.quality_scale(batch.qualities))
    return {"loss": contrast + 2 * judged, "contrast": contrast, "quality": judged}


@torch.no_grad()
def measure(
    model: TextPretraining, store: PhotoStore, described: Described, tokenizer: CLIPTokenizerFast
) -> dict[str, float]:
    """Caption -> photo among the held-out photos, and how often the right quality words fit a picture better."""
    model.eval()

    def points(texts: list[str]) -> Tensor:
        ids = tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids
        return model.text_point(model.summary(ids))

    clean = model.photo_point(described.content, described.quality[:, 0])
    bad = model.photo_point(described.content, described.quality[:, 1])
    rank = (points(store.captions) @ clean.T).argsort(1, descending=True)
    place = (rank == torch.arange(len(store))[:, None]).float().argmax(1)
    praised = points([f"{caption}, sharp, clean, highly detailed" for caption in store.captions])
    blamed = points([f"{caption}, {wrong}" for caption, wrong in zip(store.captions, described.words, strict=True)])
    right = torch.cat([(praised * (clean - bad)).sum(1) > 0, (blamed * (bad - clean)).sum(1) > 0])
    model.train()
    return {
        "top 1": float((place == 0).float().mean()),
        "top 5": float((place < 5).float().mean()),
        "quality words": float(right.float().mean()),
    }


def new_tower(tokenizer: CLIPTokenizerFast, width: int, layers: int) -> CLIPTextModel:
    """A random text tower whose marks are the tokenizer's, so that its pooled output reads the end mark's state."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=4 * width,
        projection_dim=width,
        num_hidden_layers=layers,
        num_attention_heads=max(width // 64, 1),
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="made by the prepare stage")
    parser.add_argument("--tokenizer", type=Path, default=Path("runs/tokenizer"), help="made by the tokenizer stage")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=3)
    TrainConfig.add_arguments(parser, batch=96, lr=6e-4, ema=0.99, sheet_minutes=1e9)


def main(args: Namespace) -> None:
    """Leaves `text_encoder/` (fp16) and `metrics.json`, before and after, in the run folder."""
    config = TrainConfig.from_arguments(args)
    torch.manual_seed(config.seed)
    tokenizer = CLIPTokenizerFast.from_pretrained(args.tokenizer)
    train, val = PhotoStore.open(args.cache, "train"), PhotoStore.open(args.cache, "val")
    described, held_out = describe(train, config.seed), describe(val, config.seed + 1)
    model = TextPretraining(new_tower(tokenizer, args.width, args.layers), described)
    before = measure(model, val, held_out, tokenizer)
    model = fit(model, text_loss, TextBatches(train, described, tokenizer, config.batch, config.seed), config)
    values = {"before": before, "after": measure(model, val, held_out, tokenizer)}
    (config.out / "metrics.json").write_text(json.dumps(values, indent=2))
    model.tower.half().save_pretrained(config.out / "text_encoder")
    print(values)
