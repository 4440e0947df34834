"""A codebook that stays in use: started by k-means, moved by averages, and with its dead codes revived.

Source of the averages: van den Oord et al., "Neural Discrete Representation Learning", 2017, appendix A.1. A codebook
learnt by gradient from the default start ends with a few dozen live codes; this one keeps most of them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

POOL = 8192  # latents kept for the k-means start


class LiveCodebook(nn.Module):
    """Nearest code with a straight-through gradient. All state is in buffers, so a checkpoint holds it.

    Args:
        codes: number of codes.
        width: dimensions of a code.
        start: batches that pass through unquantised before the codes are placed.
        decay: of the running averages.
        revive_every: batches between two looks for dead codes.
        alive: a code with a lower running count of uses is dead.
    """

    def __init__(
        self, codes: int, width: int, start: int = 200, decay: float = 0.99, revive_every: int = 25, alive: float = 1.0
    ) -> None:
        super().__init__()
        self.start, self.decay, self.revive_every, self.alive = start, decay, revive_every, alive
        self.register_buffer("codes", torch.zeros(codes, width))
        self.register_buffer("uses", torch.zeros(codes))
        self.register_buffer("sums", torch.zeros(codes, width))
        self.register_buffer("pool", torch.zeros(POOL, width))
        self.register_buffer("batches", torch.zeros((), dtype=torch.long))

    @property
    def placed(self) -> bool:
        return int(self.batches) > self.start

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """latents (N, width) -> (quantised latents (N, width), commitment loss, ids (N,))."""
        if self.training:
            self._observe(latents.detach())
        if not self.placed:
            return latents, latents.new_zeros(()), torch.zeros(len(latents), dtype=torch.long, device=latents.device)
        ids = torch.cdist(latents.detach(), self.codes).argmin(1)
        near = self.codes[ids]
        if self.training:
            self._move(latents.detach(), near, ids)
        commitment = (latents - near).square().mean()
        return latents + (near - latents).detach(), commitment, ids

    def _observe(self, latents: Tensor) -> None:
        """Keeps latents for the start and places the codes when it is time."""
        self.batches += 1
        if int(self.batches) <= self.start:
            taken = latents[torch.randperm(len(latents), device=latents.device)[: POOL // 16]]
            self.pool = torch.cat([taken, self.pool])[:POOL]
        elif int(self.batches) == self.start + 1:
            self.codes.copy_(kmeans(self.pool, len(self.codes)))
            self.uses.fill_(4 * self.alive)
            self.sums.copy_(self.codes * self.uses[:, None])

    def _move(self, latents: Tensor, near: Tensor, ids: Tensor) -> None:
        self.uses.mul_(self.decay).index_add_(0, ids, torch.ones_like(ids, dtype=self.uses.dtype))
        self.sums.mul_(self.decay).index_add_(0, ids, latents)
        if int(self.batches) % self.revive_every == 0:
            self._revive(latents, (latents - near).square().sum(1))
        self.codes.copy_(self.sums / self.uses.clamp(min=1e-3)[:, None])

    def _revive(self, latents: Tensor, error: Tensor) -> None:
        """Moves dead codes to latents that the others describe badly."""
        dead = (self.uses < self.alive).nonzero()[:, 0]
        dead = dead[: len(latents)]
        if len(dead) == 0:
            return
        chosen = torch.multinomial(error + 1e-6 * error.mean() + 1e-12, len(dead))
        self.uses[dead] = 4 * self.alive
        self.sums[dead] = latents[chosen] * self.uses[dead, None]


def kmeans(points: Tensor, count: int, rounds: int = 12) -> Tensor:
    """Centres (count, D) of points (N, D), N >= count, by Lloyd's rounds; an empty centre moves to a random point."""
    centres = points[torch.randperm(len(points), device=points.device)[:count]].clone()
    for _ in range(rounds):
        ids = torch.cdist(points, centres).argmin(1)
        sizes = torch.bincount(ids, minlength=count).to(points.dtype)
        sums = torch.zeros_like(centres).index_add_(0, ids, points)
        random = points[torch.randint(len(points), (count,), device=points.device)]
        centres = torch.where(sizes[:, None] > 0, sums / sizes.clamp(min=1)[:, None], random)
    return centres
