"""A run from the command line: every row is there, kept, found again and reported."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmsr_core.evaluation import runs
from mmsr_core.evaluation.__main__ import main
from mmsr_core.evaluation.arms import Arm
from mmsr_core.evaluation.runs import Store, slug
from mmsr_core.recipe import Recipe
from mmsr_core.settings import Settings


def run(experiment: str, pairs: Path, out: Path, *words: str) -> list[dict]:
    """Rows of an experiment on the tiny preset."""
    plain = ["--preset", "tiny", "--data", f"set={pairs}", "--out", str(out), "--device", "cpu", "--quiet"]
    main([experiment, *plain, *words])
    return list(Store.open(out).rows.values())


@pytest.fixture(scope="module")
def done(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("main")
    run("main", pairs, out)
    return out


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Labels of the arms that were really made."""
    labels, make = [], runs.make
    monkeypatch.setattr(runs, "make", lambda arm, scene: labels.append(arm.label) or make(arm, scene))
    return labels


def test_every_arm_of_every_picture_has_a_row_with_values_and_recipe(done: Path) -> None:
    rows = [json.loads(line) for line in (done / "rows.jsonl").read_text().splitlines()]
    arms = {"bicubic", "base only", "ours, w = 0", "ours, no clean-up", "ours"}
    assert {(row["arm"], row["picture"]) for row in rows} == {(arm, f"p_{i}") for arm in arms for i in range(3)}
    assert len(rows) == 15 == len({row["key"] for row in rows})
    for row in rows:
        assert set(row["values"]) == {"psnr", "ssim"} and all(map(np.isfinite, row["values"].values()))
        assert (done / row["file"]).exists()
    ours = next(row for row in rows if row["arm"] == "ours, w = 0")
    recipe = Recipe.from_json(json.dumps(ours["recipe"]))
    assert recipe.settings.weight == 0 and recipe.seed == 0
    assert sum(ours["attention"].values()) == pytest.approx(1, abs=1e-3)


def test_the_report_has_every_row(done: Path) -> None:
    report = done / "report"
    text = (report / "report.md").read_text()
    for label in ("bicubic", "base only", "ours, w = 0", "ours, no clean-up", "ours"):
        assert f"\n| {label} |" in text
    assert "3 LR/HR pairs" in text and "PSNR (dB) ↑" in text
    numbers = json.loads((report / "results.json").read_text())
    for arm in numbers["arms"]:
        values = numbers["pictures"]["set"][arm]["psnr"]
        assert set(values) == {"p_0", "p_1", "p_2"}
        assert numbers["means"]["set"][arm]["psnr"] == pytest.approx(np.mean(list(values.values())), abs=1e-4)


def test_the_page_of_the_report_loads_nothing_from_elsewhere(done: Path) -> None:
    page = (done / "report" / "report.html").read_text()
    assert "<script" not in page and 'src="http' not in page
    for name in page.split('src="')[1:]:
        assert (done / "report" / name.split('"')[0]).exists()


def test_the_grid_shows_the_pictures_pixel_by_pixel(done: Path) -> None:
    grid = Image.open(done / "report" / "set-pictures.webp")
    assert grid.width == 4 * 96 + 3 * 4, "bicubic, base, ours and the reference"


def test_a_second_run_makes_nothing_and_keeps_the_rows(done: Path, pairs: Path, made: list) -> None:
    before = (done / "rows.jsonl").read_text()
    run("main", pairs, done)
    assert not made and (done / "rows.jsonl").read_text() == before


def test_a_new_measure_uses_the_stored_pictures(done: Path, pairs: Path, made: list, niqe_model: Path) -> None:
    run("main", pairs, done, "--niqe-model", str(niqe_model))
    assert not made
    assert "NIQE" in (done / "report" / "report.md").read_text()


def test_a_lost_row_or_picture_is_made_again(pairs: Path, tmp_path: Path, made: list) -> None:
    run("main", pairs, tmp_path, "--limit", "1")
    made.clear()
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    (tmp_path / "rows.jsonl").write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:40])  # as after a crash
    (tmp_path / json.loads(lines[0])["file"]).unlink()
    run("main", pairs, tmp_path, "--limit", "1")
    assert len(made) == 2
    assert len(Store.open(tmp_path).rows) == 5


def test_limits_are_for_all_sets_or_for_one(pairs: Path, tmp_path: Path) -> None:
    rows = run(
        "main", pairs, tmp_path, "--data", f"more={pairs}", "--limit", "2", "--limit", "more=1", "--show", "more"
    )
    assert {row["picture"] for row in rows if row["data"] == "set"} == {"p_0", "p_1"}
    assert {row["picture"] for row in rows if row["data"] == "more"} == {"p_0"}
    assert (tmp_path / "report" / "more-pictures.webp").exists(), "the set that may be shown"
    assert not (tmp_path / "report" / "set-pictures.webp").exists()


def test_a_perfect_method_wins_everywhere(pairs: Path, tmp_path: Path, capsys) -> None:
    run("main", pairs, tmp_path, "--method", f"perfect={pairs / 'hr'}", "--limit", "2")
    text = (tmp_path / "report" / "report.md").read_text()
    assert "| perfect | 2 of 2 | 2 of 2 |" in text or "perfect | – | 2 of 2 |" in text
    numbers = json.loads((tmp_path / "report" / "results.json").read_text())
    best = max(numbers["means"]["set"], key=lambda arm: numbers["means"]["set"][arm]["ssim"])
    assert best == "perfect"


def test_what_does_not_fit_is_refused_before_the_first_picture(pairs: Path, tmp_path: Path, made: list) -> None:
    for words, sentence in (
        (["--metrics", "psnr,blah"], "metric: got 'blah'"),
        (["--set", "stepps=4"], "settings: got unknown stepps"),
        (["--set", "steps=0"], "steps: got 0"),
        (["--method", "x=/absent"], "wanted NAME=DIR"),
        (["--limit", "many"], "limit: got 'many'"),
        (["--metrics", "lpips"], "lpips: got no pyiqa"),
    ):
        with pytest.raises(SystemExit, match=sentence):
            main(["main", "--preset", "tiny", "--data", str(pairs), "--out", str(tmp_path / "no"), *words])
    assert not made


def test_a_method_without_a_result_for_a_picture_is_refused(pairs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "partial"
    folder.mkdir()
    Image.open(pairs / "hr" / "p_0.png").save(folder / "p_0.png")
    with pytest.raises(SystemExit, match="partial: got no result for 'p_1'"):
        run("main", pairs, tmp_path / "out", "--method", f"partial={folder}")


def test_at_weight_zero_null_cfg_and_m_cfg_are_one_picture() -> None:
    zero = [Arm("", settings=Settings(guidance=mode, weight=0.0, seed=0)).identity() for mode in ("null-cfg", "m-cfg")]
    two = [Arm("", settings=Settings(guidance=mode, weight=2.0, seed=0)).identity() for mode in ("null-cfg", "m-cfg")]
    assert zero[0] == zero[1] and two[0] != two[1]


def test_labels_as_file_names_stay_apart() -> None:
    labels = ["cfg, w = 2", "m-cfg, w = 2", "depth δ = 0.4 (keys)", "depth δ = 0.4 (bias)", "Canon_001"]
    assert len({slug(label) for label in labels}) == len(labels)
    assert slug("Canon_001_LR4") == "Canon_001_LR4", "so that folders of results can be scored by stem"
    assert "/" not in slug("../x/y")


def test_a_row_is_added_without_reading_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.open(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", lambda path: pytest.fail("read"))
        for name in "ab":
            store.add({"key": name})
    with store.path.open("a") as file:
        file.write('{"key": "cut')
    store.add({"key": "c"})
    assert list(Store.open(tmp_path).rows) == ["a", "b", "c"]
