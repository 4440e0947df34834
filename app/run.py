"""Run and Stop, and everything that can be done with a finished result without sampling again."""

from __future__ import annotations

import copy
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from app import controls, part, texts, views
from app.handlers import Changes, guarded
from app.job import Job, work
from app.maps import Maps
from app.visit import Finished, Visit, modalities
from mmsr_core import compare
from mmsr_core.evaluation import metrics
from mmsr_core.images import Photo, encode, open_photo
from mmsr_core.modalities.given import now
from mmsr_core.recipe import Recipe, record
from mmsr_core.settings import Settings


class Run(Job):
    """Handlers of the result part. Missing maps are extracted with the handlers of the maps part."""

    kind = "run"

    def __init__(self, maps: Maps) -> None:
        super().__init__(maps.engine, maps.page)
        self.maps = maps

    @property
    def starters(self) -> list[gr.Button]:
        return [self.page.run, self.page.run_part]

    @property
    def stopper(self) -> gr.Button:
        return self.page.stop

    @work
    def run(self, visit: Visit, *values: Any) -> Iterator[Changes]:
        """The whole photo."""
        yield from self.made(visit, values)

    @work
    def run_part(self, visit: Visit, place: Any, *values: Any) -> Iterator[Changes]:
        """The part inside the frame, which stands at `place`; its maps are those of the whole photo."""
        yield from self.made(visit, values, place or {})

    def made(self, visit: Visit, values: Sequence[Any], place: Any = None) -> Iterator[Changes]:
        """Extract what is missing, sample, show. The sampler is closed whatever happens, which frees the device."""
        settings = controls.read(values).drawn
        yield from self.maps.ready(visit, self)
        run = self.snapshot(visit, settings)
        if place is not None:
            run = part.cut(run, part.read(place, run.photo.rgb.size))
        steps = self.engine.upscaler().stream(run.photo.rgb, modalities(run.slots), settings)
        try:
            for step in steps:
                if self.asked_to_stop(visit).is_set():
                    yield {self.page.status: texts.notice("Stopped. Your photo, maps and settings are kept.")}
                    return
                yield {self.page.status: texts.step(step), **self.shown(step, run)}
                if step.result is not None:
                    visit.remember(replace(run, result=step.result, settings=step.result.settings))
        finally:
            steps.close()
        yield {**self.finished(visit), self.page.status: "", self.page.history: self.shelf(visit)}

    def learnt(self, visit: Visit | None, place: Any, *values: Any) -> Changes:
        """After a run: the seed that was drawn for it, and what the next one will cost, as the widgets stand now."""
        seed = visit.seed if visit is not None and values[-1] else None
        return {**self.planned(visit, place, *values), **({} if seed is None else {self.page.seed: seed})}

    def snapshot(self, visit: Visit, settings: Settings) -> Finished:
        """What the run is made from, so that later edits do not change the history."""
        info = self.engine.upscaler().info
        slots = {name: copy.copy(slot) for name, slot in visit.slots.items()}
        return Finished(visit.photo, settings, None, slots, visit.mask, info.preset, info.hash)

    def shown(self, step: Any, run: Finished) -> Changes:
        preview = step.preview  # decoded when asked for
        if preview is None or step.result is not None:
            return {}
        size = (run.photo.rgb.width * run.settings.scale, run.photo.rgb.height * run.settings.scale)
        return {self.page.viewer: views.preview(preview, size)}

    def finished(self, visit: Visit) -> Changes:
        """The viewer and the read-outs of the current result."""
        run = visit.finished
        image = picture(run)
        labels, images = ["Plain upscale (bicubic)", "Result"], [run.result.bicubic, image]
        images = [views.on_checks(one, run.photo.alpha) for one in images]
        before = visit.before(run)
        if before is not None:
            labels, images = [*labels, "Run before"], [*images, views.on_checks(picture(before), run.photo.alpha)]
        reference = part.reference(visit.reference, run) if run.origin.photo is visit.photo else None
        if reference is not None:
            resized = reference.resize(image.size, Image.Resampling.LANCZOS)
            labels, images = [*labels, "Reference"], [*images, resized]
        numbers = tabled(image, run.photo, reference)
        fidelity = compare.fidelity(image, run.photo.rgb)
        error = views.heat(fidelity.map).resize(image.size, Image.Resampling.NEAREST)
        overlay = {"label": "Fidelity error", "src": views.data_url(error, lossless=False), "pair": None}
        shown = views.Comparison(labels, images, run.result.tiles, extra_overlays=[overlay])
        return {
            self.page.viewer: shown.value(0, 1),
            self.page.readout: texts.readout(run.result, numbers, texts.part_of(run)),
            self.page.attention: views.attention_bar(run.result.attention) if run.result.attention else "",
            **{button: gr.Button(interactive=True) for button in self.page.hand_over()},
        }

    def shelf(self, visit: Visit) -> list[dict[str, str]]:
        return [
            {
                "src": views.thumb(run.result.sampled),
                "title": texts.run_title(run),
                "note": texts.run_note(run),
            }
            for run in visit.history
        ]

    @guarded
    def recolor(self, visit: Visit, color: str) -> Changes | None:
        """Another colour match on the finished result: no sampling."""
        if visit.finished is None:
            return None
        visit.amend(color=color)
        return self.finished(visit)

    @guarded
    def amend(self, visit: Visit, value: Any, *, name: str) -> Changes | None:
        """A setting that is about the file only: downloads of the finished result follow it, too."""
        if visit.finished is None:
            return None
        visit.amend(**{name: value})
        return {}

    @guarded
    def refer(self, visit: Visit, path: str | None) -> Changes | None:
        """A reference photo: metrics, and a third picture under the handle."""
        if path is None:
            return None
        reference = open_photo(path, self.engine.options.max_pixels * 16).rgb
        photo = None if visit.photo is None else visit.photo.rgb
        if photo is not None and not 0.98 < reference.width * photo.height / (reference.height * photo.width) < 1.02:
            got = f"{reference.width} × {reference.height}"
            raise ValueError(f"reference: got {got}, wanted the photo's proportions, {photo.width} × {photo.height}")
        visit.reference = reference
        done = self.finished(visit) if visit.finished else {}
        said = "Reference loaded; results are measured against it until another photo comes."
        return {**done, self.page.notice: texts.notice(said)}

    @guarded
    def save(self, visit: Visit, form: str) -> Changes:
        """The full-size result with recipe, EXIF, ICC and alpha."""
        return {self.page.file: str(self.write(visit, form))}

    def write(self, visit: Visit, form: str) -> Path:
        run = visit.finished
        path = visit.folder / run.file_name(form)
        data = encode(picture(run), run.photo, form, recipe(run).to_json(), **run.settings.of_file())
        path.write_bytes(data)
        return path

    @guarded
    def save_recipe(self, visit: Visit) -> Changes:
        path = visit.folder / f"{visit.finished.stem}-recipe.json"
        path.write_text(recipe(visit.finished).to_json(), "utf-8")
        return {self.page.file: str(path)}

    @guarded
    def bundle(self, visit: Visit, form: str) -> Changes:
        """Result, maps and recipe in one zip."""
        run = visit.finished
        path = visit.folder / f"{run.stem}-bundle.zip"
        result = self.write(visit, form)
        with zipfile.ZipFile(path, "w") as bundle:
            bundle.write(result, result.name)
            bundle.writestr("recipe.json", recipe(run).to_json())
            for name, value in {**now(modalities(run.slots)), **({"protect": run.mask} if run.mask else {})}.items():
                if isinstance(value, str):
                    bundle.writestr(f"{name}.txt", value)
                else:
                    value.save(visit.folder / f"{name}.png")
                    bundle.write(visit.folder / f"{name}.png", f"{name}.png")
        return {self.page.file: str(path)}


def picture(run: Finished) -> Image.Image:
    """The result as it leaves the page: colour matched, protected parts plain."""
    image = run.result.finish(run.settings.color)
    return image if run.mask is None else compare.protect(image, run.result.bicubic, run.mask)


def tabled(image: Image.Image, photo: Photo, reference: Image.Image | None) -> dict[str, float]:
    """The numbers of one result: fidelity to its input, and to a reference where there is one."""
    numbers = {"Fidelity error (of 255)": compare.fidelity(image, photo.rgb).error}
    if reference is not None:
        same = reference.resize(image.size, Image.Resampling.LANCZOS)
        numbers |= {"PSNR (dB)": metrics.psnr(image, same), "SSIM": metrics.ssim(image, same)}
    return numbers


def recipe(run: Finished) -> Recipe:
    """The recipe of a finished run; maps that were not extracted automatically travel inside."""
    given = modalities(run.slots)
    used = {name: run.slots[name] for name in given}
    return record(
        run.settings,
        run.result.seed,
        run.preset,
        run.weights_hash,
        given,
        {name: slot.source for name, slot in used.items()},
        run.photo.rgb,
        {name: slot.extractor for name, slot in used.items() if slot.extractor is not None and slot.source == "auto"},
        run.mask,
    )
