"""Measures that need a network: the SqueezeNet distance (weights by path) and those of the optional `pyiqa`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

EXTRA = "requirements-eval.txt"


class SqueezeDistance:
    """Squared difference of unit-normalised SqueezeNet v1.0 features (see `training.losses.PerceptualLoss`).

    Not LPIPS: without its learnt channel weights. Good for ranking on one data set, not for comparing with papers.

    Raises:
        ValueError: a file that holds no such weights.
    """

    def __init__(self, weights: Path) -> None:
        from mmsr_core.training.losses import PerceptualLoss

        try:
            self.network = PerceptualLoss(weights)
            self.network.get_buffer("conv1_w")
        except (OSError, ValueError, AttributeError):
            raise ValueError(
                f"perceptual weights: got {Path(weights).name!r}, wanted an .npz of SqueezeNet v1.0"
            ) from None

    def __call__(self, image: Image.Image, reference: Image.Image) -> float:
        import torch

        from mmsr_core.images import to_tensor

        with torch.no_grad():
            return float(self.network(to_tensor(image), to_tensor(reference)))


def pyiqa_metric(name: str, device: str) -> Callable[..., float]:
    """A measure of `pyiqa` by its name there: (image, reference or nothing) -> value.

    Raises:
        ValueError: the extra is not installed, or its weights cannot be had.
    """
    measure = _create(name, device)

    def value(image: Image.Image, *reference: Image.Image) -> float:
        import torch

        tensors = [_unit_tensor(picture).to(device) for picture in (image, *reference)]
        with torch.no_grad():
            return float(measure(*tensors))

    return value


def pyiqa_set_metric(name: str, device: str) -> Callable[[Path, Path], float]:
    """A measure of `pyiqa` between two folders of pictures, such as FID.

    Raises:
        ValueError: see `pyiqa_metric`.
    """
    measure = _create(name, device)
    return lambda results, references: float(measure(str(results), str(references)))


def _create(name: str, device: str) -> Any:
    try:
        import pyiqa
    except ImportError:
        raise ValueError(f"{name}: got no pyiqa, wanted it installed (pip install -r {EXTRA})") from None
    try:
        return pyiqa.create_metric(name, device=device)
    except (OSError, RuntimeError) as error:  # no network, broken download
        raise ValueError(f"{name}: got no weights ({error}), wanted pyiqa to reach its downloads once") from None


def _unit_tensor(image: Image.Image) -> Any:
    """RGB picture -> (1, 3, H, W) in 0..1, what pyiqa takes."""
    from mmsr_core.images import to_tensor

    return to_tensor(image) * 0.5 + 0.5
