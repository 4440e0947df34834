"""All experiments by one command: what is run, what may be published, what is said when one fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from mmsr_core.evaluation.__main__ import main
from mmsr_core.evaluation.experiments import EXPERIMENTS
from mmsr_core.evaluation.suite import SUITE


def results(pairs: Path, tmp_path: Path, *words: str) -> Path:
    plain = ["--preset", "tiny", "--data", f"set={pairs}", "--jobs", "1"]
    main(["results", *plain, "--work", str(tmp_path / "work"), "--out", str(tmp_path / "out"), *words])
    return tmp_path / "out"


def test_every_experiment_that_needs_one_model_is_in_the_suite() -> None:
    assert {job.experiment for job in SUITE} == set(EXPERIMENTS) - {"connector"}


def test_reports_are_published_without_the_test_pictures(pairs: Path, tmp_path: Path) -> None:
    stale = tmp_path / "out" / "edits" / "stale.png"
    stale.parent.mkdir(parents=True)
    stale.touch()
    kept = tmp_path / "out" / "README.md"
    kept.write_text("by hand")
    out = results(pairs, tmp_path, "--only", "edits", "--grid", "1")
    files = {path.name for path in (out / "edits").iterdir()}
    assert files == {"report.md", "results.json", "examples-pictures.webp"} and kept.read_text() == "by hand"
    numbers = json.loads((out / "edits" / "results.json").read_text())
    assert {name: len(found["no edit"]["psnr"]) for name, found in numbers["pictures"].items()} == {
        "set": 1,
        "examples": 0,
    }
    assert "set-pictures" not in (out / "edits" / "report.md").read_text()
    assert Image.open(out / "edits" / "examples-pictures.webp").width > 3 * 96
    assert str(tmp_path) not in (out / "edits" / "results.json").read_text()


def test_a_failed_experiment_is_said_in_one_sentence(pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="^edits: weights: got .*absent.* wanted"):
        results(pairs, tmp_path, "--only", "edits", "--weights", str(tmp_path / "absent"))
