"""File -> bytes -> opened picture -> 8-bit sRGB pixels, with transparency kept apart."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from mmsr_core import profiles

_DECODERS = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF", "PPM")  # none that runs a program
DECODER_ERRORS = (
    OSError, SyntaxError, ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, RuntimeError,
    EOFError, struct.error, zlib.error, MemoryError,
)  # fmt: skip
MAX_BYTES = 1 << 30  # of an input file
_TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_PLANES = 258, 262, 284  # TIFF 6.0; white is zero = 0; separate planes = 2
_PNG_SIGNATURE, _PNG_BITS_AT = b"\x89PNG\r\n\x1a\n", 24


class ImageError(ValueError):
    """A picture that cannot be read or written, in one sentence that names no folder."""


class Pixels(NamedTuple):
    rgb: Image.Image  # "RGB", sRGB
    alpha: Image.Image | None  # "L"
    grey: bool
    bits: int  # per channel in the file


def read_bytes(path: Path, name: str) -> bytes:
    """A regular file's content. `name` is what messages call it.

    Raises:
        ImageError: missing, unreadable, too large.
    """
    try:
        if path.is_dir():
            raise ImageError(f"{name}: got a folder, wanted a picture")
        if not path.is_file():
            raise ImageError(f"{name}: got no such file, wanted a picture")
        if path.stat().st_size > MAX_BYTES:
            raise ImageError(f"{name}: got {path.stat().st_size / 2**30:.1f} GiB, wanted at most {MAX_BYTES >> 30} GiB")
        return path.read_bytes()
    except ImageError:
        raise
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "impossible name"
        raise ImageError(f"{name}: got {reason}, wanted a readable picture") from None


def identify(data: bytes, name: str) -> Image.Image:
    """Open, not yet decode, one of the formats we trust.

    Raises:
        ImageError: empty, or not a picture.
    """
    if not data:
        raise ImageError(f"{name}: got an empty file, wanted a picture")
    heic = data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"hevc")
    if heic and not _heif_ready():
        raise ImageError(f"{name}: got a HEIC picture, wanted JPEG, PNG or the package pillow-heif installed")
    Image.init()
    try:
        return Image.open(io.BytesIO(data), formats=[form for form in _DECODERS if form in Image.OPEN])
    except UnidentifiedImageError:
        readable = "JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF or HEIC"
        raise ImageError(f"{name}: got no picture that can be read, wanted {readable}") from None


def header(data: bytes) -> Image.Image | None:
    """A picture of any size as far as its header tells, None where it is none of our formats.

    Pillow's `open` refuses very large pictures, as decoding them takes memory; nothing is decoded here.
    """
    Image.init()
    for form in filter(Image.OPEN.__contains__, _DECODERS):
        factory, accepts = Image.OPEN[form]
        with contextlib.suppress(*DECODER_ERRORS):
            if accepts is None or accepts(data[:16]) is True:
                return factory(io.BytesIO(data), "")
    return None


def _heif_ready() -> bool:
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def decode(image: Image.Image, data: bytes) -> Pixels:
    """Pixels of a loaded picture, not turned yet.

    Args:
        data: the file's bytes; empty where the picture came from memory. Pillow reads 16-bit colour as its upper
            bytes, so those are read from here again.
    """
    bits = _bits(image, data)
    icc = image.info.get("icc_profile")
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_wide_grey(image, bits))
        bits = max(bits, 16)
    elif bits == 16 and image.mode in ("RGB", "RGBA"):
        image = _wide_color(image, data)
    image, alpha = _split_alpha(image)
    grey = image.mode in ("1", "L")
    rgb = profiles.to_srgb(image, icc)
    grey = grey or _is_grey(rgb)
    if grey:
        rgb = rgb.convert("L").convert("RGB")
    if alpha is not None:
        rgb = _fill_hidden(rgb, alpha)
    return Pixels(rgb, alpha, grey, bits)


def _bits(image: Image.Image, data: bytes) -> int:
    if data.startswith(_PNG_SIGNATURE):
        return max(8, data[_PNG_BITS_AT])
    tags = getattr(image, "tag_v2", None)
    return max(8, *tags.get(_TIFF_BITS, (8,))) if tags is not None else 8


def _wide_grey(image: Image.Image, bits: int) -> np.ndarray:
    """I;16, I or F -> (H, W) uint8.

    I;16 has the range of its bits. 32-bit integers and floats name no range: [0, 1] (floats), [0, 255] (floats) and
    [0, 65535] are recognised by their extremes, anything else is stretched from its least to its greatest value.
    """
    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        top = 2.0 ** (bits if bits > 8 else 16) - 1
        if getattr(image, "tag_v2", {}).get(_TIFF_PHOTOMETRIC) == 0:
            values = top - values
        return _rounded(values, 0, top)
    values = np.nan_to_num(values.astype(np.float64), posinf=0, neginf=0)
    low, high = float(values.min()), float(values.max())
    tops = (1, 255, 65535) if image.mode == "F" else (65535,)
    top = next((top for top in tops if low >= 0 and high <= top), None)
    return _rounded(values, low, high) if top is None else _rounded(values, 0, top)


def _rounded(values: np.ndarray, low: float, high: float) -> np.ndarray:
    span = max(high - low, 1e-12)
    return np.clip(np.rint((values.astype(np.float64) - low) * (255 / span)), 0, 255).astype(np.uint8)


def _wide_color(image: Image.Image, data: bytes) -> Image.Image:
    """16-bit RGB(A), rounded to 8 bits; Pillow's reading where OpenCV cannot read the file.

    Raises:
        ValueError: a TIFF with separate 16-bit planes, which both libraries read as noise.
    """
    if getattr(image, "tag_v2", {}).get(_TIFF_PLANES) == 2:
        raise ValueError("16-bit TIFF with separate colour planes")
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16 or values.shape[:2] != image.size[::-1]:
        return image
    order = cv2.COLOR_BGRA2RGBA if values.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return Image.fromarray(cv2.cvtColor(cv2.convertScaleAbs(values, alpha=255 / 65535), order))


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """An opaque picture of its mode's kind, and its alpha."""
    if image.has_transparency_data:
        grey = image.mode in ("LA", "La", "L", "1")
        full = image.convert("RGBA")
        return full.convert("L" if grey else "RGB"), full.getchannel("A")
    return image.convert("L") if image.mode == "1" else image, None


def _is_grey(rgb: Image.Image) -> bool:
    red, green, blue = (np.asarray(channel) for channel in rgb.split())
    return np.array_equal(red, green) and np.array_equal(green, blue)


def _fill_hidden(rgb: Image.Image, alpha: Image.Image) -> Image.Image:
    """Fully transparent pixels take the nearest visible colour: what hides there bleeds into enlarged edges."""
    hidden = np.asarray(alpha) == 0
    if not hidden.any() or hidden.all():
        return rgb
    _, label = cv2.distanceTransformWithLabels(hidden.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    pixel_of = np.zeros(label.max() + 1, np.int64)
    pixel_of[label[~hidden]] = np.flatnonzero(~hidden)
    return Image.fromarray(np.asarray(rgb).reshape(-1, 3)[pixel_of[label]])
