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
    return described(tokens, photo, flaws, rng)


def described(tokens: Tokenizers, photo: list[str], flaws: list[str | None], rng: np.random.Generator) -> Tensor:
    """Text ids (B, 77), one text a picture; long captions are cut before the words, as a visitor's are.

    Args:
        photo: the photo's caption.
        flaws: words for what is wrong with the target, or None where the target is the photo itself.
    """
    drawn = [_drawn(text, wrong, rng) for text, wrong in zip(photo, flaws)]
    return torch.cat([tokens.text_ids(tokens.prompt(caption, words)) for caption, words in drawn])


def _drawn(text: str, wrong: str | None, rng: np.random.Generator) -> tuple[str, str]:
    """Caption and words; either may be left out."""
    caption = text if rng.random() < 0.6 else ""
    if wrong is not None:
        return caption, wrong
    if rng.random() < 0.75 or not caption:
        count = rng.integers(2, len(GOOD) + 1)
        return caption, ", ".join(str(word) for word in rng.permutation(GOOD)[:count])
    return caption, ""
