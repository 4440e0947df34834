"""Everything that belongs to one visitor. Lives in `gr.State`; nothing of it is shared between sessions."""

from __future__ import annotations

import shutil
import tempfile
import threading
import weakref
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate
from math import prod
from pathlib import Path
from typing import Any

from PIL import Image

from app.widgets import Upload
from mmsr_core.images import Photo
from mmsr_core.modalities import MODALITIES
from mmsr_core.modalities.given import Edited
from mmsr_core.recipe import Recipe
from mmsr_core.settings import Settings

HISTORY = 12  # runs kept per session,
HISTORY_PIXELS = 64_000_000  # if their results have no more pixels than this together; the last two are always kept
STEM = 200  # bytes of a photo's name that its results have, too; most file systems end at 255


@dataclass
class Slot:
    """One modality on the page: what is used now, what the extractor gave, and where the current value came from."""

    value: Image.Image | str | None = None
    extracted: Image.Image | str | None = None
    source: str = "none"  # none, auto, edited, uploaded, file (from a recipe)
    on: bool = True
    stale: bool = False  # the photo changed after this value was made
    extractor: str | None = None  # None takes the modality's first

    @property
    def badge(self) -> str:
        if not self.on:
            return "off"
        return "stale" if self.stale else self.source

    @property
    def given(self) -> Image.Image | str | Edited | None:
        """What the model gets: a map made by hand beside the one that was read, where there is one."""
        maps = isinstance(self.value, Image.Image) and isinstance(self.extracted, Image.Image)
        return Edited(self.value, self.extracted) if maps and self.value is not self.extracted else self.value

    @property
    def made_by_hand(self) -> bool:
        return self.source in ("edited", "uploaded", "file")

    def restore(self, recipe: Recipe, name: str) -> None:
        """The modality `name` as a recipe has it; what it has read anew is left to be read."""
        source = recipe.sources.get(name, "off")
        self.on = source != "off"
        if self.extractor != recipe.extractors.get(name):
            self.extractor, self.stale = recipe.extractors.get(name), self.value is not None
        if name in recipe.maps:
            given = recipe.map(name)
            value, self.extracted = given if isinstance(given, Edited) else (given, None)
            self.set(value, "file")
        elif source not in ("off", "auto") and recipe.caption is not None:
            self.set(recipe.caption, "file")
        elif source == "auto" and self.made_by_hand:
            self.value, self.source = self.extracted, "none" if self.extracted is None else "auto"
            self.stale = False

    def forget_photo(self) -> None:
        """The photo is gone: what was read from it goes too, what was made by hand stays and is out of date."""
        self.extracted = None
        if self.made_by_hand:
            self.stale = True
        else:
            self.value, self.source, self.stale = None, "none", False

    def wants_extraction(self) -> bool:
        """Run extracts what is missing or out of date, and never replaces what the visitor made."""
        return self.on and (self.value is None or (self.stale and not self.made_by_hand))

    def set(self, value: Image.Image | str, source: str) -> None:
        self.value, self.source, self.stale = value, source, False
        if source == "auto":
            self.extracted = value


@dataclass
class Finished:
    """One finished run: all that is needed to look at it again, download it, or bring its settings back."""

    photo: Photo
    settings: Settings
    result: Any  # mmsr_core.upscaler.Result
    slots: dict[str, Slot]
    mask: Image.Image | None = None
    preset: str = ""
    weights_hash: str = ""
    whole: Finished | None = None  # of a part: what it was cut from; it has no result
    box: tuple[int, int, int, int] | None = None  # of a part: left, top, right, bottom in the whole photo, px

    @property
    def stem(self) -> str:
        """What files made of it are called, without an ending."""
        return Path(self.photo.name).stem.encode()[:STEM].decode(errors="ignore")

    def file_name(self, form: str) -> str:
        """What the result is called as a file of a format."""
        return f"{self.stem}-x{self.settings.scale}.{form}"

    @property
    def origin(self) -> Finished:
        """The run of the whole photo: itself, or what a part was cut from."""
        return self if self.whole is None else self.whole


def modalities(slots: Mapping[str, Slot]) -> dict[str, Image.Image | str | Edited]:
    """What the model gets: only what is on and there."""
    return {name: slot.given for name, slot in slots.items() if slot.on and slot.value is not None}


def _slots() -> dict[str, Slot]:
    return {row.name: Slot() for row in MODALITIES}


@dataclass
class Visit:
    """The state of one browser tab."""

    photo: Photo | None = None
    slots: dict[str, Slot] = field(default_factory=_slots)
    words: str = Settings().positive  # beside which the caption is read
    mask: Image.Image | None = None  # white protects
    reference: Image.Image | None = None
    finished: Finished | None = None
    history: list[Finished] = field(default_factory=list)
    comparison: Image.Image | None = None  # the sheet of the last one that was finished
    seed: int | None = None  # of the last run
    pending: Upload | None = None  # a dropped result picture that may be meant as a photo
    expected: Recipe | None = None  # whose photo has not been given yet
    allowed: dict[str, str | None] = field(default_factory=dict, repr=False)  # extractors that may send the photo: key
    waiting: list[str] = field(default_factory=list)  # kinds of jobs whose turn has not come
    given_up: list[str] = field(default_factory=list)  # of these the ones that were stopped before it
    stops: dict[str, threading.Event] = field(default_factory=lambda: defaultdict(threading.Event))  # of each Job.kind
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="mmsr-")))

    def __post_init__(self) -> None:
        self._folder_goes = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def remember(self, run: Finished) -> None:
        self.finished, self.seed = run, run.result.seed
        runs = [run, *self.history][:HISTORY]
        held = list(accumulate(prod(run.result.sampled.size) for run in runs))
        self.history = [run for place, run in enumerate(runs) if place < 2 or held[place] <= HISTORY_PIXELS]

    def take(self, recipe: Recipe) -> None:
        """Maps, caption and protected region as a recipe has them."""
        for name, slot in self.slots.items():
            slot.restore(recipe, name)
        self.mask = recipe.region()

    def before(self, run: Finished) -> Finished | None:
        """The last run before this one that made a picture of the same size of the same photo or part."""

        def made(run: Finished) -> tuple:
            return id(run.origin.photo), run.box, run.settings.scale

        places = [place for place, other in enumerate(self.history) if other is run]
        older = self.history[places[0] + 1 :] if places else []
        return next((other for other in older if made(other) == made(run)), None)

    def amend(self, **changes: Any) -> None:
        """Settings of the run that is shown which need no new sampling; its place in the history stays."""
        changed = replace(self.finished, settings=self.finished.settings.with_(**changes))
        self.history = [changed if run is self.finished else run for run in self.history]
        self.finished = changed

    def close(self) -> None:
        """The tab is gone: stop what runs for it and delete its files."""
        for stop in list(self.stops.values()):
            stop.set()
        self._folder_goes()


def of(visit: Visit | None) -> Visit:
    """The visit of this session; `gr.State` starts as None because an Event cannot be copied.

    Raises:
        ValueError: it was deleted, or the page was opened before the server restarted.
    """
    if visit is None:
        raise ValueError("This page was idle for too long, or the server was restarted; please reload it.")
    return visit


def close(visit: Visit | None) -> None:
    """`delete_callback` of the state."""
    if visit is not None:
        visit.close()
