"""Rows -> means, paired differences and tables for people."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmsr_core.evaluation.arms import Arm
from mmsr_core.evaluation.datasets import DataSet
from mmsr_core.evaluation.measures import MEASURES, Measure
from mmsr_core.evaluation.metrics import METRICS, Metric
from mmsr_core.evaluation.runs import WHOLE

DASH = "–"


@dataclass(frozen=True)
class Table:
    """A table of the report; cells are ready to print."""

    title: str
    header: list[str]
    rows: list[list[str]]
    note: str = ""


@dataclass(frozen=True)
class Curve:
    """One chart: series -> (x, y) points."""

    title: str
    x: str
    y: str
    series: Mapping[str, Sequence[tuple[float, float]]]
    log: bool = False


@dataclass(frozen=True)
class Results:
    """All rows of one run of an experiment."""

    arms: Sequence[Arm]
    sets: Sequence[DataSet]
    rows: Sequence[Mapping[str, Any]]
    names: Sequence[str]  # metrics and measures that were asked for

    def values(self, data: str, arm: str, name: str) -> dict[str, float]:
        """Picture -> value, where there is one."""
        found = [row for row in self.rows if row["data"] == data and row["arm"] == arm]
        return {row["picture"]: row["values"][name] for row in found if row["values"].get(name) is not None}

    def mean(self, data: str, arm: str, name: str) -> float:
        values = list(self.values(data, arm, name).values())
        return float(np.mean(values)) if values else math.nan

    def paired(self, data: str, arm: str, base: str, name: str) -> tuple[float, float]:
        """Mean and standard error of the difference on the pictures that both arms have."""
        one, other = self.values(data, arm, name), self.values(data, base, name)
        gaps = [one[picture] - other[picture] for picture in one if picture in other and picture != WHOLE]
        error = float(np.std(gaps, ddof=1) / math.sqrt(len(gaps))) if len(gaps) > 1 else math.nan
        return (float(np.mean(gaps)) if gaps else math.nan), error

    def seconds(self, data: str, arm: str) -> float:
        found = [row.get("seconds") for row in self.rows if row["data"] == data and row["arm"] == arm]
        known = [value for value in found if value is not None]
        return float(np.median(known)) if known else math.nan

    def heard(self, data: str, arm: str, name: str) -> float:
        """Mean share of the connector's attention that a modality gets."""
        shares = [row.get("attention") for row in self.rows if row["data"] == data and row["arm"] == arm]
        known = [share[name] for share in shares if share]
        return float(np.mean(known)) if known else math.nan


def entry(name: str) -> Metric | Measure:
    """The row of a metric or a measure."""
    return METRICS[name] if name in METRICS else MEASURES[name]


def shown(name: str, value: float) -> str:
    return DASH if math.isnan(value) else f"{value:.{entry(name).digits}f}"


def number(value: float, digits: int = 2) -> str:
    return DASH if math.isnan(value) else f"{value:.{digits}f}"


def means(results: Results, data: DataSet, best: bool = True) -> Table:
    """Every arm's mean of everything; the best metric value of a column is bold."""
    header = ["", *(entry(name).heading for name in results.names), "s a picture"]
    columns = {name: [results.mean(data.name, arm.label, name) for arm in results.arms] for name in results.names}
    marked = {name: _best(name, values) for name, values in columns.items()} if best else {}
    rows = []
    for i, arm in enumerate(results.arms):
        cells = [
            f"**{shown(name, values[i])}**" if i in marked.get(name, ()) else shown(name, values[i])
            for name, values in columns.items()
        ]
        rows.append([arm.label, *cells, number(results.seconds(data.name, arm.label))])
    return Table(data.about, header, rows)


def _best(name: str, values: Sequence[float]) -> set[int]:
    known = [value for value in values if not math.isnan(value)]
    if name not in METRICS or len(set(known)) < 2:
        return set()
    target = max(known) if METRICS[name].better == "higher" else min(known)
    return {i for i, value in enumerate(values) if shown(name, value) == shown(name, target)}


def gaps(results: Results, data: DataSet, base: str) -> Table:
    """Every arm minus one of them, picture by picture."""
    header = ["", *(entry(name).heading for name in results.names)]
    rows = []
    for arm in results.arms:
        if arm.label == base:
            continue
        pairs = [(name, *results.paired(data.name, arm.label, base, name)) for name in results.names]
        rows.append([arm.label, *(_signed(entry(name).digits + 1, mean, error) for name, mean, error in pairs)])
    note = "Mean of the differences, ± one standard error over the pictures."
    return Table(f"{data.name}: difference from “{base}”", header, rows, note)


def _signed(digits: int, mean: float, error: float) -> str:
    if math.isnan(mean):
        return DASH
    return f"{mean:+.{digits}f}" + ("" if math.isnan(error) else f" ± {error:.{digits}f}")


def wins(results: Results, data: DataSet, base: str, names: Sequence[str]) -> Table:
    """On how many of the pictures an arm beats another."""
    rows = []
    for arm in results.arms:
        if arm.label != base:
            rows.append([arm.label, *(_won(results, data.name, arm.label, base, name) for name in names)])
    return Table(
        f"{data.name}: pictures on which an arm beats “{base}”", ["", *(METRICS[n].title for n in names)], rows
    )


def _won(results: Results, data: str, arm: str, base: str, name: str) -> str:
    one, other = results.values(data, arm, name), results.values(data, base, name)
    sign = 1 if METRICS[name].better == "higher" else -1
    both = [picture for picture in one if picture in other]
    return f"{sum(sign * (one[p] - other[p]) > 0 for p in both)} of {len(both)}" if both else DASH


def by_place(results: Results, data: DataSet, name: str, x: str, log: bool = False) -> Curve:
    """A chart of one value over the arms' places."""
    return charted(
        results, f"{data.name}: {entry(name).heading}", x, entry(name).heading,
        lambda arm: results.mean(data.name, arm.label, name), log,
    )  # fmt: skip


def charted(
    results: Results, title: str, x: str, y: str, value: Callable[[Arm], float], log: bool = False
) -> Curve:  # fmt: skip
    series: dict[str, list[tuple[float, float]]] = {}
    for arm in results.arms:
        if arm.place is not None and not math.isnan(value(arm)):
            series.setdefault(arm.place[0], []).append((arm.place[1], value(arm)))
    return Curve(title, x, y, {label: sorted(points) for label, points in series.items()}, log)
