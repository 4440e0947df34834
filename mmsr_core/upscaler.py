"""The facade that page, command line and benchmarks use: `extract` once, `restore` as often as a slider moves."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from mmsr_core.hub import fetch
from mmsr_core.modalities import MODALITIES
from mmsr_core.modalities.base import Extractor
from mmsr_core.outcome import Info, Plan, Result, Step
from mmsr_core.presets import Preset, preset
from mmsr_core.settings import Settings

if TYPE_CHECKING:
    from mmsr_core.pipeline import MMSRPipeline

BASE_SIDE, MIN_SIDE = 4, 16  # the model's own scale; the smallest picture side in pixels
TILE_BYTES = 2600  # peak bytes a pixel of one tile, and
OUTPUT_BYTES = 160  # bytes a pixel of the whole x4 picture (latents, condition, pictures); both measured on CPU


class Upscaler:
    """One loaded preset. Not thread-safe: one run at a time.

    Args:
        pipeline: the loaded model.
        row: its preset.
        folder: where the extractors' weights are.
        device: a torch device.
    """

    def __init__(self, pipeline: MMSRPipeline, row: Preset, folder: Path, device: str) -> None:
        from mmsr_core.weights import weights_hash

        self.pipeline, self.folder, self.device = pipeline.to(device), folder, device
        self._extractors: dict[tuple[str, str], Extractor] = {}
        self._seconds_per_cell: float | None = None
        self.info = Info(
            preset=row.name,
            title=row.title,
            description=row.description,
            device=device,
            dtype=str(pipeline.compute_dtype).removeprefix("torch."),
            hash=weights_hash(folder),
            parameters={
                name: _count(part) for name, part in pipeline.components.items() if hasattr(part, "parameters")
            },
            trained=row.public,
        )

    @classmethod
    def load(cls, preset_name: str = "mini", weights: str | Path | None = None, device: str | None = None) -> Upscaler:
        """Loads a preset.

        Args:
            preset_name: a row of `presets.PRESETS`.
            weights: a folder saved by training, or its hub id (owner/name, owner/name@revision), instead of the
                preset's own.
            device: "cuda", "mps" or "cpu"; None takes the best that is there.

        Raises:
            ValueError: no such preset, no or untrained weights, or a device that this machine does not have.
        """
        row = preset(preset_name)
        device = pick_device(device)
        if row.name == "tiny" and weights is None:
            return cls._tiny(row, device)
        if weights is None and row.weights is None:
            raise ValueError(
                f"{row.title}: got no weights, wanted a folder of trained ones; nobody has released any yet"
            )
        folder = fetch(row.weights if weights is None else weights)
        if not (folder / "model_index.json").exists():
            raise ValueError(f"weights: got {folder.name} without model_index.json, wanted a folder saved by training")
        import torch

        from mmsr_core.pipeline import MMSRPipeline

        pipeline = MMSRPipeline.from_pretrained(folder, torch_dtype=torch.float32)
        if not pipeline.connector.config.trained:
            raise ValueError(
                f"weights: got {folder.name}, whose connector is untrained, wanted trained ones; train it with "
                f"python -m mmsr_core.training diffusion --parts {folder} --save TRAINED"
            )
        return cls(pipeline, row, folder, device)

    @classmethod
    def _tiny(cls, row: Preset, device: str) -> Upscaler:
        from mmsr_core.pipeline import MMSRPipeline
        from mmsr_core.weights import build_tiny

        scratch = tempfile.TemporaryDirectory(prefix="mmsr-tiny-")
        build_tiny(Path(scratch.name))
        upscaler = cls(MMSRPipeline.from_pretrained(scratch.name), row, Path(scratch.name), device)
        upscaler._scratch = scratch  # lives as long as the extractors may still be loaded from it
        return upscaler

    def extract(
        self, image: Image.Image, names: tuple[str, ...] | None = None, extractors: Mapping[str, str] | None = None
    ) -> dict[str, Image.Image | str]:
        """Reads the modalities from a picture (RGB). `names`: which (default all); `extractors`: modality -> which one.

        Raises:
            ValueError: an unknown modality or extractor.
        """
        _known(names, "modalities")
        wanted = [row for row in MODALITIES if names is None or row.name in names]
        chosen = {row.name: (extractors or {}).get(row.name, next(iter(row.extractors))) for row in wanted}
        return {row.name: self._extractor(row.name, chosen[row.name])(image) for row in wanted}

    def _extractor(self, name: str, kind: str) -> Extractor:
        row = next(row for row in MODALITIES if row.name == name)
        if kind not in row.extractors:
            raise ValueError(f"{row.label}: got extractor {kind!r}, wanted one of {', '.join(row.extractors)}")
        if (name, kind) not in self._extractors:
            self._extractors[name, kind] = row.extractors[kind](self.folder, self.device)
        return self._extractors[name, kind]

    def see(self, name: str, image: Image.Image) -> Image.Image:
        """What the model sees of a map: its reconstruction from the discrete tokens, at the map's size."""
        from mmsr_core.images import to_pil

        tokens = self.pipeline.tokenizers
        seen = to_pil(tokens.reconstruct(tokens.map_ids(tokens.render(name, image))))
        row = next(row for row in MODALITIES if row.name == name)
        return row.check(seen.resize(image.size, row.resample))

    def count_tokens(self, text: str) -> tuple[int, int, str, str]:
        """(tokens used, limit, text that is read, text that is cut)."""
        return tuple(self.pipeline.tokenizers.count(text))

    def plan(self, size: tuple[int, int], settings: Settings) -> Plan:
        """The cost of restoring a picture of (width, height) pixels, from the speed of the last run."""
        width, height = size
        tiles = self.pipeline.tiles(size, settings)
        calls = len(tiles) * settings.steps
        cells = calls * tiles[0].width * tiles[0].height * (1 if settings.weight == 0 else 2)
        if self._seconds_per_cell is None:
            self._calibrate()
        x4 = width * height * BASE_SIDE**2
        memory = TILE_BYTES * min(settings.tile**2, x4) + OUTPUT_BYTES * x4
        output = (width * settings.scale, height * settings.scale)
        warnings = _warnings(cells * self._seconds_per_cell, memory, settings)
        return Plan(
            output, output[0] * output[1] / 1e6, len(tiles), calls, cells * self._seconds_per_cell, memory, warnings
        )

    def _calibrate(self) -> None:
        """First estimate of the speed: one small run; every real run replaces it."""
        start, settings = time.monotonic(), Settings(steps=1, weight=0.0, seed=0, color="none")
        self.restore(Image.new("RGB", (64, 64), "gray"), {}, settings)
        self._seconds_per_cell = (time.monotonic() - start) / 64**2

    def stream(
        self, image: Image.Image, modalities: Mapping[str, Image.Image | str], settings: Settings
    ) -> Iterator[Step]:
        """Restores step by step; the last `Step` carries the `Result`. Closing the generator cancels.

        Args:
            image: RGB, at least 16 px a side.
            modalities: name -> map or text; a missing name is the null token.

        Raises:
            ValueError: a picture that is too small, an unknown modality or a map of a wrong kind.
            FloatingPointError: sampling failed; the message says what to change.
        """
        if min(image.size) < MIN_SIDE:
            raise ValueError(f"picture: got {image.width} x {image.height} px, wanted at least {MIN_SIDE} px a side")
        checked = check(modalities)
        seed = secrets.randbelow(2**32) if settings.seed is None else settings.seed
        return self._stream(image.convert("RGB"), checked, settings, replace(settings, seed=seed))

    def _stream(self, image: Image.Image, modalities: dict, wanted: Settings, settings: Settings) -> Iterator[Step]:
        from mmsr_core.images import to_tensor

        start = time.monotonic()
        for done, event in enumerate(self.pipeline.stream(to_tensor(image), modalities, settings), 1):
            spent = time.monotonic() - start
            left = spent / done * (event.steps * event.tiles - done)
            yield Step(event.step, event.steps, event.tile, event.tiles, left, lambda event=event: event.picture)
        self._learn(image.size, settings, time.monotonic() - start)
        tiles = [self._pixels(tile, image.size, settings.scale) for tile in self.pipeline.tiles(image.size, settings)]
        size = (image.width * settings.scale, image.height * settings.scale)
        sampled = event.picture if settings.scale == BASE_SIDE else event.picture.resize(size, Image.Resampling.BOX)
        result = Result(
            sampled=sampled,
            bicubic=image.resize(size, Image.Resampling.BICUBIC),
            source=image,
            settings=wanted,
            seed=settings.seed,
            attention=self.pipeline.attention(modalities, settings),
            tiles=tiles,
            seconds=time.monotonic() - start,
        )
        yield Step(event.step, event.steps, event.tile, event.tiles, 0.0, result=result)

    def restore(
        self,
        image: Image.Image,
        modalities: Mapping[str, Image.Image | str],
        settings: Settings,
        progress: Callable[[Step], None] | None = None,
    ) -> Result:
        """`stream` to its end."""
        for step in self.stream(image, modalities, settings):
            if progress is not None:
                progress(step)
        return step.result

    def _learn(self, size: tuple[int, int], settings: Settings, seconds: float) -> None:
        tiles = self.pipeline.tiles(size, settings)
        branches = 1 if settings.weight == 0 else 2
        self._seconds_per_cell = seconds / (len(tiles) * tiles[0].width * tiles[0].height * settings.steps * branches)

    def _pixels(self, tile: object, size: tuple[int, int], scale: int) -> tuple[int, int, int, int]:
        factor = self.pipeline.codec.factor * scale / BASE_SIDE
        right, bottom = (tile.x + tile.width) * factor, (tile.y + tile.height) * factor
        cut = (min(right, size[0] * scale), min(bottom, size[1] * scale))
        return tuple(round(value) for value in (tile.x * factor, tile.y * factor, *cut))


def check(modalities: Mapping[str, Image.Image | str]) -> dict[str, Image.Image | str]:
    """Every modality in the exact form that the model expects, in token order.

    Raises:
        ValueError: an unknown name, or a value of a wrong kind.
    """
    _known(tuple(modalities), "modalities")
    return {row.name: row.check(modalities[row.name]) for row in MODALITIES if row.name in modalities}


def pick_device(device: str | None) -> str:
    """The wanted device, or the best one there is.

    Raises:
        ValueError: the wanted device is not there.
    """
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device is None:
        return next(name for name, ok in there.items() if ok)
    if not there.get(device.split(":")[0], False):
        raise ValueError(f"device: got {device!r}, wanted one of {', '.join(name for name, ok in there.items() if ok)}")
    return device


def _known(names: tuple[str, ...] | None, what: str) -> None:
    unknown = sorted(set(names if names is not None else ()) - {row.name for row in MODALITIES})
    if unknown:
        raise ValueError(
            f"{what}: got {', '.join(unknown)}, wanted some of {', '.join(row.name for row in MODALITIES)}"
        )


def _count(part: object) -> int:
    return sum(p.numel() for p in part.parameters())


def _warnings(seconds: float, memory: int, settings: Settings) -> list[str]:
    warnings = []
    if seconds > 600:
        warnings.append(f"About {seconds / 60:.0f} minutes: fewer steps, weight 0 or a smaller input would be faster.")
    if memory > 4e9:
        warnings.append(f"About {memory / 1e9:.1f} GB of memory: a smaller input needs less.")
    if settings.guidance == "m-cfg" and settings.weight == 0:
        warnings.append("At weight 0 the negative text has no effect.")
    return warnings
