"""The one loaded model of this process: loaded once in the background, shared by all visitors."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import mmsr_core
from app import zero
from mmsr_core.presets import preset
from mmsr_core.settings import Settings

if TYPE_CHECKING:
    from mmsr_core.upscaler import Upscaler


@dataclass(frozen=True)
class Options:
    """What the command line decides."""

    preset: str = "mini"
    weights: str | None = None
    device: str | None = None
    max_megapixels: float = 4.0  # of an input photo
    max_files: int = 200  # in one batch

    @property
    def max_pixels(self) -> int:
        return int(self.max_megapixels * 1e6)


class Engine:
    """Loads the model on `start()`; `upscaler()` waits for it.

    The page serialises the device through one queue (`DEVICE`), so nothing here locks while sampling.
    """

    def __init__(self, options: Options | None = None) -> None:
        self.options = Options() if options is None else options
        self.stage = "waiting for the first visitor"
        self._upscaler: Upscaler | None = None
        self._lent = zero.lent_sampler(lambda: self._upscaler)
        self._error: str | None = None
        self._done = threading.Event()
        self._started = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def defaults(self) -> Settings:
        """What the page starts from and goes back to."""
        return preset(self.options.preset).defaults

    def start(self) -> None:
        """Begin loading; calling it again does nothing."""
        with self._started:
            if self._thread is None:
                self._thread = threading.Thread(target=self._load, name="load-model", daemon=True)
                self._thread.start()

    def _load(self) -> None:
        options = self.options
        try:
            self.stage = "loading PyTorch"
            loader = mmsr_core.Upscaler
            self.stage = f"loading the weights of {preset(options.preset).title}"
            device = options.device if self._lent is None else "cpu"
            upscaler = loader.load(options.preset, options.weights, device)
            self.stage = "measuring the speed of this machine"
            upscaler.plan((64, 64), Settings())
            if self._lent is not None:
                upscaler.lend(self._lent, zero.SPEEDUP, "a GPU lent for each run")
            self._upscaler, self.stage = upscaler, "ready"
        except Exception as error:  # a page that says why beats a page that waits for ever
            self._error = str(error) if isinstance(error, ValueError) else f"{type(error).__name__} while {self.stage}"
            self.stage = f"The model could not be loaded: {self._error}"
            if not isinstance(error, ValueError):
                raise
        finally:
            self._done.set()

    @property
    def ready(self) -> bool:
        return self._upscaler is not None

    @property
    def failed(self) -> bool:
        return self._error is not None

    def stages(self, every: float = 0.2) -> Iterator[str]:
        """The stage of loading each time it changes, until there is nothing more to wait for."""
        self.start()
        said = None
        while True:
            done = self._done.is_set()
            if self.stage != said:
                said = self.stage
                yield said
            if done:
                return
            time.sleep(every)

    def upscaler(self) -> Upscaler:
        """The loaded model; waits while it loads.

        Raises:
            ValueError: it could not be loaded.
        """
        self.start()
        self._done.wait()
        if self._upscaler is None:
            raise ValueError(f"model: {self._error}")
        return self._upscaler
