"""The recipe: strict round trip, and refusals that say what was got and wanted."""

import base64
import io
import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.PngImagePlugin import PngImageFile, PngInfo

from mmsr_core.images import Photo, read_recipe, save_photo
from mmsr_core.metadata import save_options
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extractors": {"depth": "midas"}}, "extractors depth: got 'midas', wanted one of student, depth-anything"),
        ({"maps": {"text": pack(PHOTO)}}, "maps: got text, wanted keys among depth, segmentation, edge"),
    ],
)
def test_what_the_modalities_do_not_have_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        recipe(**change)
    assert recipe(extractors={"depth": "depth-anything", "edge": "canny-few"}).extractors["edge"] == "canny-few"


@pytest.mark.parametrize("size", [(9000, 9000), (20000, 20000)])
def test_a_map_larger_than_any_photo_is_refused_before_it_is_decoded(size, monkeypatch):
    """A PNG of one colour has a thousandth of the bytes that its pixels take."""
    huge = bytearray(base64.b64decode(pack(Image.new("L", (8, 8)))))
    huge[16:24] = struct.pack(">II", *size)
    huge[29:33] = struct.pack(">I", zlib.crc32(huge[12:29]))
    text = base64.b64encode(bytes(huge)).decode()
    monkeypatch.setattr(PngImageFile, "load", lambda self: pytest.fail("decoded"))
    for change in ({"maps": {"depth": text}}, {"protect": text}):
        with pytest.raises(ValueError, match="got far too many pixels, wanted at most 64 megapixels"):
            recipe(**change)


@pytest.mark.parametrize("text", ["", "[]", "3", "{", "nonsense", "[" * 100_000])
def test_text_that_is_no_recipe_is_refused(text):
    with pytest.raises(ValueError, match="wanted"):
        Recipe.from_json(text)


def test_a_protected_region_travels_and_older_recipes_have_none():
    region = Image.new("L", (30, 20))
    region.paste(255, (3, 4, 10, 12))
    made = record(Settings(), 3, "tiny", "abc", {}, {}, PHOTO, region=region)
    assert Recipe.from_json(made.to_json()).region().tobytes() == region.tobytes()
    older = {name: value for name, value in json.loads(recipe().to_json()).items() if name != "protect"}
    assert Recipe.from_json(json.dumps(older)).region() is None
    with pytest.raises(ValueError, match="recipe protect: got no picture"):
        recipe(protect="x")


def test_the_recipe_of_a_huge_result_is_read_without_decoding_it(monkeypatch):
    """Pillow's own limit lies at 179 megapixels, a result of a 12-megapixel photo above it."""
    info = PngInfo()
    info.add_text("mmsr-recipe", recipe().to_json())
    out = io.BytesIO()
    PHOTO.save(out, "PNG", pnginfo=info)
    data = bytearray(out.getvalue())
    data[16:24] = struct.pack(">II", 16000, 12000)  # the header alone is that large
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    with monkeypatch.context() as patched:
        patched.setattr(PngImageFile, "load", lambda self: pytest.fail("decoded"))
        text = read_recipe(bytes(data))
    assert Recipe.from_json(text) == recipe()


def test_text_behind_the_pixels_is_found():
    out = io.BytesIO()
    PHOTO.save(out, "PNG")
    text = b"tEXtmmsr-recipe\0" + recipe().to_json().encode()
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    data = out.getvalue()
    assert Recipe.from_json(read_recipe(data[:-12] + chunk + data[-12:])) == recipe()


@pytest.mark.parametrize("form", ["png", "jpg", "webp", "tiff", "avif"])
@pytest.mark.parametrize("maps", [MAPS, {"depth": Image.effect_noise((300, 300), 90)}])
def test_every_format_gives_its_recipe_without_decoding_and_at_any_size(form, maps, tmp_path, monkeypatch):
    """Pillow's limit is brought down to this small picture; painted maps do not fit into a JPEG's EXIF."""
    text = record(Settings(), 7, "tiny", "abc", maps, dict.fromkeys(maps, "edited"), PHOTO).to_json()
    path = save_photo(tmp_path / f"result.{form}", PHOTO, Photo(PHOTO), text)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    monkeypatch.setattr(ImageFile, "load", lambda self: pytest.fail("decoded"))
    assert read_recipe(path) == text


def test_a_recipe_survives_a_png_that_another_program_made_of_a_jpeg():
    """It keeps the EXIF data, and so the comment in it."""
    out = io.BytesIO()
    PHOTO.save(out, "PNG", **save_options("WEBP", None, PHOTO.size, False, recipe().to_json()))
    assert Recipe.from_json(read_recipe(out.getvalue())) == recipe()
