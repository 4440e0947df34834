"""One photo file and its result file."""

import numpy as np
import pytest
from PIL import Image

import mmsr_core
from mmsr_core.images import read_recipe
from mmsr_core.order import Job, Order, forecast_file, restore_file
from mmsr_core.presets import preset
from mmsr_core.profiles import srgb_profile
from mmsr_core.recipe import Recipe
from mmsr_core.settings import Settings

QUICK = Settings(steps=1, seed=1)
NOTHING = {"text": None, "depth": None, "segmentation": None, "edge": None}


def photo(size=(20, 17), mode="RGB"):
    rgb = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(rgb).convert(mode)


def test_a_file_is_restored_in_one_call_with_all_that_it_carries(upscaler, tmp_path):
    source, exif = photo(mode="RGBA"), Image.Exif()
    source.putalpha(128)
    exif[0x0110] = "a camera"
    source.save(tmp_path / "photo.png", exif=exif)
    seen, order = [], mmsr_core.Order(QUICK, given={"edge": None, "depth": photo(mode="L")})
    done = mmsr_core.restore_file(
        upscaler, tmp_path / "photo.png", str(tmp_path / "new" / "large.png"), order, progress=seen.append
    )
    with Image.open(tmp_path / "new" / "large.png") as made:
        assert (made.mode, made.size, made.getexif()[0x0110]) == ("RGBA", (80, 68), "a camera")
        assert made.info["icc_profile"] == srgb_profile() and made.getchannel("A").getextrema() == (128, 128)
    recipe = Recipe.from_json(read_recipe(tmp_path / "new" / "large.png"))
    assert recipe.settings == QUICK and recipe.sources["edge"] == "off" and recipe.sources["depth"] == "file"
    assert done.state == "done" and done.result.seed == 1 and seen[-1].result is done.result


def test_without_an_order_the_preset_decides(upscaler, tmp_path, monkeypatch):
    photo().save(tmp_path / "photo.png")
    monkeypatch.setattr(type(preset("tiny")), "defaults", QUICK.with_(scale=2))
    restore_file(upscaler, tmp_path / "photo.png", tmp_path / "large.png")
    recipe = Recipe.from_json(read_recipe(tmp_path / "large.png"))
    assert recipe.settings == QUICK.with_(scale=2) and set(recipe.sources.values()) == {"auto"}


def test_an_order_may_shrink_large_photos_first(upscaler, tmp_path):
    photo((40, 30)).save(tmp_path / "photo.png")
    said: list[str] = []
    for limit, size in ((1200, (160, 120)), (700, (120, 88))):
        order = Order(QUICK, NOTHING, max_pixels=limit)
        restore_file(upscaler, tmp_path / "photo.png", tmp_path / "out.png", order, notify=said.append)
        assert Image.open(tmp_path / "out.png").size == size
    assert sum("shrunk to 30 × 22" in text for text in said) == 1
    with pytest.raises(ValueError, match=r"photo\.png: got 40x30 px, wanted a picture that is less narrow"):
        restore_file(upscaler, tmp_path / "photo.png", tmp_path / "out.png", Order(QUICK, NOTHING, max_pixels=300))


@pytest.mark.parametrize("place", ["given", "extractors", "fresh"])
def test_an_order_for_an_unknown_modality_is_refused(place):
    with pytest.raises(ValueError, match="got colour, wanted some of text"):
        Order(**{place: {"colour": "canny"}})


@pytest.mark.parametrize("form", ["gif", "webp", "png"])
@pytest.mark.parametrize("frames", [1, 2])
def test_of_an_animation_the_first_picture_is_enlarged_and_that_is_said_once(upscaler, tmp_path, form, frames):
    path, (first, *others) = tmp_path / f"moving.{form}", [photo(mode=mode) for mode in ("RGB", "L")][:frames]
    first.save(path, save_all=True, append_images=others)
    said, expected = [], [f"moving.{form}: it is animated; its first picture is enlarged"] * (frames - 1)
    restore_file(upscaler, path, tmp_path / "out.png", Order(QUICK, NOTHING), notify=said.append)
    assert [text for text in said if "animated" in text] == expected
    said.clear()
    forecast_file(upscaler, Job(path, tmp_path / "other.png"), Order(QUICK, NOTHING), said.append)
    assert [text for text in said if "animated" in text] == expected


def test_what_is_switched_off_counts_before_and_in_a_run(upscaler, tmp_path):
    photo().save(tmp_path / "photo.png")
    job, said = Job(tmp_path / "photo.png", tmp_path / "out.png"), []
    without = Order(QUICK, {"text": None})
    forecast_file(upscaler, job, without, said.append)
    restore_file(upscaler, job.source, job.target, without, notify=said.append)
    assert [text for text in said if "While the caption is off" in text] == said and len(said) == 2
    forecast_file(upscaler, job, Order(QUICK), said.append)
    assert len(said) == 2


def test_the_longest_side_is_that_of_the_file_and_part_of_its_recipe(upscaler, tmp_path):
    photo((40, 30)).save(tmp_path / "photo.png")
    settings = QUICK.with_(long_side=100)
    restore_file(upscaler, tmp_path / "photo.png", tmp_path / "out.png", Order(settings, NOTHING))
    assert Image.open(tmp_path / "out.png").size == (100, 75)
    assert Recipe.from_json(read_recipe(tmp_path / "out.png")).settings == settings
