"""Whether the attention temperatures do what they are said to: labels, tables and curves of that experiment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import spearmanr

from mmsr_core.compare import SWEEP_TEMPERATURES
from mmsr_core.evaluation.datasets import DataSet
from mmsr_core.evaluation.summary import DASH, Curve, Results, Table, charted, entry, number
from mmsr_core.settings import MODALITY_NAMES, declared

FORMS = declared("temperature_form").metadata["choices"]
# modality -> the measure that should rise when its temperature falls (paper, section 4.3). Of objects it is the
# contrast of detail: their mean colour is the input's, which the colour match sees to.
CLAIMS = {"depth": "depth_of_field", "segmentation": "object_detail", "edge": "edge_energy"}


def tempered(name: str, form: str, value: float) -> str:
    return "neutral" if value == 1 else f"{name} δ = {value:g} ({form})"


def dials(results: Results, data: DataSet) -> Table:
    """Modality x form: how much changes, how much it is heard, and whether the claimed measure follows δ."""
    header = ["", *(f"change at δ = {v:g}" for v in SWEEP_TEMPERATURES if v != 1)]
    header += [
        *(f"heard at {v:g}" for v in SWEEP_TEMPERATURES),
        "claimed measure",
        "0.4 − 10",
        "rank corr.",
        "monotone",
    ]
    rows = []
    for name in MODALITY_NAMES:
        for form in FORMS:
            labels = [tempered(name, form, value) for value in SWEEP_TEMPERATURES]
            changes = [results.mean(data.name, label, "change") for label in labels if label != "neutral"]
            heard = [results.heard(data.name, label, name) for label in labels]
            cells = [*(number(value) for value in changes), *(f"{share:.0%}" for share in heard)]
            rows.append([f"{name} ({form})", *cells, *_follows(results, data.name, labels, CLAIMS.get(name))])
    note = (
        "Change in grey levels from neutral; heard: share of the connector's attention; 0.4 − 10: the claimed "
        "measure at δ = 0.4 minus at δ = 10 (the claim: above 0); rank corr.: of falling δ with it, mean over the "
        "pictures; monotone: pictures on which every step of δ moves it the claimed way."
    )
    return Table(f"{data.name}: the dials", header, rows, note)


def _follows(results: Results, data: str, labels: Sequence[str], measure: str | None) -> list[str]:
    if measure is None:
        return [DASH] * 4
    columns = [results.values(data, label, measure) for label in labels]
    pictures = [picture for picture in columns[0] if all(picture in column for column in columns)]
    curves = np.array([[column[picture] for column in columns] for picture in pictures])
    if not len(curves):
        return [entry(measure).heading, DASH, DASH, f"0 of {len(pictures)}"]
    ranks = [-spearmanr(SWEEP_TEMPERATURES, curve).statistic for curve in curves if np.ptp(curve) > 0]
    monotone = int((np.diff(curves) < 0).all(1).sum())
    swing = float((curves[:, 0] - curves[:, -1]).mean())
    rank = float(np.mean(ranks)) if ranks else float("nan")
    return [entry(measure).heading, f"{swing:+.3f}", number(rank), f"{monotone} of {len(pictures)}"]


def change_curve(results: Results, data: DataSet) -> Curve:
    return charted(
        results, f"{data.name}: change from neutral", "temperature δ", "grey levels",
        lambda arm: results.mean(data.name, arm.label, "change"), log=True,
    )  # fmt: skip


def dial_curve(results: Results, data: DataSet, name: str, measure: str) -> Curve:
    title = f"{data.name}: {entry(measure).heading} by the temperature of {name}"
    series = {
        form: [(value, results.mean(data.name, tempered(name, form, value), measure)) for value in SWEEP_TEMPERATURES]
        for form in FORMS
    }
    return Curve(title, "temperature δ", entry(measure).heading, series, log=True)
