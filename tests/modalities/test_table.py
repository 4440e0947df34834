"""Laws of the modality table and of what a caller may hand in."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mmsr_core.modalities import MODALITIES
from mmsr_core.modalities.palette import CLASSES, render
from mmsr_core.settings import MODALITY_NAMES

ROWS = {row.name: row for row in MODALITIES}
MAPS = [row for row in MODALITIES if row.kind == "map"]


def test_names_stand_in_token_order():
    assert tuple(row.name for row in MODALITIES) == MODALITY_NAMES


@pytest.mark.parametrize("row", MODALITIES, ids=lambda row: row.name)
def test_every_row_is_complete(row):
    assert row.kind in ("text", "map")
    assert row.label and row.help and all(row.ends) and row.extractors


def test_reading_the_table_loads_no_torch():
    code = "import sys, mmsr_core.modalities; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("row", MAPS, ids=lambda row: row.name)
@pytest.mark.parametrize("wrong", ["a text", None, 3], ids=str)
def test_a_map_that_is_no_picture_is_refused(row, wrong):
    with pytest.raises(ValueError, match=f"{row.name}: got .*wanted a picture"):
        row.check(wrong)


def test_a_caption_that_is_no_text_is_refused():
    with pytest.raises(ValueError, match="text: got a picture, wanted a caption"):
        ROWS["text"].check(Image.new("RGB", (4, 4)))


def test_a_caption_is_one_line():
    assert ROWS["text"].check("  a red\n\tbarn ") == "a red barn"


@pytest.mark.parametrize("row", MAPS, ids=lambda row: row.name)
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_every_picture_mode_becomes_the_same_form(row, mode):
    wanted = {"depth": "L", "segmentation": "RGB", "edge": "L"}[row.name]
    assert row.check(Image.new(mode, (5, 3))).mode == wanted
    assert row.check(Image.new(mode, (5, 3))).size == (5, 3)


@pytest.mark.parametrize("row", MAPS, ids=lambda row: row.name)
def test_a_checked_map_stays_as_it_is(row):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 120, (20, 30, 3), dtype=np.uint8))
    once = row.check(noise)
    assert row.check(once).tobytes() == once.tobytes()


def test_sixteen_bit_depth_uses_the_whole_range():
    depth = np.linspace(1000, 61000, 64).astype(np.uint16).reshape(8, 8)
    found = np.asarray(ROWS["depth"].check(Image.fromarray(depth)))
    assert found.min() == 0 and found.max() == 255 and (np.diff(found.ravel().astype(int)) > 0).all()


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_deep_edges_are_lines_on_black_whatever_their_ground(kind):
    lines = np.full((16, 16), 300, kind)
    lines[5] = 65535
    found = np.asarray(ROWS["edge"].check(Image.fromarray(lines)))
    assert (found[5] == 255).all() and (np.delete(found, 5, 0) == 0).all()


@pytest.mark.parametrize("name", ["depth", "edge"])
def test_maps_that_are_not_finite_are_refused(name):
    with pytest.raises(ValueError, match=f"{name}: got values that are not finite"):
        ROWS[name].check(Image.fromarray(np.full((4, 4), np.nan, np.float32)))


def test_black_lines_on_white_are_refused():
    with pytest.raises(ValueError, match="edge: got a picture that is 100% white, wanted white lines on black"):
        ROWS["edge"].check(Image.new("L", (8, 8), 255))


def test_a_grey_picture_of_class_numbers_is_a_segmentation():
    index = np.arange(len(CLASSES), dtype=np.uint8).reshape(3, 4)
    assert ROWS["segmentation"].check(Image.fromarray(index)).tobytes() == render(index).tobytes()
