"""Stage `tokenizer`: byte-level BPE in CLIP's layout, learnt from the captions, the settings' words and a word list.

Every byte is in the vocabulary, alone and as the end of a word, so any text can be encoded.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import pre_tokenizers, trainers
from transformers import CLIPTokenizerFast

from mmsr_core.modalities.palette import NAMES
from mmsr_core.settings import Settings
from mmsr_core.training.data import PhotoStore
from mmsr_core.training.words import lexicon

BEGIN, END, WORD_END = "<|startoftext|>", "<|endoftext|>", "</w>"
LENGTH = 77  # paper, section 3.2: text tokens
WORD_WEIGHT = 8  # a listed word counts as often as one that stands in so many captions


def corpus(store: PhotoStore) -> Iterator[str]:
    """Texts in the proportions in which their words should earn tokens of their own."""
    yield from store.captions
    for tags in store.tags:
        yield ", ".join(tags)
    settings = Settings()
    for text in (settings.positive, settings.negative, *NAMES, *lexicon()):
        yield from [text] * WORD_WEIGHT


def train(texts: Iterable[str], size: int) -> CLIPTokenizerFast:
    """A tokenizer of at most `size` tokens.

    Raises:
        ValueError: a size that does not hold the bytes and the two marks.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    fixed = [*alphabet, *(letter + WORD_END for letter in alphabet)]
    if size < len(fixed) + 2:
        raise ValueError(f"vocabulary: got {size}, wanted at least {len(fixed) + 2}")
    backend = CLIPTokenizerFast().backend_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, end_of_word_suffix=WORD_END, show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    learnt = [tuple(pair) for pair in json.loads(backend.to_str())["model"]["merges"]]
    merges = learnt[: size - len(fixed) - 2]
    words = dict.fromkeys([*fixed, *(a + b for a, b in merges), BEGIN, END])
    vocabulary = {word: index for index, word in enumerate(words)}
    return CLIPTokenizerFast(vocab=vocabulary, merges=merges, model_max_length=LENGTH)


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="made by the prepare stage")
    parser.add_argument("--out", type=Path, default=Path("runs/tokenizer"))
    parser.add_argument("--size", type=int, default=4096, help="tokens in the vocabulary")


def main(args: Namespace) -> None:
    tokenizer = train(corpus(PhotoStore.open(args.cache, "train")), args.size)
    tokenizer.save_pretrained(args.out)
    held_out = PhotoStore.open(args.cache, "val").captions
    words = sum(len(text.split()) for text in held_out)
    tokens = sum(len(tokenizer(text, add_special_tokens=False).input_ids) for text in held_out)
    print(f"{len(tokenizer)} tokens; {tokens / words:.2f} tokens a word on held-out captions")
