"""Several processes, on one machine or many, that share the photos of a batch.

    accelerate launch --multi_gpu --num_processes 8 -m mmsr_core photos/ results/ --resume
    torchrun --nproc-per-node 2 -m mmsr_core photos/ results/ --resume            (on CPUs)

`accelerate launch` and `torchrun` tell each process its rank through the environment; without them a process is alone.
Shares are fixed before anything is skipped, so that processes which start at different times agree on them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

T = TypeVar("T")
_VARIABLES = (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))
PATIENCE = timedelta(days=30)  # of a process that is done, for the slowest one


@dataclass(frozen=True)
class Team:
    """Process `rank` of `world`; the `local`-th one on its machine."""

    rank: int = 0
    world: int = 1
    local: int = 0

    @classmethod
    def here(cls) -> Team:
        """What the launcher says.

        Raises:
            ValueError: a rank that is not below the number of processes.
        """
        rank, world, local = (int(os.environ.get(key, new)) for key, new in _VARIABLES)
        if not 0 <= rank < world:
            raise ValueError(f"RANK: got {rank} of WORLD_SIZE {world}, wanted 0 to {world - 1}")
        return cls(rank, world, local)

    def share(self, jobs: Sequence[T]) -> list[T]:
        """Every `world`-th job: together the shares are all jobs, each once."""
        return list(jobs[self.rank :: self.world])

    def device(self, wanted: str | None) -> str | None:
        """The device of this process: a GPU each, as far as they go, unless one is wanted."""
        if wanted not in (None, "cuda") or self.world == 1:
            return wanted
        import torch

        count = torch.cuda.device_count()
        if count == 0:
            return wanted
        torch.cuda.set_device(self.local % count)  # else every process would hold a context on the first GPU, too
        return f"cuda:{self.local % count}"

    def gathered(self, rows: list[T], patience: timedelta = PATIENCE) -> list[T] | None:
        """The rows of every process, on the first one; None on the others. Waits for all.

        Raises:
            RuntimeError, OSError: another process was not there in time, or is gone.
        """
        if self.world == 1:
            return rows
        import torch.distributed as dist

        dist.init_process_group("gloo", timeout=patience)
        try:
            parts = [None] * self.world if self.rank == 0 else None
            dist.gather_object(rows, parts)
        finally:
            dist.destroy_process_group()
        return None if parts is None else [row for part in parts for row in part]
