"""Laws of the bands: they come in an order in which everything needed is there, and few rows are alive at once."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from PIL import Image

from mmsr_core import memory
from mmsr_core.bands import Rows, order, split
from mmsr_core.images import to_tensor
from mmsr_core.pipeline import MMSRPipeline
from mmsr_core.settings import Settings
from mmsr_core.tiling import plan


def test_one_band_where_the_picture_is_not_large() -> None:
    tiles = plan(90, 130, 64, 0.25)
    (band,) = split(tiles, apart=False)
    assert band.tiles == tuple(tiles) and (band.top, band.bottom, band.seen) == (0, 130, 130)
    assert list(order([band], 3)) == [(0, 0), (1, 0), (2, 0)]


@pytest.mark.parametrize("overlap,steps,height", itertools.product((0.1, 0.25, 0.5, 0.75), (1, 2, 5), (64, 200, 640)))
def test_every_step_finds_what_it_needs_and_little_more_is_alive(overlap: float, steps: int, height: int) -> None:
    bands = split(plan(64, height, 64, overlap), apart=True)
    assert [band.top for band in bands[1:]] == [band.bottom for band in bands[:-1]]
    assert bands[0].top == 0 and bands[-1].bottom == height
    rows, alive = [height] + [0] * steps, 0  # how far down each step has come
    seen = []
    for step, number in order(bands, steps):
        assert rows[step] >= bands[number].seen and rows[step + 1] == bands[number].top
        rows[step + 1] = bands[number].bottom
        seen.append((step, number))
        alive = max(alive, max(rows[1:]) - rows[steps])
    assert sorted(seen) == sorted(itertools.product(range(steps), range(len(bands))))
    assert alive <= 2 * 64 * steps


def test_rows_are_views_until_parts_meet_and_can_be_given_up() -> None:
    grid, rows = torch.arange(24.0).reshape(1, 1, 12, 2), Rows()
    for top in (0, 4, 8):
        rows.add(grid[..., top : top + 4, :])
    assert rows.of(5, 8).data_ptr() == grid[..., 5:, :].data_ptr()
    assert torch.equal(rows.of(3, 9, slice(1, 2)), grid[..., 3:9, 1:2])
    rows.give_up(7)
    assert (rows.top, rows.bottom) == (4, 12) and torch.equal(rows.of(4, 12), grid[..., 4:, :])
    for wrong in ((3, 5), (11, 13), (6, 6)):
        with pytest.raises(IndexError, match="wanted some of 4 to 12"):
            rows.of(*wrong)


@pytest.mark.parametrize("sampler", ["unipc", "dpmpp-2m", "ddim"])
def test_band_by_band_gives_what_the_whole_gives(
    pipeline: MMSRPipeline, photo: Image.Image, maps: dict, sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tall, settings = photo.resize((45, 210)), Settings(seed=3, steps=3, tile=128, sampler=sampler)
    pipeline.canvas(to_tensor(photo), settings)  # takes the place of the last one, which may be the tall picture's
    with monkeypatch.context() as patched:
        patched.setattr(memory, "WHOLE", 16)
        events = [(event, event.picture) for event in pipeline.stream(to_tensor(tall), maps, settings)]
    *_, last = pipeline.stream(to_tensor(tall), maps, settings)
    whole = np.asarray(last.picture).astype(int)
    assert np.abs(np.asarray(events[-1][1]).astype(int) - whole).max() <= 1
    count = len(pipeline.tiles(tall.size, settings))
    assert count > 8 and [event.done for event, _ in events] == list(range(1, 3 * count + 1))
    shown = [picture for _, picture in events if picture is not None]
    same = [np.abs(np.asarray(picture).astype(int) - whole).max((1, 2)) <= 1 for picture in shown]
    painted = [int(rows.argmin()) if not rows.all() else len(rows) for rows in same]
    assert len(shown) > 3 and painted == sorted(painted) and painted[0] < painted[-1] == whole.shape[0]
