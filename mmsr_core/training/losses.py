"""Image-space losses: SqueezeNet feature distance and a small patch discriminator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

STAGES = (3, 4, 6, 8, 9)  # fire modules whose output is compared, after conv1
CAFFE_MEAN = (104.0, 117.0, 123.0)  # BGR, 0..255


class PerceptualLoss(nn.Module):
    """Squared difference of unit-normalised SqueezeNet v1.0 features over six stages, averaged.

    LPIPS (Zhang et al. 2018, https://arxiv.org/abs/1801.03924) without its learnt channel weights. The network's first
    layer has stride 2, which would reward a grid of that period; `shift` moves both pictures by the same random offset.

    Args:
        weights: an .npz with "conv1.w", "conv1.b", "fire2__conv1x1_1.w", ... (SqueezeNet v1.0, BSD licence).
    """

    def __init__(self, weights: Path) -> None:
        super().__init__()
        for name, value in np.load(weights).items():
            self.register_buffer(name.replace(".", "_"), torch.from_numpy(value.astype(np.float32)))
        self.to(memory_format=torch.channels_last)

    def forward(self, a: Tensor, b: Tensor, shift: tuple[int, int] = (0, 0)) -> Tensor:
        """a, b (B, 3, H, W) in [-1, 1], shift (x, y) in pixels -> (B,)."""
        x, y = shift
        with torch.no_grad():
            wanted = self._features(b[..., y:, x:])
        distances = [self._distance(f, g) for f, g in zip(self._features(a[..., y:, x:]), wanted)]
        return torch.stack(distances).mean(0)

    def _features(self, x: Tensor) -> list[Tensor]:
        mean = x.new_tensor(CAFFE_MEAN)[:, None, None]
        x = self._conv((x.flip(1) * 0.5 + 0.5) * 255 - mean, "conv1", stride=2)
        out = [x]
        for i in range(2, 10):
            if i in (2, 5, 9):
                x = F.max_pool2d(x, 3, 2, ceil_mode=True)
            squeezed = self._conv(x, f"fire{i}__conv1x1_1")
            x = torch.cat(
                [self._conv(squeezed, f"fire{i}__conv1x1_2"), self._conv(squeezed, f"fire{i}__conv3x3_2", padding=1)], 1
            )
            if i in STAGES:
                out.append(x)
        return out

    def _conv(self, x: Tensor, name: str, **options: int) -> Tensor:
        return F.relu(F.conv2d(x, getattr(self, f"{name}_w"), getattr(self, f"{name}_b"), **options))

    @staticmethod
    def _distance(a: Tensor, b: Tensor) -> Tensor:
        return (F.normalize(a.float(), dim=1) - F.normalize(b.float(), dim=1)).square().sum(1).mean((1, 2))


class PatchDiscriminator(nn.Module):
    """Real or made, for every patch of about 30 px (Isola et al. 2017, https://arxiv.org/abs/1611.07004).

    (B, 3, H, W) in [-1, 1] -> (B, 1, H/8, W/8) logits. Spectral norm keeps it tame.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        widths = (width, 2 * width, 4 * width)
        layers: list[nn.Module] = [spectral_norm(nn.Conv2d(3, width, 3, padding=1)), nn.LeakyReLU(0.2)]
        for before, after in zip((width, *widths), widths):
            layers += [spectral_norm(nn.Conv2d(before, after, 4, 2, 1)), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(widths[-1], 1, 3, padding=1)))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Adversary:
    """The discriminator, its optimiser and both sides of the hinge loss.

    Has state_dict / load_state_dict, so that `loop.fit` keeps it in its checkpoints.
    """

    def __init__(self, lr: float = 2e-4, device: str = "cpu") -> None:
        self.network = PatchDiscriminator().to(device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=lr, betas=(0.0, 0.99))

    def learn(self, made: Tensor, real: Tensor) -> Tensor:
        """One step of the discriminator; returns its loss."""
        self.network.requires_grad_(True)
        loss = F.relu(1 + self.network(made.detach())).mean() + F.relu(1 - self.network(real)).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def judge(self, made: Tensor) -> Tensor:
        """The generator's loss for fooling it, (B,)."""
        self.network.requires_grad_(False)
        return -self.network(made).mean((1, 2, 3))

    def state_dict(self) -> dict:
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
