"""The page's own widgets, each a `gr.HTML` driven by one file of `app/js/`.

They exist where Gradio's stock widgets do not fit: a painter with exact colours, a before/after viewer with overlays,
a logarithmic dial, a strip of pictures, a frame over the photo. All send `.input` (the shelf `.select`) only when the
visitor acts.
"""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.image_utils import decode_base64_to_file

from app import texts
from mmsr_core.modalities import palette

SCRIPTS = Path(__file__).resolve().parent / "js"
_SHARED = {  # the helpers a widget's script stands on
    "painter": ("dom", "radios", "zoom"),
    "viewer": ("dom", "zoom"),
    "part": ("dom", "radios"),
}
_EDGE_TOOLS = (("Draw line", (255, 255, 255)), ("Erase line", (0, 0, 0)))
_MASK_TOOLS = (("Protect", (255, 255, 255)), ("Release", (0, 0, 0)))
_DEPTH_TOOLS = (
    ("Nearer", 48),
    ("Farther", -48),
    ("Nearest (white)", (255, 255, 255)),
    ("Near", (192, 192, 192)),
    ("Middle", (128, 128, 128)),
    ("Far", (64, 64, 64)),
    ("Farthest (black)", (0, 0, 0)),
)


def _widget(kind: str, value: Any, elem_id: str, /, **props: Any) -> gr.HTML:
    script = "".join((SCRIPTS / f"{name}.js").read_text("utf-8") for name in (*_SHARED.get(kind, ("dom",)), kind))
    classes = props.pop("elem_classes", [])
    return gr.HTML(
        value,
        html_template=f'<div class="{kind}"></div>',
        js_on_load=script,
        apply_default_css=False,
        elem_id=elem_id,
        elem_classes=["widget", *classes],
        **props,
    )


def _tools(rows: tuple) -> list[dict[str, Any]]:
    """Rows (label, colour or change of brightness) -> what painter.js reads."""
    return [
        {"label": label, "color": list(what) if isinstance(what, tuple) else None}
        | ({} if isinstance(what, tuple) else {"delta": what})
        for label, what in rows
    ]


def class_tools(classes: palette.Palette) -> list[dict[str, Any]]:
    """One brush per class."""
    return _tools(tuple((row.name, row.rgb) for row in classes.classes))


# How a map is painted, by modality name; a map that is not listed cannot be painted, only uploaded.
PAINTERS: dict[str, dict[str, Any]] = {
    "depth": {
        "kind": "grey",
        "tools": _tools(_DEPTH_TOOLS),
        "palette": "Distance",
        "help": "Bright is near, dark is far. Nearer and Farther shift what is there.",
        "size": 24,
    },
    "segmentation": {
        "kind": "class",
        "tools": class_tools(palette.BUNDLED),
        "palette": "Class, most frequent first",
        "help": "Pick a class by name and paint, or fill a whole region with one click.",
        "size": 18,
    },
    "edge": {
        "kind": "line",
        "tools": _tools(_EDGE_TOOLS),
        "palette": "Line",
        "help": "White lines are edges the result should keep.",
        "size": 2,
    },
    "protect": {
        "kind": "line",
        "tools": _tools(_MASK_TOOLS),
        "palette": "Brush",
        "help": "Tinted parts keep the plain upscale, with a soft border.",
        "size": 28,
        "over": True,  # shown as a tint over the photo
    },
}


def painter(name: str, title: str, empty: str, verb: str = "Edit") -> gr.HTML:
    """A map card with a painting dialog. Value: {"src": data URL, "photo": data URL} or None."""
    return _widget(
        "painter",
        None,
        f"map-{name}",
        title=title,
        empty=empty,
        verb=f"{verb} {title}",
        **PAINTERS[name],
    )


def viewer(elem_id: str, title: str, empty: str) -> gr.HTML:
    """A before/after viewer; its value is described at the top of `js/viewer.js`."""
    return _widget("viewer", None, elem_id, title=title, empty=empty)


def dial(name: str, title: str, limits: tuple[float, float], ends: tuple[str, str]) -> gr.HTML:
    """A logarithmic slider; its value is a number inside `limits`."""
    return _widget("dial", 1.0, f"temperature-{name}", title=title, range=list(limits), ends=list(ends))


def shelf(elem_id: str, empty: str) -> gr.HTML:
    """A strip of pictures; its value is a list of {"src", "title", "note"}; `.select` carries {"index"}."""
    return _widget("shelf", [], elem_id, empty=empty, elem_classes=["shelf-box"])


def part(elem_id: str, sides: Sequence[int]) -> gr.HTML:
    """The photo under a square frame that can be moved; its value is described at the top of `js/part.js`."""
    said = {"title": texts.PART_FRAME, "choice": texts.PART_SIDE, "empty": texts.PART_EMPTY}
    return _widget("part", None, elem_id, sides=list(sides), **said)


@dataclass(frozen=True)
class Upload:
    """A file the visitor gave: where the server keeps it, and what the visitor calls it."""

    path: str
    name: str


class _AsItIs(type(gr.Image)):
    """Gradio's own metaclass writes a .pyi file beside the source of every new component; a subclass needs none."""

    def __new__(cls, name: str, bases: tuple, attributes: dict) -> type:
        return ABCMeta.__new__(cls, name, bases, attributes)


class Unopened(gr.Image, metaclass=_AsItIs):
    """`gr.Image` that hands over the file unopened: the core opens it and knows what to say when it is broken.

    A class, not a changed object: Gradio makes an output anew from its arguments whenever a handler leaves it out.
    """

    is_template = True  # the browser shows a gr.Image

    def preprocess(self, payload: Any) -> Upload | None:
        if payload is None:
            return None
        if payload.path is None:  # a camera picture comes as a data URL
            return Upload(decode_base64_to_file(payload.url, self.GRADIO_CACHE, "png"), "camera.png")
        return Upload(payload.path, Path(payload.orig_name or payload.path).name)


def photo_box() -> Unopened:
    return Unopened(
        label="Photo",
        sources=["upload", "clipboard", "webcam"],
        format="png",
        height=200,
        elem_id="photo",
        placeholder=texts.PHOTO_EMPTY,
        buttons=[],
    )
