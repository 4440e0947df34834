"""The palette: exact round trip, snapping, the legend."""

import numpy as np
import pytest
from PIL import Image

from mmsr_core.modalities.palette import CLASSES, COLORS, areas, legend, render, to_index


def test_round_trip_is_exact():
    index = np.random.default_rng(0).integers(0, len(CLASSES), (37, 23)).astype(np.uint8)
    assert (to_index(render(index)) == index).all()
    assert to_index(render(index)).dtype == np.uint8


def test_colors_are_distinct():
    assert len({row.rgb for row in CLASSES}) == len({row.name for row in CLASSES}) == 12


def test_colors_near_the_palette_go_to_the_nearest():
    near = np.clip(COLORS.astype(int) + np.random.default_rng(1).integers(-9, 10, COLORS.shape), 0, 255)
    found = to_index(Image.fromarray(near.astype(np.uint8)[None]))
    assert found.ravel().tolist() == list(range(12))


def test_a_photo_snaps_to_the_true_nearest_color():
    photo = np.random.default_rng(2).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    distance = ((photo[:, :, None].astype(int) - COLORS.astype(int)) ** 2).sum(-1)
    assert (to_index(Image.fromarray(photo)) == distance.argmin(-1)).all()


@pytest.mark.parametrize("wrong", [np.zeros(5, int), np.full((2, 2), 12), np.full((2, 2), -1)])
def test_what_is_no_index_map_is_refused(wrong):
    with pytest.raises(ValueError, match="got .*wanted"):
        render(wrong)


def test_areas_sum_to_one():
    assert areas(np.array([[0, 1], [1, 11]])).sum() == pytest.approx(1)


def test_legend_names_what_is_there_largest_first():
    index = np.zeros((10, 10), np.uint8)
    index[:6] = 8
    index[9, 9] = 3
    assert [(row.name, share) for row, share in legend(render(index), minimum=0.02)] == [("sky", 0.6), ("other", 0.39)]
    assert [row.name for row, _ in legend(render(index), minimum=0.0)] == ["sky", "other", "vehicle"]
