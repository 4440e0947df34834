"""The latents of one picture while they are denoised: of every step only the rows that are alive."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from diffusers import SchedulerMixin
from PIL import Image
from torch import Tensor

from mmsr_core.bands import Band, Rows
from mmsr_core.canvas import Canvas
from mmsr_core.settings import Settings
from mmsr_core.solver import Solver
from mmsr_core.tiling import Fusion, Tile


class Latents:
    """Noise at the start, z of each step by bands, predictions fused from tiles.

    A band of a step is denoised by `open`, `add` for all of its tiles, `close`; `bands.order` says when.
    """

    def __init__(self, canvas: Canvas, schedule: SchedulerMixin, bands: list[Band], settings: Settings) -> None:
        codec, (_, width), steps = canvas.codec, canvas.grid, settings.steps
        self.canvas, self.bands, self.steps, self.device = canvas, bands, steps, codec.device
        self.shape = (1, codec.latent_channels, 1, width)  # of one row
        self.z = [Rows() for _ in range(steps + 1)]  # what each step starts from, and the finished ones
        self.fusions = [Fusion(codec.latent_channels, width, settings.overlap, self.device) for _ in range(steps)]
        self.solvers = {  # a band's is given up with it
            number: Solver(schedule, settings.sampler, steps, band.bottom - band.top, self.device)
            for number, band in enumerate(bands)
        }
        self.clock = Solver(schedule, settings.sampler, steps, 1, self.device)  # which no band wears out
        self._noise = torch.Generator().manual_seed(settings.seed)

    def open(self, step: int, number: int) -> None:
        """Makes room for the predictions of a band."""
        band, (noise, *_) = self.bands[number], self.z
        self.fusions[step].extend(band.seen)
        if step == 0:
            rows = [torch.randn(self.shape, generator=self._noise) for _ in range(noise.bottom, band.seen)]
            if rows:
                noise.add(self.clock.start(torch.cat(rows, -2).to(self.device)))

    def cut(self, step: int, tiles: tuple[Tile, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """What the U-Net is to see of some tiles: time, z (n, c, height, width) and condition (n, C, height, width)."""
        places = [(tile.y, tile.y + tile.height, slice(tile.x, tile.x + tile.width)) for tile in tiles]
        z, condition = (torch.cat([of(*place) for place in places]) for of in (self.z[step].of, self.canvas.condition))
        time = self.clock.timesteps[step]
        return time, self.clock.scaled(z, time), condition

    def add(self, step: int, tiles: tuple[Tile, ...], predictions: Tensor) -> None:
        """predictions (n, c, height, width) of tiles of the open band."""
        self.fusions[step].add_all(tiles, predictions)

    def close(self, step: int, number: int) -> Callable[[], Image.Image] | None:
        """One solver step of a band whose tiles are all there. Returns what makes the picture as of now, if it changed.

        Raises:
            FloatingPointError: the latents are no longer finite.
        """
        band, solver, time = self.bands[number], self.solvers[number], self.clock.timesteps[step]
        prediction = self.fusions[step].take(band.bottom)  # (1, c, rows, W)
        before = self.z[step].of(band.top, band.bottom)
        expected = None if self.canvas.large else solver.expected(prediction, time, before)
        after = solver.step(prediction, time, before)
        if not torch.isfinite(after).all():
            raise FloatingPointError(
                f"sampling: got values that are not finite at step {step + 1} of {self.steps}; "
                "try a lower guidance weight, another sampler or more steps"
            )
        self.z[step + 1].add(after)
        self.z[step].give_up(band.bottom)
        last = step + 1 == self.steps
        if not self.canvas.large:
            return partial(self.canvas.decode, after if last else expected)
        if not last:
            return None
        del self.solvers[number]
        painted = self.canvas.paint(self.z[-1])
        return (lambda: painted) if number + 1 == len(self.bands) else painted.copy
