"""Photos in and out: files <-> PIL <-> tensors.

    file ──open_photo──> Photo(rgb, alpha, grey, exif) ──to_tensor──> (1, 3, H, W) in [-1, 1]
    file <──save_photo── result + Photo              <──to_pil────

A photo is upright (EXIF orientation applied) and 8-bit sRGB; what cannot pass through the model (transparency,
EXIF data, being grey) waits in the `Photo` and is put back on saving.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from mmsr_core import metadata, profiles
from mmsr_core.decoding import DECODER_ERRORS, ImageError, decode, header, identify, read_bytes
from mmsr_core.files import write_whole
from mmsr_core.sizes import fitted

if TYPE_CHECKING:
    from torch import Tensor

MAX_PIXELS = 64_000_000  # of the input; the result has 16 times as many
MIN_SIDE = 16  # px
READABLE = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif", ".heic", ".heif", ".ppm")
# suffix -> (Pillow's format, default quality, longest side in px)
WRITABLE = {
    ".png": ("PNG", None, 2**31 - 1),
    ".jpg": ("JPEG", 95, 65500),
    ".jpeg": ("JPEG", 95, 65500),
    ".webp": ("WEBP", 95, 16383),
    ".tif": ("TIFF", None, 2**31 - 1),
    ".tiff": ("TIFF", None, 2**31 - 1),
    ".avif": ("AVIF", 90, 65536),
}
_ENCODER = {"JPEG": {"subsampling": "4:4:4"}, "AVIF": {"speed": 9}}  # AVIF's default takes 16 s for 4 megapixels
_COLOURED = {("WEBP", "L"): "RGB", ("WEBP", "LA"): "RGBA", ("AVIF", "LA"): "RGBA"}  # which grey a format cannot hold
_UPRIGHT = {  # EXIF orientation -> how to turn (Exif 2.32, section 4.6.4)
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Photo:
    """A picture as the model takes it, and beside it what the model must not touch."""

    rgb: Image.Image  # "RGB", upright, sRGB
    alpha: Image.Image | None = None  # "L", same size
    grey: bool = False  # R = G = B everywhere; the result is written as grey
    exif: bytes | None = None  # orientation, thumbnail and size left out
    source_format: str | None = None  # Pillow's name, None where the picture came from memory
    bits: int = 8  # per channel in the file
    name: str = "picture"


def open_photo(
    source: str | Path | bytes | Image.Image, max_pixels: int = MAX_PIXELS, name: str | None = None
) -> Photo:
    """Read a photo from a file, a file's bytes or a PIL picture (its first frame).

    Args:
        name: what messages call the picture; by default the file's name.

    Raises:
        ImageError: missing, empty, broken, not a picture, under 16 px a side or over `max_pixels`.
    """
    name = _name(source) if name is None else name
    with _one_sentence(name):
        image, data = _load(source, max_pixels, name)
        return _photo(image, data, name)


def open_map(source: str | Path | bytes | Image.Image, name: str | None = None) -> Image.Image:
    """Read a map as data: upright, its values untouched (no colour management).

    Returns:
        Mode "RGB", or "L", "I", "I;16", "F" where the file is grey. Any transparency is dropped.

    Raises:
        ImageError: as `open_photo`.
    """
    name = _name(source) if name is None else name
    with _one_sentence(name):
        image, _ = _load(source, MAX_PIXELS, name)
        grey = image.mode in ("1", "L", "LA", "I", "F") or image.mode.startswith("I;16")
        values = image.convert("L") if image.mode in ("1", "LA") else image if grey else image.convert("RGB")
        return _upright(values, metadata.orientation_of(image))


def check_target(path: str | Path, size: tuple[int, int]) -> None:
    """Refuse a result that its format cannot hold, before anything is computed.

    Raises:
        ImageError: unknown suffix, or a side longer than the format allows.
    """
    name, suffix = Path(path).name, Path(path).suffix.lower()
    if suffix not in WRITABLE:
        raise ImageError(f"{name}: got {suffix or 'no suffix'}, wanted one of {', '.join(WRITABLE)}")
    form, _, longest = WRITABLE[suffix]
    if max(size) > longest:
        wanted = f"at most {longest} px a side for {form} (PNG and TIFF hold more)"
        raise ImageError(f"{name}: got {size[0]}x{size[1]} px, wanted {wanted}")


def check_side(size: tuple[int, int], name: str = "picture") -> None:
    """Refuse a picture of (width, height) pixels that is too small to look at.

    Raises:
        ImageError: under 16 px a side.
    """
    if min(size) < MIN_SIDE:
        raise ImageError(f"{name}: got {size[0]}x{size[1]} px, wanted at least {MIN_SIDE} px a side")


def encode(
    image: Image.Image,
    photo: Photo,
    form: str = "png",
    recipe_json: str | None = None,
    quality: int | None = None,
    strip_gps: bool = False,
    long_side: int = 0,
) -> bytes:
    """A result as the bytes of a file: transparency enlarged and re-attached, grey where the photo was, EXIF, ICC.

    Args:
        image: RGB result of any size with the photo's proportions.
        form: a suffix without its dot: png, jpg, webp, tiff, avif.
        recipe_json: ASCII JSON, embedded so that `read_recipe` finds it.
        quality: 1-100 for jpg, webp (100 is lossless), avif; None takes the format's default.
        strip_gps: leave the position out.
        long_side: px, of the longer side; a larger picture is shrunk to it. 0 leaves it as it is.

    Raises:
        ImageError: a format that is unknown or cannot hold the size.
    """
    suffix = "." + form.lower().lstrip(".")
    image = fitted(image, long_side) if long_side > 0 else image
    check_target(f"result{suffix}", image.size)
    pillow_form, default_quality, _ = WRITABLE[suffix]
    options = metadata.save_options(pillow_form, photo.exif, image.size, strip_gps, recipe_json)
    options |= _ENCODER.get(pillow_form, {})
    if default_quality is not None:
        options["quality"] = default_quality if quality is None else quality
    if pillow_form == "WEBP":
        options["lossless"] = options["quality"] == 100
    full = _with_alpha(image.convert("L") if photo.grey else image.convert("RGB"), photo.alpha, pillow_form)
    written = _COLOURED.get((pillow_form, full.mode), full.mode)
    options["icc_profile"] = profiles.grey_profile() if written in ("L", "LA") else profiles.srgb_profile()
    out = io.BytesIO()
    try:
        full.save(out, pillow_form, **options)
    except (OSError, ValueError, RuntimeError) as error:
        raise ImageError(f"result: got a failure of the {pillow_form} encoder ({error}), wanted a picture") from None
    return out.getvalue()


def save_photo(
    path: str | Path,
    image: Image.Image,
    photo: Photo,
    recipe_json: str | None = None,
    quality: int | None = None,
    strip_gps: bool = False,
    long_side: int = 0,
) -> Path:
    """Write a result; the suffix chooses the format. The file appears whole or not at all.

    Raises:
        ImageError: see `encode`, or the place cannot be written.
    """
    path = Path(path)
    check_target(path, image.size)
    write_whole(path, encode(image, photo, path.suffix, recipe_json, quality, strip_gps, long_side))
    return path


def read_recipe(source: str | Path | bytes) -> str | None:
    """The recipe text of a result picture (file or its bytes) or of a .json file; None where a picture has none.

    Raises:
        ImageError: neither a readable picture nor a recipe.
    """
    name = Path(source).name if isinstance(source, (str, Path)) else "picture"
    data = source if isinstance(source, bytes) else read_bytes(Path(source), name)
    text = data.decode("utf-8", "ignore") if data.lstrip()[:1] == b"{" else None
    if metadata.is_recipe(text):
        return text
    if text is not None:
        raise ImageError(f"{name}: got text that is no recipe, wanted a recipe in JSON or a result picture")
    with _one_sentence(name):
        image = header(data)
        return metadata.find_recipe(identify(data, name) if image is None else image, data)


def to_tensor(image: Image.Image) -> Tensor:
    """RGB picture -> float32 (1, 3, H, W) in [-1, 1]."""
    import torch

    pixels = torch.from_numpy(np.array(image.convert("RGB")))
    return pixels.permute(2, 0, 1)[None].float() / 127.5 - 1


def to_pil(tensor: Tensor) -> Image.Image:
    """(1, 3, H, W) or (3, H, W) in [-1, 1], clipped and rounded -> RGB picture.

    Raises:
        ValueError: not finite (never a black picture instead of an error).
    """
    pixels = (tensor[0] if tensor.ndim == 4 else tensor).detach().float()
    if not bool(pixels.isfinite().all()):
        raise ValueError("picture: got values that are not finite, wanted numbers in [-1, 1]")
    pixels = ((pixels + 1) * 127.5).round().clamp(0, 255).byte()
    return Image.fromarray(pixels.permute(1, 2, 0).cpu().contiguous().numpy())


def _name(source: str | Path | bytes | Image.Image) -> str:
    return Path(source).name if isinstance(source, (str, Path)) else "picture"


@contextmanager
def _one_sentence(name: str) -> Iterator[None]:
    """Turn whatever a decoder raises about a bad file into an `ImageError`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own bomb warning and complaints about odd tags
            yield
    except ImageError:
        raise
    except Image.DecompressionBombError:
        raise ImageError(f"{name}: got far too many pixels, wanted at most {MAX_PIXELS / 1e6:g} megapixels") from None
    except DECODER_ERRORS as error:
        reason = str(error).split("<")[0].strip()[:80] if str(error) else type(error).__name__
        raise ImageError(f"{name}: got a damaged or incomplete picture ({reason}), wanted a whole one") from None


def _load(source: str | Path | bytes | Image.Image, max_pixels: int, name: str) -> tuple[Image.Image, bytes]:
    """The decoded picture and its file's bytes (empty where it came from memory)."""
    if isinstance(source, Image.Image):
        image, data = source, b""
    else:
        data = source if isinstance(source, bytes) else read_bytes(Path(source), name)
        image = identify(data, name)
    _check_size(image.size, max_pixels, name)
    image.load()
    return image, data


def _check_size(size: tuple[int, int], max_pixels: int, name: str) -> None:
    check_side(size, name)
    width, height = size
    if width * height > max_pixels:
        got = f"{width}x{height} px ({width * height / 1e6:.0f} megapixels)"
        raise ImageError(f"{name}: got {got}, wanted at most {max_pixels / 1e6:g} megapixels")


def _photo(image: Image.Image, data: bytes, name: str) -> Photo:
    """The loaded picture, upright."""
    pixels = decode(image, data)
    turn = metadata.orientation_of(image)
    rgb, alpha = (None if part is None else _upright(part, turn) for part in (pixels.rgb, pixels.alpha))
    return Photo(rgb, alpha, pixels.grey, metadata.photo_exif(image), image.format, pixels.bits, name)


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _with_alpha(image: Image.Image, alpha: Image.Image | None, pillow_form: str) -> Image.Image:
    """Re-attach alpha at the result's size; over white where the format has none. Bicubic, as Lanczos leaves
    ghost lines beside hard edges."""
    if alpha is None:
        return image
    alpha = alpha.resize(image.size, Image.Resampling.BICUBIC)
    if pillow_form == "JPEG":
        white = Image.new(image.mode, image.size, "white")
        white.paste(image, mask=alpha)
        return white
    full = image.convert("LA" if image.mode == "L" else "RGBA")
    full.putalpha(alpha)
    return full
