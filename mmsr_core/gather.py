"""The modalities of one photo: as given, as a recipe has them, or extracted; and into files again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image

from mmsr_core.files import make_folder, write_whole
from mmsr_core.images import Photo, encode, open_map
from mmsr_core.modalities import MODALITIES, Modality
from mmsr_core.modalities.given import Edited, Modalities, beside, now
from mmsr_core.modalities.readers import Access
from mmsr_core.recipe import Recipe

if TYPE_CHECKING:
    from mmsr_core.order import Order
    from mmsr_core.upscaler import Upscaler

AUTO = "auto"  # the source of what is extracted
SUFFIXES = {"text": ".txt", "map": ".png"}  # of saved modalities, by kind


class Value(NamedTuple):
    """What is known of a modality before anything is read from the photo.

    Attributes:
        value: None where the modality is off.
        source: where it came from, one of `recipe.SOURCES`.
        edit: it acts where it differs from what is read of the photo; a map of a recipe knows that by itself.
    """

    value: Image.Image | str | Edited | None = None
    source: str = "off"
    edit: bool = False


@dataclass(frozen=True)
class Gathered:
    """The modalities of one photo in token order, where they came from, and by which extractors where one was named."""

    modalities: dict[str, Image.Image | str | Edited]
    sources: dict[str, str]
    extractors: dict[str, str]


def gather(
    upscaler: Upscaler,
    photo: Image.Image,
    known: Mapping[str, Value],
    extractors: Mapping[str, str] | None = None,
    access: Access | None = None,
) -> Gathered:
    """Every modality of one photo (upright RGB): as it is known, else extracted.

    Args:
        extractors: modality -> extractor, where it is not the default.
        access: what the reading may do; its `say` also hears why a map acts as a whole.

    Raises:
        ValueError: a value that is no such modality, or one that cannot be extracted.
    """
    ways, access = {} if extractors is None else extractors, Access() if access is None else access

    def read(*names: str) -> dict[str, Image.Image | str]:
        return upscaler.extract(photo, names, {name: ways[name] for name in names if name in ways}, access)

    given = [(row, known[row.name].value) for row in MODALITIES if row.name in known]
    found = {row.name: row.checked(value, upscaler.palette) for row, value in given if value is not None}
    edits = {name: value for name, value in found.items() if known[name].edit}
    found |= beside(edits, lambda name: read(name)[name], access.say)
    missing = [row.name for row in MODALITIES if row.name not in known]
    found |= read(*missing) if missing else {}
    found = {row.name: found[row.name] for row in MODALITIES if row.name in found}
    sources = {name: known[name].source if name in known else AUTO for name in found}
    used = {name: ways[name] for name, source in sources.items() if source == AUTO and name in ways}
    return Gathered(found, sources, used)


def gather_ordered(
    upscaler: Upscaler, photo: Photo, order: Order, stems: Sequence[str], say: Callable[[str], None]
) -> Gathered:
    """The same for one photo of a batch.

    Captions and maps of a recipe belong to its photo; for another photo they are extracted anew.

    Args:
        stems: by which captions and maps are found in a folder of them, best first.
        say: told, in a sentence, what people should know.
    """
    fits = order.recipe is not None and order.recipe.fits(photo.rgb)
    values = {row.name: _known(row, order, fits, stems, say) for row in MODALITIES}
    known = {name: value for name, value in values.items() if value is not None}
    ways = {**({} if order.recipe is None else order.recipe.extractors), **order.extractors}
    return gather(upscaler, photo.rgb, known, ways, Access(dict.fromkeys(order.extractors.values()), say=say))


def left_on(order: Order) -> list[str]:
    """Names of the modalities that an order and its recipe do not switch off."""
    return [row.name for row in MODALITIES if not _is_off(row.name, order)]


def save_maps(modalities: Modalities, folder: Path, stem: str) -> None:
    """Write STEM-depth.png, ... and STEM-text.txt; `Order.given` takes the folder back."""
    make_folder(folder)
    for name, value in now(modalities).items():
        if isinstance(value, str):
            write_whole(folder / f"{stem}-{name}.txt", (value + "\n").encode())
        else:
            grey = value.mode == "L"
            write_whole(folder / f"{stem}-{name}.png", encode(value, Photo(value.convert("RGB"), grey=grey)))


def _known(row: Modality, order: Order, fits: bool, stems: Sequence[str], say: Callable[[str], None]) -> Value | None:
    """What an order and its recipe have of a modality; None where it is to be extracted."""
    if _is_off(row.name, order):
        return Value()
    if row.name in order.given:
        return _given(row, order.given[row.name], stems, say)
    if not _by_recipe(row.name, order):
        return None
    if not fits and order.recipe.sources[row.name] != AUTO:
        say(f"not the recipe's photo, so its own {row.label.lower()} is extracted")
    return _from_recipe(row, order.recipe) if fits else None


def _is_off(name: str, order: Order) -> bool:
    if name in order.given:
        return order.given[name] is None
    return _by_recipe(name, order) and order.recipe.sources.get(name, "off") == "off"


def _by_recipe(name: str, order: Order) -> bool:
    """Whether the recipe says what a modality is, where it is not given."""
    return order.recipe is not None and name not in order.extractors and name not in order.fresh


def _given(
    row: Modality, value: str | Path | Image.Image, stems: Sequence[str], say: Callable[[str], None]
) -> Value | None:
    if isinstance(value, Path):
        path = _file_of(row, value, stems)
        if path is None:
            wanted = f"{stems[0]}-{row.name}{SUFFIXES[row.kind]}"
            say(f"no {wanted} in the folder {value.name!r}, so its {row.label.lower()} is extracted")
            return None
        value = open_map(path) if row.kind == "map" else _caption(path)
    return Value(value, "file", edit=True) if row.kind == "map" else Value(value, "edited")


def _file_of(row: Modality, place: Path, stems: Sequence[str]) -> Path | None:
    """The file itself, or the one in a folder; None where the folder has none for this photo."""
    if not place.is_dir():
        return place
    paths = (place / f"{stem}-{row.name}{SUFFIXES[row.kind]}" for stem in stems)
    return next((path for path in paths if path.is_file()), None)


def _caption(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise ValueError(f"{path.name}: got a file that cannot be read as text, wanted a caption") from None


def _from_recipe(row: Modality, recipe: Recipe) -> Value | None:
    """None where the modality is extracted again."""
    source = recipe.sources[row.name]
    carried = recipe.caption if row.kind == "text" else recipe.map(row.name) if row.name in recipe.maps else None
    if carried is None and source != AUTO:
        raise ValueError(f"recipe: got no {row.label.lower()}, wanted one, as its source is {source!r}")
    return None if carried is None else Value(carried, source)
