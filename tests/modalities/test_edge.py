"""Canny edges: nothing on a blank picture, the border of a square, also when it is blurred or noisy."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from mmsr_core.modalities import MODALITIES
from mmsr_core.modalities.edge import CannyEdges, noise_level
from mmsr_core.presets import ASSETS

SIDE, START, STOP = 96, 24, 72


def square(contrast: int = 120) -> Image.Image:
    picture = np.full((SIDE, SIDE, 3), 60, np.uint8)
    picture[START:STOP, START:STOP] += np.uint8(contrast)
    return Image.fromarray(picture)


def noisy(image: Image.Image, sigma: float) -> Image.Image:
    values = np.asarray(image) + np.random.default_rng(0).normal(0, sigma, (*image.size[::-1], 3))
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def found_border(edges: Image.Image) -> float:
    """Share of the square's border that has a line within 2 px."""
    lines = np.asarray(edges.filter(ImageFilter.MaxFilter(5))) > 0
    inside = slice(START + 4, STOP - 4)
    return np.concatenate([lines[START, inside], lines[STOP, inside], lines[inside, START], lines[inside, STOP]]).mean()


def strays(edges: Image.Image) -> int:
    """Line pixels more than 6 px away from the square's border."""
    lines = np.asarray(edges) > 0
    y, x = np.nonzero(lines)
    off = np.maximum(abs(x - SIDE / 2), abs(y - SIDE / 2)) - (STOP - START) / 2
    return int((abs(off) > 6).sum())


@pytest.mark.parametrize("level", [0, 90, 255])
def test_a_blank_picture_has_no_lines(level):
    assert np.asarray(CannyEdges()(Image.new("RGB", (50, 40), (level,) * 3))).max() == 0


def test_noise_alone_has_hardly_any_lines():
    lines = np.asarray(CannyEdges()(noisy(Image.new("RGB", (128, 128), (120, 120, 120)), 15))) > 0
    assert lines.mean() < 0.02


CASES = {
    "clean": square(),
    "weak": square(14),
    "blurred": square().filter(ImageFilter.GaussianBlur(3)),
    "noisy": noisy(square(), 15),
}


@pytest.mark.parametrize("image", CASES.values(), ids=CASES)
def test_finds_the_border_of_a_square_and_nothing_else(image):
    edges = CannyEdges()(image)
    assert found_border(edges) > 0.95
    assert strays(edges) <= 12


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (16, 16), (17, 301), (33, 15)])
def test_edges_have_the_size_and_form_of_a_map(size):
    edges = CannyEdges()(square().resize(size))
    assert edges.size == size and edges.mode == "L"
    assert set(np.unique(np.asarray(edges))) <= {0, 255}


def test_a_lower_percentile_gives_more_lines():
    photo = noisy(square().filter(ImageFilter.GaussianBlur(2)), 30).filter(ImageFilter.GaussianBlur(2))
    count = [np.count_nonzero(np.asarray(CannyEdges(percentile=p, floor=0.1, noise_factor=0)(photo))) for p in (70, 97)]
    assert count[0] > count[1]


def test_noise_level_is_measured():
    flat = np.full((200, 200), 128.0) + np.random.default_rng(0).normal(0, 8, (200, 200))
    assert noise_level(flat) == pytest.approx(8, rel=0.1)


@pytest.mark.parametrize("name", ["coffee", "cat", "astronaut"])
def test_outlines_only_usual_and_fine_lines_too(name):
    """Each way of the table draws more lines than the one before it, and those of that one among them."""
    photo = Image.open(ASSETS / "examples" / f"{name}.jpg").convert("RGB")
    ways = next(row for row in MODALITIES if row.name == "edge").extractors
    few, usual, many = (np.asarray(ways[way](Path())(photo)) > 0 for way in ("canny-few", "canny", "canny-many"))
    assert 0.005 < few.mean() < 0.8 * usual.mean() and usual.mean() < 0.9 * many.mean() < 0.3
    assert (few & ~usual).sum() == 0 and (usual & ~many).sum() == 0
