"""Arms x pictures -> rows.jsonl: one line each, with every measured value and the recipe; resumable.

A row is found again by what it depends on (the arm, the weights, the input, the test picture's place in its set), so a
second run computes only what is missing: new arms, new pictures, or new measures of stored pictures.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from PIL import Image

from mmsr_core.evaluation.arms import Arm, Made, Scene, make, result_file
from mmsr_core.evaluation.datasets import DataSet
from mmsr_core.evaluation.measures import MEASURES, View
from mmsr_core.evaluation.metrics import METRICS, Scorer
from mmsr_core.recipe import fingerprint

if TYPE_CHECKING:
    from mmsr_core.upscaler import Upscaler

WHOLE = "*"  # the picture name of a row that holds values of a whole set


@dataclass(frozen=True)
class Work:
    """What to run.

    Attributes:
        arms: in the order of the report; the first is what `change` and the like compare with.
        scorers: name -> scorer of the wanted metrics.
        measures: names from `MEASURES`.
        out: folder for rows.jsonl and pictures/.
    """

    arms: Sequence[Arm]
    sets: Sequence[DataSet]
    models: Mapping[str, Upscaler]
    scorers: Mapping[str, Scorer]
    measures: Sequence[str]
    out: Path
    baseline: str | None = None  # label of the arm that measures compare with

    def total(self) -> int:
        """Pictures to make or find."""
        return sum(len(self.possible(data)) * len(data.samples) for data in self.sets)

    def possible(self, data: DataSet) -> list[Arm]:
        """The arms that a data set allows: without reference none can be read from it."""
        return [arm for arm in self.arms if arm.source != "hr" or data.samples[0].hr is not None]


@dataclass
class Store:
    """rows.jsonl: append-only; of two rows with one key the later one counts."""

    path: Path
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path) -> Store:
        """A last line that was cut off by a crash is dropped."""
        folder.mkdir(parents=True, exist_ok=True)
        store = cls(folder / "rows.jsonl")
        lines = store.path.read_text().splitlines() if store.path.exists() else []
        for line in lines:
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            store.rows[row["key"]] = row
        return store

    def add(self, row: dict[str, Any]) -> dict[str, Any]:
        self.rows[row["key"]] = row
        with self.path.open("a+b") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(end - 1, 0))
            cut = file.read(1) not in (b"", b"\n")
            file.write(("\n" if cut else "").encode() + json.dumps(row, allow_nan=False).encode() + b"\n")
        return row


def run(work: Work) -> Iterator[dict[str, Any]]:
    """Makes and scores what is missing; yields every row of this work, old or new, picture by picture.

    Raises:
        ValueError: an input or result that does not fit.
    """
    store = Store.open(work.out)
    for data in work.sets:
        for sample in data.samples:
            scene, baseline = Scene(data, sample, work.models), None
            for arm in _baseline_first(work, data):
                row = _row(work, store, arm, scene, baseline)
                if arm.label == work.baseline:
                    baseline = picture_path(work.out, data.name, arm.label, sample.name)
                yield row
        yield from _set_rows(work, store, data)


def _baseline_first(work: Work, data: DataSet) -> list[Arm]:
    return sorted(work.possible(data), key=lambda arm: arm.label != work.baseline)


def _row(work: Work, store: Store, arm: Arm, scene: Scene, baseline: Path | None) -> dict[str, Any]:
    row_key, path = key(work, arm, scene), picture_path(work.out, scene.data.name, arm.label, scene.sample.name)
    old = store.rows.get(row_key)
    wanted = [*_per_picture(work, scene.hr is not None), *work.measures]
    if old is not None and path.exists() and set(wanted) <= set(old["values"]):
        return {**old, "arm": arm.label}
    reusable = old is not None and (work.out / old["file"]).exists()
    made = Made(Image.open(work.out / old["file"]).convert("RGB")) if reusable else make(arm, scene)
    path.parent.mkdir(parents=True, exist_ok=True)
    made.image.save(path)
    view = _view(work, arm, scene, baseline)
    values = {**(old["values"] if reusable else {}), **_scored(work, wanted, made.image, scene, view)}
    row = old if reusable else _facts(work, arm, made)
    identity = {"key": row_key, "arm": arm.label, "data": scene.data.name, "picture": scene.sample.name}
    return store.add({**row, **identity, "file": path.relative_to(work.out).as_posix(), "values": values})


def key(work: Work, arm: Arm, scene: Scene) -> str:
    """Names a row by what its picture and its values depend on."""
    model = work.models.get(arm.model)
    base = next((other.identity() for other in work.arms if other.label == work.baseline), None)
    parts = {
        "arm": arm.identity(),
        "result": hashlib.sha256(result_file(arm, scene).read_bytes()).hexdigest() if arm.folder is not None else None,
        "weights": "" if model is None or arm.method in ("bicubic", "folder") else model.info.hash,
        "baseline": base if work.measures else None,
        "input": fingerprint(scene.lr),
        "set": [scene.data.name, scene.sample.name],
        "neighbours": [sample.name for sample in scene.data.samples] if arm.source == "other" else None,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:20]


def _facts(work: Work, arm: Arm, made: Made) -> dict[str, Any]:
    return {
        "model": arm.model,
        "seconds": made.seconds,
        "attention": None if made.attention is None else dict(made.attention),
        "recipe": None if made.recipe is None else json.loads(made.recipe.to_json()),
    }


def _per_picture(work: Work, has_reference: bool) -> list[str]:
    return [
        name
        for name in work.scorers
        if not METRICS[name].whole_set and (has_reference or not METRICS[name].reference)
    ]  # fmt: skip


def _view(work: Work, arm: Arm, scene: Scene, baseline: Path | None) -> View | None:
    if not work.measures:
        return None
    before = None if baseline is None else Image.open(baseline).convert("RGB")
    return View(scene.lr, before, scene.modalities(arm.model), scene.box)


def _scored(
    work: Work, wanted: Sequence[str], image: Image.Image, scene: Scene, view: View | None
) -> dict[str, float | None]:
    values = {}
    for name in wanted:
        if name in MEASURES:
            value = MEASURES[name].value(image, view)
        else:
            value = work.scorers[name](image, *([scene.hr] if METRICS[name].reference else []))
        values[name] = value if math.isfinite(value) else None
    return values


def _set_rows(work: Work, store: Store, data: DataSet) -> Iterator[dict[str, Any]]:
    """Values that need all pictures of a set at once, such as FID."""
    names = [name for name in work.scorers if METRICS[name].whole_set]
    if not names or data.pair(data.samples[0])[1] is None:
        return
    for arm in work.arms:
        keys = [key(work, arm, Scene(data, sample, work.models)) for sample in data.samples]
        row_key = hashlib.sha256(json.dumps([keys, names]).encode()).hexdigest()[:20]
        if row_key not in store.rows:
            values = _set_values(work, names, data, arm)
            store.add({"key": row_key, "arm": arm.label, "data": data.name, "picture": WHOLE, "values": values})
        yield {**store.rows[row_key], "arm": arm.label}


def _set_values(work: Work, names: Sequence[str], data: DataSet, arm: Arm) -> dict[str, float]:
    """Compares exactly the pictures of this run, whatever else the folders hold."""
    with TemporaryDirectory(prefix="mmsr-set-") as scratch:
        results, references = Path(scratch) / "results", Path(scratch) / "references"
        results.mkdir()
        references.mkdir()
        for sample in data.samples:
            name = f"{slug(sample.name)}.png"
            shutil.copy(picture_path(work.out, data.name, arm.label, sample.name), results / name)
            data.pair(sample)[1].save(references / name)
        return {name: work.scorers[name](results, references) for name in names}


def picture_path(out: Path, data: str, arm: str, picture: str) -> Path:
    return out / "pictures" / slug(data) / slug(arm) / f"{slug(picture)}.png"


def slug(text: str) -> str:
    """A label as a file name."""
    return re.sub(r"[^a-zA-Z0-9._=+-]+", "-", text).strip("-.")
