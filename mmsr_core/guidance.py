"""What each branch of the guidance sees, and how the two predictions are combined. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor

T = TypeVar("T")
TEXT = "text"


def branches(mode: str, modalities: Mapping[str, T], negative: T) -> tuple[dict[str, T], dict[str, T]]:
    """The modalities of the positive and of the negative branch; a name left out becomes its null token.

    Args:
        mode: "m-cfg" keeps the maps in both branches, so that only the text differs (paper, section 3.3);
            "null-cfg" (m∅-cfg in the paper) keeps them in the positive branch only; "cfg" has text alone.
        modalities: name -> tokens (or anything else) of the positive branch.
        negative: the negative text's tokens. A text that is switched off is off in both branches.

    Raises:
        ValueError: an unknown mode.
    """
    maps = {name: value for name, value in modalities.items() if name != TEXT}
    has_text = TEXT in modalities
    positive, opposite = ({TEXT: modalities[TEXT]}, {TEXT: negative}) if has_text else ({}, {})
    if mode == "m-cfg":
        return {**positive, **maps}, {**opposite, **maps}
    if mode == "null-cfg":
        return {**positive, **maps}, opposite
    if mode == "cfg":
        return positive, opposite
    raise ValueError(f"guidance: got {mode!r}, wanted one of m-cfg, null-cfg, cfg")


def combine(positive: Tensor, negative: Tensor, weight: float) -> Tensor:
    """ε̃ = (1 + w)·ε⁺ − w·ε⁻ (paper, equation 4). The same holds for predicted samples, which are affine in ε."""
    return (1 + weight) * positive - weight * negative
