"""The documented endpoints, as a program uses them with `gradio_client`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from mmsr_core.images import read_recipe
from mmsr_core.recipe import Recipe

pytestmark = pytest.mark.timeout(300)
SETTINGS = '{"weight": 4, "seed": 1, "steps": 1}'


@pytest.fixture(scope="module")
def client(address: str) -> Client:
    return Client(address, verbose=False)


def pixels(path: str) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def restore(client: Client, photo: Path, settings: str = SETTINGS, **given) -> tuple[str, Recipe]:
    picture, text = client.predict(handle_file(str(photo)), settings, api_name="/restore", **given)
    return picture, Recipe.from_json(text)


def test_only_the_documented_endpoints_are_public(client: Client):
    named = client.view_api(return_format="dict")["named_endpoints"]
    assert set(named) == {"/extract", "/restore", "/compare"}
    assert "Enlarge a photo." in json.dumps(named["/restore"]) or named["/restore"]["parameters"]


def test_extract_gives_caption_and_maps_of_the_photos_size(client: Client, photo_file: Path):
    caption, *maps = client.predict(handle_file(str(photo_file)), api_name="/extract")
    assert isinstance(caption, str) and caption
    assert [Image.open(path).size for path in maps] == [(37, 27)] * 3


def test_restore_gives_the_exact_size_with_its_recipe_inside(client: Client, photo_file: Path):
    picture, recipe = restore(client, photo_file)
    assert Image.open(picture).size == (148, 108)
    assert (recipe.settings.weight, recipe.settings.steps, recipe.seed) == (4, 1, 1)
    assert Recipe.from_json(read_recipe(picture)) == recipe
    again, _ = restore(client, photo_file)
    assert np.array_equal(pixels(picture), pixels(again))


def test_given_maps_and_modalities_switched_off_reach_the_recipe(client: Client, photo_file: Path, tmp_path: Path):
    depth = tmp_path / "depth.png"
    Image.linear_gradient("L").resize((37, 27)).save(depth)
    _, recipe = restore(
        client, photo_file, caption="a harbour", depth=handle_file(str(depth)), off="edge, segmentation"
    )
    assert recipe.sources == {"text": "edited", "depth": "uploaded", "segmentation": "off", "edge": "off"}
    assert recipe.caption == "a harbour"


def test_compare_gives_a_grid_and_its_numbers(client: Client, photo_file: Path):
    sheet, numbers = client.predict(
        handle_file(str(photo_file)), SETTINGS, "weight", "0, 8", "depth", api_name="/compare"
    )
    rows = json.loads(numbers)
    assert [row["label"] for row in rows] == [
        f"{mode}, w = {weight}" for mode in ("cfg", "null-cfg", "m-cfg") for weight in (0, 8)
    ]
    assert {row["seed"] for row in rows} == {1}
    assert Image.open(sheet).width > 300


@pytest.mark.parametrize(
    ("settings", "given", "said"),
    [
        ('{"weight": 99}', {}, "14"),
        ('{"wieght": 2}', {}, "wieght"),
        ("no json", {}, "JSON"),
        (SETTINGS, {"off": "colour"}, "colour"),
    ],
)
def test_a_wrong_call_is_refused_in_a_sentence(client: Client, photo_file: Path, settings: str, given: dict, said: str):
    with pytest.raises(AppError, match=said) as caught:
        restore(client, photo_file, settings, **given)
    assert "/" not in str(caught.value) and "Traceback" not in str(caught.value)


def test_a_broken_photo_is_refused_without_a_server_path(client: Client, tmp_path: Path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(AppError, match=r"broken\.png") as caught:
        client.predict(handle_file(str(broken)), api_name="/extract")
    assert "/tmp" not in str(caught.value)
