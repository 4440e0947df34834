"""The report of one experiment: report.md, report.html, results.json, charts and picture grids in one folder."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from mmsr_core import __version__
from mmsr_core.evaluation import figures, markup
from mmsr_core.evaluation.arms import Arm
from mmsr_core.evaluation.datasets import DataSet
from mmsr_core.evaluation.markup import Block, Figure, Heading, Paragraph
from mmsr_core.evaluation.measures import MEASURES
from mmsr_core.evaluation.metrics import METRICS
from mmsr_core.evaluation.runs import picture_path, slug
from mmsr_core.evaluation.summary import Curve, Results, Table
from mmsr_core.outcome import Info
from mmsr_core.presets import ASSETS


@dataclass(frozen=True)
class Experiment:
    """What is run and how its rows are shown.

    Attributes:
        about: what is asked, in plain words.
        arms: in the order of the report.
        baseline: label of the arm that measures and difference tables refer to.
        tables, curves: (results, data set) -> what to show.
        grid: labels of the arms in the picture grid; empty for none.
        paper: name of a file under assets/paper with the paper's own numbers.
    """

    name: str
    title: str
    about: str
    arms: Sequence[Arm]
    tables: Callable[[Results, DataSet], list[Table]]
    curves: Callable[[Results, DataSet], list[Curve]] = lambda results, data: []
    measures: Sequence[str] = ()
    baseline: str | None = None
    grid: Sequence[str] = ()
    paper: str | None = None


def write(
    experiment: Experiment,
    results: Results,
    info: Info,
    out: Path,
    pictures: int = 4,
    shown: Sequence[str] | None = None,
) -> list[Table]:
    """Writes everything below `out / "report"`; returns the tables, for the terminal.

    Args:
        out: the folder of the run, with pictures/.
        pictures: test pictures in a grid.
        shown: data sets of which there are grids; None: all.
    """
    folder = out / "report"
    if folder.exists():
        shutil.rmtree(folder)  # charts of an earlier run that this one does not have
    folder.mkdir(parents=True)
    tables = {data.name: experiment.tables(results, data) for data in results.sets}
    blocks: list[Block] = [Heading(experiment.title, 1), Paragraph(experiment.about), Paragraph(_provenance(info))]
    for data in results.sets:
        blocks += [Heading(data.name), *tables[data.name]]
        blocks += _charts(experiment, results, data, folder)
        blocks += _grid(experiment, data, out, folder, pictures) if shown is None or data.name in shown else []
    blocks += [Heading("Measures"), *(Paragraph(line) for line in _glossary(results.names))]
    blocks += _paper(experiment.paper)
    (folder / "report.md").write_text(markup.markdown(blocks))
    (folder / "report.html").write_text(markup.page(experiment.title, blocks))
    (folder / "results.json").write_text(json.dumps(_numbers(experiment, results, info), indent=1))
    return [table for found in tables.values() for table in found]


def _provenance(info: Info) -> str:
    return (
        f"{info.title}, weights {info.hash}, {info.dtype} on {info.device}, MMSR Studio {__version__}; "
        "seeds are fixed, every row's recipe is in rows.jsonl."
    )


def _charts(experiment: Experiment, results: Results, data: DataSet, folder: Path) -> list[Figure]:
    made = []
    for number, curve in enumerate(experiment.curves(results, data), 1):
        if any(len(points) > 1 for points in curve.series.values()):
            file = f"{slug(data.name)}-chart-{number}.png"
            figures.chart(curve, folder / file)
            made.append(Figure(file, curve.title))
    return made


def _grid(experiment: Experiment, data: DataSet, out: Path, folder: Path, count: int) -> list[Block]:
    if not experiment.grid or count < 1:
        return []
    first = data.samples[0].name
    rows, columns = [], [arm for arm in experiment.grid if picture_path(out, data.name, arm, first).exists()]
    for sample in data.limited(count).samples:
        lr, hr = data.pair(sample)
        cells = [Image.open(picture_path(out, data.name, arm, sample.name)).convert("RGB") for arm in columns]
        cells += [] if hr is None else [hr]
        box = figures.busiest(cells[-1])
        rows.append([cell.crop(box) for cell in cells])
    columns += ["reference"] if hr is not None else []
    file = f"{slug(data.name)}-pictures.webp"
    figures.grid(columns, rows).save(folder / file, quality=93, method=6)
    names = ", ".join(sample.name for sample in data.limited(count).samples)
    return [Paragraph(f"Crops at 1:1 where the picture has most detail ({names}):"), Figure(file, ", ".join(columns))]


def _glossary(names: Sequence[str]) -> list[str]:
    metrics = [f"**{METRICS[n].heading}**: {METRICS[n].source}." for n in names if n in METRICS]
    return metrics + [f"**{MEASURES[n].heading}**: {MEASURES[n].about}." for n in names if n in MEASURES]


def _paper(name: str | None) -> list[Block]:
    """The paper's own table, apart from ours."""
    if name is None:
        return []
    values = json.loads((ASSETS / "paper" / f"{name}.json").read_text())
    table = Table(values["title"], values["header"], values["rows"], values["note"])
    return [Heading("In the paper"), Paragraph(f"Source: {values['source']}"), table]


def _numbers(experiment: Experiment, results: Results, info: Info) -> dict:
    """Everything that was measured, by data set, arm, measure and picture; recipes stay in rows.jsonl."""

    def rounded(values: dict[str, float]) -> dict[str, float]:
        return {picture: round(value, 5) for picture, value in values.items()}

    def means(data: str, arm: str) -> dict[str, float | None]:
        found = {name: results.mean(data, arm, name) for name in results.names}
        return {name: None if math.isnan(value) else round(value, 5) for name, value in found.items()}

    arms = [arm.label for arm in results.arms]
    sets = [data.name for data in results.sets]
    return {
        "experiment": experiment.name,
        "preset": info.preset,
        "weights": info.hash,
        "version": __version__,
        "data": {data.name: data.about for data in results.sets},
        "arms": {arm.label: arm.identity() for arm in results.arms},
        "means": {data: {arm: means(data, arm) for arm in arms} for data in sets},
        "pictures": {
            data: {arm: {name: rounded(results.values(data, arm, name)) for name in results.names} for arm in arms}
            for data in sets
        },
    }
