"""What each branch of the guidance sees, and how the two predictions are combined. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
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


def count(mode: str, names: Iterable[str], weight: float) -> int:
    """How many branches are worth computing: 2, or 1 where the negative one has no say or is the positive one again.

    Args:
        names: the modalities that are given.
    """
    positive, negative = branches(mode, dict.fromkeys(names, True), False)
    return 1 if weight == 0 or positive == negative else 2


def combine(positive: Tensor, negative: Tensor, weight: float) -> Tensor:
    """ε̃ = (1 + w)·ε⁺ − w·ε⁻ (paper, equation 4). The same holds for predicted samples, which are affine in ε."""
    return (1 + weight) * positive - weight * negative
