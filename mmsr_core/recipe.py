"""The recipe of a result: everything that is needed to make it again from the same photo.

A result file carries its recipe (`images.save_photo`), `images.read_recipe` finds it again. Maps that were extracted
automatically are extracted again; all others travel inside the recipe.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from PIL import Image

from mmsr_core import __version__
from mmsr_core.images import MAX_PIXELS
from mmsr_core.modalities import MODALITIES
from mmsr_core.modalities.given import Edited, Modalities, now
from mmsr_core.settings import MODALITY_NAMES, Settings

FORMAT = 1  # raised when the keys below change their meaning
LARGEST = MAX_PIXELS  # of a map: no photo and no uploaded map has more
SOURCES = ("auto", "edited", "uploaded", "file", "off")  # where a modality came from


@dataclass(frozen=True)
class Recipe:
    """Frozen and validated.

    Raises:
        ValueError: a field that does not fit, with what was got and what was wanted.
    """

    settings: Settings
    seed: int  # the one used
    preset: str
    weights_hash: str
    sources: Mapping[str, str]  # modality -> one of SOURCES; a missing modality was off
    extractors: Mapping[str, str] = field(default_factory=dict)  # modality -> extractor, where not the default one
    caption: str | None = None  # the caption used, None where text was off
    maps: Mapping[str, str] = field(default_factory=dict)  # modality -> PNG in base64, where the source is not "auto"
    read: Mapping[str, str] = field(default_factory=dict)  # the same of what some of these were read as: see `Edited`
    protect: str | None = None  # PNG in base64: white parts of the result are the plain enlargement
    input_sha256: str = ""  # of the upright RGB pixels, see `fingerprint`
    version: str = __version__

    def __post_init__(self) -> None:
        for name in ("preset", "weights_hash", "input_sha256", "version"):
            _expect(name, getattr(self, name), str)
        _expect("settings", self.settings, Settings)
        for name in ("caption", "protect"):
            _expect(name, getattr(self, name), str, type(None))
        self.region()
        if isinstance(self.seed, bool):
            raise ValueError(f"recipe seed: got {self.seed!r}, wanted a whole number")
        _expect("seed", self.seed, int)
        for name in ("sources", "extractors", "maps", "read"):
            _expect_texts(name, getattr(self, name))
        for name, source in self.sources.items():
            if source not in SOURCES:
                raise ValueError(f"recipe sources {name}: got {source!r}, wanted one of {', '.join(SOURCES)}")
        if lone := sorted(set(self.read) - set(self.maps)):
            raise ValueError(f"recipe read: got {', '.join(lone)}, wanted only what is in maps, too")
        self._check_rows()
        for name in self.maps:
            self.map(name)

    def _check_rows(self) -> None:
        """Extractors and maps as the table of the modalities has them."""
        for row in MODALITIES:
            way = self.extractors.get(row.name)
            if way is not None and way not in row.extractors:
                wanted = ", ".join(row.extractors)
                raise ValueError(f"recipe extractors {row.name}: got {way!r}, wanted one of {wanted}")
        maps = [row.name for row in MODALITIES if row.kind == "map"]
        if odd := sorted(set(self.maps) - set(maps)):
            raise ValueError(f"recipe maps: got {', '.join(odd)}, wanted keys among {', '.join(maps)}")

    def used_settings(self) -> Settings:
        """The settings with the seed that was used."""
        return self.settings.with_(seed=self.seed)

    def map(self, name: str) -> Image.Image | Edited:
        """An embedded map, beside the one that was read from the photo where the recipe has it.

        Raises:
            ValueError: not a PNG, or too large to be a map.
        """
        given = _unpacked(f"maps {name}", self.maps[name])
        return Edited(given, _unpacked(f"read {name}", self.read[name])) if name in self.read else given

    def region(self) -> Image.Image | None:
        """The protected region, "L" of any size, or None.

        Raises:
            ValueError: as `map`.
        """
        return None if self.protect is None else _unpacked("protect", self.protect).convert("L")

    def fits(self, image: Image.Image) -> bool:
        """Whether a photo (upright RGB) is the one that the recipe was made from."""
        return self.input_sha256 in ("", fingerprint(image))

    def to_json(self) -> str:
        """ASCII, one line."""
        values = {spec.name: getattr(self, spec.name) for spec in fields(self)}
        values["settings"] = self.settings.to_dict()
        for name in ("sources", "extractors", "maps", "read"):
            values[name] = dict(values[name])
        return json.dumps({"recipe": FORMAT, **values})

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Strict inverse of `to_json`.

        Raises:
            ValueError: not JSON, another format, unknown or missing keys, values that do not fit.
                (`protect` and `read` may be missing: recipes had none at first.)
        """
        try:
            values = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"recipe: got text that is not JSON ({error}), wanted a JSON object") from None
        if not isinstance(values, dict) or values.pop("recipe", None) != FORMAT:
            raise ValueError(f'recipe: got JSON without "recipe": {FORMAT}, wanted a recipe of this program')
        values, wanted = {"protect": None, "read": {}, **values}, {spec.name for spec in fields(cls)}
        if set(values) != wanted:
            unknown, missing = ", ".join(sorted(set(values) - wanted)), ", ".join(sorted(wanted - set(values)))
            got = " and ".join(part for part in (unknown and f"unknown {unknown}", missing and f"no {missing}") if part)
            raise ValueError(f"recipe: got {got}, wanted exactly {', '.join(spec.name for spec in fields(cls))}")
        _expect("settings", values["settings"], dict)
        return cls(**{**values, "settings": Settings.from_dict(values["settings"])})


def record(
    settings: Settings,
    seed: int,
    preset: str,
    weights_hash: str,
    modalities: Modalities,
    sources: Mapping[str, str],
    photo: Image.Image,
    extractors: Mapping[str, str] | None = None,
    region: Image.Image | None = None,
) -> Recipe:
    """The recipe of a finished run.

    Args:
        seed: the one used.
        modalities: what the run was given, exactly; what is missing was off.
        sources: where each of them came from; one that is not named was "auto".
        photo: upright RGB input.
        extractors: name of the extractor of each "auto" modality, where it is not the default one.
        region: what was protected, white on black.
    """
    known = {name: sources.get(name, "auto") if name in modalities else "off" for name in MODALITY_NAMES}
    used = now(modalities)
    carried = {name: image for name, image in used.items() if isinstance(image, Image.Image) and known[name] != "auto"}
    return Recipe(
        settings=settings.with_(seed=seed),  # so that making it again gives the same file, byte for byte
        seed=seed,
        preset=preset,
        weights_hash=weights_hash,
        sources=known,
        extractors={} if extractors is None else dict(extractors),
        caption=next((text for text in used.values() if isinstance(text, str)), None),
        maps={name: pack(image) for name, image in carried.items()},
        read={name: pack(modalities[name].read) for name in carried if isinstance(modalities[name], Edited)},
        protect=None if region is None else pack(region),
        input_sha256=fingerprint(photo),
    )


def pack(image: Image.Image) -> str:
    """A map as the text that `Recipe.maps` holds, without loss."""
    out = io.BytesIO()
    Image.frombytes(image.mode, image.size, image.tobytes()).save(out, "PNG", optimize=True)  # pixels only, no metadata
    return base64.b64encode(out.getvalue()).decode("ascii")


def fingerprint(image: Image.Image) -> str:
    """SHA-256 of a photo's size and RGB pixels: the same for every file that holds the same picture."""
    image = image.convert("RGB")
    return hashlib.sha256(b"%dx%d" % image.size + image.tobytes()).hexdigest()


def _unpacked(name: str, text: str) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=["PNG"])
        if math.prod(image.size) > LARGEST:
            raise Image.DecompressionBombError  # as Pillow does, which allows more
        image.load()
    except Image.DecompressionBombError:
        wanted = f"at most {LARGEST / 1e6:g} megapixels"
        raise ValueError(f"recipe {name}: got far too many pixels, wanted {wanted}") from None
    except (ValueError, OSError, SyntaxError):
        raise ValueError(f"recipe {name}: got no picture, wanted a PNG in base64") from None
    return image


def _expect(name: str, value: Any, *kinds: type) -> None:
    if not isinstance(value, kinds):
        wanted = " or ".join("nothing" if kind is type(None) else kind.__name__ for kind in kinds)
        raise ValueError(f"recipe {name}: got {value!r}, wanted {wanted}")


def _expect_texts(name: str, value: Any) -> None:
    if not isinstance(value, Mapping) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError(f"recipe {name}: got {value!r}, wanted a mapping of texts")
    if set(value) - set(MODALITY_NAMES):
        got = ", ".join(sorted(map(str, set(value) - set(MODALITY_NAMES))))
        raise ValueError(f"recipe {name}: got {got}, wanted keys among {', '.join(MODALITY_NAMES)}")
