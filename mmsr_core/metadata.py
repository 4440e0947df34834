"""EXIF data and the recipe text that travel inside a picture file."""

from __future__ import annotations

import json
import struct
from typing import Any

from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

RECIPE_KEY = "mmsr-recipe"  # keyword of the PNG text chunk, and prefix of the JPEG segments
_JPEG_MARKER, _JPEG_PREFIX, _JPEG_PIECE = b"\xff\xeb", b"mmsr-recipe\0", 65000  # APP11; a segment holds 65,533 bytes
_TEXTS = (b"tEXt", b"iTXt")  # the latter as it is written for plain ASCII: no compression, language or translation
_EXIF_LIMIT = 65000  # bytes of a JPEG's EXIF segment
_ASCII = b"ASCII\0\0\0"  # character code of UserComment (Exif 2.32, table 9)
_BAD_EXIF = (OSError, SyntaxError, ValueError, KeyError, TypeError, IndexError, AttributeError, struct.error)

_Base = ExifTags.Base
# What describes the photo. Left out: what describes the old file (strips, thumbnail, orientation, interoperability).
_KEPT = (
    _Base.ImageDescription, _Base.Make, _Base.Model, _Base.Software, _Base.DateTime, _Base.Artist, _Base.HostComputer,
    _Base.Copyright, _Base.Rating, _Base.XPTitle, _Base.XPComment, _Base.XPAuthor, _Base.XPKeywords, _Base.XPSubject,
)  # fmt: skip
_DROPPED_IN_EXIF_IFD = (_Base.ExifInteroperabilityOffset, _Base.ExifImageWidth, _Base.ExifImageHeight)


def orientation_of(image: Image.Image) -> int:
    """EXIF orientation of a *loaded* picture (Pillow turns TIFFs by itself while loading), 1 where there is none."""
    try:
        return image.getexif().get(_Base.Orientation, 1)
    except _BAD_EXIF:
        return 1


def photo_exif(image: Image.Image) -> bytes | None:
    """The EXIF data that still holds for a turned, enlarged sRGB copy. Damaged data counts as none."""
    try:
        outer, inner, gps = _read(image.getexif())
        outer = {tag: outer[tag] for tag in _KEPT if tag in outer}
        inner = {tag: value for tag, value in inner.items() if tag not in _DROPPED_IN_EXIF_IFD}
        return _pack(outer, inner, gps) if outer or inner or gps else None
    except _BAD_EXIF:
        return None


def result_exif(exif: bytes | None, size: tuple[int, int], strip_gps: bool, recipe: str | None) -> bytes:
    """EXIF data of a result of `size` = (width, height).

    Without the position, the maker note goes too: some makers write place names there.
    """
    old = Image.Exif()
    if exif is not None:
        old.load(exif)
    outer, inner, gps = _read(old)
    if strip_gps:
        gps = {}
        inner.pop(_Base.MakerNote, None)
    inner[_Base.ExifImageWidth], inner[_Base.ExifImageHeight] = size
    inner[_Base.ColorSpace] = 1  # sRGB
    if recipe is not None:
        inner[_Base.UserComment] = _ASCII + recipe.encode("ascii")
    return _pack(outer, inner, gps)


def save_options(
    form: str, exif: bytes | None, size: tuple[int, int], strip_gps: bool, recipe: str | None
) -> dict[str, Any]:
    """Keyword arguments for Pillow's save in format `form` that carry the EXIF data and the recipe.

    Args:
        recipe: ASCII JSON. It goes into a PNG text chunk, otherwise into EXIF's UserComment; where a JPEG's EXIF
            segment is too small for it (64 KB, painted maps), into segments of its own.
    """
    if form == "PNG":
        info = PngInfo()
        if recipe is not None:
            info.add_text(RECIPE_KEY, recipe)
        return {"pnginfo": info, "exif": result_exif(exif, size, strip_gps, None)}
    data = result_exif(exif, size, strip_gps, recipe)
    if form != "JPEG" or len(data) <= _EXIF_LIMIT:
        return {"exif": data}
    data = result_exif(exif, size, strip_gps, None)
    options: dict[str, Any] = {"exif": data} if len(data) <= _EXIF_LIMIT else {}
    return options if recipe is None else {**options, "extra": _segments(recipe.encode("ascii"))}


def find_recipe(image: Image.Image, data: bytes) -> str | None:
    """The recipe text inside an opened picture, None where there is none; nothing is decoded.

    Args:
        data: the whole file.
    """
    png = image.format == "PNG"
    segments = [segment for _, segment in getattr(image, "applist", ())]
    pieces = [segment[len(_JPEG_PREFIX) :] for segment in segments if segment.startswith(_JPEG_PREFIX)]
    ahead = not png or "exif" in image.info  # else Pillow would look for EXIF behind the pixels, and decode them
    texts = (
        image.info.get(RECIPE_KEY),
        b"".join(pieces).decode("ascii", "replace"),
        _comment(image) if ahead else None,  # in a PNG, from another program that kept the EXIF of our JPEG
    )
    found = next(filter(is_recipe, texts), None)
    return _behind_pixels(data) if png and found is None else found


def _behind_pixels(data: bytes) -> str | None:
    """The recipe of a PNG whose text stands behind its pixels, as other programs write it."""
    at = 8
    while at + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        key, _, text = data[at + 8 : at + 8 + length].partition(b"\0") if kind in _TEXTS else (b"", b"", b"")
        if key == RECIPE_KEY.encode() and is_recipe(text := text.lstrip(b"\0").decode("utf-8", "replace")):
            return text
        at += 12 + length
    return None


def is_recipe(text: str | None) -> bool:
    """Whether a text is a JSON object that says it is a recipe (any version)."""
    try:
        values = json.loads(text) if text else None
    except (json.JSONDecodeError, RecursionError):
        return False
    return isinstance(values, dict) and "recipe" in values


def _read(exif: Image.Exif) -> tuple[dict, dict, dict]:
    """The main, the Exif and the GPS directory, each {tag: value}."""
    outer = {tag: value for tag, value in exif.items() if tag not in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)}
    return outer, dict(exif.get_ifd(ExifTags.IFD.Exif)), dict(exif.get_ifd(ExifTags.IFD.GPSInfo))


def _pack(outer: dict, inner: dict, gps: dict) -> bytes:
    exif = Image.Exif()
    exif.update(outer)
    for ifd, values in ((ExifTags.IFD.Exif, inner), (ExifTags.IFD.GPSInfo, gps)):
        if values:
            exif.get_ifd(ifd).update(values)
    return exif.tobytes()


def _comment(image: Image.Image) -> str:
    try:
        value = image.getexif().get_ifd(ExifTags.IFD.Exif).get(_Base.UserComment, b"")
    except _BAD_EXIF:
        return ""
    data = value.encode("latin-1", "replace") if isinstance(value, str) else bytes(value)
    return data.removeprefix(_ASCII).decode("ascii", "replace")


def _segments(data: bytes) -> bytes:
    pieces = (data[start : start + _JPEG_PIECE] for start in range(0, len(data), _JPEG_PIECE))
    parts = (_JPEG_PREFIX + piece for piece in pieces)
    return b"".join(_JPEG_MARKER + struct.pack(">H", len(part) + 2) + part for part in parts)
