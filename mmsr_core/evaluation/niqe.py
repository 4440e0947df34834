"""NIQE, a distance from natural pictures that needs no reference.

Source: Mittal, Soundararajan and Bovik, "Making a 'completely blind' image quality analyzer", IEEE SPL 2013. The model
of pristine pictures belongs to its authors and is not bundled: an .npz with "mu_pris_param" (1, 36), "cov_pris_param"
(36, 36) and "gaussian_window" (7, 7), as BasicSR ships it (`niqe_pris_params.npz`). In blocks without variation the
measure follows rounding errors, so the window is the file's own.

The half scale is a plain bicubic one, without antialiasing, as in the test set's own scoring, whose numbers for other
upscalers stand beside ours. BasicSR's antialiases, which moves values by unlike amounts (means of the first 7 pictures
of RealSR and of CID22: the truth's lower by .7 and 1.5, mini's higher by .2 and .3), so that mini, which is before the
truth on RealSR here, is behind it there. These values can be compared with each other only.
"""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from scipy.special import gamma

BLOCK = 96  # side in px of the patches at full scale
LUMA = np.array([65.481, 128.553, 24.966], np.float32)  # BT.601; single precision, as others round from it
_SHAPES = np.arange(0.2, 10.001, 0.001)  # candidate shape parameters of the generalised Gaussian
_RATIOS = gamma(2 / _SHAPES) ** 2 / (gamma(1 / _SHAPES) * gamma(3 / _SHAPES))
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))


class Niqe:
    """Callable on a picture; lower is more natural.

    Raises:
        ValueError: a file that is not such a model.
    """

    def __init__(self, model: Path) -> None:
        try:
            with np.load(model) as arrays:
                self.mean = arrays["mu_pris_param"].reshape(-1)
                self.covariance = arrays["cov_pris_param"]
                self.window = arrays["gaussian_window"]
        except (OSError, KeyError, ValueError):
            raise ValueError(
                f"NIQE model: got {Path(model).name!r}, wanted an .npz such as niqe_pris_params.npz"
            ) from None

    def __call__(self, image: Image.Image) -> float:
        """RGB picture of at least 96 px a side.

        Raises:
            ValueError: a smaller picture.
        """
        found = features(image, self.window)
        found = found[~np.isnan(found).any(1)]  # a block without any variation has no shape
        difference = self.mean - found.mean(0)
        spread = np.cov(found, rowvar=False) if len(found) > 1 else np.zeros_like(self.covariance)
        inverse = np.linalg.pinv((self.covariance + spread) / 2)
        return float(math.sqrt(difference @ inverse @ difference))


def features(image: Image.Image, window: np.ndarray) -> np.ndarray:
    """36 features of every 96-px block: (blocks, 36), 18 at full and 18 at half scale. `window` sums to one.

    Raises:
        ValueError: a picture smaller than one block.
    """
    if min(image.size) < BLOCK:
        raise ValueError(f"NIQE: got {image.width} x {image.height} px, wanted at least {BLOCK} px a side")
    luma = np.asarray(image.convert("RGB"), dtype=np.float32) @ LUMA / 255 + 16
    height, width = (side // BLOCK * BLOCK for side in luma.shape)
    plane, scales = luma[:height, :width].round().astype(np.float64), []
    for side in (BLOCK, BLOCK // 2):
        contrast = _normalised(plane, window)
        corners = [(y, x) for x in range(0, contrast.shape[1], side) for y in range(0, contrast.shape[0], side)]
        scales.append(np.array([_block_features(contrast[y : y + side, x : x + side]) for y, x in corners]))
        plane = cv2.resize(plane, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_CUBIC)
    return np.concatenate(scales, 1)


def _normalised(plane: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Mean-subtracted, contrast-normalised luma (H, W)."""

    def blurred(values: np.ndarray) -> np.ndarray:
        return cv2.filter2D(values, -1, window, borderType=cv2.BORDER_REPLICATE)

    mean = blurred(plane)
    return (plane - mean) / (np.sqrt(np.abs(blurred(plane * plane) - mean * mean)) + 1)


def _block_features(block: np.ndarray) -> list[float]:
    shape, left, right = _asymmetric_fit(block)
    found = [shape, (left + right) / 2]
    for shift in _NEIGHBOURS:
        shape, left, right = _asymmetric_fit(block * np.roll(block, shift, (0, 1)))
        found += [shape, (right - left) * gamma(2 / shape) / gamma(1 / shape), left, right]
    return found


def _asymmetric_fit(values: np.ndarray) -> tuple[float, float, float]:
    """Asymmetric generalised Gaussian by moments: shape, left and right scale; NaN where there is no variation."""
    negative, positive = values[values < 0], values[values > 0]
    if negative.size == 0 or positive.size == 0:
        return math.nan, math.nan, math.nan
    left, right = math.sqrt(np.mean(negative**2)), math.sqrt(np.mean(positive**2))
    lean = left / right
    ratio = np.mean(np.abs(values)) ** 2 / np.mean(values**2)
    ratio *= (lean**3 + 1) * (lean + 1) / (lean**2 + 1) ** 2
    shape = float(_SHAPES[np.argmin((_RATIOS - ratio) ** 2)])
    scale = math.sqrt(gamma(1 / shape) / gamma(3 / shape))
    return shape, left * scale, right * scale
