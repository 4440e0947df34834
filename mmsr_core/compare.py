"""Matched comparisons: the same photo, seed and noise, one thing changed at a time; and what differs afterwards.

variants = by_guidance(modalities, settings)
for state in run(upscaler, photo, variants):    # one sampling after the other, cancel by closing
    print(state.index, state.variant.label, state.step.step)
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from mmsr_core.modalities import Modalities
from mmsr_core.settings import MODALITY_NAMES, Settings

if TYPE_CHECKING:
    from mmsr_core.upscaler import Step, Upscaler

GUIDANCE_MODES = ("cfg", "null-cfg", "m-cfg")  # paper, table 4
SWEEP_WEIGHTS = (2.0, 6.0, 10.0, 14.0)  # paper, figure 6
SWEEP_TEMPERATURES = (0.4, 1.0, 3.0, 10.0)


@dataclass(frozen=True)
class Variant:
    """One run of a comparison."""

    label: str
    modalities: Modalities
    settings: Settings


@dataclass(frozen=True)
class State:
    """Where a comparison stands: run `index` of `count`, and the newest step of it (the last carries the result)."""

    index: int
    count: int
    variant: Variant
    step: Step


@dataclass(frozen=True)
class Fidelity:
    """How far a result, shrunk back to the input's size, is from the input. `error` in grey levels (0-255)."""

    error: float
    map: np.ndarray  # (h, w) float32, mean absolute error over the channels, grey levels


def by_guidance(modalities: Mapping, settings: Settings, modes: Sequence[str] = GUIDANCE_MODES) -> list[Variant]:
    """One variant per guidance mode."""
    return [Variant(mode, modalities, settings.with_(guidance=mode)) for mode in modes]


def by_weight(
    modalities: Mapping,
    settings: Settings,
    weights: Sequence[float] = SWEEP_WEIGHTS,
    modes: Sequence[str] = ("cfg", "m-cfg"),
) -> list[Variant]:
    """The grid of guidance modes x weights, mode by mode."""
    return [
        Variant(f"{mode}, w = {weight:g}", modalities, settings.with_(guidance=mode, weight=weight))
        for mode in modes
        for weight in weights
    ]


def by_temperature(
    modalities: Mapping, settings: Settings, name: str, temperatures: Sequence[float] = SWEEP_TEMPERATURES
) -> list[Variant]:
    """One variant per attention temperature of one modality.

    Raises:
        ValueError: no such modality.
    """
    if name not in MODALITY_NAMES:
        raise ValueError(f"modality: got {name!r}, wanted one of {', '.join(MODALITY_NAMES)}")
    return [
        Variant(
            f"{name} temperature {value:g}",
            modalities,
            settings.with_(temperature={**settings.temperature, name: value}),
        )
        for value in temperatures
    ]


def by_edits(edited: Mapping, extracted: Mapping, settings: Settings) -> list[Variant]:
    """Did the edits matter: once as extracted, once as edited."""
    return [Variant("as extracted", extracted, settings), Variant("with your edits", edited, settings)]


def run(upscaler: Upscaler, image: Image.Image, variants: Sequence[Variant]) -> Iterator[State]:
    """Restore every variant with one seed: that of the first variant, or a fresh one where it has none."""
    seed = variants[0].settings.seed
    seed = secrets.randbelow(2**32) if seed is None else seed
    for index, variant in enumerate(variants):
        steps = upscaler.stream(image, variant.modalities, variant.settings.with_(seed=seed))
        try:
            for step in steps:
                yield State(index, len(variants), variant, step)
        finally:
            steps.close()


def difference(one: Image.Image, other: Image.Image) -> np.ndarray:
    """(H, W) float32: mean absolute difference over the channels, in grey levels 0..255.

    Raises:
        ValueError: pictures of different size.
    """
    if one.size != other.size:
        raise ValueError(f"difference: got {one.size} and {other.size} px, wanted pictures of one size")
    gap = ImageChops.difference(one.convert("RGB"), other.convert("RGB"))
    return np.asarray(gap).mean(axis=-1, dtype=np.float32)


def fidelity(result: Image.Image, photo: Image.Image) -> Fidelity:
    """Shrink the result back to the size of the photo (antialiased bicubic) and compare; needs no ground truth."""
    error = difference(result.resize(photo.size, Image.Resampling.BICUBIC), photo)
    return Fidelity(float(error.mean()), error)


def changed(before: Image.Image, after: Image.Image) -> float:
    """Share of the pixels, 0..1, that differ between two pictures of one size."""
    return float((difference(before, after) > 0).mean())


def protect(image: Image.Image, plain: Image.Image, mask: Image.Image, feather: float = 4.0) -> Image.Image:
    """Put the plain upscale back where the mask is white.

    Args:
        image, plain: result and plain upscale, RGB, one size.
        mask: "L", any size, covers the whole picture; white keeps the plain upscale.
        feather: softness of the border, in px of the result.
    """
    soft = mask.convert("L").resize(image.size, Image.Resampling.BILINEAR).filter(ImageFilter.GaussianBlur(feather))
    return Image.composite(plain.convert("RGB"), image.convert("RGB"), soft)
