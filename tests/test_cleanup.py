"""Clean-up: what is measured is what was done to a photo, and taking it out brings the photo back nearer."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from mmsr_core import cleanup
from mmsr_core.cleanup import Cleaner, clean, measure
from mmsr_core.images import to_pil, to_tensor
from mmsr_core.outcome import Damage
from mmsr_core.upscaler import Upscaler

EXAMPLES = Path(__file__).parents[1] / "assets" / "examples"


@pytest.fixture(scope="module", params=("astronaut", "coffee", "cat"))
def photo(request: pytest.FixtureRequest) -> Image.Image:
    """An example photo, shrunk, so that it has neither noise nor blocks of its own."""
    image = Image.open(EXAMPLES / f"{request.param}.jpg").convert("RGB")
    return image.resize((128, 128 * image.height // image.width), Image.Resampling.BOX)


def noisy(photo: Image.Image, spread: float) -> Image.Image:
    values = np.asarray(photo) + np.random.default_rng(0).normal(0, spread, (photo.height, photo.width, 3))
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))


def blocky(photo: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def error(image: Image.Image | Tensor, photo: Image.Image) -> float:
    image = to_pil(image) if isinstance(image, Tensor) else image
    return float(np.square(np.asarray(image, float) - np.asarray(photo, float)).mean())


def test_a_clean_photo_is_left_alone(photo: Image.Image) -> None:
    assert measure(to_tensor(photo)) == Damage()
    lr = to_tensor(photo)
    assert clean(lr, measure(lr)) is lr


@pytest.mark.parametrize("spread", (3, 6, 12, 25))
def test_noise_is_measured_and_taken_out(photo: Image.Image, spread: float) -> None:
    bad = noisy(photo, spread)
    found = measure(to_tensor(bad))
    assert found.quality is None and found.noise == pytest.approx(spread, rel=0.2)
    assert error(clean(to_tensor(bad), found), photo) < 0.75 * error(bad, photo)


@pytest.mark.parametrize("quality", (15, 30, 50, 60, 75, 85))
def test_the_quality_of_a_jpeg_is_found_and_its_blocks_taken_out(photo: Image.Image, quality: int) -> None:
    bad = blocky(photo, quality)
    found = measure(to_tensor(bad))
    assert found.noise == 0 and abs(found.quality - quality) <= 2
    assert error(clean(to_tensor(bad), found), photo) < 0.95 * error(bad, photo)


def test_blocks_are_found_wherever_they_begin(photo: Image.Image) -> None:
    bad = blocky(photo, 40)
    for corner in ((3, 5), (7, 0), (4, 4)):
        assert abs(measure(to_tensor(bad.crop((*corner, *bad.size)))).quality - 40) <= 2


def test_the_amount_goes_from_nothing_over_what_was_measured_to_more(photo: Image.Image) -> None:
    lr = to_tensor(noisy(photo, 6))
    found = measure(lr)
    moved = [float((clean(lr, found, amount) - lr).square().mean()) for amount in (0, 0.5, 1, 2, 4)]
    assert moved[0] == 0 and moved == sorted(moved)
    assert clean(lr, found, 0.0) is lr
    still = to_tensor(photo)
    assert not torch.equal(clean(still, Damage(), 2.0), still)  # more than was measured: the visitor knows better


@pytest.mark.parametrize("size", ((16, 16), (17, 40), (16, 71)))
def test_any_size_is_cleaned(size: tuple[int, int]) -> None:
    lr = torch.rand(1, 3, *size) * 2 - 1
    made = clean(lr, Damage(noise=8.0, quality=30))
    assert made.shape == lr.shape and bool(made.isfinite().all()) and made.abs().max() <= 1
    assert isinstance(measure(lr), Damage)


def test_an_even_picture_stays_even() -> None:
    lr = torch.full((1, 3, 40, 40), 0.3)
    assert measure(lr) == Damage()
    assert torch.allclose(clean(lr, Damage(noise=10.0, quality=20)), lr, atol=1e-5)


def test_regular_pictures_are_not_taken_for_damaged_ones() -> None:
    ramp = np.linspace(0, 255, 300)[None, :, None].repeat(200, 0).repeat(3, 2)
    board = (np.indices((120, 120)).sum(0) % 2 * 255)[..., None].repeat(3, 2)
    for picture in (ramp, board):
        assert measure(to_tensor(Image.fromarray(picture.astype(np.uint8)))) == Damage()


def test_tiles_do_not_show(photo: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    lr, damage = to_tensor(noisy(photo, 8)), Damage(noise=8.0, quality=60)
    whole = clean(lr, damage)
    monkeypatch.setattr(cleanup, "TILE", 32)
    assert torch.allclose(clean(lr, damage), whole, atol=1e-5)


def test_the_newest_picture_is_measured_and_cleaned_once(photo: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(cleanup, "measure", lambda lr: calls.append("measure") or measure(lr))
    monkeypatch.setattr(cleanup, "clean", lambda *given: calls.append("clean") or clean(*given))
    cleaner, bad = Cleaner(), noisy(photo, 5)
    damage, seen = cleaner.damage(bad), to_tensor(cleaner.picture(bad.copy()))
    torch.testing.assert_close(cleaner.clean(bad, 1.0, "cpu"), seen, atol=1.001 / 255, rtol=0)
    assert calls == ["measure", "clean"]
    assert torch.equal(cleaner.clean(bad, 2.0, "cpu"), clean(to_tensor(bad), damage, 2.0))
    assert cleaner.damage(photo) != damage and calls.count("measure") == 2


def test_modalities_are_read_from_the_cleaned_picture(photo: Image.Image, upscaler: Upscaler) -> None:
    bad = noisy(photo, 12)
    seen = upscaler.cleaner.picture(bad)
    assert error(seen, photo) < 0.6 * error(bad, photo)
    assert np.array_equal(upscaler.extract(bad)["edge"], upscaler.extract(seen)["edge"])
    assert upscaler.cleaner.picture(photo) is photo


def test_damage_in_words() -> None:
    assert str(Damage()) == ""
    assert str(Damage(noise=5.04, quality=40)) == "noise of 5 grey levels, JPEG blocks of quality 40"


def test_what_is_taken_out_follows_the_amount() -> None:
    found = Damage(noise=4, quality=40)
    assert found.taken(0) == Damage() and found.taken(1) == found
    assert found.taken(0.5) == Damage(noise=2, quality=40) and found.taken(3) == Damage(noise=14, quality=40)
    assert str(Damage().taken(2)) == "noise of 5 grey levels"
