"""The modalities of one photo of a batch: as given, as a recipe has them, or extracted; and into files again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from mmsr_core.files import make_folder, write_whole
from mmsr_core.images import Photo, encode, open_map
from mmsr_core.modalities import MODALITIES, Modality
from mmsr_core.modalities.given import Edited, Modalities, beside, now
from mmsr_core.modalities.readers import Access
from mmsr_core.recipe import Recipe

if TYPE_CHECKING:
    from mmsr_core.batch import Order
    from mmsr_core.upscaler import Upscaler


@dataclass
class Gathered:
    """The modalities of one photo and where they came from."""

    modalities: dict[str, Image.Image | str | Edited] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    extractors: dict[str, str] = field(default_factory=dict)


def gather(upscaler: Upscaler, photo: Photo, stem: str, order: Order, say: Callable[[str], None]) -> Gathered:
    """Every modality of one photo: as given, else as in the recipe, else extracted.

    Captions and maps of a recipe belong to its photo; for another photo they are extracted anew. A map that is given
    acts where it differs from what is extracted; a recipe knows its own.

    Args:
        stem: of the result's name, by which maps are found in a folder of them.
        say: told, in a sentence, what people should know.
    """
    found, given, auto = Gathered(), {}, []
    fits = order.recipe is not None and order.recipe.fits(photo.rgb)
    for row in MODALITIES:
        if row.name in order.given:
            value, source = _given(row, order.given[row.name], stem), "file" if row.kind == "map" else "edited"
        elif order.recipe is None:
            value, source = None, "auto"
        else:
            value, source = _from_recipe(row, order.recipe, fits)
            if source == "auto" and order.recipe.sources[row.name] != "auto":
                say(f"not the recipe's photo, so its own {row.label.lower()} is extracted")
        if value is not None:
            (given if row.name in order.given else found.modalities)[row.name] = row.checked(value, upscaler.palette)
            found.sources[row.name] = source
        elif source == "auto":
            auto.append(row.name)
    wanted = {**({} if order.recipe is None else order.recipe.extractors), **order.extractors}
    access = Access(dict.fromkeys(order.extractors.values()), say=say)

    def read(*names: str) -> dict[str, Image.Image | str]:
        return upscaler.extract(photo.rgb, names, {name: wanted[name] for name in names if name in wanted}, access)

    found.modalities |= beside(given, lambda name: read(name)[name], say)
    found.modalities |= read(*auto) if auto else {}
    found.modalities = {row.name: found.modalities[row.name] for row in MODALITIES if row.name in found.modalities}
    found.extractors = {name: wanted[name] for name in auto if name in wanted}
    return found


def save_maps(modalities: Modalities, folder: Path, stem: str) -> None:
    """Write STEM-depth.png, ... and STEM-text.txt; `Order.given` takes the folder's maps back."""
    make_folder(folder)
    for name, value in now(modalities).items():
        if isinstance(value, str):
            write_whole(folder / f"{stem}-{name}.txt", (value + "\n").encode())
        else:
            grey = value.mode == "L"
            write_whole(folder / f"{stem}-{name}.png", encode(value, Photo(value.convert("RGB"), grey=grey)))


def _given(row: Modality, value: str | Path | None, stem: str) -> Image.Image | str | None:
    if not isinstance(value, Path):
        return value
    return open_map(value / f"{stem}-{row.name}.png" if value.is_dir() else value)


def _from_recipe(row: Modality, recipe: Recipe, fits: bool) -> tuple[Image.Image | str | Edited | None, str]:
    """(value, source); no value where the modality is off or must be extracted."""
    source = recipe.sources.get(row.name, "off")
    if source == "off" or not fits:
        return None, "off" if source == "off" else "auto"
    carried = recipe.caption if row.kind == "text" else recipe.map(row.name) if row.name in recipe.maps else None
    if carried is None and source != "auto":
        raise ValueError(f"recipe: got no {row.label.lower()}, wanted one, as its source is {source!r}")
    return carried, source
