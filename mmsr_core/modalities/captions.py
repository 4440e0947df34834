"""Captions by public networks on this machine: Florence-2 (Xiao et al. 2023, https://arxiv.org/abs/2311.06242) and
BLIP (Li et al. 2022, https://arxiv.org/abs/2201.12086)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from transformers import BlipForConditionalGeneration, BlipProcessor, Florence2ForConditionalGeneration
from transformers import Florence2Processor as FlorenceProcessor

from mmsr_core.modalities.network import Network

TASKS = {  # of Florence-2, and the most words it may take
    "brief": ("<CAPTION>", 40),
    "detailed": ("<DETAILED_CAPTION>", 100),
    "more detailed": ("<MORE_DETAILED_CAPTION>", 200),
}
_ABOUT = r"(?:image|picture|photo|photograph|scene)"
_OPENINGS = (  # how captioners begin before they say what is there
    rf"(?:in|on) (?:this|the) {_ABOUT},? ?(?:we can see|we see|you can see|one can see|i can see|there (?:is|are))? ?",
    rf"(?:this|the) {_ABOUT} (?:shows|depicts|features|displays|captures|contains|is of|is about) ",
    rf"(?:this|the) {_ABOUT} is an? ",
    r"(?:this is|here is|it is) ",
    r"there (?:is|are) ",
    r"(?:here(?:'s| is) )?(?:a |the )?(?:caption|description): ?",
)
_OPENING = re.compile("|".join(_OPENINGS), re.IGNORECASE)
_QUALITY = re.compile(  # what belongs to the negative text of the guidance, not to a caption
    r"\b(?:blur(?:ry|red image)|pixelated|grainy|noisy|low[- ](?:quality|resolution)|out[- ]of[- ]focus image|jpeg)\b",
    re.IGNORECASE,
)


def plain(caption: str) -> str:
    """A caption without "The image shows", without words on the picture's quality, ended by a full stop.

    A last sentence that was cut off is dropped where there are others.
    """
    text = " ".join(caption.split())
    text = _OPENING.sub("", text, count=1) if _OPENING.match(text) else text
    sentences = re.split(r"(?<=[.!?]) ", text)
    if len(sentences) > 1 and not sentences[-1].endswith((".", "!", "?")):
        sentences.pop()
    text = " ".join(one for one in sentences if _QUALITY.search(one) is None) or _QUALITY.sub("", text)
    text = " ".join(text.split()).strip(" ,;:")
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


class Florence:
    """A loaded Florence-2; `saying` gives the extractor.

    Args:
        folder: a `Florence2ForConditionalGeneration` with its processor.
        device: of torch.
        beams: of the search; 1 is greedy.
        batch: most photos at once in `many`.
    """

    def __init__(self, folder: Path, device: str = "cpu", beams: int = 1, batch: int = 8) -> None:
        model = Florence2ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
        self.network = Network(model, FlorenceProcessor.from_pretrained(folder, backend="pil"), device, batch)
        self.beams = beams

    def saying(self, length: str) -> FlorenceCaption:
        """The extractor of "brief", "detailed" or "more detailed" captions.

        Raises:
            ValueError: another length.
        """
        if length not in TASKS:
            raise ValueError(f"caption length: got {length!r}, wanted one of {', '.join(TASKS)}")
        return FlorenceCaption(self, *TASKS[length])

    @torch.inference_mode()
    def answers(self, images: list[Image.Image], task: str, words: int) -> list[str]:
        """What the network says about RGB photos."""
        network = self.network
        given = network.processor(images=images, text=[task] * len(images), return_tensors="pt").to(network.device)
        with network.running():
            ids = network.model.generate(
                **given, max_new_tokens=words, num_beams=self.beams, do_sample=False, no_repeat_ngram_size=3
            )
        return network.processor.batch_decode(ids, skip_special_tokens=True)


class FlorenceCaption:
    """Photo -> sentences.

    Args:
        florence: a loaded network.
        task: its task mark.
        words: most tokens of an answer.
    """

    def __init__(self, florence: Florence, task: str, words: int) -> None:
        self.florence, self.task, self.words = florence, task, words

    def __call__(self, image: Image.Image) -> str:
        return self.many([image])[0]

    def many(self, images: Sequence[Image.Image]) -> list[str]:
        """One caption per photo; photos of one size are read together."""
        return self.florence.network.many(images, self._read)

    def _read(self, images: list[Image.Image]) -> list[str]:
        return [plain(said) for said in self.florence.answers(images, self.task, self.words)]


class Blip:
    """Photo -> a short sentence.

    Args:
        folder: a `BlipForConditionalGeneration` with its processor.
        device: of torch.
        words: most tokens of an answer.
        batch: most photos at once in `many`.
    """

    def __init__(self, folder: Path, device: str = "cpu", words: int = 40, batch: int = 8) -> None:
        model = BlipForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
        self.network = Network(model, BlipProcessor.from_pretrained(folder, backend="pil"), device, batch)
        self.words = words

    def __call__(self, image: Image.Image) -> str:
        return self.many([image])[0]

    def many(self, images: Sequence[Image.Image]) -> list[str]:
        """One caption per photo; photos of one size are read together."""
        return self.network.many(images, self._read)

    @torch.inference_mode()
    def _read(self, images: list[Image.Image]) -> list[str]:
        given = self.network.processor(images=images, return_tensors="pt").to(self.network.device)
        with self.network.running():
            ids = self.network.model.generate(**given, max_new_tokens=self.words)
        return [plain(said) for said in self.network.processor.batch_decode(ids, skip_special_tokens=True)]
