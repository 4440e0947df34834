"""The documented endpoints `/extract`, `/restore` and `/compare`, for `gradio_client` and MCP.

Each docstring is what a caller reads in the API page, and what an MCP client is told.
"""

from __future__ import annotations

import json
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import gradio as gr

from app import compare as tab
from app import texts, widgets
from app.engine import Engine
from app.handlers import DEVICE, without_folders
from app.run import tabled
from app.widgets import Upload
from mmsr_core import compare
from mmsr_core.gather import Gathered, Value, gather
from mmsr_core.images import Photo, encode, open_map
from mmsr_core.intake import taken
from mmsr_core.modalities import MODALITIES
from mmsr_core.modalities.readers import Access
from mmsr_core.outcome import SAID, Result
from mmsr_core.recipe import record
from mmsr_core.settings import Settings

KEEP_SECONDS = 3600  # how long a result waits to be fetched
NAMES = tuple(row.name for row in MODALITIES)
BUSY = [gr.skip()] * 3  # sent after each tile; Gradio ends a call there whose client has gone


class Api:
    """The endpoints. Files they make live in one folder that goes with the process."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._scratch = tempfile.TemporaryDirectory(prefix="mmsr-api-")

    def extract(self, photo: Upload) -> list[Any]:
        """Read the modalities of a photo.

        Args:
            photo: the picture to read.

        Returns:
            Caption, depth map (near is bright), segmentation (palette colours), edges (white on black).
        """
        try:
            found = self.engine.upscaler().extract(self.opened(photo, []).rgb)
        except SAID as error:
            raise refused(error) from None
        return [found.get(name) for name in NAMES]

    def restore(
        self,
        photo: Upload,
        settings: str = "{}",
        caption: str | None = None,
        depth: Upload | None = None,
        segmentation: Upload | None = None,
        edge: Upload | None = None,
        off: str = "",
    ) -> Iterator[list[Any]]:
        """Enlarge a photo.

        Args:
            photo: the picture to enlarge.
            settings: JSON object with any of the settings, e.g. {"weight": 4, "seed": 1, "steps": 8}.
            caption: what the photo shows; empty to have it written.
            depth: depth map, near is bright; empty to have it extracted. Maps act where they differ from what is
                extracted.
            segmentation: segmentation map in palette colours; empty to have it extracted.
            edge: edge map, white on black; empty to have it extracted.
            off: modalities to leave out, comma-separated, of text, depth, segmentation, edge.

        Returns:
            The picture as PNG with its recipe inside, the recipe as JSON text, and notes on what came out other than
            was asked for, one a line.
        """
        notes: list[str] = []
        try:
            opened, wanted, upscaler = self.opened(photo, notes), self.wanted(settings), self.engine.upscaler()
            given = {"text": caption or None, "depth": depth, "segmentation": segmentation, "edge": edge}
            found = self.gathered(opened, given, off, notes.append)
            with closing(upscaler.stream(opened.rgb, found.modalities, wanted)) as steps:
                for step in steps:
                    result = step.result
                    yield BUSY
            info = upscaler.info
            made_from = info.preset, info.hash, found.modalities, found.sources, opened.rgb
            recipe = record(result.settings, result.seed, *made_from).to_json()
            picture = self.kept(encode(result.finish(), opened, "png", recipe, **wanted.of_file()))
            yield [picture, recipe, "\n".join([*notes, *result.notices])]
        except SAID as error:
            raise refused(error) from None

    def compare(
        self, photo: Upload, settings: str = "{}", kind: str = "guidance", values: str = "", name: str = "depth"
    ) -> Iterator[list[Any]]:
        """Compare variants of one enlargement with the same seed and noise.

        Args:
            photo: the picture to enlarge.
            settings: JSON object with any of the settings.
            kind: guidance (cfg, null-cfg, m-cfg), weight (values of w) or temperature (values of one modality's).
            values: comma-separated numbers for weight or temperature; empty for the defaults.
            name: the modality of a temperature sweep.

        Returns:
            The labelled grid as PNG, the numbers of each picture as JSON text, and notes on what came out other than
            was asked for, one a line.
        """
        notes: list[str] = []
        try:
            if name not in NAMES:
                raise ValueError(f"name: got {name!r}, wanted one of {', '.join(NAMES)}")
            opened, wanted, upscaler = self.opened(photo, notes), self.wanted(settings), self.engine.upscaler()
            modalities = self.gathered(opened, {}, "", notes.append).modalities
            layout = tab.layout_for(kind, modalities, wanted, values, compare.GUIDANCE_MODES, name)
            results = []
            with closing(compare.run(upscaler, opened.rgb, layout.variants)) as states:
                for state in states:
                    results += [] if state.step.result is None else [state.step.result]
                    yield BUSY
            notes += dict.fromkeys(said for result in results for said in result.notices)
            yield [*compared(layout, results, opened), "\n".join(notes)]
        except SAID as error:
            raise refused(error) from None

    def opened(self, photo: Upload | None, notes: list[str]) -> Photo:
        """The photo, no larger than the page takes it."""
        if photo is None:
            raise ValueError("photo: got nothing, wanted a picture")
        fits, note = taken(photo.path, self.engine.options.max_pixels, photo.name)
        notes += [note] if note else []
        return fits

    def wanted(self, settings: str | None) -> Settings:
        """JSON of some settings; the others are the preset's own."""
        return Settings.from_json(settings or "{}", self.engine.defaults)

    def gathered(self, photo: Photo, given: dict[str, Any], off: str, say: Callable[[str], None]) -> Gathered:
        """The modalities as given, the others extracted, those switched off left out."""
        left_out = [word.strip() for word in (off or "").split(",") if word.strip()]
        unknown = sorted(set(left_out) - set(NAMES))
        if unknown:
            raise ValueError(f"off: got {', '.join(unknown)}, wanted some of {', '.join(NAMES)}")
        known = {name: Value() for name in left_out}
        for name, value in given.items():
            if value is None or name in left_out:
                continue
            if isinstance(value, Upload):
                known[name] = Value(open_map(value.path, value.name), "uploaded", edit=True)
            else:
                known[name] = Value(value, "edited")
        return gather(self.engine.upscaler(), photo.rgb, known, access=Access(say=say))

    def kept(self, data: bytes) -> str:
        """A file that is there for a while; older ones go."""
        folder = Path(self._scratch.name)
        for old in folder.iterdir():
            if time.time() - old.stat().st_mtime > KEEP_SECONDS:
                old.unlink(missing_ok=True)
        path = folder / f"result-{uuid.uuid4().hex}.png"
        path.write_bytes(data)
        return str(path)


def compared(layout: tab.Layout, results: list[Result], photo: Photo) -> list[Any]:
    """The labelled grid, and the numbers as JSON."""
    images = [result.finish() for result in results]
    numbers = [tabled(image, photo, None) for image in images]
    labels = [variant.label for variant in layout.variants]
    seed = results[0].seed
    rows = [{"label": label, "seed": seed, **row} for label, row in zip(labels, numbers, strict=True)]
    return [tab.sheet(layout, images, numbers, seed), json.dumps(rows)]


def refused(error: Exception) -> gr.Error:
    """A refusal as the client's exception: a sentence without a path."""
    return gr.Error(without_folders(texts.sentence(error)), print_exception=False)


def endpoints(engine: Engine) -> None:
    """Hidden widgets give the endpoints their types; Gradio checks that files are uploads."""
    api = Api(engine)
    public = {"concurrency_id": DEVICE, "concurrency_limit": 1, "api_visibility": "public"}
    with gr.Row(visible=False):
        button = gr.Button("call")
        photo = widgets.Unopened(label="photo")
        settings = gr.Textbox("{}", label="settings")
        caption = gr.Textbox(label="caption")
        maps = [widgets.Unopened(label=row.name) for row in MODALITIES if row.kind == "map"]
        off = gr.Textbox("", label="off")
        shown = [gr.Textbox(label=row.label) if row.kind == "text" else _shown(row.label) for row in MODALITIES]
        picture, recipe, notes = _shown("picture"), gr.Textbox(label="recipe"), gr.Textbox(label="notes")
        kind = gr.Radio([key for key in tab.KINDS if key != "edits"], value="guidance", label="kind")
        values, name = gr.Textbox("", label="values"), gr.Textbox("depth", label="name")
        sheet, numbers = _shown("grid"), gr.Textbox(label="numbers")
    button.click(api.extract, [photo], shown, api_name="extract", **public)
    wanted, made = [photo, settings, caption, *maps, off], [picture, recipe, notes]
    button.click(api.restore, wanted, made, api_name="restore", **public)
    wanted, made = [photo, settings, kind, values, name], [sheet, numbers, notes]
    button.click(api.compare, wanted, made, api_name="compare", **public)


def _shown(label: str) -> gr.Image:
    return gr.Image(label=label, format="png", type="filepath")
