"""What the diffusion stage shows of itself while it trains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mmsr_core.base import enlarged
from mmsr_core.images import to_tensor
from mmsr_core.pipeline import MMSRPipeline
from mmsr_core.settings import Settings
from mmsr_core.training.data import PhotoStore, random_source
from mmsr_core.training.degradation import Degradation
from mmsr_core.training.sheets import write_sheet


class Sheet:
    """Samples of the pipeline itself on a few val photos, beside bicubic, the base and the photo."""

    def __init__(
        self, pipeline: MMSRPipeline, val: PhotoStore, strength: float, count: int = 4, side: int = 256
    ) -> None:
        self.pipeline = pipeline
        self.photo = val.crops(np.arange(count), np.full((count, 2), 64), side)
        self.lr = Degradation(strength)(self.photo, random_source(1, 0)[1])
        self.captions = val.captions[:count]

    def __call__(self, model: nn.Module, path: Path) -> None:
        settings = Settings(seed=0, steps=8, weight=1.0)
        codec = self.pipeline.codec
        base = codec.picture(codec.condition(self.lr.to(codec.unwhiten))).cpu()
        columns = {"bicubic": enlarged(self.lr), "base": base}
        columns["8 steps, w = 1"] = torch.cat([self._sample(i, settings) for i in range(len(self.lr))])
        columns["1 step"] = torch.cat(
            [self._sample(i, settings.with_(steps=1, weight=0.0)) for i in range(len(self.lr))]
        )
        write_sheet(path, {**columns, "photo": self.photo})

    def _sample(self, i: int, settings: Settings) -> Tensor:
        *_, last = self.pipeline.stream(self.lr[i : i + 1], {"text": self.captions[i]}, settings)
        return to_tensor(last.picture)
