"""The bundled weights do what the page says of them: dials and edits act, and where they should."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mmsr_core.compare import difference
from mmsr_core.evaluation.edits import EDITS, edited, pixels
from mmsr_core.evaluation.measures import fine
from mmsr_core.modalities.given import Edited
from mmsr_core.modalities.palette import COLORS, NAMES
from mmsr_core.presets import ASSETS
from mmsr_core.settings import Settings
from mmsr_core.upscaler import Upscaler

pytestmark = pytest.mark.weights
SETTINGS = Settings(seed=0, color="none")
RIGHT = (slice(None), slice(160, None))  # of the result, clear of the border between the halves
LEFT = (slice(None), slice(0, 96))


@pytest.fixture(scope="module")
def bundled() -> Upscaler:
    return Upscaler.load("mini", device="cpu")


@pytest.fixture(scope="module")
def scene() -> Image.Image:
    """64 x 64 px with detail on both sides: a piece of the coffee cup."""
    return Image.open(ASSETS / "examples" / "coffee.jpg").convert("RGB").crop((40, 40, 104, 104))


def halves(left: int, right: int) -> Image.Image:
    values = np.full((64, 64), left, np.uint8)
    values[:, 32:] = right
    return Image.fromarray(values)


def strength(picture: Image.Image, where: tuple[slice, slice]) -> float:
    return float(np.sqrt(np.square(fine(picture)[where]).mean()))


def test_a_low_depth_temperature_blurs_the_far_side_more(bundled, scene):
    maps = {**bundled.extract(scene), "depth": halves(0, 255)}
    plain, deep = (
        bundled.restore(scene, maps, SETTINGS.with_(temperature={"depth": delta})).sampled for delta in (1.0, 0.4)
    )
    far, near = (strength(deep, where) / strength(plain, where) for where in (LEFT, RIGHT))
    assert far < 0.7 and near > 0.9


def test_an_edited_depth_acts_on_its_side(bundled, scene):
    maps, turned = bundled.extract(scene), SETTINGS.with_(temperature={"depth": 0.4})
    one, two = (bundled.restore(scene, {**maps, "depth": halves(255, right)}, turned).sampled for right in (255, 0))
    change = difference(one, two)
    assert change[RIGHT].mean() > 4 * change[LEFT].mean()


@pytest.fixture(scope="module")
def unedited(bundled) -> tuple[Image.Image, dict, Image.Image]:
    """96 x 96 px of the coffee cup, its maps and its result."""
    photo = Image.open(ASSETS / "examples" / "coffee.jpg").convert("RGB").crop((20, 20, 116, 116))
    maps = bundled.extract(photo)
    return photo, maps, bundled.restore(photo, maps, SETTINGS).sampled


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_acts_where_it_was_made(bundled, unedited, name):
    (photo, maps, plain), box = unedited, (0.3, 0.3, 0.7, 0.7)
    given = Edited(edited(name, maps[name], box), maps[name])
    change = difference(bundled.restore(photo, {**maps, name: given}, SETTINGS).sampled, plain)
    assert change.max() > 1 and change[pixels(box, plain.size)].sum() / change.sum() >= 0.7


def test_a_low_edge_temperature_sharpens(bundled, scene):
    maps = bundled.extract(scene)
    plain, crisp = (
        bundled.restore(scene, maps, SETTINGS.with_(temperature={"edge": delta})).sampled for delta in (1.0, 0.4)
    )
    everywhere = (slice(None), slice(None))
    assert strength(crisp, everywhere) > 1.1 * strength(plain, everywhere)


def test_a_low_segmentation_temperature_makes_objects_stand_out(bundled, scene):
    classes = np.zeros((64, 64, 3), np.uint8)
    classes[:, :32], classes[:, 32:] = COLORS[NAMES.index("food")], COLORS[NAMES.index("ground")]
    maps = {**bundled.extract(scene), "segmentation": Image.fromarray(classes)}
    plain, popped = (
        bundled.restore(scene, maps, SETTINGS.with_(temperature={"segmentation": delta})).sampled
        for delta in (1.0, 0.4)
    )
    inside, outside = (strength(popped, where) / strength(plain, where) for where in (LEFT, RIGHT))
    assert inside > 1 and outside < 0.8
