"""Where the modalities of one photo come from: what is given, what a recipe has, what is read."""

import numpy as np
import pytest
from PIL import Image

from mmsr_core.gather import Value, gather, gather_ordered, left_on, save_maps
from mmsr_core.images import Photo
from mmsr_core.modalities import MODALITIES, Way
from mmsr_core.modalities.given import Edited
from mmsr_core.modalities.readers import Access
from mmsr_core.order import Order
from mmsr_core.recipe import record
from mmsr_core.settings import Settings

NAMES = [row.name for row in MODALITIES]


@pytest.fixture(scope="module")
def picture():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (17, 20, 3), np.uint8))


@pytest.fixture
def ramp():
    return Image.linear_gradient("L").resize((20, 17))


@pytest.fixture
def flat(monkeypatch):
    """One more extractor of the depth, which reads one grey."""
    (row,) = (row for row in MODALITIES if row.name == "depth")
    monkeypatch.setitem(row.extractors, "flat", Way("Flat", lambda site: lambda image: Image.new("L", image.size, 77)))


def ordered(upscaler, picture, order, stems=("a",)):
    """What is gathered, and what is said."""
    said = []
    return gather_ordered(upscaler, Photo(picture), order, stems, said.append), said


def made(picture, modalities, sources, extractors=None):
    return record(Settings(steps=1), 0, "tiny", "", modalities, sources, picture, extractors)


def test_what_is_known_stays_and_the_rest_is_read_in_token_order(upscaler, picture, ramp):
    known = {"depth": Value(ramp, "uploaded", edit=True), "edge": Value(), "text": Value("a lake", "edited")}
    found = gather(upscaler, picture, known)
    assert list(found.modalities) == ["text", "depth", "segmentation"]
    assert found.modalities["text"] == "a lake" and found.modalities["depth"].now.tobytes() == ramp.tobytes()
    assert found.modalities["depth"].read.tobytes() == upscaler.extract(picture, ("depth",))["depth"].tobytes()
    assert found.sources == {"text": "edited", "depth": "uploaded", "segmentation": "auto"}


def test_a_map_that_nothing_can_be_read_beside_acts_as_a_whole_and_that_is_said(
    upscaler, picture, ramp, monkeypatch
):
    def away(site):
        raise ValueError("network: got nothing")

    (row,) = (row for row in MODALITIES if row.name == "depth")
    monkeypatch.setitem(row.extractors, "away", Way("Away", away))
    said = []
    off = {name: Value() for name in NAMES}
    known = {**off, "depth": Value(ramp, "uploaded", edit=True)}
    found = gather(upscaler, picture, known, {"depth": "away"}, Access(say=said.append))
    assert isinstance(found.modalities["depth"], Image.Image) and "acts as a whole" in said[0]


def test_an_extractor_that_is_named_reads_whatever_the_recipe_has(upscaler, picture, ramp, flat):
    """A caption, an edited map, or nothing."""
    fine = {"text": "a lake", "depth": Edited(ramp, ramp), "edge": ramp}
    recipe = made(picture, fine, {"text": "auto", "depth": "edited", "edge": "file"})
    kept, _ = ordered(upscaler, picture, Order(recipe=recipe))
    assert kept.modalities["text"] == "a lake" and kept.sources["depth"] == "edited"
    assert "segmentation" not in kept.modalities
    named = {"text": "composed", "depth": "flat", "segmentation": "student"}
    found, said = ordered(upscaler, picture, Order(recipe=recipe, extractors=named))
    assert found.modalities["text"] == upscaler.extract(picture, ("text",))["text"] != "a lake"
    assert found.modalities["depth"].getextrema() == (77, 77) and "segmentation" in found.modalities
    assert found.sources == {"text": "auto", "depth": "auto", "segmentation": "auto", "edge": "file"}
    assert found.extractors == named and said == []


def test_what_is_wanted_fresh_is_read_by_the_recipes_extractor(upscaler, picture, ramp, flat):
    recipe = made(picture, {"text": "a lake", "depth": ramp}, {"depth": "file"}, {"depth": "flat"})
    found, _ = ordered(upscaler, picture, Order(recipe=recipe, fresh=["depth", "edge"]))
    assert found.modalities["depth"].getextrema() == (77, 77) and found.extractors == {"depth": "flat"}
    assert list(found.modalities) == ["text", "depth", "edge"]
    assert left_on(Order(recipe=recipe, fresh=["edge"], given={"depth": None})) == ["text", "edge"]


def test_the_extractor_of_a_caption_that_a_recipe_carries_is_not_forgotten(upscaler, picture):
    first, _ = ordered(upscaler, picture, Order(extractors={"text": "composed"}))
    recipe = made(picture, first.modalities, first.sources, first.extractors)
    again, _ = ordered(upscaler, picture, Order(recipe=recipe))
    assert made(picture, again.modalities, again.sources, again.extractors).to_json() == recipe.to_json()
    assert again.extractors == {"text": "composed"}


def test_a_file_that_is_missing_in_a_folder_means_extract_it_and_that_is_said(upscaler, picture, tmp_path):
    folder = dict.fromkeys(NAMES, tmp_path)
    save_maps({"text": "a lake", "edge": Image.new("L", (20, 17))}, tmp_path, "a")
    found, said = ordered(upscaler, picture, Order(given=folder))
    assert found.sources == {"text": "edited", "depth": "auto", "segmentation": "auto", "edge": "file"}
    assert found.modalities["text"] == "a lake"
    assert said[0] == f"no a-depth.png in the folder {tmp_path.name!r}, so its depth is extracted" and len(said) == 2


def test_files_of_a_folder_are_found_by_the_name_of_the_result_before_that_of_the_photo(upscaler, picture, tmp_path):
    save_maps({"text": "of the photo", "depth": Image.new("L", (20, 17), 9)}, tmp_path, "photo")
    save_maps({"text": "of the result"}, tmp_path, "result")
    given = {**dict.fromkeys(NAMES), "text": tmp_path, "depth": tmp_path}
    found, said = ordered(upscaler, picture, Order(given=given), ("result", "photo"))
    assert found.modalities["text"] == "of the result" and found.modalities["depth"].now.getextrema() == (9, 9)
    assert said == []


def test_a_caption_file_that_is_no_text_is_refused(upscaler, picture, tmp_path):
    (tmp_path / "a-text.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"a-text\.txt: got a file that cannot be read as text, wanted a caption"):
        ordered(upscaler, picture, Order(given={"text": tmp_path}))
