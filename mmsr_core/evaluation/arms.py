"""The arms of an experiment: everything that can turn a test picture's LR side into a picture to be scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from mmsr_core import color
from mmsr_core.evaluation.datasets import DataSet, Sample, pictures
from mmsr_core.evaluation.edits import Box, box_of, edited
from mmsr_core.evaluation.timing import clock
from mmsr_core.images import open_photo
from mmsr_core.modalities import MODALITIES
from mmsr_core.modalities.given import Edited
from mmsr_core.recipe import Recipe, record
from mmsr_core.settings import MODALITY_NAMES, SCALE, Settings

if TYPE_CHECKING:
    from mmsr_core.upscaler import Upscaler

BICUBIC = "bicubic"


@dataclass(frozen=True)
class Arm:
    """One way to make a picture. Plain values only: with the weights' hash they say what a stored row is.

    Attributes:
        label: unique within its experiment.
        method: a key of `METHODS`.
        settings: of a restoration; its seed must be set.
        names: the modalities given, of those that are extracted.
        source: what maps and caption are read from: "lr", "hr", or "other" (the next picture of the set).
        caption: replaces the extracted one.
        edit: the modality whose map is edited inside the picture's box.
        alone: the edited map is given alone, not beside the one that was read.
        model: which of the loaded models.
        folder: results of another tool, by file stem.
        place: position on the report's curves: series, x (None: not on a curve).
    """

    label: str
    method: str = "mmsr"
    settings: Settings = field(default_factory=lambda: Settings(seed=0))
    names: tuple[str, ...] = MODALITY_NAMES
    source: str = "lr"
    caption: str | None = None
    edit: str | None = None
    alone: bool = False
    model: str = ""
    folder: Path | None = None
    place: tuple[str, float] | None = None

    def identity(self) -> dict[str, Any]:
        """What the pixels depend on, beside input and weights. At w = 0 the negative branch has no say."""
        if self.method == "folder":
            return {"method": "folder", "label": self.label}
        if self.method == BICUBIC:
            return {"method": BICUBIC}
        settings = self.settings
        if settings.weight == 0 and settings.guidance == "null-cfg":
            settings = settings.with_(guidance="m-cfg")
        rest = {"names": self.names, "source": self.source, "caption": self.caption, "edit": self.edit}
        return {"method": self.method, "settings": settings.to_dict(), "alone": self.alone, **rest}


@dataclass
class Made:
    """A picture and what is known about its making."""

    image: Image.Image
    seconds: float | None = None
    attention: Mapping[str, float] | None = None
    recipe: Recipe | None = None


@dataclass
class Scene:
    """One test picture with everything that is read from it, each thing once."""

    data: DataSet
    sample: Sample
    models: Mapping[str, Upscaler]
    _read: dict[tuple[str, str], dict[str, Image.Image | str]] = field(default_factory=dict)
    _pairs: dict[str, tuple[Image.Image, Image.Image | None]] = field(default_factory=dict)

    @property
    def lr(self) -> Image.Image:
        return self._pair("own")[0]

    @property
    def hr(self) -> Image.Image | None:
        return self._pair("own")[1]

    @property
    def box(self) -> Box:
        return box_of(self.sample.name)

    def _pair(self, which: str) -> tuple[Image.Image, Image.Image | None]:
        if which not in self._pairs:
            samples = self.data.samples
            step = 0 if which == "own" else 1
            self._pairs[which] = self.data.pair(samples[(samples.index(self.sample) + step) % len(samples)])
        return self._pairs[which]

    def modalities(self, model: str, source: str = "lr") -> dict[str, Image.Image | str]:
        """Everything extracted from one side of the pair, or from the next picture's LR side.

        Raises:
            ValueError: maps from HR where there is no HR picture.
        """
        if (model, source) not in self._read:
            sides = {"lr": lambda: self.lr, "hr": lambda: self.hr, "other": lambda: self._pair("next")[0]}
            picture = sides[source]()
            if picture is None:
                raise ValueError(f"{self.sample.name}: got no HR picture, wanted one to read the modalities from")
            self._read[model, source] = self.models[model].extract(picture)
        return self._read[model, source]


def make(arm: Arm, scene: Scene) -> Made:
    """The picture of one arm."""
    return METHODS[arm.method](arm, scene)


def _bicubic(arm: Arm, scene: Scene) -> Made:
    size = (scene.lr.width * SCALE, scene.lr.height * SCALE)
    return Made(scene.lr.resize(size, Image.Resampling.BICUBIC))


def result_file(arm: Arm, scene: Scene) -> Path:
    """The file that another tool made of a test picture: same stem, or a longer one that starts with it.

    Raises:
        ValueError: there is none.
    """
    inner = arm.folder / scene.data.name
    found = pictures(inner if inner.is_dir() else arm.folder)
    if scene.sample.name in found:
        return found[scene.sample.name]
    longer = [path for stem, path in found.items() if stem.startswith(scene.sample.name)]
    if not longer:
        raise ValueError(f"{arm.label}: got no result for {scene.sample.name!r}, wanted one file a test picture")
    return longer[0]


def _folder(arm: Arm, scene: Scene) -> Made:
    """Raises ValueError for a result that is missing or of another size than four times the input."""
    path = result_file(arm, scene)
    image = open_photo(path).rgb
    if image.size != (scene.lr.width * SCALE, scene.lr.height * SCALE):
        raise ValueError(f"{arm.label}: got {path.name} of {image.size} px, wanted four times {scene.lr.size}")
    return Made(image)


def _base(arm: Arm, scene: Scene) -> Made:
    """The codec's base upscaler alone: what is left when the diffusion model adds nothing."""
    import torch

    upscaler = scene.models[arm.model]
    pipeline = upscaler.pipeline
    lr = upscaler.cleaner.clean(scene.lr, arm.settings.cleanup, upscaler.device)
    canvas = pipeline.canvas(lr, arm.settings)
    z = torch.zeros(1, pipeline.codec.latent_channels, *canvas.grid, device=pipeline.device)
    return Made(color.match(canvas.decode(z), scene.lr, arm.settings.color))


def _restored(arm: Arm, scene: Scene) -> Made:
    upscaler = scene.models[arm.model]
    read = scene.modalities(arm.model, arm.source) if arm.names else {}
    given = {name: read[name] for name in arm.names}
    sources = dict.fromkeys(given, "auto" if arm.source == "lr" else "file")
    if arm.caption is not None and "text" in given:
        given["text"], sources["text"] = arm.caption, "edited"
    if arm.edit is not None:
        before = given[arm.edit]
        after = edited(arm.edit, before, scene.box)
        given[arm.edit], sources[arm.edit] = after if arm.alone else Edited(after, before), "edited"
    start = clock()
    result = upscaler.restore(scene.lr, given, arm.settings)
    seconds = clock() - start
    info = upscaler.info
    recipe = record(arm.settings, result.seed, info.preset, info.hash, given, sources, scene.lr)
    return Made(result.finish(), seconds, result.attention, recipe)


METHODS: dict[str, Callable[[Arm, Scene], Made]] = {
    "mmsr": _restored,
    BICUBIC: _bicubic,
    "base": _base,
    "folder": _folder,
}


def map_names() -> tuple[str, ...]:
    """The modalities that are maps."""
    return tuple(row.name for row in MODALITIES if row.kind == "map")
