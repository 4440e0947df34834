"""Try a part first: where the frame over the photo stands, and what a run of the part inside it is made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from app import views
from app.visit import Finished, Slot
from mmsr_core.images import MIN_SIDE, Photo
from mmsr_core.sizes import fitted

SIDES = (96, 128, 192, 256)  # px of the photo
USUAL = 192  # of these the one a photo starts with
Box = tuple[int, int, int, int]  # left, top, right, bottom in px of the photo


def shown(photo: Photo | None, box: Box | None = None) -> dict[str, Any] | None:
    """Value of the widget: the photo and where its frame stands, without `box` in the middle."""
    if photo is None:
        return None
    left, top, right, _ = middle(photo.rgb.size) if box is None else box
    src = views.data_url(fitted(views.on_checks(photo.rgb, photo.alpha), views.EDITOR_SIDE), lossless=False)
    return {"src": src, "size": list(photo.rgb.size), "box": [left, top, right - left]}


def middle(size: tuple[int, int], side: int = USUAL) -> Box:
    """A square in the middle of a photo, never larger than the photo."""
    side = min(side, *size)
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    return left, top, left + side, top + side


def read(place: Any, size: tuple[int, int]) -> Box:
    """What the widget sent, inside a photo of `size`; without a frame the middle."""
    try:
        left, top, side = (int(number) for number in place["box"])
    except (TypeError, KeyError, ValueError):
        return middle(size)
    side = min(max(side, MIN_SIDE), *size)
    left, top = (min(max(start, 0), length - side) for start, length in zip((left, top), size, strict=True))
    return left, top, left + side, top + side


def cut(whole: Finished, box: Box) -> Finished:
    """A run of the part of its photo inside `box`: photo, maps and protected region, pixel by pixel as they are.

    What was read from the whole photo counts as given, as reading the part alone would find something else.
    """
    photo, size = whole.photo, whole.photo.rgb.size
    name = Path(photo.name)
    alpha = None if photo.alpha is None else photo.alpha.crop(box)
    part = replace(photo, rgb=photo.rgb.crop(box), alpha=alpha, name=f"{name.stem}-part{name.suffix}")
    slots = {key: _slot(slot, box, size) for key, slot in whole.slots.items()}
    mask = None if whole.mask is None else inside(whole.mask, box, size)
    if mask is not None and mask.getextrema()[1] == 0:
        mask = None
    return replace(whole, photo=part, slots=slots, mask=mask, whole=whole, box=box)


def reference(given: Image.Image | None, run: Finished) -> Image.Image | None:
    """The reference photo as far as a run goes."""
    return given if given is None or run.box is None else inside(given, run.box, run.origin.photo.rgb.size)


def inside(image: Image.Image, box: Box, size: Sequence[int]) -> Image.Image:
    """The part inside `box` of a picture that shows a whole photo of `size` at any size: its own pixels."""
    (left, right), (top, bottom) = (
        _span(box[axis], box[axis + 2], length / size[axis], length) for axis, length in enumerate(image.size)
    )
    return image.crop((left, top, right, bottom))


def _span(start: int, end: int, scale: float, length: int) -> tuple[int, int]:
    first = min(round(start * scale), length - 1)
    return first, max(round(end * scale), first + 1)


def _slot(slot: Slot, box: Box, size: tuple[int, int]) -> Slot:
    def part(value: Image.Image | str | None) -> Image.Image | str | None:
        return inside(value, box, size) if isinstance(value, Image.Image) else value

    value = part(slot.value)
    extracted = value if slot.extracted is slot.value else part(slot.extracted)
    return replace(slot, value=value, extracted=extracted, source="file" if slot.source == "auto" else slot.source)
