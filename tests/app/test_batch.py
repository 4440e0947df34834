"""The Batch tab without a browser: what was chosen on the Studio tab holds for every file."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from app import controls
from app.batch import Batch
from app.engine import Engine
from app.maps import Maps
from app.page import Page
from app.visit import Visit
from mmsr_core.images import read_recipe
from mmsr_core.modalities import MODALITIES, Way
from mmsr_core.recipe import Recipe
from mmsr_core.settings import Settings

ROWS = {row.name: row for row in MODALITIES}


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """More extractors than the bundled ones, one of them a service; which of them has read a photo, in order."""
    done: list[str] = []

    def add(modality: str, name: str, value: Callable, consent: str | None = None) -> None:
        def extractor(image: Image.Image) -> Image.Image | str:
            done.append(name)
            return value(image)

        way = Way(name, lambda site: extractor, "For tests.", consent=consent)
        monkeypatch.setitem(ROWS[modality].extractors, name, way)

    add("depth", "flat", lambda image: Image.new("L", image.size, 77))
    add("segmentation", "black", lambda image: Image.new("RGB", image.size))
    add("text", "service", lambda image: "a photo", "The photo leaves this machine.")
    return done


def test_the_extractors_of_the_studio_read_the_files_of_a_batch(
    engine: Engine, widgets: Page, guest: Visit, photo_file: Path, other_file: Path, read: list[str]
):
    """But what is switched off is not read, and no service gets the files."""
    maps, batch = Maps(engine, widgets), Batch(engine, widgets)
    for name, way in {"depth": "flat", "segmentation": "black", "text": "service"}.items():
        maps.extractors.choose(guest, way, name=name)
    maps.toggle(guest, False, name="segmentation")
    values = [*controls.write(Settings(steps=1)), False]
    *_, last = batch.start(guest, [str(photo_file), str(other_file)], "png", *values)
    assert widgets.batch_notice not in last and read == ["flat", "flat"]
    with zipfile.ZipFile(guest.folder / "batch.zip") as bundle:
        recipes = [Recipe.from_json(read_recipe(bundle.read(name))) for name in bundle.namelist()]
    assert [recipe.extractors for recipe in recipes] == [{"depth": "flat"}] * 2
    assert [recipe.sources["segmentation"] for recipe in recipes] == ["off"] * 2


def test_uploads_of_the_same_name_stay_different_files(engine: Engine, widgets: Page, guest: Visit, tmp_path: Path):
    files = [tmp_path / folder / name for folder, name in (("1", "a-2.png"), ("2", "a.png"), ("3", "a.png"))]
    for shade, file in enumerate(files):
        file.parent.mkdir()
        Image.new("RGB", (16, 16), (shade, 0, 0)).save(file)
    jobs = Batch(engine, widgets).jobs(guest, [str(file) for file in files], "png")
    assert sorted(Image.open(job.source).getpixel((0, 0))[0] for job in jobs) == [0, 1, 2]


def test_an_upload_that_is_gone_is_said_before_anything_starts(
    engine: Engine, widgets: Page, guest: Visit, photo_file: Path
):
    values = [*controls.write(Settings(steps=1)), False]
    *_, last = Batch(engine, widgets).start(guest, [str(photo_file), str(photo_file) + "-gone.png"], "png", *values)
    assert "choose these again: harbour.png-gone.png" in last[widgets.batch_notice]


def test_photos_that_are_too_large_for_the_page_are_shrunk_here_too(
    engine: Engine, widgets: Page, guest: Visit, photo_file: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(engine, "options", replace(engine.options, max_megapixels=0.0005))  # 37 x 27 px are more
    values = [*controls.write(Settings(steps=1)), False]
    steps = list(Batch(engine, widgets).start(guest, [str(photo_file)], "png", *values))
    with zipfile.ZipFile(guest.folder / "batch.zip") as bundle:
        (name,) = bundle.namelist()
        assert Image.open(bundle.open(name)).size == (26 * 4, 19 * 4)
    assert any("was shrunk to 26 × 19" in step.get(widgets.batch_report, "") for step in steps)
