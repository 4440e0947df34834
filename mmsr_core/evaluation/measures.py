"""What an experiment measures beside quality: how much changed, where, and whether a dial does what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from mmsr_core.compare import difference, fidelity
from mmsr_core.evaluation.edits import Box, pixels
from mmsr_core.modalities.palette import BUNDLED, OBJECTS

BAND = 12  # px on each side of an object's border


@dataclass(frozen=True)
class View:
    """What a measure may look at, beside the result.

    Attributes:
        lr: the input.
        baseline: the result of the experiment's first arm, None for that arm itself.
        maps: the modalities read from the LR picture, before any edit.
        box: where a map was edited.
    """

    lr: Image.Image
    baseline: Image.Image | None
    maps: Mapping[str, Image.Image | str]
    box: Box


@dataclass(frozen=True)
class Measure:
    """One row of the table; `value` gives NaN where a picture does not have what is measured."""

    name: str
    title: str
    unit: str
    about: str
    value: Callable[[Image.Image, View], float]
    digits: int = 2

    @property
    def heading(self) -> str:
        return f"{self.title}{f' ({self.unit})' if self.unit else ''}"


def luma(image: Image.Image) -> np.ndarray:
    """(H, W) float32, 0..255."""
    return np.asarray(image.convert("L"), dtype=np.float32)


def fine(image: Image.Image) -> np.ndarray:
    """Detail finer than about 4 px: luma minus its Gaussian blur, (H, W)."""
    grey = luma(image)
    return grey - cv2.GaussianBlur(grey, (0, 0), 1.5)


def gradient(image: Image.Image) -> np.ndarray:
    """Length of the luma gradient in grey levels a px, (H, W)."""
    grey = luma(image)
    return np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(grey, cv2.CV_32F, 0, 1, scale=0.125))


def _change(image: Image.Image, view: View) -> float:
    return 0.0 if view.baseline is None else float(difference(image, view.baseline).mean())


def _detail(image: Image.Image, view: View) -> float:
    return _rms(fine(image))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2))) if values.size else float("nan")


def _ratio(inside: float, outside: float) -> float:
    """log2 of the ratio, NaN where a side is empty or without detail."""
    return float(np.log2(inside / outside)) if inside > 0 and outside > 0 else float("nan")


def _thirds(view: View, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Where the picture is nearest and farthest: two masks (H, W) of a third each, empty where depth is flat."""
    depth = np.asarray(view.maps["depth"].resize(size, Image.Resampling.BILINEAR), dtype=np.float32)
    low, high = np.percentile(depth, (33, 67))
    flat = high - low < 10  # grey levels
    return (depth >= high) & ~flat, (depth <= low) & ~flat


def _depth_of_field(image: Image.Image, view: View) -> float:
    near, far = _thirds(view, image.size)
    detail = fine(image)
    return _ratio(_rms(detail[near]), _rms(detail[far]))


def _far_detail(image: Image.Image, view: View) -> float:
    return _rms(fine(image)[_thirds(view, image.size)[1]])


def _bands(view: View, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Just inside and just outside the objects of the segmentation: two masks (H, W), maybe empty."""
    index = BUNDLED.to_index(view.maps["segmentation"].resize(size, Image.Resampling.NEAREST))
    objects = np.isin(index, [BUNDLED.names.index(name) for name in OBJECTS]).astype(np.uint8)
    kernel = np.ones((2 * BAND + 1, 2 * BAND + 1), np.uint8)
    grown, shrunk = cv2.dilate(objects, kernel), cv2.erode(objects, kernel)
    return (objects > shrunk) & (objects > 0), grown > objects


def _object_contrast(image: Image.Image, view: View) -> float:
    inside, outside = _bands(view, image.size)
    if not inside.any() or not outside.any():
        return float("nan")
    lab = cv2.cvtColor(np.asarray(image.convert("RGB"), dtype=np.float32) / 255, cv2.COLOR_RGB2LAB)
    return float(np.linalg.norm(lab[inside].mean(0) - lab[outside].mean(0)))


def _object_detail(image: Image.Image, view: View) -> float:
    inside, outside = _bands(view, image.size)
    detail = fine(image)
    return _ratio(_rms(detail[inside]), _rms(detail[outside]))


def _edge_energy(image: Image.Image, view: View) -> float:
    lines = np.asarray(view.maps["edge"].resize(image.size, Image.Resampling.NEAREST)) > 127
    return float(gradient(image)[lines].mean()) if lines.any() else float("nan")


def _inside_share(image: Image.Image, view: View) -> float:
    """Share of the whole change that lies in the box; NaN where nothing changed."""
    if view.baseline is None:
        return float("nan")
    change = difference(image, view.baseline)
    total = float(change.sum())
    return float(change[pixels(view.box, image.size)].sum()) / total if total > 0 else float("nan")


MEASURES = {
    row.name: row
    for row in (
        Measure("change", "Change", "grey levels", "mean absolute difference from the first arm", _change, 3),
        Measure(
            "fidelity",
            "Input error",
            "grey levels",
            "the result shrunk to the input's size against the input",
            lambda image, view: fidelity(image, view.lr).error,
        ),
        Measure("detail", "Detail", "grey levels", "RMS of what is finer than about 4 px", _detail),
        Measure(
            "depth_of_field", "Near : far detail", "log2", "detail of the nearest third over the farthest",
            _depth_of_field, 3,
        ),
        Measure("far_detail", "Far detail", "grey levels", "detail of the farthest third", _far_detail, 3),
        Measure(
            "object_contrast", "Object contrast", "ΔE", f"mean colour within {BAND} px inside objects against outside",
            _object_contrast, 3,
        ),
        Measure("object_detail", "Object : surroundings detail", "log2", "detail in the same bands", _object_detail, 3),
        Measure("edge_energy", "Gradient on edges", "levels/px", "mean gradient on the lines", _edge_energy, 3),
        Measure("inside", "Change inside", "share", "share of all change that is in the edited box", _inside_share, 3),
    )
}  # fmt: skip
