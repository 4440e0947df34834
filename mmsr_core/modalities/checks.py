"""What a caller may hand in as a modality, and the exact form it is turned into."""

from __future__ import annotations

import numpy as np
from PIL import Image

from mmsr_core.modalities.palette import BUNDLED, Palette

DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "F")  # more than eight bits a pixel
MOSTLY_WHITE = 0.6  # an edge map with more white than this is not "lines on black"


def check_caption(value: Image.Image | str) -> str:
    """One line of text: runs of white space become single spaces.

    Raises:
        ValueError: not a text.
    """
    if not isinstance(value, str):
        raise ValueError(f"text: got {_kind(value)}, wanted a caption as text")
    return " ".join(value.split())


def check_depth(value: Image.Image | str) -> Image.Image:
    """Mode "L", near = bright. Pictures of 16 bits or floats are stretched from their range to 0..255.

    Raises:
        ValueError: not a picture, or one with values that are no numbers.
    """
    return _grey("depth", value, "a picture with near = bright")


def check_segmentation(value: Image.Image | str, palette: Palette = BUNDLED) -> Image.Image:
    """Mode "RGB" in exact palette colours; others go to the nearest. A grey picture of class numbers is accepted.

    Raises:
        ValueError: not a picture.
    """
    image = _picture("segmentation", value)
    if image.mode in DEEP_MODES or image.mode == "L":
        index = np.asarray(image)
        if index.min() >= 0 and index.max() < len(palette.classes):
            return palette.render(index.astype(np.uint8))
    return palette.render(palette.to_index(image))


def check_edge(value: Image.Image | str) -> Image.Image:
    """Mode "L", white lines on black; deep pictures as in `check_depth`.

    Raises:
        ValueError: not a picture, one with values that are no numbers, or one that is mostly white.
    """
    image = _grey("edge", value, "white lines on black")
    white = float((np.asarray(image) > 127).mean())
    if white > MOSTLY_WHITE:
        raise ValueError(f"edge: got a picture that is {white:.0%} white, wanted white lines on black")
    return image


def _grey(name: str, value: Image.Image | str, wanted: str) -> Image.Image:
    """Mode "L", stretched from its own range where it has more than eight bits: Pillow would cut off at 255."""
    image = _picture(name, value)
    if image.mode not in DEEP_MODES:
        return image.convert("L")
    values = np.asarray(image, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: got values that are not finite numbers, wanted {wanted}")
    low, high = values.min(), values.max()
    return Image.fromarray(np.round((values - low) / max(high - low, 1e-12) * 255).astype(np.uint8))


def _picture(name: str, value: Image.Image | str) -> Image.Image:
    if not isinstance(value, Image.Image):
        raise ValueError(f"{name}: got {_kind(value)}, wanted a picture")
    if min(value.size) < 1:
        raise ValueError(f"{name}: got a picture of {value.width}x{value.height} px, wanted at least 1x1 px")
    return value


def _kind(value: object) -> str:
    if isinstance(value, Image.Image):
        return "a picture"
    return "a text" if isinstance(value, str) else type(value).__name__
