"""What training tells the model: long captions are cut as a visitor's are, so that the words are always read."""

from __future__ import annotations

import numpy as np
import torch

from mmsr_core.pipeline import MMSRPipeline
from mmsr_core.training.prompts import BLURRY, described


def test_the_words_are_read_behind_a_caption_of_any_length(pipeline: MMSRPipeline) -> None:
    tokens, long = pipeline.tokenizers, "a house by a lake with many trees " * 30
    texts = {tokens.prompt(long, BLURRY[0]), BLURRY[0]}  # four of ten are told of the flaws alone
    wanted = {tuple(tokens.text_ids(text)[0].tolist()) for text in texts}
    read = described(tokens, [long] * 20, [BLURRY[0]] * 20, np.random.default_rng(0))
    assert read.shape == (20, 77) and {tuple(row) for row in read.tolist()} == wanted


def test_flaws_are_always_named_and_a_caption_may_stand_alone(pipeline: MMSRPipeline) -> None:
    tokens = pipeline.tokenizers
    plain = described(tokens, ["a cat."] * 60, [None] * 60, np.random.default_rng(0))
    flawed = described(tokens, ["a cat."] * 60, ["blurry"] * 60, np.random.default_rng(0))
    alone, words = tokens.text_ids("a cat"), {tokens.text_ids(text) for text in ("a cat, blurry", "blurry")}
    assert any(torch.equal(row, alone[0]) for row in plain)
    assert all(any(torch.equal(row, text[0]) for text in words) for row in flawed)
