"""Named starting points: several controls at once, each a sentence a photographer understands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mmsr_core.modalities import MODALITIES


@dataclass(frozen=True)
class Start:
    """Settings that differ from the defaults, and the modalities that are switched off."""

    help: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    off: tuple[str, ...] = ()


STARTS = {
    "Paper default": Start("Balanced: m-cfg with w = 2, nothing is emphasised."),
    "Depth of field": Start(
        "Leans on depth: what is far away is softer, what is near crisper.", {"temperature": {"depth": 0.5}}
    ),
    "Object pop": Start(
        "Leans on the segmentation: objects are crisper than what is behind them.",
        {"temperature": {"segmentation": 0.5}},
    ),
    "Crisp edges": Start(
        "Leans on the edge map: sharper along its lines.", {"temperature": {"edge": 0.5}, "weight": 3.0}
    ),
    "Faithful": Start("Little guidance, close to the input.", {"weight": 0.5, "color": "wavelet"}),
    "All modalities off": Start(
        "Text, depth, segmentation and edges are all left out.", off=tuple(row.name for row in MODALITIES)
    ),
}

OWN = "Your own"  # shown once the visitor has moved a control; choosing it changes nothing
# No starting point changes these.
KEPT = ("seed", "scale", "positive", "negative", "tile", "overlap", "long_side", "strip_gps")

# Quality words: a choice that can be seen and edited instead of one hidden string.
SUFFIXES = {
    "none": "",
    "photo": "sharp, clean, highly detailed photo",
    "art": "sharp, clean, highly detailed illustration, crisp lines",
}
