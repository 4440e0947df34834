"""Edges: Canny lines with thresholds that follow the picture."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

_MEDIAN_TO_SIGMA = 1.4826  # median absolute value of a normal variable -> its standard deviation
_LAPLACE_NOISE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)  # Immerkaer 1996; noise gain 6


class CannyEdges:
    """White lines on black, mode "L", at the size of the input.

    The light denoising grows with the measured noise. The high threshold is a percentile of the gradient, so a blurred
    picture gets a low one; the noise floor keeps it above what noise alone would draw, and `floor` keeps a blank
    picture blank.

    Args:
        percentile: of the gradient magnitudes, taken as the high threshold.
        ratio: low threshold as a share of the high one.
        floor, ceiling: limits of the high threshold in grey levels per pixel (a step of 255 levels has about 255).
        noise_factor: the high threshold is at least this many standard deviations of the gradient that noise makes.
    """

    def __init__(
        self,
        percentile: float = 90.0,
        ratio: float = 0.4,
        floor: float = 5.0,
        ceiling: float = 60.0,
        noise_factor: float = 4.0,
    ) -> None:
        self.percentile = percentile
        self.ratio = ratio
        self.floor = floor
        self.ceiling = ceiling
        self.noise_factor = noise_factor

    def __call__(self, image: Image.Image) -> Image.Image:
        grey = np.asarray(image.convert("L"))
        noise = noise_level(grey)
        sigma = smoothing(noise)
        smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
        dx, dy = gradient(smooth)
        high = self.threshold(np.hypot(dx, dy), 0.4 * noise / sigma**2)
        scale = 8.0  # Canny takes 16-bit whole numbers: keep eighths of a grey level
        lines = cv2.Canny(
            np.round(dx * scale).astype(np.int16),
            np.round(dy * scale).astype(np.int16),
            high * self.ratio * scale,
            high * scale,
            L2gradient=True,
        )
        return Image.fromarray(lines)

    def threshold(self, magnitude: np.ndarray, noise: float) -> float:
        """High threshold for gradient magnitudes (H, W) in which noise alone has the standard deviation `noise`."""
        wanted = max(float(np.percentile(magnitude, self.percentile)), self.noise_factor * noise)
        return min(max(wanted, self.floor), max(self.ceiling, self.floor))


def noise_level(grey: np.ndarray) -> float:
    """Standard deviation of the noise of a grey picture (H, W) in grey levels, robust against lines and texture."""
    if min(grey.shape) < 3:
        return 0.0
    response = cv2.filter2D(grey.astype(np.float32), cv2.CV_32F, _LAPLACE_NOISE)[1:-1, 1:-1]
    return float(_MEDIAN_TO_SIGMA * np.median(np.abs(response)) / 6.0)


def smoothing(noise: float) -> float:
    """Sigma of the light denoising in pixels: 0.8 on clean pictures, up to 2 on very noisy ones."""
    return float(np.clip(0.8 + 0.08 * noise, 0.8, 2.0))


def gradient(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sobel derivatives (H, W) float32 in x and y, scaled so that a step of n grey levels gives at most n."""
    dx = cv2.Sobel(grey, cv2.CV_32F, 1, 0, scale=0.25, borderType=cv2.BORDER_REPLICATE)
    dy = cv2.Sobel(grey, cv2.CV_32F, 0, 1, scale=0.25, borderType=cv2.BORDER_REPLICATE)
    return dx, dy
