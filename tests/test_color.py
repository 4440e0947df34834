"""Laws of the colour match."""

import tracemalloc

import numpy as np
import pytest
from PIL import Image

from mmsr_core import color
from mmsr_core.settings import declared

METHODS = ("wavelet", "adain", "ycbcr", "none")


def noise(width, height, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def photo(width=96, height=64):
    """Smooth colours, as photos have."""
    return noise(6, 4).resize((width, height), Image.Resampling.BICUBIC)


def pixels(image):
    return np.asarray(image).astype(float)


def test_the_methods_are_the_declared_choices():
    assert tuple(color.METHODS) == METHODS == declared("color").metadata["choices"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_constant_pictures_stay_constant(method, scale):
    image, reference = (
        Image.new("RGB", (40 * scale, 28 * scale), (120, 60, 30)),
        Image.new("RGB", (40, 28), (90, 80, 70)),
    )
    low, high = np.array(color.match(image, reference, method).getextrema()).T
    assert np.array_equal(low, high)
    if method in ("wavelet", "adain"):
        assert tuple(low) == (90, 80, 70)


@pytest.mark.parametrize("method", METHODS)
def test_a_picture_that_has_the_colours_is_left_alone(method):
    image = photo()
    assert np.abs(pixels(color.match(image, image, method)) - pixels(image)).max() <= 1


@pytest.mark.parametrize("method", ["wavelet", "adain"])
def test_a_tint_is_removed(method):
    image = photo(192, 128)
    reference = image.resize((48, 32), Image.Resampling.BOX)
    tinted = Image.fromarray(np.clip(pixels(image) * [0.9, 1, 0.9] + [15, -6, 0], 0, 255).astype(np.uint8))
    error = np.abs(pixels(color.match(tinted, reference, method)) - pixels(image)).mean()
    assert error < 2 < np.abs(pixels(tinted) - pixels(image)).mean()


def test_wavelet_keeps_fine_detail():
    fine = np.zeros((64, 96, 3), np.uint8) + 100
    fine[::2] += 50
    reference = Image.new("RGB", (24, 16), (140, 120, 90))
    result = pixels(color.match(Image.fromarray(fine), reference, "wavelet"))
    assert np.abs((result[8:-8:2] - result[9:-8:2]) - 50).max() <= 4
    assert np.abs(result[2:-2].mean((0, 1)) - [140, 120, 90]).max() < 1


def test_ycbcr_keeps_luma_and_takes_chroma():
    image, reference = photo(), Image.new("RGB", (24, 16), (128, 118, 108))
    muted = Image.fromarray((pixels(image) * 0.4 + 70).astype(np.uint8))
    result = color.match(muted, reference, "ycbcr").convert("YCbCr")
    luma, *chroma = (pixels(channel) for channel in result.split())
    assert np.abs(luma - pixels(muted.convert("YCbCr").getchannel(0))).max() <= 2
    for own, wanted in zip(chroma, reference.convert("YCbCr").split()[1:], strict=True):
        assert np.abs(own - wanted.getpixel((0, 0))).max() <= 2


def test_adain_takes_mean_and_deviation():
    image, reference = photo(), Image.fromarray((pixels(photo(24, 16)) * 0.5 + 60).astype(np.uint8))
    result = color.match(image, reference, "adain")
    assert np.abs(pixels(result).mean((0, 1)) - pixels(reference).mean((0, 1))).max() < 0.6
    small = result.resize(reference.size, Image.Resampling.BOX)
    assert np.abs(pixels(small).std((0, 1)) - pixels(reference).std((0, 1))).max() < 0.6


@pytest.mark.parametrize("method", ["wavelet", "ycbcr"])
def test_strips_do_not_show(method, monkeypatch):
    image, reference = noise(80, 300), noise(20, 75, 1)
    whole = color.match(image, reference, method)
    monkeypatch.setattr(color, "_ROWS", 37)
    assert np.array_equal(pixels(color.match(image, reference, method)), pixels(whole))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [(1, 1), (7, 300), (64, 5)])
def test_any_size(method, size):
    assert color.match(noise(*size), noise(3, 2), method).size == size


def test_memory_is_flat_in_the_height():
    peaks = []
    for height in (512, 4096):
        image, reference = noise(128, height), noise(32, height // 4)
        tracemalloc.start()
        color.match(image, reference, "wavelet")
        peaks.append(tracemalloc.get_traced_memory()[1] - 128 * height * 3 * 2)  # less the result and its copy
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_unknown_method_is_refused():
    with pytest.raises(ValueError, match="got 'lab', wanted one of wavelet"):
        color.match(photo(), photo(), "lab")
