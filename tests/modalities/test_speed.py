"""The report of photos a second."""

import sys

import pytest

from mmsr_core.modalities import speed
from tests.modalities import checkpoints


@pytest.mark.weights
def test_reports_what_is_there_alone_and_together(tmp_path, monkeypatch, capsys):
    checkpoints.depth_anything(tmp_path / "depth-anything")
    command = ["speed", "--models", str(tmp_path), "--device", "cpu", "--rounds", "1", "--batch", "2", "--side", "64"]
    monkeypatch.setattr(sys, "argv", command)
    speed.main()
    said = capsys.readouterr().out
    rows = [line.split("|")[1:-1] for line in said.splitlines() if line.startswith("| ")]
    names = [row[0].strip() for row in rows]
    assert "Depth: Depth Anything V2 Small" in names and "Caption: Gemini Flash" not in names
    assert not any("Florence" in name for name in names)
    assert sum("all four, public" in name for name in names) == 2
    assert all(float(row[1]) >= 0 and float(row[3]) > 0 for row in rows[1:])


def test_the_fastest_round_counts_and_the_first_does_not(monkeypatch):
    clock, work = iter([0.0, 3.0, 10.0, 11.0]), iter([0.0, 2.0, 2.0, 4.5])
    monkeypatch.setattr(speed.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(speed.time, "process_time", lambda: next(work))
    runs = []
    assert speed.fastest(lambda: runs.append(1), 2) == (1.0, 2.0) and len(runs) == 3
