"""Run and Stop, and everything that can be done with a finished result without sampling again."""

from __future__ import annotations

import copy
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from app import controls, texts, views
from app.handlers import Changes, guarded, guarded_stream
from app.job import Job
from app.maps import Maps
from app.visit import Finished, Visit
from mmsr_core import compare
from mmsr_core.evaluation import metrics
from mmsr_core.images import Photo, encode, open_photo
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
        return [self.page.run]

    @property
    def stopper(self) -> gr.Button:
        return self.page.stop

    @guarded_stream(after=lambda self: self.buttons(False), follows=True)
    def run(self, visit: Visit, *values: Any) -> Iterator[Changes]:
        """Extract what is missing, sample, show. The sampler is closed whatever happens, which frees the device."""
        wanted = controls.read(values)
        settings = wanted.settings.with_(seed=None) if wanted.new_seed else wanted.settings
        if visit.photo is None:
            raise ValueError("Load a photo first, or pick one of the examples.")
        for changes in self.maps.extract(visit, self.maps.missing(visit), self.kind):
            yield changes
            if self.asked_to_stop(visit).is_set():
                yield {self.page.status: texts.notice("Stopped while the photo was being read.")}
                return
        steps = self.engine.upscaler().stream(visit.photo.rgb, visit.modalities(), settings)
        run = self.snapshot(visit, settings)
        try:
            for step in steps:
                if self.asked_to_stop(visit).is_set():
                    yield {self.page.status: texts.notice("Stopped. The last preview and everything you set are kept.")}
                    return
                yield {self.page.status: texts.step(step), **self.shown(step, run)}
                if step.result is not None:
                    visit.remember(replace(run, result=step.result, settings=step.result.settings))
        finally:
            steps.close()
        yield {**self.finished(visit), self.page.status: "", self.page.history: self.shelf(visit)}
        yield {self.page.seed: visit.seed, self.page.plan: self.plan(visit, settings)}

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
        if visit.reference is not None:
            reference = visit.reference.resize(image.size, Image.Resampling.LANCZOS)
            labels, images = [*labels, "Reference"], [*images, reference]
        numbers = tabled(image, run.photo, visit.reference)
        fidelity = compare.fidelity(image, run.photo.rgb)
        error = views.heat(fidelity.map).resize(image.size, Image.Resampling.NEAREST)
        overlay = {"label": "Shrunk-back error", "src": views.data_url(error, lossless=False), "pair": None}
        shown = views.Comparison(labels, images, run.result.tiles, extra_overlays=[overlay])
        return {
            self.page.viewer: shown.value(0, 1),
            self.page.readout: texts.readout(run.result, numbers),
            self.page.attention: views.attention_bar(run.result.attention) if run.result.attention else "",
            self.page.save: gr.Button(interactive=True),
            self.page.bundle: gr.Button(interactive=True),
            self.page.save_recipe: gr.Button(interactive=True),
        }

    def shelf(self, visit: Visit) -> list[dict[str, str]]:
        return [
            {
                "src": views.thumb(run.result.sampled),
                "title": texts.run_title(run),
                "note": f"w {run.settings.weight:g}",
            }
            for run in visit.history
        ]

    @guarded
    def recolor(self, visit: Visit, color: str) -> Changes | None:
        """Another colour match on the finished result: no sampling."""
        if visit.finished is None:
            return None
        visit.finished = replace(visit.finished, settings=visit.finished.settings.with_(color=color))
        visit.history = [visit.finished, *visit.history[1:]] if visit.history else []
        return self.finished(visit)

    @guarded
    def refer(self, visit: Visit, path: str | None) -> Changes | None:
        """A reference photo: metrics, and a third picture under the handle."""
        if path is None:
            return None
        visit.reference = open_photo(path, self.engine.options.max_pixels * 16).rgb
        done = self.finished(visit) if visit.finished else {}
        return {**done, self.page.notice: texts.notice("Reference loaded; it is compared at the size of the result.")}

    @guarded
    def save(self, visit: Visit, form: str) -> Changes:
        """The full-size result with recipe, EXIF, ICC and alpha."""
        return {self.page.file: str(self.write(visit, form))}

    def write(self, visit: Visit, form: str) -> Path:
        run = visit.finished
        path = visit.folder / f"{Path(run.photo.name).stem}-x{run.settings.scale}.{form}"
        data = encode(picture(run), run.photo, form, recipe(run).to_json(), strip_gps=run.settings.strip_gps)
        path.write_bytes(data)
        return path

    @guarded
    def save_recipe(self, visit: Visit) -> Changes:
        path = visit.folder / f"{Path(visit.finished.photo.name).stem}-recipe.json"
        path.write_text(recipe(visit.finished).to_json(), "utf-8")
        return {self.page.file: str(path)}

    @guarded
    def bundle(self, visit: Visit, form: str) -> Changes:
        """Result, maps and recipe in one zip."""
        run = visit.finished
        path = visit.folder / f"{Path(run.photo.name).stem}-bundle.zip"
        result = self.write(visit, form)
        with zipfile.ZipFile(path, "w") as bundle:
            bundle.write(result, result.name)
            bundle.writestr("recipe.json", recipe(run).to_json())
            images = {name: slot.value for name, slot in run.slots.items() if slot.on and slot.value is not None}
            for name, value in {**images, **({"protect": run.mask} if run.mask else {})}.items():
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
        numbers |= {"PSNR (dB)": metrics.psnr(image, same), "1 − SSIM": 1 - metrics.ssim(image, same)}
    return numbers


def recipe(run: Finished) -> Recipe:
    """The recipe of a finished run; maps that were not extracted automatically travel inside."""
    used = {name: slot for name, slot in run.slots.items() if slot.on and slot.value is not None}
    return record(
        run.settings,
        run.result.seed,
        run.preset,
        run.weights_hash,
        {name: slot.value for name, slot in used.items()},
        {name: slot.source for name, slot in used.items()},
        run.photo.rgb,
        {name: slot.extractor for name, slot in used.items() if slot.extractor is not None and slot.source == "auto"},
    )
