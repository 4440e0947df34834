"""Pictures of the report: charts, and grids of crops at 1:1."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmsr_core.evaluation.measures import gradient
from mmsr_core.evaluation.summary import Curve

CROP = 192  # side of one cell in px
CAPTION = 30  # height of the line of labels
GAP = 4


def chart(curve: Curve, path: Path) -> None:
    """Writes one chart as a PNG, without touching matplotlib's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import ScalarFormatter

    figure = Figure(figsize=(6.4, 3.8), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for label, points in curve.series.items():
        axes.plot(*zip(*points), marker="o", markersize=4, linewidth=1.6, label=label)
    if curve.log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.set_xticks(sorted({x for points in curve.series.values() for x, _ in points}), minor=False)
        axes.minorticks_off()
    axes.set(title=curve.title, xlabel=curve.x, ylabel=curve.y)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if len(curve.series) > 1:
        axes.legend(frameon=False, fontsize=8)
    figure.savefig(path)


def busiest(image: Image.Image, side: int = CROP) -> tuple[int, int, int, int]:
    """The window of a picture with the most detail, as a box in px; deterministic."""
    side = min(side, *image.size)
    sums = np.pad(gradient(image), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    windows = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    y, x = np.unravel_index(int(windows.argmax()), windows.shape)
    return int(x), int(y), int(x) + side, int(y) + side


def label_font() -> ImageFont.FreeTypeFont:
    """The font of the charts, which knows δ; Pillow's own does not."""
    from matplotlib.font_manager import findfont

    return ImageFont.truetype(findfont("DejaVu Sans"), 11)


def grid(columns: Sequence[str], rows: Sequence[Sequence[Image.Image]]) -> Image.Image:
    """Cells of equal pictures pixel by pixel, one row a test picture, with labels above.

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError("grid: got no rows, wanted at least one")
    width, height = rows[0][0].size
    sheet = Image.new("RGB", (len(columns) * (width + GAP) - GAP, CAPTION + len(rows) * (height + GAP) - GAP), "white")
    draw, font = ImageDraw.Draw(sheet), label_font()
    for i, label in enumerate(columns):
        lines = textwrap.wrap(label, max(int(width / 6.4), 8))[:2]
        draw.multiline_text((i * (width + GAP) + 2, 0), "\n".join(lines), "black", font, spacing=1)
    for j, row in enumerate(rows):
        for i, cell in enumerate(row):
            sheet.paste(cell, (i * (width + GAP), CAPTION + j * (height + GAP)))
    return sheet
