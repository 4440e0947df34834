"""The documented endpoints, as a program uses them with `gradio_client`."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import gradio as gr
import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from app.api import Api
from app.engine import Engine, Options
from app.widgets import Upload
from mmsr_core.images import read_recipe
from mmsr_core.modalities import MODALITIES, Way
from mmsr_core.modalities.given import now
from mmsr_core.modalities.palette import named
from mmsr_core.presets import preset
from mmsr_core.recipe import Recipe

pytestmark = pytest.mark.timeout(300)
SETTINGS = '{"weight": 4, "seed": 1, "steps": 1}'


@pytest.fixture(scope="module")
def client(address: str) -> Client:
    return Client(address, verbose=False)


def pixels(path: str) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def restore(client: Client, photo: Path, settings: str = SETTINGS, **given) -> tuple[str, Recipe]:
    picture, text, notes = client.predict(handle_file(str(photo)), settings, api_name="/restore", **given)
    assert notes == ""
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


@pytest.fixture(scope="module")
def coco(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Api:
    """The endpoints on weights that know the classes of COCO, of a preset with defaults of its own."""
    folder = tmp_path_factory.mktemp("coco") / "weights"
    shutil.copytree(tiny_folder, folder)
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "palette": "coco"}))
    return Api(Engine(Options(preset="sd2", weights=str(folder), device="cpu")))


def restored(api: Api, photo: Path, settings: str, **given) -> Recipe:
    """The recipe that comes back without a client in between; what is not given is left out."""
    off = ",".join(name for name in ("text", "depth", "segmentation", "edge") if name not in given)
    *_, (path, text, _) = api.restore(Upload(str(photo), photo.name), settings, **given, off=off)
    recipe = Recipe.from_json(text)
    assert Recipe.from_json(read_recipe(path)) == recipe
    return recipe


def test_a_map_off_the_palette_is_brought_to_that_of_the_loaded_model(
    coco: Api, photo_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (ways,) = (row.extractors for row in MODALITIES if row.classes)
    flat = Way("Flat", lambda site: lambda image: Image.new("RGB", image.size), palettes=("coco",))
    monkeypatch.setitem(ways, "mask2former-coco", flat)  # which is not on the disk
    given = Image.fromarray(np.random.default_rng(0).integers(0, 256, (27, 37, 3), np.uint8))
    given.save(tmp_path / "given.png")
    recipe = restored(coco, photo_file, SETTINGS, segmentation=Upload(str(tmp_path / "given.png"), "given.png"))
    used, palette = now({"segmentation": recipe.map("segmentation")})["segmentation"], named("coco")
    assert used.tobytes() == palette.render(palette.to_index(given)).tobytes() != given.tobytes()


def test_settings_that_are_not_given_are_those_of_the_preset(coco: Api, photo_file: Path):
    defaults = preset("sd2").defaults
    assert defaults.steps != preset("mini").defaults.steps
    recipe = restored(coco, photo_file, '{"weight": 1, "seed": 5}')
    assert recipe.settings == defaults.with_(weight=1, seed=5) and recipe.seed == 5
    drawn = restored(coco, photo_file, "")
    assert drawn.settings == defaults.with_(seed=drawn.seed)


def test_the_recipe_has_the_settings_that_were_used(coco: Api, photo_file: Path, monkeypatch: pytest.MonkeyPatch):
    """Where memory is short the tiles are smaller than was asked for."""
    pipeline = coco.engine.upscaler().pipeline
    stream = pipeline.stream

    def cramped(lr, modalities, settings):
        if settings.tile > 128:
            raise MemoryError
        return stream(lr, modalities, settings)

    monkeypatch.setattr(pipeline, "stream", cramped)
    assert restored(coco, photo_file, SETTINGS).settings.tile == 128


def test_compare_gives_a_grid_and_its_numbers(client: Client, photo_file: Path):
    sheet, numbers, notes = client.predict(
        handle_file(str(photo_file)), SETTINGS, "weight", "0, 8", "depth", api_name="/compare"
    )
    rows = json.loads(numbers)
    assert [row["label"] for row in rows] == [
        f"{mode}, w = {weight}" for mode in ("cfg", "null-cfg", "m-cfg") for weight in (0, 8)
    ]
    assert {row["seed"] for row in rows} == {1} and notes == ""
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


def test_an_unknown_name_is_refused_before_anything_else(client: Client, tmp_path: Path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    call = handle_file(str(tmp_path / "broken.png")), "no json", "temperature", "99", "colour"
    with pytest.raises(AppError, match="Name: got 'colour', wanted one of text, depth, segmentation, edge"):
        client.predict(*call, api_name="/compare")


@pytest.mark.parametrize("endpoint", ["extract", "restore", "compare"])
@pytest.mark.parametrize("error", [FloatingPointError, MemoryError])
def test_whatever_the_core_says_in_a_sentence_reaches_the_client(
    coco: Api, photo_file: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str, error: type[Exception]
):
    def failing(*given, **options):
        raise error("memory: got too little")

    monkeypatch.setattr(coco.engine.upscaler(), "extract", failing)
    with pytest.raises(gr.Error, match="emory: got too little"):
        list(getattr(coco, endpoint)(Upload(str(photo_file), "photo.png")))


def test_a_map_that_acts_as_a_whole_is_noted(coco: Api, photo_file: Path, monkeypatch: pytest.MonkeyPatch):
    """Of these weights' own extractor of depth, which is not on the disk."""
    (row,) = (row for row in MODALITIES if row.name == "depth")

    def away(site: object) -> None:
        raise ValueError("network: got nothing")

    monkeypatch.setitem(row.extractors, "depth-anything", Way("Away", away))
    call = Upload(str(photo_file), "photo.png"), SETTINGS, None, Upload(str(photo_file), "depth.png"), None, None
    *_, (_, _, notes) = coco.restore(*call, off="text, segmentation, edge")
    assert "the given depth acts as a whole" in notes and "network: got nothing" in notes


@pytest.mark.parametrize("endpoint", ["restore", "compare"])
def test_a_call_whose_client_goes_away_is_ended(
    address: str, engine: Engine, photo_file: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str
):
    stream, ended, done = engine.upscaler().stream, threading.Event(), []

    def watched(*given) -> Iterator:
        try:
            for step in stream(*given):
                done.append(step)
                yield step
        finally:
            ended.set()

    monkeypatch.setattr(engine.upscaler(), "stream", watched)
    (path,) = httpx.post(f"{address}/gradio_api/upload", files={"files": photo_file.open("rb")}).json()
    photo = {"path": path, "meta": {"_type": "gradio.FileData"}}
    call = {"photo": photo, "settings": '{"steps": 100}'}
    started = httpx.post(f"{address}/gradio_api/call/v2/{endpoint}", json=call).json()["event_id"]
    with httpx.stream("GET", f"{address}/gradio_api/call/{endpoint}/{started}", timeout=60) as answer:
        next(line for line in answer.iter_lines() if line == "event: generating")
    assert ended.wait(60) and len(done) < 100


def test_a_broken_photo_is_refused_without_a_server_path(client: Client, tmp_path: Path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(AppError, match=r"broken\.png") as caught:
        client.predict(handle_file(str(broken)), api_name="/extract")
    assert "/tmp" not in str(caught.value)


def test_a_photo_that_is_too_large_is_shrunk_and_that_is_noted(
    client: Client, engine: Engine, photo_file: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(engine, "options", replace(engine.options, max_megapixels=0.0005))  # 37 x 27 px are more
    picture, _, notes = client.predict(handle_file(str(photo_file)), SETTINGS, api_name="/restore")
    assert Image.open(picture).size == (104, 76) and "was shrunk to 26 × 19" in notes
