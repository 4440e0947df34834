"""One row per preset: where its weights live and what they can do.

The numbers of a row are measured; how, stands in `assets/models/mini/MODEL_CARD.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmsr_core.settings import Settings

ASSETS = Path(__file__).resolve().parent.parent / "assets"


@dataclass(frozen=True)
class Preset:
    """A model that can be loaded by name.

    Attributes:
        weights: a folder, or None where nothing is bundled.
        extractors: modality -> extractor that it is read by, where it is not the first of its row.
        settings: those that suit it, where they are not the defaults.
    """

    name: str
    title: str
    description: str
    weights: Path | None
    public: bool = True
    extractors: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def defaults(self) -> Settings:
        """What a restoration starts from."""
        return Settings(**self.settings)


PRESETS = {
    row.name: row
    for row in (
        Preset(
            "mini",
            "MMSR mini (bundled)",
            "A small model trained from scratch by this project on openly licensed photos. Sharpens and cleans x4 on "
            "any laptop. Maps, temperatures and words place and scale the detail that it finds; it is not the paper's "
            "model and cannot invent detail as a large diffusion model does.",
            ASSETS / "models" / "mini",
        ),
        Preset(
            "sd2",
            "MMSR on Stable Diffusion 2.1 (paper scale)",
            "The paper's architecture at full size. Nobody has released trained weights; train your own, "
            "then pass their folder or hub id as weights.",
            None,
            extractors={
                "text": "florence-detailed",
                "depth": "depth-anything",
                "segmentation": "mask2former-coco",
            },
            # mini needs fewer steps, as it predicts the picture, not its noise; and edits of its maps act faintly
            settings={"steps": 20, "edit_strength": 1.0},
        ),
        Preset("tiny", "Random weights (tests only)", "Untrained; exists for tests.", None, public=False),
    )
}


def preset(name: str) -> Preset:
    """The row of a preset.

    Raises:
        ValueError: no such preset.
    """
    if name not in PRESETS:
        raise ValueError(
            f"preset: got {name!r}, wanted one of {', '.join(row for row in PRESETS if PRESETS[row].public)}"
        )
    return PRESETS[name]
