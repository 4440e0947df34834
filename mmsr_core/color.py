"""Colour match: give a finished picture the colours of its input. Pure functions, any size.

wavelet  keeps the picture's detail and takes the input's low frequencies (StableSR, arXiv 2305.07015, section 3.4)
adain    gives each channel the input's mean and standard deviation (AdaIN, arXiv 1703.06868, equation 8)
ycbcr    keeps the picture's luma and takes the input's chroma
none     leaves the picture alone
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

LEVELS = 5  # of the a-trous decomposition: a low-pass of 2 * 31 + 1 pixels, as StableSR, DiffBIR and SUPIR use
_MARGIN = 2**LEVELS - 1  # px that the low-pass reaches beyond its pixel
_ROWS = 256  # height of one strip: bounds the memory
_LUMA = np.float32([0.299, 0.587, 0.114])  # ITU-R BT.601, full range as in JPEG
_FLAT = 1e-3  # standard deviation (in 0..255) under which a channel has no contrast to scale


def match(image: Image.Image, reference: Image.Image, method: str = "wavelet") -> Image.Image:
    """Give `image` the colours of `reference`.

    Args:
        image: RGB result of any size.
        reference: RGB input that it was made from; any size, same extent.
        method: a key of `METHODS`.

    Raises:
        ValueError: unknown method.
    """
    if method not in METHODS:
        raise ValueError(f"color: got {method!r}, wanted one of {', '.join(METHODS)}")
    return METHODS[method](image.convert("RGB"), reference.convert("RGB"))


def wavelet(image: Image.Image, reference: Image.Image) -> Image.Image:
    """image - low(image) + low(reference) = image + low(reference - image), as the low-pass is linear."""
    reference = reference.resize(image.size, Image.Resampling.BICUBIC)
    result = np.empty((image.height, image.width, 3), np.uint8)
    for top, bottom in _strips(image.height):
        first, last = max(0, top - _MARGIN), min(image.height, bottom + _MARGIN)
        own = _rows(image, first, last)
        shift = low_pass(_rows(reference, first, last) - own)
        result[top:bottom] = _to_bytes((own + shift)[top - first : bottom - first])
    return Image.fromarray(result)


def adain(image: Image.Image, reference: Image.Image) -> Image.Image:
    """A straight line per channel, so a table of its 256 values does.

    Both are measured at the reference's size: detail that only the larger one can hold must not cost contrast.
    """
    tables = []
    small = image.resize(reference.size, Image.Resampling.BOX)
    for own, wanted in zip(_moments(small), _moments(reference), strict=True):
        gain = wanted[1] / own[1] if own[1] > _FLAT else 1.0
        tables.extend(_to_bytes((np.arange(256) - own[0]) * gain + wanted[0]).tolist())
    return image.point(tables)


def ycbcr(image: Image.Image, reference: Image.Image) -> Image.Image:
    """Colour minus luma is a linear function of Cb and Cr, so swapping chroma is adding a difference of lumas."""
    reference = reference.resize(image.size, Image.Resampling.BICUBIC)
    result = np.empty((image.height, image.width, 3), np.uint8)
    for top, bottom in _strips(image.height):
        colors = _rows(reference, top, bottom)
        shift = (_rows(image, top, bottom) - colors) @ _LUMA
        result[top:bottom] = _to_bytes(colors + shift[..., None])
    return Image.fromarray(result)


METHODS: dict[str, Callable[[Image.Image, Image.Image], Image.Image]] = {
    "wavelet": wavelet,
    "adain": adain,
    "ycbcr": ycbcr,
    "none": lambda image, reference: image,
}


def low_pass(values: np.ndarray) -> np.ndarray:
    """(H, W, C) float -> the same after `LEVELS` binomial filters [1 2 1] / 4 with holes of 1, 2, 4, ... pixels."""
    for level in range(LEVELS):
        for axis in (0, 1):
            values = _spread(values, 2**level, axis)
    return values


def _spread(values: np.ndarray, step: int, axis: int) -> np.ndarray:
    """[1 2 1] / 4 with taps `step` apart; the edge pixel repeats beyond the border."""
    size = values.shape[axis]
    padding = [(step, step) if at == axis else (0, 0) for at in range(values.ndim)]
    padded = np.pad(values, padding, mode="edge")
    before, after = (padded.take(np.arange(start, start + size), axis) for start in (0, 2 * step))
    return 0.5 * values + 0.25 * (before + after)


def _strips(height: int) -> Iterator[tuple[int, int]]:
    return ((top, min(top + _ROWS, height)) for top in range(0, height, _ROWS))


def _rows(image: Image.Image, top: int, bottom: int) -> np.ndarray:
    return np.asarray(image.crop((0, top, image.width, bottom)), np.float32)


def _to_bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _moments(image: Image.Image) -> list[tuple[float, float]]:
    """(mean, standard deviation) of each channel, in 0..255."""
    levels = np.arange(256.0)
    moments = []
    for counts in np.reshape(image.histogram(), (3, 256)):
        mean = np.average(levels, weights=counts)
        moments.append((mean, float(np.sqrt(np.average((levels - mean) ** 2, weights=counts)))))
    return moments
