"""Each measure moves the way its name says, and says "nothing to measure" where there is nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from mmsr_core.evaluation.edits import EDITS, box_of, edited, pixels
from mmsr_core.evaluation.measures import MEASURES, View
from mmsr_core.modalities import MODALITIES
from mmsr_core.modalities.palette import BUNDLED

from .conftest import picture

BOX = (0.25, 0.25, 0.75, 0.75)


def halves(left: object, right: object) -> np.ndarray:
    """(96, 96, ...): one value on the left, another on the right."""
    return np.concatenate([np.broadcast_to(np.uint8(side), (96, 48, *np.shape(side))) for side in (left, right)], 1)


@pytest.fixture
def view() -> View:
    """The left half is near and a person, with a line between it and the ground on the right."""
    lines = np.zeros((96, 96), np.uint8)
    lines[:, 47:49] = 255
    classes = halves(BUNDLED.names.index("person"), BUNDLED.names.index("ground"))
    maps = {
        "text": "",
        "depth": Image.fromarray(halves(220, 20)),
        "segmentation": BUNDLED.render(classes),
        "edge": Image.fromarray(lines),
    }
    truth = picture(0)
    return View(truth.resize((24, 24), Image.Resampling.BICUBIC), truth, maps, BOX)


def changed(part: tuple[slice, slice], filtered: Image.Image) -> Image.Image:
    values = np.array(picture(0))
    values[part] = np.asarray(filtered)[part]
    return Image.fromarray(values)


LEFT, RIGHT = (slice(None), slice(0, 48)), (slice(None), slice(48, 96))


def test_depth_of_field_rises_as_the_far_side_blurs(view: View) -> None:
    values = []
    for radius in (0, 1, 3):
        image = changed(RIGHT, picture(0).filter(ImageFilter.GaussianBlur(radius)))
        values.append([MEASURES[name].value(image, view) for name in ("depth_of_field", "far_detail")])
    ratio, far = zip(*values)
    assert ratio[0] < ratio[1] < ratio[2] and far[0] > far[1] > far[2]
    assert abs(ratio[0]) < 0.6, "equal texture on both sides"


def test_objects_stand_out_by_detail_and_by_colour(view: View) -> None:
    plain = picture(0)
    sharper = changed(LEFT, ImageEnhance.Contrast(plain).enhance(1.6))
    redder = changed(LEFT, Image.blend(plain, Image.new("RGB", plain.size, "red"), 0.4))
    detail, colour = MEASURES["object_detail"].value, MEASURES["object_contrast"].value
    assert detail(sharper, view) > detail(plain, view) + 0.3
    assert colour(redder, view) > colour(plain, view) + 5


def test_edge_energy_is_the_gradient_on_the_lines_only(view: View) -> None:
    energy = MEASURES["edge_energy"].value
    flat = Image.new("RGB", (96, 96), "gray")
    step = Image.fromarray(np.repeat(halves(60, 200)[..., None], 3, 2))
    assert energy(flat, view) == 0 < energy(step, view)
    assert energy(step.rotate(90), view) < energy(step, view) / 5
    assert energy(step.filter(ImageFilter.GaussianBlur(3)), view) < energy(step, view)


def test_change_and_its_share_inside_the_box(view: View) -> None:
    change, share = MEASURES["change"].value, MEASURES["inside"].value
    assert change(picture(0), view) == 0 and math.isnan(share(picture(0), view))
    brighter = ImageEnhance.Brightness(picture(0)).enhance(1.2)
    assert share(changed(pixels(BOX, (96, 96)), brighter), view) == 1
    assert share(brighter, view) == pytest.approx(0.25, abs=0.1)
    first = View(view.lr, None, view.maps, BOX)
    assert change(picture(1), first) == 0 and math.isnan(share(picture(1), first))


def test_fidelity_and_detail(view: View) -> None:
    soft = picture(0).filter(ImageFilter.GaussianBlur(2))
    assert MEASURES["detail"].value(soft, view) < MEASURES["detail"].value(picture(0), view)
    assert MEASURES["fidelity"].value(picture(0), view) < 0.6 < MEASURES["fidelity"].value(picture(1), view)


def test_pictures_without_the_thing_measured_give_no_value(view: View) -> None:
    flat = Image.new("L", (96, 96), 128)
    maps = {
        **view.maps,
        "depth": flat,
        "segmentation": BUNDLED.render(np.zeros((96, 96), np.uint8)),
        "edge": Image.new("L", (96, 96)),
    }
    nothing = View(view.lr, view.baseline, maps, BOX)
    for name in ("depth_of_field", "object_contrast", "object_detail", "edge_energy"):
        assert math.isnan(MEASURES[name].value(picture(0), nothing)), name


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_stays_inside_its_box_and_is_a_valid_map(name: str, view: View) -> None:
    before, after = view.maps[name], edited(name, view.maps[name], BOX)
    row = next(row for row in MODALITIES if row.name == name)
    assert np.array_equal(np.asarray(row.check(after)), np.asarray(after))
    different = np.asarray(before) != np.asarray(after)
    different = different.any(-1) if different.ndim == 3 else different
    inside = np.zeros_like(different)
    inside[pixels(BOX, before.size)] = True
    assert different.any() and not different[~inside].any()


def test_boxes_lie_in_the_picture_and_follow_its_name() -> None:
    for name in ("a", "b", "c"):
        x0, y0, x1, y1 = box_of(name)
        assert 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1 and box_of(name) == (x0, y0, x1, y1)
    assert box_of("a") != box_of("b")
    with pytest.raises(ValueError, match="edit: got 'text', wanted one of depth"):
        edited("text", Image.new("L", (8, 8)), BOX)
