"""Pictures and plots for the page: data URLs, heat maps, bars, grids. What they show is computed in the core."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.figure import Figure
from PIL import Image, ImageFilter

from mmsr_core import compare
from mmsr_core.images import Photo
from mmsr_core.modalities import MODALITIES
from mmsr_core.sizes import fitted

PNG_PIXELS = 1_500_000  # larger pictures travel to the page as WebP; downloads are always exact
NEAREST = Image.Resampling.NEAREST
EDITOR_SIDE = 768  # px, longest side of a map on the page
THUMB_SIDE = 160  # px
BOX_SIDE = 1024  # px, longest side of the photo in its box
CHECK = 8  # px
VIEW_SIDE = 4096  # px, longest side of a result on the page; downloads keep every pixel
HEAT_SIDE = 1024  # px, of a heat map over it
HEAT_LEVELS = 32.0  # grey levels that count as fully hot
_INK = "#123456"  # stands for the page's text colour in an SVG
_ACCENT = "#3b82c4"


def data_url(image: Image.Image, lossless: bool = True) -> str:
    """The picture as a URL of its own: no file on the server, no path on the page."""
    out = io.BytesIO()
    if lossless and image.width * image.height <= PNG_PIXELS:
        image.save(out, "PNG", compress_level=3)
        kind = "png"
    elif max(image.size) <= 16383:
        image.save(out, "WEBP", quality=92, method=2)
        kind = "webp"
    else:
        image.convert("RGB").save(out, "JPEG", quality=92)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode()}"


def from_data_url(url: str) -> Image.Image:
    """What the painter sent back.

    Raises:
        ValueError: not a PNG data URL.
    """
    head, _, body = url.partition(",")
    if head != "data:image/png;base64":
        raise ValueError(f"map: got {head[:40]!r}, wanted a PNG picture")
    image = Image.open(io.BytesIO(base64.b64decode(body)), formats=("PNG",))
    if max(image.size) > 2 * EDITOR_SIDE:
        raise ValueError(f"map: got {image.width}x{image.height} px, wanted at most {2 * EDITOR_SIDE} px a side")
    return image.convert("RGB")


def boxed(photo: Photo | None) -> Image.Image | None:
    """What the photo box shows."""
    return None if photo is None else fitted(on_checks(photo.rgb, photo.alpha), BOX_SIDE)


def on_checks(image: Image.Image, alpha: Image.Image | None) -> Image.Image:
    """A picture with transparency, on the usual checks; alpha "L" of any size, None for an opaque one."""
    if alpha is None:
        return image
    y, x = np.ogrid[: image.height, : image.width]
    checks = Image.fromarray(np.where((x // CHECK + y // CHECK) % 2, 205, 240).astype(np.uint8))
    return Image.composite(image, checks.convert("RGB"), alpha.resize(image.size, Image.Resampling.BICUBIC))


def thumb(image: Image.Image) -> str:
    return data_url(fitted(image, THUMB_SIDE), lossless=False)


def heat(values: np.ndarray) -> Image.Image:
    """(H, W) grey levels -> colours; nothing is dark, HEAT_LEVELS and more is bright."""
    share = np.clip(values / HEAT_LEVELS, 0, 1)
    return Image.fromarray((colormaps["inferno"](share)[..., :3] * 255).astype(np.uint8))


def map_card(
    name: str, image: Image.Image | None, photo: Image.Image | None, note: str | None = None
) -> dict[str, Any]:
    """Value of a painter."""
    if image is None:
        return {"src": None, "photo": None, "note": note}
    return {
        "src": data_url(_on_card(name, image)),
        "photo": None if photo is None else data_url(fitted(photo, EDITOR_SIDE), lossless=False),
    }


def painted(name: str, before: Image.Image, url: str) -> Image.Image:
    """A map with what was painted on its card, "RGB": where nothing was painted it keeps every pixel.

    Raises:
        ValueError: not a PNG data URL, or one of another size than the card's.
    """
    given, shown = from_data_url(url), _on_card(name, before).convert("RGB")
    if given.size != shown.size:
        raise ValueError(f"map: got {given.width}x{given.height} px, wanted {shown.width}x{shown.height}")
    changed = Image.fromarray((np.asarray(given) != np.asarray(shown)).any(-1))
    over = given.resize(before.size, _resample(name))
    return Image.composite(over, before.convert("RGB"), changed.resize(before.size, Image.Resampling.NEAREST))


def _on_card(name: str, image: Image.Image) -> Image.Image:
    """A map small enough for the page; lines do not vanish."""
    shrink = max(image.size) / EDITOR_SIDE
    if shrink > 1 and any(row.name == name and row.lines for row in MODALITIES):
        return fitted(image.filter(ImageFilter.MaxFilter(2 * math.ceil((shrink - 1) / 2) + 1)), EDITOR_SIDE, NEAREST)
    return fitted(image, EDITOR_SIDE, _resample(name))


def _resample(name: str) -> Image.Resampling:
    return next((row.resample for row in MODALITIES if row.name == name and not row.lines), NEAREST)


def preview(image: Image.Image, size: tuple[int, int]) -> dict[str, Any]:
    """Value of a viewer while a run is going on."""
    return {"live": data_url(fitted(image, EDITOR_SIDE), lossless=False), "size": list(size)}


@dataclass
class Comparison:
    """Finished pictures under one handle."""

    labels: list[str]
    images: list[Image.Image]
    tiles: Sequence = ()
    extra_overlays: list[dict] = field(default_factory=list)

    def value(self, left: int, right: int, note: str = "") -> dict[str, Any]:
        """Value of a viewer, with heat map and mean difference of each picture to the first two and to the one before.

        All pairs of many pictures would be the square of their number.
        """
        overlays, notes = [], {}
        for other in range(1, len(self.images)):
            for one in sorted({0, 1, other - 1} - {other}):
                gap = compare.difference(self.images[one], self.images[other])
                src = data_url(fitted(heat(gap), HEAT_SIDE), lossless=False)
                overlays.append({"label": "Difference", "src": src, "pair": [one, other]})
                notes[f"{one}-{other}"] = f"mean difference {gap.mean():.2f} of 255"
        return {
            "pictures": [
                {"label": label, "src": data_url(fitted(image, VIEW_SIDE))}
                for label, image in zip(self.labels, self.images, strict=True)
            ],
            "left": left,
            "right": right,
            "overlays": overlays + self.extra_overlays,
            "notes": notes,
            "tiles": [list(box) for box in self.tiles],
            "size": list(self.images[0].size),
            "note": note,
        }


def attention_bar(shares: Mapping[str, float]) -> str:
    """How much each modality was heard, as inline SVG in the page's own text colour."""
    rows = [row for row in MODALITIES if row.name in shares][::-1]
    figure = Figure(figsize=(4.2, 0.28 * max(1, len(rows)) + 0.15))
    axes = figure.add_axes((0.27, 0.02, 0.58, 0.96))
    values = [100 * shares[row.name] for row in rows]
    axes.barh([row.label for row in rows], values, color=_ACCENT, height=0.62)
    for position, value in enumerate(values):
        axes.text(value + 1, position, f"{value:.0f} %", va="center", color=_INK, fontsize=9)
    axes.set_xlim(0, max([*values, 1]) * 1.18)
    axes.tick_params(left=False, bottom=False, labelbottom=False, colors=_INK, labelsize=9)
    axes.set_frame_on(False)
    said = ", ".join(f"{row.label} {100 * shares[row.name]:.0f} %" for row in rows[::-1])
    return _svg(figure, f"How much each modality was heard: {said}")


def _svg(figure: Figure, alt: str) -> str:
    out = io.StringIO()
    figure.patch.set_alpha(0)
    with rc_context({"svg.fonttype": "none", "font.family": "DejaVu Sans"}):
        figure.savefig(out, format="svg", transparent=True)
    body = out.getvalue()
    body = body[body.index("<svg") :].replace(_INK, "currentColor")
    return body.replace("<svg ", f'<svg class="plot" role="img" aria-label="{alt}" ', 1)


def grid(rows: Sequence[str], columns: Sequence[str], images: Sequence[Sequence[Image.Image]], title: str) -> Figure:
    """Labelled pictures, rows x columns."""
    aspect = images[0][0].height / images[0][0].width
    figure = Figure(figsize=(3.1 * len(columns), 3.1 * aspect * len(rows) + 0.7), layout="constrained")
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    for y, label in enumerate(rows):
        for x, name in enumerate(columns):
            cell = axes[y][x]
            cell.imshow(np.asarray(images[y][x]), interpolation="nearest", aspect="auto")
            cell.set(xticks=[], yticks=[])
            cell.set_box_aspect(aspect)
            if y == 0:
                cell.set_title(name, fontsize=11)
        axes[y][0].set_ylabel(label, fontsize=11)
    figure.suptitle(title, fontsize=11)
    return figure


def curve(x: Sequence[float], lines: Mapping[str, Sequence[float]], x_label: str, y_label: str) -> Figure:
    """One line per name over x."""
    figure = Figure(figsize=(6.4, 3.0), layout="constrained")
    axes = figure.subplots()
    for label, values in lines.items():
        axes.plot(x, values, marker="o", label=label)
    axes.set(xlabel=x_label, ylabel=y_label, xticks=list(x))
    axes.grid(alpha=0.3)
    axes.ticklabel_format(axis="y", useOffset=False)
    if len(lines) > 1:
        axes.legend(frameon=False)
    return figure


def picture(figure: Figure, dpi: int = 144) -> Image.Image:
    """A figure as RGB picture."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=dpi, facecolor="white")
    return Image.open(out).convert("RGB")


def stacked(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures below each other on white, centred."""
    width = max(image.width for image in pictures)
    sheet = Image.new("RGB", (width, sum(image.height for image in pictures)), "white")
    top = 0
    for image in pictures:
        sheet.paste(image, ((width - image.width) // 2, top))
        top += image.height
    return sheet
