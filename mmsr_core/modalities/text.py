"""Caption: one sentence composed from the segmentation and from what can be measured. Nothing is invented.

It never speaks of the input's quality (blur, noise): those words belong to the negative text of the guidance.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from mmsr_core.modalities import measured
from mmsr_core.modalities.base import Extractor
from mmsr_core.modalities.palette import NAMES, areas, to_index

NOUNS = {
    "person": "a person",
    "animal": "an animal",
    "vehicle": "a vehicle",
    "furniture": "furniture",
    "object": "an object",
    "food": "food",
    "plant": "plants",
    "sky": "the sky",
    "water": "water",
    "ground": "the ground",
    "building": "a building",
}
PLURALS = {"person": "people", "animal": "animals", "vehicle": "vehicles", "object": "objects", "building": "buildings"}
SUBJECTS = ("person", "animal", "vehicle", "food", "object", "building", "plant", "furniture", "water", "ground")
LYING = ("water", "ground", "plant")  # what can be "in the foreground"
LOOKED_AT = 256  # long side of the photo that is measured, pixels


class Seen(NamedTuple):
    """One class in a picture: share of its area, centre (0..1 from left and top), whether in several pieces."""

    name: str
    share: float
    x: float
    y: float
    several: bool

    @property
    def noun(self) -> str:
        return PLURALS[self.name] if self.several and self.name in PLURALS else NOUNS[self.name]


class ComposedCaption:
    """Photo -> sentence of at most about 35 words.

    Args:
        segment: photo -> segmentation map in palette colours.
        smallest: classes with a smaller share of the area are not named.
    """

    def __init__(self, segment: Extractor, smallest: float = 0.04) -> None:
        self.segment = segment
        self.smallest = smallest

    def __call__(self, image: Image.Image) -> str:
        small = image.convert("RGB")
        small.thumbnail((LOOKED_AT, LOOKED_AT))
        index = to_index(self.segment(image).resize(small.size, Image.Resampling.NEAREST))
        return compose(np.asarray(small), index, self.smallest)


def compose(photo: np.ndarray, index: np.ndarray, smallest: float = 0.04) -> str:
    """photo (H, W, 3) uint8 and class index (H, W) -> sentence."""
    seen = classes_seen(index, smallest)
    sky = measured.sky(photo, index == NAMES.index("sky")) if any(row.name == "sky" for row in seen) else ""
    smooth = np.isin(index, [NAMES.index("sky"), NAMES.index("water")])
    sentence = f"A photo of {_content(seen, sky)}" if seen else "A photo"
    return sentence + _attributes(photo, smooth) + "."


def classes_seen(index: np.ndarray, smallest: float) -> list[Seen]:
    """The classes (without "other") that cover at least `smallest` of the area, largest first."""
    shares = areas(index)
    height, width = index.shape
    seen = []
    for number, name in enumerate(NAMES):
        if name == "other" or shares[number] == 0 or shares[number] < smallest:
            continue
        here = index == number
        y, x = np.nonzero(here)
        place = ((x.mean() + 0.5) / width, (y.mean() + 0.5) / height)
        seen.append(Seen(name, float(shares[number]), *place, _several(here)))
    return sorted(seen, key=lambda row: -row.share)


def _several(here: np.ndarray) -> bool:
    """Whether a class (H, W) bool has a second region of its own, not just a crumb."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(here.astype(np.uint8))
    sizes = sorted(stats[1:, cv2.CC_STAT_AREA], reverse=True)
    return count > 2 and sizes[1] > 0.4 * sizes[0] and sizes[1] > 0.015 * here.size


def _content(seen: list[Seen], sky: str) -> str:
    """ "a building and plants under a blue sky, water in the foreground"."""
    ground = [row for row in seen if row.name != "sky"]
    if not ground:
        return sky
    front = next((row for row in ground if row.name in LYING and row.y > 0.68 and len(ground) > 1), None)
    subjects = [row for row in ground if row is not front][:3]
    subjects.sort(key=lambda row: SUBJECTS.index(row.name) >= SUBJECTS.index("plant"))  # people and things come first
    words = _listed([_placed(row, alone=len(subjects) == 1) for row in subjects])
    words += f" under {sky}" if sky else ""
    return words + (f", {front.noun.removeprefix('the ')} in the foreground" if front is not None else "")


def _placed(row: Seen, alone: bool) -> str:
    """The noun, with its side where it is a small thing on one side."""
    if alone or row.share > 0.3 or SUBJECTS.index(row.name) > SUBJECTS.index("object"):
        return row.noun
    side = " on the left" if row.x < 0.33 else " on the right" if row.x > 0.67 else ""
    return row.noun + side


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _attributes(photo: np.ndarray, smooth: np.ndarray) -> str:
    """ " with a blurred background, with red and brown colours, low light", or parts of it."""
    said = []
    if measured.blurred_background(photo, smooth):
        said.append("with a blurred background")
    names = measured.colors(photo)
    if names == ["black and white"]:
        said.append("in black and white")
    elif names:
        said.append(f"with {' and '.join(names)} colours")
    light = measured.light(photo)
    if light:
        said.append(light)
    return f" {', '.join(said)}" if said else ""
