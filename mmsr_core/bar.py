"""The progress bar of the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmsr_core.batch import Job
    from mmsr_core.upscaler import Step


class Bar:
    """tqdm over the tiles of all steps of the photo at hand."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.numbers = {job: number for number, job in enumerate(jobs, 1)}
        self.job, self.bar = None, None

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()

    def __call__(self, job: Job, step: Step) -> None:
        from tqdm import tqdm

        if job is not self.job:
            self.close()
            title = f"{self.numbers[job]}/{len(self.numbers)} {job.source.name}"
            self.job, self.bar = job, tqdm(total=step.steps * step.tiles, desc=title, unit="tile", leave=False)
        self.bar.update(max(0, step.done - self.bar.n))
