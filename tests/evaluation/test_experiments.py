"""Every experiment of the paper is there, complete, and its tables say what its rows say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmsr_core.compare import SWEEP_TEMPERATURES
from mmsr_core.evaluation.__main__ import TOOLS, main
from mmsr_core.evaluation.datasets import DataSet, Sample
from mmsr_core.evaluation.dials import CLAIMS, FORMS, dials, tempered
from mmsr_core.evaluation.experiments import EXPERIMENTS, WEIGHTS, Options
from mmsr_core.evaluation.measures import MEASURES
from mmsr_core.evaluation.summary import Results, gaps, means, wins
from mmsr_core.presets import ASSETS
from mmsr_core.settings import MODALITY_NAMES, Settings

from .test_runs import run

OPTIONS = Options(Settings(seed=0), ["no-connector"], {}, True)
DATA = DataSet("set", (Sample("a", None, None), Sample("b", None, None)))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_labels_are_unique_and_what_is_named_exists(name: str) -> None:
    experiment = EXPERIMENTS[name][0](OPTIONS)
    labels = [arm.label for arm in experiment.arms]
    assert len(set(labels)) == len(labels)
    assert set(experiment.grid) <= set(labels) and set(experiment.measures) <= set(MEASURES)
    assert experiment.baseline is None or experiment.baseline in labels
    assert all(arm.settings.seed == 0 for arm in experiment.arms)
    assert experiment.paper is None or (ASSETS / "paper" / f"{experiment.paper}.json").exists()


def test_guidance_has_every_mode_at_every_weight() -> None:
    arms = EXPERIMENTS["guidance"][0](OPTIONS).arms
    found = {(arm.settings.guidance, arm.settings.weight) for arm in arms if arm.place}
    assert found == {(mode, weight) for mode in ("cfg", "null-cfg", "m-cfg") for weight in WEIGHTS}


def test_modalities_has_all_none_each_alone_and_all_but_each() -> None:
    given = {arm.names for arm in EXPERIMENTS["modalities"][0](OPTIONS).arms if arm.method == "mmsr"}
    singles = {(name,) for name in MODALITY_NAMES}
    others = {tuple(n for n in MODALITY_NAMES if n != name) for name in MODALITY_NAMES}
    assert given == {MODALITY_NAMES, ()} | singles | others


def test_temperature_turns_one_dial_at_a_time_in_both_forms() -> None:
    arms = EXPERIMENTS["temperature"][0](OPTIONS).arms[1:]
    assert all(len(arm.settings.temperature) == 1 for arm in arms)
    assert len(arms) == len(MODALITY_NAMES) * len(FORMS) * (len(SWEEP_TEMPERATURES) - 1)


def test_the_connector_needs_a_second_model() -> None:
    with pytest.raises(ValueError, match="wanted a second one trained without MMLC"):
        EXPERIMENTS["connector"][0](Options(Settings(seed=0)))
    assert [arm.model for arm in EXPERIMENTS["connector"][0](OPTIONS).arms] == ["", "", "no-connector"]


def test_unknown_commands_list_the_known_ones() -> None:
    for words in ([], ["blah"]):
        with pytest.raises(SystemExit) as refused:
            main(words)
        assert all(name in str(refused.value) for name in (*EXPERIMENTS, *TOOLS))


@pytest.mark.parametrize("name", ["edits", "modalities"])
def test_an_experiment_runs_to_its_report(name: str, pairs: Path, tmp_path: Path) -> None:
    rows = run(name, pairs, tmp_path, "--limit", "1", "--pictures", "1", "--set", "steps=1")
    experiment = EXPERIMENTS[name][0](Options(Settings(seed=0)))
    assert {(row["arm"], row["picture"]) for row in rows} == {
        (arm.label, picture) for arm in experiment.arms for picture in ("p_0",)
    }
    base = next(row for row in rows if row["arm"] == experiment.baseline)
    assert base["values"]["change"] == 0
    text = (tmp_path / "report" / "report.md").read_text()
    assert all(f"\n| {arm.label} |" in text for arm in experiment.arms)


def test_the_papers_own_numbers_stand_apart(pairs: Path, tmp_path: Path) -> None:
    run("guidance", pairs, tmp_path, "--limit", "1", "--set", "steps=1", "--pictures", "0")
    ours, theirs = (tmp_path / "report" / "report.md").read_text().split("## In the paper")
    paper = json.loads((ASSETS / "paper" / "guidance.json").read_text())
    assert all(cell in theirs and cell not in ours for row in paper["rows"] for cell in row[1:])
    assert "never the values" in theirs


def results(values: dict[str, dict[str, float]], name: str = "psnr") -> Results:
    """Results of arms: label -> picture -> value."""
    rows = [
        {"arm": arm, "data": "set", "picture": picture, "values": {name: value}, "attention": dict.fromkeys("x")}
        for arm, column in values.items()
        for picture, value in column.items()
    ]
    arms = [type("Arm", (), {"label": label, "place": None})() for label in values]
    return Results(arms, [DATA], [{**row, "attention": None} for row in rows], [name])


def test_means_differences_and_wins() -> None:
    found = results({"bicubic": {"a": 20.0, "b": 30.0}, "ours": {"a": 23.0, "b": 29.0}})
    assert means(found, DataSet("set", (Sample("a", Path("a"), None),))).rows == [
        ["bicubic", "25.00", "–"],
        ["ours", "**26.00**", "–"],
    ]
    assert gaps(found, DATA, "bicubic").rows == [["ours", "+1.000 ± 2.000"]]
    assert wins(found, DATA, "bicubic", ["psnr"]).rows == [["ours", "1 of 2"]]


@pytest.mark.parametrize("falling, monotone, rank", [(True, "2 of 2", "1.00"), (False, "0 of 2", "-1.00")])
def test_a_dial_is_monotone_where_every_step_moves_the_claimed_way(falling: bool, monotone: str, rank: str) -> None:
    measure = CLAIMS["depth"]
    sign = -1 if falling else 1
    found = results(
        {
            tempered("depth", FORMS[0], delta): {"a": sign * i, "b": sign * i + 5}
            for i, delta in enumerate(SWEEP_TEMPERATURES)
        },
        measure,
    )
    row = next(row for row in dials(found, DATA).rows if row[0] == f"depth ({FORMS[0]})")
    assert row[-4:] == [MEASURES[measure].heading, f"{-3 * sign:+.3f}", rank, monotone]
