"""What the model is told about a training picture: caption, quality words, or nothing."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mmsr_core.tokens import Tokenizers

BLURRY = ("blurry", "blurry, low quality", "blurry, noisy, jpeg artifacts, low quality")
GOOD = ("sharp", "clean", "highly detailed", "high quality")


def worded(tokens: Tokenizers, photo: list[str], soft: list[bool], rng: np.random.Generator) -> Tensor:
    """Text ids (B, 77) of the photos' captions, with words that call those blurry that are to be soft."""
    flaws = [str(rng.choice(BLURRY)) if blurry else None for blurry in soft]
    return torch.cat([tokens.text_ids(text) for text in captions(photo, flaws, rng)])


def captions(photo: list[str], flaws: list[str | None], rng: np.random.Generator) -> list[str]:
    """One text a picture.

    Args:
        photo: the photo's caption.
        flaws: words for what is wrong with the target, or None where the target is the photo itself.
    """
    return [_caption(text, wrong, rng) for text, wrong in zip(photo, flaws)]


def _caption(text: str, wrong: str | None, rng: np.random.Generator) -> str:
    parts = [text.rstrip(".")] if rng.random() < 0.6 else []
    if wrong is not None:
        parts.append(wrong)
    elif rng.random() < 0.75 or not parts:
        count = rng.integers(2, len(GOOD) + 1)
        parts += [str(word) for word in rng.permutation(GOOD)[:count]]
    return ", ".join(parts)
