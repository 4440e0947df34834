"""The facade that page, command line and benchmarks use: `extract` once, `restore` as often as a slider moves."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from mmsr_core import guidance, memory
from mmsr_core.hub import fetch
from mmsr_core.images import check_side
from mmsr_core.memory import pick_device
from mmsr_core.modalities import MODALITIES, Modalities, check
from mmsr_core.modalities.palette import BUNDLED, named
from mmsr_core.modalities.readers import Access, Readers
from mmsr_core.outcome import Info, Plan, Result, Step, unread
from mmsr_core.pace import Countdown, Pace, cells
from mmsr_core.placement import place
from mmsr_core.presets import Preset, preset
from mmsr_core.settings import MODALITY_NAMES, SCALE, Settings
from mmsr_core.weights import check_weights, weights_hash

if TYPE_CHECKING:
    from mmsr_core.pipeline import MMSRPipeline

Sampler = Callable[[Image.Image, Mapping, Settings, Settings], Iterator[Step]]
SHRUNK = Image.Resampling.BICUBIC  # to x2, x3; on CID22, RealSR .04 to .3 dB before BOX, and no further to the eye


class Upscaler:
    """One loaded preset. Not thread-safe: one run at a time.

    Args:
        pipeline: the loaded model.
        row: its preset.
        folder: where the extractors' weights are.
        device: a torch device.
        models: name of a public extractor model -> folder or hub id that is used for it.
    """

    def __init__(
        self, pipeline: MMSRPipeline, row: Preset, folder: Path, device: str, models: Mapping[str, str] | None = None
    ) -> None:
        from mmsr_core.cleanup import Cleaner

        streamed = place(pipeline, device)
        self.pipeline, self.folder, self.device = pipeline, folder, device
        self.palette = named(pipeline.config.get("palette", BUNDLED.name))
        self.readers = Readers(folder, device, models, self.palette, row.extractors)
        self.cleaner = Cleaner()
        self._pace = Pace()
        self._sampler: Sampler = self.sample
        self.info = Info(
            preset=row.name,
            title=row.title,
            description=row.description,
            device=f"{device}, weights streamed from the main memory" if streamed else device,
            dtype=str(pipeline.compute_dtype).removeprefix("torch."),
            hash=weights_hash(folder),
            parameters={
                name: _count(part) for name, part in pipeline.components.items() if hasattr(part, "parameters")
            },
            trained=row.public,
        )

    @classmethod
    def load(
        cls,
        preset_name: str = "mini",
        weights: str | Path | None = None,
        device: str | None = None,
        models: Mapping[str, str] | None = None,
    ) -> Upscaler:
        """Loads a preset.

        Args:
            preset_name: a row of `presets.PRESETS`.
            weights: a folder saved by training, or its hub id (owner/name, owner/name@revision), instead of the
                preset's own.
            device: "cuda", "mps" or "cpu"; None takes the best that is there.
            models: public models of the extractors to use instead of the usual ones, see `modalities.models`.

        Raises:
            ValueError: no such preset or model, no or untrained weights, or a device that this machine does not have.
        """
        row = preset(preset_name)
        device = pick_device(device)
        if row.name == "tiny" and weights is None:
            return cls._tiny(row, device, models)
        if weights is None and row.weights is None:
            raise ValueError(
                f"{row.title}: got no weights, wanted a folder of trained ones; nobody has released any yet"
            )
        folder = fetch(row.weights if weights is None else weights)
        check_weights("weights", folder)
        import torch

        from mmsr_core.pipeline import MMSRPipeline

        with memory.LOADING:
            pipeline = MMSRPipeline.from_pretrained(folder, dtype=torch.float32)
        if not pipeline.connector.config.trained:
            raise ValueError(
                f"weights: got {folder.name}, whose connector is untrained, wanted trained ones; train it with "
                f"python -m mmsr_core.training sd2 --parts {folder} --data SHARDS --save TRAINED"
            )
        return cls(pipeline, row, folder, device, models)

    @classmethod
    def _tiny(cls, row: Preset, device: str, models: Mapping[str, str] | None) -> Upscaler:
        from mmsr_core.fresh import build_tiny
        from mmsr_core.pipeline import MMSRPipeline

        scratch = tempfile.TemporaryDirectory(prefix="mmsr-tiny-")
        with memory.LOADING:
            build_tiny(Path(scratch.name))
            pipeline = MMSRPipeline.from_pretrained(scratch.name)
        upscaler = cls(pipeline, row, Path(scratch.name), device, models)
        upscaler._scratch = scratch  # lives as long as the extractors may still be loaded from it
        return upscaler

    def extract(
        self,
        image: Image.Image,
        names: tuple[str, ...] | None = None,
        extractors: Mapping[str, str] | None = None,
        access: Access | None = None,
    ) -> dict[str, Image.Image | str]:
        """Reads the modalities of a picture (RGB), cleaned of its noise and blocks; in token order.

        Raises:
            ValueError: a picture under 16 px a side, or as `Readers.read`.
        """
        check_side(image.size)
        found = dict(self.readers.read(self.cleaner.picture(image), names, extractors, access))
        return {row.name: found[row.name] for row in MODALITIES if row.name in found}

    def see(self, name: str, image: Image.Image) -> Image.Image:
        """What the model sees of a map: its reconstruction from the discrete tokens, at the map's size."""
        from mmsr_core.images import to_pil
        from mmsr_core.tokens import map_row

        tokens = self.pipeline.tokenizers
        seen = to_pil(tokens.reconstruct(tokens.map_ids(tokens.render(name, image))))
        row = map_row(name)
        seen = seen.resize(image.size, row.resample)
        return row.checked(seen, self.palette) if row.classes else seen.convert(image.mode)

    def count_tokens(self, text: str, words: str = "") -> tuple[int, int, str, str]:
        """(tokens used, limit, text that is read, text that is cut). Room is left, and counted, for `words` behind."""
        return tuple(self.pipeline.tokenizers.count(text, words))

    def plan(self, size: tuple[int, int], settings: Settings, given: Collection[str] = MODALITY_NAMES) -> Plan:
        """The cost of restoring a picture of (width, height) pixels, from the speed of the last run.

        Args:
            given: names of the modalities that are not switched off.
        """
        width, height = size
        tiles = self.pipeline.tiles(size, settings)
        calls = len(tiles) * settings.steps * guidance.count(settings.guidance, given, settings.weight)
        if self._pace.seconds is None:
            self._calibrate()
        seconds = self._pace.of(cells(tiles, settings, given))
        needed = memory.estimate(size, settings, self.pipeline.codec, self.device)
        output = (width * settings.scale, height * settings.scale)
        warnings = memory.warnings(seconds, needed, settings, given)
        return Plan(output, output[0] * output[1] / 1e6, len(tiles), calls, seconds, needed, warnings)

    def _calibrate(self) -> None:
        """First estimate of the speed: the second of two small runs, as the first warms up; real runs replace it."""
        settings = Settings(steps=1, weight=0.0, seed=0, color="none")
        for _ in range(2):
            self._pace = Pace()
            self.restore(Image.new("RGB", (64, 64), "gray"), {}, settings)

    def stream(self, image: Image.Image, modalities: Modalities, settings: Settings) -> Iterator[Step]:
        """Restores step by step; the last `Step` carries the `Result`. Closing the generator cancels.

        Args:
            image: RGB, at least 16 px a side.
            modalities: name -> map, `Edited` map or text; a missing name is the null token.

        Raises:
            ValueError: a picture that is too small, an unknown modality or a map of a wrong kind.
            FloatingPointError: sampling failed; the message says what to change.
        """
        check_side(image.size)
        checked = check(modalities, self.palette)
        seed = secrets.randbelow(2**32) if settings.seed is None else settings.seed
        steps = self._sampler(image.convert("RGB"), checked, settings, replace(settings, seed=seed))
        return self._watched(steps, checked)

    def _watched(self, steps: Iterator[Step], given: Iterable[str]) -> Iterator[Step]:
        """Learns the speed from every finished run on the `given` modalities."""
        try:
            for step in steps:
                if step.result is not None:
                    self._learn(step.result, given)
                yield step
        finally:
            steps.close()

    def lend(self, sampler: Sampler, speedup: float, where: str) -> None:
        """Samples elsewhere from now on, on a device that is lent for one run at a time.

        Args:
            sampler: does there what `sample` does here.
            speedup: how much faster it is than this device, as a guess until the first run is done.
            where: the device, for people to read.
        """
        self.plan((64, 64), Settings())  # measures this device first
        self._pace.seconds /= speedup
        self._sampler, self.info = sampler, replace(self.info, device=where)

    def to(self, device: str) -> None:
        """Moves the model, not the extractors."""
        place(self.pipeline, device)
        self.device = device

    def sample(self, image: Image.Image, modalities: Mapping, wanted: Settings, settings: Settings) -> Iterator[Step]:
        """`stream` on this device, of checked inputs. `settings` are those `wanted`, with a seed.

        Raises:
            MemoryError: not even the smallest tiles fit; until then a run that does not fit starts again with smaller.
        """

        def run(settings: Settings, notices: tuple[str, ...]) -> Iterator[Step]:
            self.readers.make_room(memory.estimate(image.size, settings, self.pipeline.codec, self.device))
            return self._run(image, modalities, wanted.with_(tile=settings.tile), settings, notices)

        return memory.with_smaller_tiles(run, settings, self.readers.release)

    def _run(
        self, image: Image.Image, modalities: Mapping, wanted: Settings, settings: Settings, notices: tuple[str, ...]
    ) -> Iterator[Step]:
        cut = self.count_tokens(modalities.get(guidance.TEXT, ""), settings.positive)[-1].strip()
        notices = (*notices, unread(cut)) if cut else notices
        notice, tiles = " ".join(notices), self.pipeline.tiles(image.size, settings)
        countdown = Countdown(self._pace.of(cells(tiles, settings, modalities)))
        preparing = Step(0, settings.steps, 0, len(tiles), countdown.left(), notice=notice)
        yield preparing
        damage, lr = self.cleaner.damage(image), self.cleaner.clean(image, settings.cleanup, self.device)
        yield preparing  # once more, as a large picture took its time: here it can be stopped
        for event in self.pipeline.stream(lr, modalities, settings):
            left = countdown.left(event.done, event.steps * event.tiles)
            picture = lambda event=event: event.picture  # noqa: E731
            yield Step(event.step, event.steps, event.tile, event.tiles, left, picture, notice=notice)
        seconds = countdown.spent
        boxes = [self._pixels(tile, image.size, settings.scale) for tile in tiles]
        size = (image.width * settings.scale, image.height * settings.scale)
        sampled = event.picture if settings.scale == SCALE else event.picture.resize(size, SHRUNK)
        result = Result(
            sampled=sampled,
            source=image,
            settings=wanted,
            seed=settings.seed,
            attention=self.pipeline.attention(modalities, settings),
            damage=damage,
            tiles=boxes,
            seconds=seconds,
            notices=notices,
        )
        yield Step(event.step, event.steps, event.tile, event.tiles, 0.0, result=result, notice=notice)

    def restore(
        self,
        image: Image.Image,
        modalities: Modalities,
        settings: Settings,
        progress: Callable[[Step], None] | None = None,
    ) -> Result:
        """`stream` to its end."""
        for step in self.stream(image, modalities, settings):
            if progress is not None:
                progress(step)
        return step.result

    def _learn(self, result: Result, given: Iterable[str]) -> None:
        tiles = self.pipeline.tiles(result.source.size, result.settings)
        self._pace.learn(cells(tiles, result.settings, given), result.seconds)

    def _pixels(self, tile: object, size: tuple[int, int], scale: int) -> tuple[int, int, int, int]:
        factor = self.pipeline.codec.factor * scale / SCALE
        right, bottom = (tile.x + tile.width) * factor, (tile.y + tile.height) * factor
        cut = (min(right, size[0] * scale), min(bottom, size[1] * scale))
        return tuple(round(value) for value in (tile.x * factor, tile.y * factor, *cut))


def _count(part: object) -> int:
    return sum(p.numel() for p in part.parameters())
