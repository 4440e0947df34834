"""Laws of the speed that is learnt and of the time that is left."""

from __future__ import annotations

import pytest

from mmsr_core import pace
from mmsr_core.outcome import Step
from mmsr_core.pace import FEWEST, Countdown, Pace, Watch, cells
from mmsr_core.settings import Settings
from mmsr_core.tiling import Tile


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
    return now


def test_cells_count_tiles_steps_and_branches() -> None:
    tiles = [Tile(0, 0, 8, 4)] * 3
    assert cells(tiles, Settings(steps=5, weight=2.0)) == 3 * 32 * 5 * 2
    assert cells(tiles, Settings(steps=5, weight=0.0)) == 3 * 32 * 5
    assert cells(tiles, Settings(steps=5, weight=2.0), ["depth"]) == 3 * 32 * 5


def test_small_runs_do_not_change_what_large_ones_taught() -> None:
    learnt = Pace()
    learnt.learn(10, 5.0)  # better than nothing
    assert learnt.seconds == 0.5
    learnt.learn(FEWEST, FEWEST / 100)
    learnt.learn(10, 5.0)
    assert learnt.seconds == 0.01


def test_the_guess_counts_down_until_the_own_pace_is_known(clock: list[float]) -> None:
    countdown = Countdown(30.0)
    clock[0] += 10  # the photo is prepared
    assert countdown.left() == 20
    assert countdown.left(1, 11) == 20  # the first tile waited for it
    clock[0] += 2
    assert countdown.left(2, 11) == pytest.approx(2 * 9)
    clock[0] += 40
    assert countdown.left(11, 11) == 0 and countdown.spent == 52


def test_a_guess_that_was_too_short_is_not_negative(clock: list[float]) -> None:
    countdown, blind = Countdown(5.0), Countdown(None)
    clock[0] += 10
    assert countdown.left(1, 9) == 0 and blind.left(1, 9) is None


def test_a_run_is_called_long_once_and_by_its_own_pace() -> None:
    """The first tile also pays for what is done once, and a guess may be wrong."""
    said, seen = [], []
    watch = Watch(said.append, seen.append)
    steps = [Step(0, 9, tile, 4, left) for tile, left in ((0, 9000.0), (1, 8000.0), (2, 1200.0), (3, 1100.0))]
    for step in steps[:2]:
        watch(step)
    assert not said
    for step in steps[2:]:
        watch(step)
    assert len(said) == 1 and said[0].startswith("About 20 minutes: fewer steps") and seen == steps


def test_a_short_run_is_not_spoken_of() -> None:
    watch = Watch(pytest.fail)
    for tile in (1, 2, 3):
        watch(Step(0, 9, tile, 4, 599.0))
