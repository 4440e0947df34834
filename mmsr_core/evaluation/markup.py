"""A report as a list of blocks, written as Markdown and as HTML."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

from mmsr_core.evaluation.summary import Table


@dataclass(frozen=True)
class Heading:
    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    text: str


@dataclass(frozen=True)
class Figure:
    """A picture file beside the report."""

    file: str
    alt: str


Block = Heading | Paragraph | Figure | Table

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }}
figure, .wide {{ overflow-x: auto; margin: 1rem 0 }}
img {{ image-rendering: pixelated; background: #fff }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums }}
caption {{ text-align: left; font-weight: 600; padding: .4rem 0 }}
th, td {{ padding: .25rem .7rem; border-bottom: 1px solid #8884; text-align: right; white-space: nowrap }}
th:first-child, td:first-child {{ text-align: left }}
.note {{ opacity: .75; font-size: .9rem }}
</style></head><body>
{body}
</body></html>
"""


def markdown(blocks: Sequence[Block]) -> str:
    return "\n\n".join(_markdown(block) for block in blocks) + "\n"


def _markdown(block: Block) -> str:
    if isinstance(block, Heading):
        return "#" * block.level + " " + block.text
    if isinstance(block, Paragraph):
        return block.text
    if isinstance(block, Figure):
        return f"![{block.alt}]({block.file})"
    rule = ["---", *["---:"] * (len(block.header) - 1)]
    rows = "\n".join(
        f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in [block.header, rule, *block.rows]
    )
    return "\n\n".join(part for part in (f"**{block.title}**", rows, block.note) if part)


def page(title: str, blocks: Sequence[Block]) -> str:
    """A whole HTML page; pictures are linked, nothing is loaded from elsewhere."""
    return PAGE.format(title=html.escape(title), body="\n".join(_html(block) for block in blocks))


def _html(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h{block.level}>{_inline(block.text)}</h{block.level}>"
    if isinstance(block, Paragraph):
        return f"<p>{_inline(block.text)}</p>"
    if isinstance(block, Figure):
        return f'<figure><img src="{html.escape(block.file)}" alt="{html.escape(block.alt)}"></figure>'
    head = "".join(f'<th scope="col">{_inline(cell)}</th>' for cell in block.header)
    rows = "".join(f"<tr>{''.join(f'<td>{_inline(cell)}</td>' for cell in row)}</tr>\n" for row in block.rows)
    note = f'<p class="note">{_inline(block.note)}</p>' if block.note else ""
    table = (
        f"<table><caption>{_inline(block.title)}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )
    return f'<div class="wide">{table}</div>{note}'


def _inline(text: str) -> str:
    """Escaped, with the two marks that reports use: **bold** and links."""
    text = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", html.escape(text, quote=False))
    return re.sub(r"(https?://[^\s<),]+)", r'<a href="\1">\1</a>', text)
