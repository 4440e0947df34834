"""The progress bar of the command line."""

from pathlib import Path
from types import SimpleNamespace

from mmsr_core.bar import Bar
from mmsr_core.batch import Job


def test_each_photo_has_a_bar_with_its_number_and_its_tiles(capsys):
    jobs = [Job(Path(f"in/{name}.png"), Path(f"out/{name}.png")) for name in "ab"]
    with Bar(jobs) as bar:
        for job in jobs:
            for done in range(4):
                bar(job, SimpleNamespace(steps=3, tiles=2, done=done))
            assert (bar.bar.n, bar.bar.total) == (3, 6)
    said = capsys.readouterr().err
    assert "1/2 a.png" in said and "2/2 b.png" in said
