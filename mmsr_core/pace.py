"""How long a run takes on this device, learnt from the runs before, and how much of one is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mmsr_core import guidance
from mmsr_core.settings import MODALITY_NAMES, Settings

if TYPE_CHECKING:
    from mmsr_core.outcome import Step
    from mmsr_core.tiling import Tile

SLOW = 600  # seconds from which on a run is said to be long
FEWEST = 2**14  # latent cells that a run must have denoised to say something of the speed: 64 x 64 at default settings


def cells(tiles: Sequence[Tile], settings: Settings, given: Iterable[str] = MODALITY_NAMES) -> int:
    """Latent cells that a run on the `given` modalities denoises, over all tiles, steps and branches."""
    branches = guidance.count(settings.guidance, given, settings.weight)
    return len(tiles) * tiles[0].width * tiles[0].height * settings.steps * branches


def slow(seconds: float) -> list[str]:
    """What to say of a run that will take so many seconds; nothing of a short one."""
    if seconds <= SLOW:
        return []
    return [f"About {seconds / 60:.0f} minutes: fewer steps, weight 0 or a smaller input would be faster."]


@dataclass
class Watch:
    """Hands on the steps of a run, and says once if it will be long, as soon as its own pace can be seen.

    So nothing has to be measured beforehand, which takes longer than restoring a small photo does.
    """

    say: Callable[[str], None]
    then: Callable[[Step], None] | None = None
    _seen: int = 0  # times that tiles were done

    def __call__(self, step: Step) -> None:
        self._seen += step.tile > 0
        if self._seen == 2 and step.seconds_left is not None:  # what is left after the first tiles is a guess, if known
            for warning in slow(step.seconds_left):
                self.say(warning)
        if self.then is not None:
            self.then(step)


@dataclass
class Pace:
    """Seconds a cell; None before anything was measured."""

    seconds: float | None = None

    def learn(self, count: int, seconds: float) -> None:
        """A run of so many cells took so long; small ones say little, as they spend their time on other things."""
        if count >= FEWEST or self.seconds is None:
            self.seconds = seconds / count

    def of(self, count: int) -> float | None:
        """Seconds of a run of so many cells."""
        return None if self.seconds is None else count * self.seconds


@dataclass
class Countdown:
    """What is left of one run. Until its own pace can be seen, the `guess` of the whole in seconds counts down."""

    guess: float | None
    _start: float = field(default_factory=lambda: time.monotonic())
    _first: tuple[float, int] | None = None  # when the first tiles were done, and how many

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    def left(self, done: int = 0, total: int = 1) -> float | None:
        """Seconds, when `done` of `total` tiles are done; None where nothing is known.

        The first tiles also wait for what is done once, so the pace is that of the tiles after them.
        """
        if done == total:
            return 0.0
        if done and self._first is None:
            self._first = self.spent, done
        if self._first is not None and done > self._first[1]:
            since, before = self._first
            return (self.spent - since) / (done - before) * (total - done)
        return None if self.guess is None else max(self.guess - self.spent, 0.0)
