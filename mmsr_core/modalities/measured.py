"""What can be measured in a photo and said in words: light, main colours, the colour of the sky, a blurred background.

Every function takes a photo as (H, W, 3) uint8 and answers with words of the training captions, or with nothing.
"""

from __future__ import annotations

import cv2
import numpy as np

HUES = (  # upper end of each hue in degrees; above the last one it is red again
    (15, "red"),
    (40, "orange"),
    (68, "yellow"),
    (155, "green"),
    (195, "teal"),
    (255, "blue"),
    (290, "purple"),
    (345, "pink"),
    (361, "red"),
)
BROWNABLE = 3  # the first hues are brown where they are dark
LUMA = np.array([0.299, 0.587, 0.114])


def luma(photo: np.ndarray) -> np.ndarray:
    """(H, W) float64 in 0..255."""
    return photo @ LUMA


def chroma(photo: np.ndarray) -> np.ndarray:
    """Distance between the largest and the smallest channel, (H, W) float64 in 0..255."""
    return photo.max(-1).astype(float) - photo.min(-1)


def light(photo: np.ndarray) -> str:
    """ "low light", "in dark tones", "with deep shadows", "in bright light", or "" where the light is ordinary."""
    values = luma(photo)
    mean, bright, dark = values.mean(), np.percentile(values, 95), (values < 40).mean()
    if mean < 55:
        return "in dark tones" if bright < 130 else "low light"
    if mean > 178:
        return "in bright light"
    return "with deep shadows" if dark > 0.3 and bright > 130 else ""


def colors(photo: np.ndarray, smallest: float = 0.14) -> list[str]:
    """At most two colour names, the stronger first; a photo without any colour has "black and white"."""
    strength = chroma(photo)
    if np.percentile(strength, 98) < 12:
        return ["black and white"]
    colored = strength > 40
    hsv = cv2.cvtColor(photo, cv2.COLOR_RGB2HSV_FULL).astype(float)
    number = np.searchsorted([end for end, _ in HUES], hsv[..., 0] * 360 / 255, side="right")
    brown = (number < BROWNABLE) & (hsv[..., 2] < 150)
    shares = {"brown": float((colored & brown).mean())}
    for i, (_, name) in enumerate(HUES):
        shares[name] = shares.get(name, 0.0) + float((colored & ~brown & (number == i)).mean())
    ranked = sorted(shares, key=lambda name: -shares[name])
    return [name for name in ranked[:2] if shares[name] >= smallest]


def sky(photo: np.ndarray, where: np.ndarray) -> str:
    """The sky in words, from its pixels (`where` is (H, W) bool and not empty)."""
    pixels = photo[where].reshape(-1, 1, 3)
    red, green, blue = np.median(pixels[:, 0], axis=0)
    brightness, colorful = float(np.median(luma(pixels))), max(red, green, blue) - min(red, green, blue)
    if brightness < 45:
        return "a dark blue sky" if blue > red + 12 and blue > green + 6 else "a dark sky"
    if colorful < (18 if red > green else 28):
        return "a bright pale sky" if brightness > 190 else "a grey cloudy sky"
    if blue >= green >= red:
        return "a blue sky"
    if red >= green >= blue:
        return "a warm orange sky"
    return "a purple sky" if red > green else "a blue sky" if blue >= red else "the sky"


def blurred_background(photo: np.ndarray, ignore: np.ndarray, block: int = 16) -> bool:
    """Whether a part is sharp while much of the rest shows shapes but no fine detail.

    Fine detail is how much a gradient loses when the photo is smoothed a little; `ignore` (H, W) bool marks what is
    smooth by nature (sky, water). A photo that is blurred everywhere has no blurred background.
    """
    grey = luma(photo).astype(np.float32)
    if min(grey.shape) < 4 * block:
        return False
    fine, coarse = (_block_gradient(image, block) for image in (grey, cv2.GaussianBlur(grey, (0, 0), 1.2)))
    rows, columns = fine.shape
    usable = cv2.resize(ignore.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA) < 0.5
    shaped = usable & (coarse > 1.2)
    detail = np.where(shaped, fine / np.maximum(coarse, 1e-3), 0)
    sharp, soft = shaped & (detail > 1.55), shaped & (detail < 1.2)
    return bool(usable.sum() >= 8 and sharp.mean() > 0.08 and soft.sum() > 0.4 * usable.sum())


def _block_gradient(grey: np.ndarray, block: int) -> np.ndarray:
    """90th percentile of the gradient in every block, (H // block, W // block)."""
    magnitude = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(grey, cv2.CV_32F, 0, 1, scale=0.125))
    rows, columns = magnitude.shape[0] // block, magnitude.shape[1] // block
    tiles = magnitude[: rows * block, : columns * block].reshape(rows, block, columns, block).swapaxes(1, 2)
    return np.percentile(tiles.reshape(rows, columns, -1), 90, axis=-1)
