"""The measures of quality as one table; PSNR and SSIM themselves.

scorers = load(["psnr", "niqe"], Models(niqe=path))    # refuses before any work where something is missing
scorers["psnr"](image, reference)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

Scorer = Callable[..., float]  # (image, reference) or (image); of a set: (folder of results, folder of references)
BORDER = 4  # px left out by PSNR and SSIM, as is usual for x4
_LUMA = np.array([65.481, 128.553, 24.966])  # ITU-R BT.601, studio range 16..235, as the super-resolution papers use


def psnr(image: Image.Image, reference: Image.Image, luma: bool = False, crop: int = 0) -> float:
    """Peak signal-to-noise ratio in dB; infinite for equal pictures.

    Args:
        luma: on the Y channel of YCbCr (BT.601) instead of RGB.
        crop: border in px left out.

    Raises:
        ValueError: pictures of different size.
    """
    one, other = _pair(image, reference, luma, crop)
    error = float(np.mean((one - other) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255.0**2 / error)


def ssim(image: Image.Image, reference: Image.Image, luma: bool = False, crop: int = 0) -> float:
    """Structural similarity, 1 for equal pictures. Wang et al. 2004: Gaussian window of 11 px, sigma 1.5.

    Args: see `psnr`. RGB is the mean over the three channels; the half window at the border is left out.

    Raises:
        ValueError: pictures of different size, or smaller than the window.
    """
    one, other = _pair(image, reference, luma, crop)
    if min(one.shape[:2]) < 11:
        raise ValueError(f"ssim: got {one.shape[1]}x{one.shape[0]} px, wanted at least 11 px a side")
    mean_one, mean_other = _blur(one), _blur(other)
    var_one, var_other = _blur(one * one) - mean_one**2, _blur(other * other) - mean_other**2
    covariance = _blur(one * other) - mean_one * mean_other
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * mean_one * mean_other + c1) * (2 * covariance + c2)
    bottom = (mean_one**2 + mean_other**2 + c1) * (var_one + var_other + c2)
    return float((top / bottom)[5:-5, 5:-5].mean())


def _blur(values: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(values, (11, 11), 1.5)


def _pair(image: Image.Image, reference: Image.Image, luma: bool, crop: int) -> tuple[np.ndarray, np.ndarray]:
    if image.size != reference.size:
        raise ValueError(f"metrics: got {image.size} and {reference.size} px, wanted pictures of one size")
    return _values(image, luma, crop), _values(reference, luma, crop)


def _values(image: Image.Image, luma: bool, crop: int) -> np.ndarray:
    """(H, W, 3) RGB or (H, W) luma, float64 in 0..255."""
    rgb = np.asarray(image.convert("RGB"), dtype=np.float64)
    values = rgb @ _LUMA / 255.0 + 16.0 if luma else rgb
    return values[crop : values.shape[0] - crop, crop : values.shape[1] - crop]


@dataclass(frozen=True)
class Models:
    """Files that some measures need and that cannot be bundled."""

    niqe: Path | None = None
    perceptual: Path | None = None
    device: str = "cpu"


@dataclass(frozen=True)
class Metric:
    """One measure.

    Attributes:
        better: "higher" or "lower".
        reference: whether it needs the true picture.
        source: where it is defined.
        load: Models -> Scorer; raises ValueError where a file or package is missing.
        whole_set: one value for all pictures of a data set instead of one each.
        digits: shown after the decimal point.
    """

    name: str
    title: str
    better: str
    reference: bool
    unit: str
    source: str
    load: Callable[[Models], Scorer]
    whole_set: bool = False
    digits: int = 3

    @property
    def heading(self) -> str:
        """Title, unit and the direction that is better."""
        return f"{self.title}{f' ({self.unit})' if self.unit else ''} {'↑' if self.better == 'higher' else '↓'}"


def _luma_psnr(models: Models) -> Scorer:
    return lambda image, reference: psnr(image, reference, luma=True, crop=BORDER)


def _luma_ssim(models: Models) -> Scorer:
    return lambda image, reference: ssim(image, reference, luma=True, crop=BORDER)


def _niqe(models: Models) -> Scorer:
    from mmsr_core.evaluation.niqe import Niqe

    return Niqe(_needed("NIQE", models.niqe, "--niqe-model FILE (niqe_pris_params.npz)"))


def _perceptual(models: Models) -> Scorer:
    from mmsr_core.evaluation.learned import SqueezeDistance

    file = _needed("perceptual distance", models.perceptual, "--perceptual-weights FILE (SqueezeNet v1.0, .npz)")
    return SqueezeDistance(file)


def _needed(what: str, file: Path | None, option: str) -> Path:
    if file is None:
        raise ValueError(f"{what}: got no model file, wanted {option}")
    return file


def _extra(name: str) -> Callable[[Models], Scorer]:
    def load(models: Models) -> Scorer:
        from mmsr_core.evaluation.learned import pyiqa_metric

        return pyiqa_metric(name, models.device)

    return load


def _extra_set(name: str) -> Callable[[Models], Scorer]:
    def load(models: Models) -> Scorer:
        from mmsr_core.evaluation.learned import pyiqa_set_metric

        return pyiqa_set_metric(name, models.device)

    return load


METRICS = {
    row.name: row
    for row in (
        Metric("psnr", "PSNR", "higher", True, "dB", "on BT.601 luma, 4 px border left out", _luma_psnr, digits=2),
        Metric("ssim", "SSIM", "higher", True, "", "Wang et al. 2004, on luma, 4 px border left out", _luma_ssim),
        Metric("perceptual", "Perceptual", "lower", True, "", "SqueezeNet v1.0 features, unweighted", _perceptual),
        Metric("niqe", "NIQE", "lower", False, "", "Mittal et al. 2013", _niqe, digits=2),
        Metric("lpips", "LPIPS", "lower", True, "", "Zhang et al. 2018, AlexNet, pyiqa", _extra("lpips"), digits=4),
        Metric("dists", "DISTS", "lower", True, "", "Ding et al. 2020, pyiqa", _extra("dists"), digits=4),
        Metric("musiq", "MUSIQ", "higher", False, "", "Ke et al. 2021, pyiqa", _extra("musiq"), digits=2),
        Metric("clipiqa", "CLIPIQA", "higher", False, "", "Wang et al. 2023, pyiqa", _extra("clipiqa"), digits=4),
        Metric("fid", "FID", "lower", True, "", "Heusel et al. 2017, pyiqa", _extra_set("fid"), True, digits=2),
    )
}


def metric(name: str) -> Metric:
    """A row of the table.

    Raises:
        ValueError: no such measure.
    """
    if name not in METRICS:
        raise ValueError(f"metric: got {name!r}, wanted some of {', '.join(METRICS)}")
    return METRICS[name]


def available(models: Models) -> list[str]:
    """The measures that need nothing but themselves and the given files."""
    files = {"niqe": models.niqe, "perceptual": models.perceptual}
    return ["psnr", "ssim", *(name for name in ("perceptual", "niqe") if files[name] is not None)]


def missing(models: Models) -> str:
    """One sentence on the measures that the given files do not allow, or "" where there are all."""
    files = {"perceptual": (models.perceptual, "--perceptual-weights"), "niqe": (models.niqe, "--niqe-model")}
    gone = [f"{METRICS[name].title} ({option} FILE)" for name, (file, option) in files.items() if file is None]
    return f"not measured without its model file: {', '.join(gone)}" if gone else ""


def load(names: Iterable[str], models: Models) -> dict[str, Scorer]:
    """name -> scorer.

    Raises:
        ValueError: an unknown measure, or one whose model or package is missing; the sentence says what to do.
    """
    return {name: metric(name).load(models) for name in names}
