"""The recipe: strict round trip, and refusals that say what was got and wanted."""

import json

import numpy as np
import pytest
from PIL import Image

from mmsr_core.images import Photo, read_recipe, save_photo
from mmsr_core.recipe import Recipe, fingerprint, pack, record
from mmsr_core.settings import Settings

PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8))
MAPS = {"depth": PHOTO.convert("L"), "segmentation": PHOTO}


def recipe(**changes):
    values = {
        "settings": Settings(weight=4, temperature={"depth": 0.7}, positive="sharp, été"),
        "seed": 7,
        "preset": "tiny",
        "weights_hash": "abc",
        "sources": {"text": "edited", "depth": "file", "segmentation": "edited", "edge": "off"},
        "caption": "a house by a lake, été",
        "maps": {name: pack(image) for name, image in MAPS.items()},
        "input_sha256": fingerprint(PHOTO),
    }
    return Recipe(**{**values, **changes})


def test_round_trip_is_exact_and_ascii():
    text = recipe().to_json()
    assert text.isascii() and "\n" not in text
    assert Recipe.from_json(text) == recipe()
    assert Recipe.from_json(text).to_json() == text


@pytest.mark.parametrize("form", ["png", "jpg", "webp", "tiff", "avif"])
def test_round_trip_through_a_result(form, tmp_path):
    path = save_photo(tmp_path / f"result.{form}", PHOTO.resize((120, 80)), Photo(PHOTO), recipe().to_json())
    assert Recipe.from_json(read_recipe(path)) == recipe()


def test_maps_come_back_exactly():
    for name, image in MAPS.items():
        back = Recipe.from_json(recipe().to_json()).map(name)
        assert back.mode == image.mode and np.array_equal(np.asarray(back), np.asarray(image))


def test_record_carries_what_was_not_extracted():
    given = {"text": "a house", "depth": MAPS["depth"], "edge": MAPS["depth"]}
    made = record(Settings(), 3, "tiny", "abc", given, {"depth": "edited"}, PHOTO)
    assert made.sources == {"text": "auto", "depth": "edited", "segmentation": "off", "edge": "auto"}
    assert list(made.maps) == ["depth"] and made.caption == "a house" and made.fits(PHOTO)


def test_used_settings_have_the_seed():
    assert recipe().settings.seed is None and recipe().used_settings().seed == 7


def test_fingerprint_knows_the_picture_not_the_file():
    assert recipe().fits(PHOTO.convert("RGBA"))
    assert not recipe().fits(PHOTO.rotate(180))
    assert recipe(input_sha256="").fits(PHOTO.rotate(180))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": 1}, "got unknown colour, wanted exactly settings"),
        ({"seed": ...}, "got no seed, wanted exactly"),
        ({"seed": "7"}, "seed: got '7', wanted int"),
        ({"seed": True}, "seed: got True"),
        ({"recipe": 2}, 'without "recipe": 1'),
        ({"settings": {"zoom": 3}}, "got unknown zoom, wanted some of scale"),
        ({"settings": []}, r"settings: got \[\], wanted dict"),
        ({"sources": {"depth": "magic"}}, "got 'magic', wanted one of auto"),
        ({"sources": {"smell": "auto"}}, "got smell, wanted keys among text"),
        ({"maps": {"depth": "!!"}}, "maps depth: got no picture"),
        ({"maps": {"depth": 5}}, "wanted a mapping of texts"),
        ({"caption": 5}, "caption: got 5, wanted str or nothing"),
    ],
)
def test_misfits_are_refused(change, message):
    values = {**json.loads(recipe().to_json()), **change}
    text = json.dumps({key: value for key, value in values.items() if value is not ...})
    with pytest.raises(ValueError, match=message):
        Recipe.from_json(text)


@pytest.mark.parametrize("text", ["", "[]", "3", "{", "nonsense", "[" * 100_000])
def test_text_that_is_no_recipe_is_refused(text):
    with pytest.raises(ValueError, match="wanted"):
        Recipe.from_json(text)
