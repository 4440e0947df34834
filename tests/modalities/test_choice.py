"""Choosing extractors from the shell, from Python and from a recipe."""

import numpy as np
import pytest
from PIL import Image

from mmsr_core.__main__ import USAGE, main
from mmsr_core.images import read_recipe
from mmsr_core.modalities.readers import chosen
from mmsr_core.presets import PRESETS, preset
from mmsr_core.recipe import Recipe
from mmsr_core.settings import MODALITY_NAMES
from mmsr_core.upscaler import Upscaler
from tests.modalities import checkpoints

TINY = ["--preset", "tiny", "--steps", "1", "--device", "cpu", "--seed", "1"]


@pytest.fixture(scope="module")
def depth(tmp_path_factory):
    return checkpoints.depth_anything(tmp_path_factory.mktemp("public") / "depth")


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(path)
    return path


def test_the_shell_chooses_and_the_recipe_remembers(photo, tmp_path, depth):
    model = ["--extractor-model", f"depth-anything={depth}"]
    out, maps = tmp_path / "out.png", tmp_path / "maps"
    asked = ["--extractor", "depth=depth-anything", *model, "--save-maps", str(maps)]
    assert main([str(photo), str(out), *TINY, *asked]) == 0
    assert Recipe.from_json(read_recipe(out)).extractors == {"depth": "depth-anything"}
    wanted = Upscaler.load("tiny", models={"depth-anything": str(depth)}).extract(
        Image.open(photo), ("depth",), {"depth": "depth-anything"}
    )
    assert Image.open(next(maps.glob("*-depth.png"))).convert("L").tobytes() == wanted["depth"].tobytes()
    again = tmp_path / "again.png"
    assert main([str(photo), str(again), "--recipe", str(out), *model]) == 0
    assert np.array_equal(np.asarray(Image.open(again)), np.asarray(Image.open(out)))


@pytest.mark.parametrize("wrong", ["depth=midas", "normals=student", "depth", "depth=", "=student"])
def test_what_is_no_extractor_is_a_usage_error(photo, tmp_path, wrong, capsys):
    with pytest.raises(SystemExit) as caught:
        main([str(photo), str(tmp_path / "out.png"), *TINY, "--extractor", wrong])
    assert caught.value.code == USAGE and "wanted" in capsys.readouterr().err


def test_a_model_nobody_knows_is_a_usage_error(photo, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main([str(photo), str(tmp_path / "out.png"), *TINY, "--extractor-model", "midas=x/y"])
    assert caught.value.code == USAGE and "wanted some of depth-anything" in capsys.readouterr().err


def test_naming_a_service_in_the_shell_is_leave_to_use_it_but_a_recipe_is_not(photo, tmp_path, capsys, monkeypatch):
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    out = tmp_path / "out.png"
    assert main([str(photo), str(out), *TINY, "--extractor", "text=gemini"]) == 1
    assert "wanted" in (said := capsys.readouterr().err) and ("no key for Gemini" in said or "google-genai" in said)
    assert main([str(photo), str(out), *TINY]) == 0
    recipe = Recipe.from_json(read_recipe(out))
    asked = tmp_path / "asked.json"
    asked.write_text(recipe.to_json().replace('"extractors": {}', '"extractors": {"text": "gemini"}'))
    monkeypatch.setenv("GEMINI_API_KEY", "there")
    Image.new("RGB", (30, 30), "red").save(tmp_path / "other.png")
    capsys.readouterr()
    assert main([str(tmp_path / "other.png"), str(tmp_path / "no.png"), "--recipe", str(asked)]) == 1
    assert "got Gemini Flash without leave" in capsys.readouterr().err


def test_every_presets_extractors_exist():
    for row in PRESETS.values():
        assert set(chosen(None, row.extractors)) == set(MODALITY_NAMES)
    assert preset("sd2").extractors["depth"] == "depth-anything" and not preset("mini").extractors
