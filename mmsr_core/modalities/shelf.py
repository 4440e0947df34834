"""Loaded networks, kept while memory lasts; those that were not used for longest go first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from mmsr_core import memory

ROOM = 1.5  # bytes of free memory wanted for every byte of a network's weights: the forward pass needs some too
LEAST = 512 * 2**20  # bytes that are to stay free beside it


class Shelf:
    """What was loaded, by name. Loading is serial (`memory.LOADING`).

    Args:
        device: of torch, whose memory is watched.
        free: bytes free on that device; for tests.
    """

    def __init__(self, device: str, free: Callable[[], int] | None = None) -> None:
        self.free = (lambda: free_bytes(device)) if free is None else free
        self._kept: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.RLock()

    def keep(self, name: str, load: Callable[[], Any], needed: int = 0) -> Any:
        """What `load` gave for this name, loaded now where it is not there. `needed`: bytes of its weights."""
        with self._lock:
            if name not in self._kept:
                self.make_room(round(needed * ROOM) if needed else 0)
                with memory.LOADING:
                    self._kept[name] = load()
            self._kept.move_to_end(name)
            return self._kept[name]

    def make_room(self, needed: int) -> None:
        """Lets go of networks, oldest first, until `needed` bytes and a little more are free."""
        with self._lock:
            while needed and self._kept and self.free() < needed + LEAST:
                self._kept.popitem(last=False)
                memory.release()

    def release(self) -> None:
        """Lets go of everything, and of what nothing refers to any more."""
        with self._lock:
            self._kept.clear()
            memory.release()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._kept)


def free_bytes(device: str) -> int:
    """Memory that is free on a device of torch, with what torch holds in reserve there."""
    import torch

    if device.startswith("cuda"):
        reserve = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + reserve
    if device.startswith("mps"):
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    import psutil

    return psutil.virtual_memory().available
