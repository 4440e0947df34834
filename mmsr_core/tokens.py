"""Modalities -> tokens, with frozen parts only: a VQ model reads the maps, a small CLIP text tower reads the caption.

    map  --render--> (B, 3, side, side) --VQ encoder, nearest code--> ids (B, 256) --codebook--> tokens (B, 256, 256)
    text --BPE-----> ids (B, 77) -------------------------------------text tower---------------> tokens (B, 77, width)

Paper section 3.2: every map becomes 16 x 16 discrete codes of 256 dimensions, the text 77 tokens. Widths and sizes are
read from the parts' own configs, so the bundled parts (maps of 128 px) and a 256-px VQGAN run through the same code.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from diffusers import VQModel
from einops import rearrange
from PIL import Image, ImageFilter
from torch import Tensor
from transformers import BatchEncoding, CLIPTextModel, CLIPTokenizerFast

from mmsr_core.modalities import MODALITIES
from mmsr_core.modalities.base import Modality

Box = tuple[float, float, float, float]  # x0, y0, x1, y1 as fractions of the picture; over 1 it is mirrored
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)

# A line drawing is softened, so that a line's place changes its picture gradually, then brightened again.
LINE_SOFTNESS = 0.8  # sigma in pixels of the rendered map
LINE_GAIN = 1.6
REMEMBERED = 512  # maps and texts, of some kilobytes each


class TokenCount(NamedTuple):
    """How much of a text is read: tokens used with both end marks, the limit, the text read and the text left out."""

    used: int
    limit: int
    kept: str
    cut: str


class Tokenizers:
    """The frozen VQ model, BPE tokenizer and text tower. Every method runs without gradients, on the parts' device.

    Args:
        vq: `diffusers.VQModel`; its input side and grid come from `config.sample_size` and the number of its levels.
        tokenizer: BPE in CLIP's layout.
        text_encoder: `CLIPTextModel`; its last hidden states are the text tokens.
        known: what was tokenised before, so that a moved slider does not pay for it again; filled here.
    """

    def __init__(
        self,
        vq: VQModel,
        tokenizer: CLIPTokenizerFast,
        text_encoder: CLIPTextModel,
        known: dict[bytes | str, Tensor] | None = None,
    ) -> None:
        self.vq = vq.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        tokenizer("")  # padding and cutting are off from here on: to switch them is not safe between threads
        self.text_encoder = text_encoder.eval().requires_grad_(False)
        self.known = {} if known is None else known

    @classmethod
    def load(cls, folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Tokenizers:
        """From `folder/vq`, `folder/tokenizer` and `folder/text_encoder`."""
        vq = VQModel.from_pretrained(folder / "vq", dtype=dtype)
        tokenizer = CLIPTokenizerFast.from_pretrained(folder / "tokenizer")
        text_encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=dtype)
        return cls(vq.to(device), tokenizer, text_encoder.to(device))

    @property
    def device(self) -> torch.device:
        return self.vq.device

    @property
    def map_side(self) -> int:
        """Side in pixels of the maps that the VQ model reads."""
        return self.vq.config.sample_size

    @property
    def grid(self) -> int:
        """Tokens on each side of a map."""
        return self.map_side // 2 ** (len(self.vq.config.block_out_channels) - 1)

    @property
    def map_width(self) -> int:
        """Dimensions of one map token."""
        return self.vq.config.vq_embed_dim

    @property
    def text_length(self) -> int:
        return self.text_encoder.config.max_position_embeddings

    @property
    def text_width(self) -> int:
        """Dimensions of one text token."""
        return self.text_encoder.config.hidden_size

    def map_ids(self, maps: Tensor) -> Tensor:
        """maps (B, 3, side, side), uint8 or float in [-1, 1] -> code ids (B, grid * grid), row by row."""
        return map_ids(self.vq, maps)

    @torch.no_grad()
    def map_codes(self, ids: Tensor) -> Tensor:
        """ids (B, N) -> tokens (B, N, map_width)."""
        return self.vq.quantize.get_codebook_entry(ids.to(self.device).long(), shape=None)

    @torch.no_grad()
    def reconstruct(self, ids: Tensor) -> Tensor:
        """What the codes say: ids (B, grid * grid) -> maps (B, 3, side, side) in [-1, 1]."""
        codes = rearrange(self.map_codes(ids), "b (h w) d -> b d h w", h=self.grid)
        return self.vq.decode(codes, force_not_quantize=True).sample.clamp(-1, 1)

    def render(self, name: str, image: Image.Image, box: Box | None = None) -> Tensor:
        """The part of a map inside `box`, ready for `map_ids`: (1, 3, side, side) float in [-1, 1]."""
        return self._unit(render_map(map_row(name), image, box, self.map_side))

    def _unit(self, picture: Image.Image) -> Tensor:
        pixels = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None]
        return pixels.to(self.device, self.vq.dtype) / 255 * 2 - 1

    def text_ids(self, text: str) -> Tensor:
        """(1, text_length), begun, ended and padded; a longer text is cut (see `count`)."""
        words = self._encoded(text).input_ids[: self.text_length - 2]
        ids = [self.tokenizer.bos_token_id, *words, self.tokenizer.eos_token_id]
        return torch.tensor([ids + [self.tokenizer.pad_token_id] * (self.text_length - len(ids))])

    @torch.no_grad()
    def text_states(self, ids: Tensor) -> Tensor:
        """ids (B, text_length) -> tokens (B, text_length, text_width)."""
        return self.text_encoder(ids.to(self.device)).last_hidden_state

    def tokenise(self, modalities: Mapping[str, Image.Image | str], box: Box | None = None) -> dict[str, Tensor]:
        """{name: (1, tokens, width)} in token order; maps are cut to `box`, the text is global, a missing key stays so.

        Raises:
            ValueError: a name that is no modality.
        """
        names = [row.name for row in MODALITIES]
        unknown = sorted(set(modalities) - set(names))
        if unknown:
            raise ValueError(f"modalities: got {', '.join(unknown)}, wanted some of {', '.join(names)}")
        return {row.name: self._tokens(row, modalities[row.name], box) for row in MODALITIES if row.name in modalities}

    def _tokens(self, row: Modality, value: Image.Image | str, box: Box | None) -> Tensor:
        if row.kind == "text":
            return self.text(value)
        picture = render_map(row, value, box, self.map_side)
        ids = self._once(hashlib.sha256(picture.tobytes()).digest(), lambda: self.map_ids(self._unit(picture)))
        return self.map_codes(ids)

    def text(self, text: str) -> Tensor:
        """(1, text_length, text_width)"""
        return self._once(text, lambda: self.text_states(self.text_ids(text))).to(self.device)

    def _once(self, key: bytes | str, make: Callable[[], Tensor]) -> Tensor:
        """The known tokens, or new ones; the parts are frozen, so they never change. The oldest make room."""
        if key not in self.known:
            self.known[key] = make()
        while len(self.known) > REMEMBERED:
            del self.known[next(iter(self.known))]
        return self.known[key]

    def count(self, text: str, words: str = "") -> TokenCount:
        """How many tokens the text takes, `words` behind it included, and where it is cut to leave them room.

        Before words it ends with a whole word where it has one; alone it is cut at a token, as `text_ids` does.
        """
        room = self.text_length - 2  # begin and end marks
        ends = [end for _, end in self._encoded(text).offset_mapping]
        if words.strip():
            kept = text if self._fits(text, words) else self._beside(text, ends, words)
            used = len(self._encoded(joined(kept, words)).input_ids)
        else:
            kept, used = text if len(ends) <= room else text[: ends[room - 1]], len(ends)
        return TokenCount(min(used, room) + 2, self.text_length, kept, text[len(kept) :])

    def prompt(self, caption: str, words: str) -> str:
        """What is read of a caption and the quality words: the words always, of the caption what fits before them."""
        return joined(self.count(caption, words).kept, words)

    def _encoded(self, text: str) -> BatchEncoding:
        """Ids and offsets of the whole text; `verbose` would warn of a length that is cut here."""
        return self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)

    def _fits(self, text: str, words: str) -> bool:
        return len(self._encoded(joined(text, words)).input_ids) <= self.text_length - 2

    def _beside(self, text: str, ends: Sequence[int], words: str) -> str:
        """As much of a text whose tokens end at `ends` as fits before the words."""
        starts = [_whole_words(text, end) for end in (0, *ends[: self.text_length - 2])]
        return starts[bisect_left(starts, True, 1, key=lambda start: not self._fits(start, words)) - 1]


def joined(caption: str, words: str) -> str:
    """Caption and quality words as one text."""
    return ", ".join(part.strip().rstrip(".,") for part in (caption, words) if part.strip())


def _whole_words(text: str, end: int) -> str:
    """The text up to `end`, without the word that is cut there unless it has no other."""
    start, inside = text[:end], re.fullmatch(r"\w\w", text[max(end - 1, 0) : end + 1])
    return start if inside is None else re.sub(r"\w+$", "", start).rstrip() or start


@torch.no_grad()
def map_ids(vq: VQModel, maps: Tensor) -> Tensor:
    """maps (B, 3, side, side), uint8 or float in [-1, 1] -> ids of the nearest codes (B, grid * grid), row by row."""
    maps = maps.to(vq.device)
    if maps.dtype == torch.uint8:
        maps = maps / 255 * 2 - 1
    ids = vq.quantize(vq.encode(maps.to(vq.dtype)).latents)[2][2]
    return ids.reshape(len(maps), -1)


def map_row(name: str) -> Modality:
    """The row of a map modality.

    Raises:
        ValueError: no such map.
    """
    maps = {row.name: row for row in MODALITIES if row.kind == "map"}
    if name not in maps:
        raise ValueError(f"map: got {name!r}, wanted one of {', '.join(maps)}")
    return maps[name]


def render_map(row: Modality, image: Image.Image, box: Box | None, side: int) -> Image.Image:
    """The part of a map inside `box` (fractions of the picture) as an RGB picture of side x side pixels.

    Beyond the right and the bottom border the map is mirrored, as the photo is where it is padded.

    Raises:
        ValueError: an empty box, or one that begins outside of the picture.
    """
    x0, y0, x1, y1 = WHOLE if box is None else box
    if not (0 <= x0 < min(x1, 1) and 0 <= y0 < min(y1, 1)):
        raise ValueError(f"box: got {box}, wanted 0 <= x0 < x1, 0 <= y0 < y1 and a corner inside of the picture")
    pixels = (x0 * image.width, y0 * image.height, x1 * image.width, y1 * image.height)
    image = _mirrored(image, pixels)
    if row.lines:
        return _drawn(image, pixels, row.resample, side).convert("RGB")
    return image.resize((side, side), row.resample, box=pixels).convert("RGB")


def _mirrored(image: Image.Image, pixels: Box) -> Image.Image:
    """The map with as much of its mirror image beyond the right and the bottom border as the box covers."""
    right, bottom = (max(int(np.ceil(end - length - 1e-6)), 0) for end, length in zip(pixels[2:], image.size))
    if not right and not bottom:
        return image
    kind = cv2.BORDER_REFLECT_101 if right < image.width and bottom < image.height else cv2.BORDER_REPLICATE
    return Image.fromarray(cv2.copyMakeBorder(np.asarray(image), 0, bottom, 0, right, kind))


def _drawn(image: Image.Image, pixels: Box, resample: Image.Resampling, side: int) -> Image.Image:
    """Resizes a line drawing so that lines of one pixel survive: widened before shrinking, softened after."""
    x0, y0, x1, y1 = pixels
    shrink = max(x1 - x0, y1 - y0) / side
    if shrink > 1 + 1e-6:  # not where rounding alone makes it more
        reach = int(np.ceil((shrink - 1) / 2))
        image = Image.fromarray(cv2.dilate(np.asarray(image), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)))
    small = image.resize((side, side), resample, box=pixels)
    soft = small.filter(ImageFilter.GaussianBlur(LINE_SOFTNESS))
    return soft.point(lambda value: min(255, round(value * LINE_GAIN)))
