"""The protocol of an extractor and the row type of the modality table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PIL import Image

Modalities = Mapping[str, "Image.Image | str"]  # a missing key means the null token


class Extractor(Protocol):
    """Reads one modality from a photo."""

    def __call__(self, image: Image.Image) -> Image.Image | str: ...


@dataclass(frozen=True)
class Modality:
    """One row of the modality table.

    Attributes:
        name: the key in `Modalities`, settings and recipes.
        kind: "text" or "map".
        label: what people call it.
        help: one sentence for the page.
        ends: what a low and a high attention temperature do, in words.
        extractors: name -> factory(weights folder, device) -> Extractor; the first is the default.
        check: turns what a caller gave into the exact form the model expects (mode, palette) or raises ValueError.
        resample: the Pillow filter that keeps the map's meaning when it is resized.
        lines: the map is a drawing of thin lines, which must not vanish when it is shrunk for the tokeniser.
    """

    name: str
    kind: str
    label: str
    help: str
    ends: tuple[str, str]
    extractors: Mapping[str, Callable[[Path, str], Extractor]]
    check: Callable[[Image.Image | str], Image.Image | str]
    resample: Image.Resampling = Image.Resampling.BICUBIC
    lines: bool = False
