"""The Compare tab: the same photo, seed and noise, one thing changed at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
from PIL import Image

from app import controls, examples, texts, views
from app.handlers import Changes, guarded
from app.job import Job, work
from app.maps import Maps
from app.run import tabled
from app.visit import Visit, modalities
from mmsr_core import compare
from mmsr_core.images import Photo, open_photo
from mmsr_core.pace import Countdown
from mmsr_core.settings import Settings, declared
from mmsr_core.sizes import fitted

KINDS = {
    "guidance": "Guidance: cfg, null-cfg, m-cfg",
    "weight": "Sweep of the weight w",
    "temperature": "Sweep of one temperature",
    "edits": "Did my edits matter?",
}
WEIGHT = 10.0  # of the guidance modes beside each other: at small ones they hardly differ
MOST = 12  # pictures of one sweep
WORKED = (0, "depth", (0.4, 10.0))  # example photo, modality, temperatures


@dataclass
class Layout:
    """What to compute and how to lay it out: rows x columns of variants."""

    title: str
    variants: list[compare.Variant]
    rows: Sequence[str]
    columns: Sequence[str]
    x: Sequence[float] = ()  # of the curve, empty for none
    x_label: str = ""


class Compare(Job):
    """Handlers of the Compare tab."""

    kind = "compare"

    def __init__(self, maps: Maps) -> None:
        super().__init__(maps.engine, maps.page)
        self.maps = maps

    @property
    def notice(self) -> gr.HTML:
        return self.page.compare_notice

    @property
    def status(self) -> gr.HTML:
        return self.page.compare_status

    @property
    def starters(self) -> list[gr.Button]:
        return [self.page.compare_start, self.page.worked]

    @property
    def stopper(self) -> gr.Button:
        return self.page.compare_stop

    def options(self, kind: str) -> Changes:
        """Only the fields that the kind needs."""
        return {
            self.page.compare_weight: gr.Slider(visible=kind == "guidance"),
            self.page.compare_weights: gr.Textbox(visible=kind == "weight"),
            self.page.compare_modes: gr.CheckboxGroup(visible=kind == "weight"),
            self.page.compare_name: gr.Dropdown(visible=kind == "temperature"),
            self.page.compare_temperatures: gr.Textbox(visible=kind == "temperature"),
        }

    @work
    def start(
        self,
        visit: Visit,
        kind: str,
        weight: float,
        weights: str,
        modes: list[str],
        name: str,
        temperatures: str,
        *values: Any,
    ) -> Iterator[Changes]:
        """Compare with the photo, maps and settings of the Studio tab."""
        settings = controls.read(values).drawn
        yield from self.maps.ready(visit, self)
        if self.asked_to_stop(visit).is_set():
            yield {self.status: texts.notice("Stopped while the photo was being read.")}
            return
        photo, given = visit.photo, modalities(visit.slots)
        if kind == "edits":
            layout = _edits(visit, given, settings)
        else:
            words = {"guidance": f"{weight:g}", "weight": weights}.get(kind, temperatures)
            layout = layout_for(kind, given, settings, words, modes, name)
        yield from self.compute(visit, photo, layout)

    @work
    def worked(self, visit: Visit) -> Iterator[Changes]:
        """What a depth temperature of 0.4 against 10 does, on a bundled photo; the visitor's own is left alone."""
        index, name, temperatures = WORKED
        photo = open_photo(examples.path(index))
        yield {self.status: texts.progress(0, "Reading the example photo")}
        modalities = self.engine.upscaler().extract(photo.rgb)
        layout = _temperatures(modalities, Settings(seed=1), name, temperatures)
        yield from self.compute(visit, photo, layout)

    def compute(self, visit: Visit, photo: Photo, layout: Layout) -> Iterator[Changes]:
        """Sample variant after variant; Stop keeps those that are done."""
        done: list[Any] = []
        countdown = Countdown(None)
        states = compare.run(self.engine.upscaler(), photo.rgb, layout.variants)
        try:
            for state in states:
                if self.asked_to_stop(visit).is_set():
                    break
                yield {self.status: _progress(state, countdown), **self.live(state, photo)}
                if state.step.result is not None:
                    done.append(state.step.result)
        finally:
            states.close()
        stopped = "Stopped; what was done is kept." if self.asked_to_stop(visit).is_set() else ""
        yield {self.status: texts.notice(stopped), **(self.show(visit, photo, layout, done) if done else {})}

    def live(self, state: compare.State, photo: Photo) -> Changes:
        preview = state.step.preview  # decoded when asked for
        if preview is None or state.step.result is not None:
            return {}
        scale = state.variant.settings.scale
        size = (photo.rgb.width * scale, photo.rgb.height * scale)
        return {self.page.compare_viewer: views.preview(preview, size)}

    def show(self, visit: Visit, photo: Photo, layout: Layout, done: list[Any]) -> Changes:
        """Viewer, numbers and, when all is done, the grid with its curve."""
        labels = [variant.label for variant in layout.variants[: len(done)]]
        images = [result.finish() for result in done]
        reference = None if visit.reference is None or photo is not visit.photo else visit.reference
        numbers = [tabled(image, photo, reference) for image in images]
        shown = views.Comparison(["Plain upscale (bicubic)", *labels], [done[0].bicubic, *images], done[0].tiles)
        changes = {
            self.page.compare_viewer: shown.value(1, len(images)),
            self.page.compare_numbers: texts.table(labels, numbers),
        }
        if len(done) < len(layout.variants):
            return changes
        visit.comparison = sheet(layout, images, numbers, done[0].seed)
        alt = f"{layout.title}: {', '.join(labels)}, seed {done[0].seed}"
        shown = f'<img class="sheet" src="{views.data_url(visit.comparison)}" alt="{alt}">'
        return {**changes, self.page.compare_sheet: shown, self.page.compare_save: gr.Button(interactive=True)}

    @guarded
    def save(self, visit: Visit) -> Changes:
        if visit.comparison is None:
            raise ValueError("There is no finished comparison to save yet.")
        path = visit.folder / "comparison.png"
        visit.comparison.save(path)
        return {self.page.file: str(path)}


def _progress(state: compare.State, countdown: Countdown) -> str:
    """How far all pictures together are."""
    step = state.step
    each = step.steps * step.tiles
    done, total = state.index * each + step.done, state.count * each
    prefix = f"Picture {state.index + 1} of {state.count} ({state.variant.label}) · "
    return texts.step(replace(step, seconds_left=countdown.left(done, total)), prefix, done / total)


def layout_for(
    kind: str, modalities: Mapping, settings: Settings, words: str, modes: Sequence[str], name: str
) -> Layout:
    """The variants of one kind of comparison; `words` are the swept values, empty for the usual ones.

    Raises:
        ValueError: an unknown kind, no mode, or values outside the range.
    """
    if kind == "guidance":
        (weight,) = _numbers(words, "weight", [settings.weight], most=1)
        settings = settings.with_(weight=weight)
        variants = compare.by_guidance(modalities, settings)
        return Layout("Guidance mode", variants, [f"w = {settings.weight:g}"], [row.label for row in variants])
    if kind == "temperature":
        return _temperatures(modalities, settings, name, _numbers(words, "temperature", compare.SWEEP_TEMPERATURES))
    if kind != "weight":
        raise ValueError(f"kind: got {kind!r}, wanted guidance, weight or temperature")
    weights = _numbers(words, "weight", compare.SWEEP_WEIGHTS)
    modes = [mode for mode in compare.GUIDANCE_MODES if mode in modes]
    if not modes:
        raise ValueError("Choose at least one guidance mode for the sweep.")
    if len(weights) * len(modes) > MOST:
        raise ValueError(f"A sweep makes {MOST} pictures at most, got {len(weights)} weights for {len(modes)} modes.")
    variants = compare.by_weight(modalities, settings, weights, modes)
    return Layout("Guidance weight", variants, modes, [f"w = {w:g}" for w in weights], weights, "weight w")


def sheet(layout: Layout, images: list[Image.Image], numbers: list[Mapping[str, float]], seed: int) -> Image.Image:
    """The labelled grid, and below it each number over the swept value."""
    width = len(layout.columns)
    small = [fitted(image, 512) for image in images]
    cells = [small[start : start + width] for start in range(0, len(small), width)]
    parts = [views.picture(views.grid(layout.rows, layout.columns, cells, f"{layout.title}, seed {seed}"))]
    for key in numbers[0] if len(layout.x) > 2 else ():
        lines = {row: [cell[key] for cell in numbers[y * width : (y + 1) * width]] for y, row in enumerate(layout.rows)}
        parts.append(views.picture(views.curve(layout.x, lines, layout.x_label, key)))
    return views.stacked(parts)


def _temperatures(modalities: Mapping, settings: Settings, name: str, values: Sequence[float]) -> Layout:
    if name not in modalities:
        raise ValueError(f"The {name} is switched off, so its temperature changes nothing; switch it on first.")
    variants = compare.by_temperature(modalities, settings, name, values)
    return Layout(
        f"{name.capitalize()} temperature", variants, [name], [f"{value:g}" for value in values], values, "temperature"
    )


def _edits(visit: Visit, modalities: Mapping, settings: Settings) -> Layout:
    edited = [name for name, slot in visit.slots.items() if slot.on and slot.made_by_hand]
    if not edited:
        raise ValueError("Nothing is edited or uploaded yet; change a map or the caption on the Studio tab first.")
    extracted = dict(modalities)
    for name in edited:
        if visit.slots[name].extracted is None:
            raise ValueError(f"The {name} was never extracted from this photo; press Re-extract, then edit it again.")
        extracted[name] = visit.slots[name].extracted
    variants = compare.by_edits(modalities, extracted, settings)
    return Layout(f"Edits of {', '.join(edited)}", variants, ["result"], [row.label for row in variants])


def _numbers(words: str, name: str, usual: Sequence[float], most: int = 8) -> list[float]:
    """ "2, 6, 10" -> numbers inside the range of the setting; nothing -> the usual ones.

    Raises:
        ValueError: no number, too many, or one outside the range.
    """
    low, high = declared(name).metadata["range"]
    try:
        found = [float(word) for word in words.replace(";", ",").split(",") if word.strip()]
    except ValueError:
        raise ValueError(f"{name}: got {words!r}, wanted numbers with commas between them") from None
    found = found if found else list(usual)
    if len(found) > most or not all(low <= value <= high for value in found):
        count = "one number" if most == 1 else f"1 to {most} numbers"
        raise ValueError(f"{name}: got {words!r}, wanted {count} from {low:g} to {high:g}")
    return found
