"""The protocol of an extractor, one way of making it, and the row type of the modality table."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from mmsr_core.modalities.given import Edited
from mmsr_core.modalities.models import Model
from mmsr_core.modalities.palette import BUNDLED, Palette
from mmsr_core.presets import ASSETS


class Extractor(Protocol):
    """Reads one modality from a photo. Those that gain by it also have `many(photos) -> list`."""

    def __call__(self, image: Image.Image) -> Image.Image | str: ...


class Unavailable(ValueError):
    """An extractor did not answer, through no fault of the photo; another one may."""


def _load(name: str, load: Callable[[], Any], needed: int = 0) -> Any:
    return load()


@dataclass(frozen=True)
class Site:
    """Where an extractor is made, and what it may use.

    Attributes:
        weights: folder of the preset's weights.
        device: of torch.
        source: folder, hub id or service name of the extractor's model; None takes the model's own id.
        palette: in which segmentation maps are drawn.
        key: of a service, as typed; None takes it from the environment. Never kept.
        keep: (name, load, bytes needed) -> what `load` gave when it was last called for that name.
        cancel: stops a download once it is set.
        say: told, in a sentence, what people should know.
    """

    weights: Path
    device: str = "cpu"
    source: str | None = None
    palette: Palette = BUNDLED
    key: str | None = field(default=None, repr=False)
    keep: Callable[..., Any] = _load
    cancel: threading.Event | None = None
    say: Callable[[str], None] | None = None

    def bundled(self, part: str) -> Path:
        """The folder of a bundled network: beside the weights, else the one of `mini`."""
        here = Path(self.weights) / part
        return here if here.is_dir() else ASSETS / "models" / "mini" / part

    def network(self, model: Model, load: Callable[[Path, str], Any]) -> Any:
        """`load(folder, device)` of a public model, kept."""
        source = model.id if self.source is None else self.source
        folder = model.folder(source, self.cancel, self.say)
        needed = sum(path.stat().st_size for path in folder.iterdir() if path.suffix in (".safetensors", ".bin"))
        return self.keep(f"{load.__name__} {folder} {self.device}", lambda: load(folder, self.device), needed)


@dataclass(frozen=True)
class Way:
    """One way of reading a modality: an entry of a row's `extractors`. Calling it makes the extractor.

    Attributes:
        label: what people call it.
        make: site -> extractor.
        help: one sentence for the page.
        model: the public model it needs; None where everything is bundled.
        consent: what somebody agrees to by choosing it, where the photo leaves the machine; None elsewhere.
        instead: the way that is taken, and said, when this one does not answer.
        palettes: names of the palettes that it can draw.
    """

    label: str
    make: Callable[[Site], Extractor]
    help: str = ""
    model: Model | None = None
    consent: str | None = None
    instead: str | None = None
    palettes: tuple[str, ...] = (BUNDLED.name,)

    @property
    def keys(self) -> tuple[str, ...]:
        """Environment variables that may hold the key it needs; a visitor may type it instead. Empty: none needed."""
        return () if self.model is None else self.model.keys

    def __call__(self, weights: Path, device: str = "cpu", **options: Any) -> Extractor:
        """The extractor; `options` are those of `Site`.

        Raises:
            ValueError: its weights, its key or its package are not there.
        """
        return self.make(Site(Path(weights), device, **options))


@dataclass(frozen=True)
class Modality:
    """One row of the modality table.

    Attributes:
        name: the key in `Modalities`, settings and recipes.
        kind: "text" or "map".
        label: what people call it.
        help: one sentence for the page.
        ends: what a low and a high attention temperature do, in words.
        extractors: name -> a way of reading it; the first is the default.
        check: turns what a caller gave into the exact form the model expects (mode, palette) or raises ValueError.
        resample: the Pillow filter that keeps the map's meaning when it is resized.
        lines: the map is a drawing of thin lines, which must not vanish when it is shrunk for the tokeniser.
        classes: its colours mean classes of a palette.
    """

    name: str
    kind: str
    label: str
    help: str
    ends: tuple[str, str]
    extractors: Mapping[str, Way]
    check: Callable[..., Image.Image | str]
    resample: Image.Resampling = Image.Resampling.BICUBIC
    lines: bool = False
    classes: bool = False

    def checked(self, value: Image.Image | str | Edited, palette: Palette) -> Image.Image | str | Edited:
        """`check`, with the colours of `palette` where the row has classes.

        Raises:
            ValueError: a value of a wrong kind.
        """
        if isinstance(value, Edited):
            if self.kind != "map":
                raise ValueError(f"{self.name}: got an edit beside what was read, which only maps have, wanted a text")
            return Edited(*(self.checked(image, palette) for image in value))
        return self.check(value, palette) if self.classes else self.check(value)
