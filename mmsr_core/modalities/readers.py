"""The extractors of one model: made when first used, shared, let go when memory is short, several at work at once."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from mmsr_core import memory
from mmsr_core.hub import Stopped
from mmsr_core.modalities import MODALITIES
from mmsr_core.modalities.base import Extractor, Modality, Unavailable
from mmsr_core.modalities.models import MODELS
from mmsr_core.modalities.palette import BUNDLED, Palette
from mmsr_core.modalities.shelf import Shelf

ROWS = {row.name: row for row in MODALITIES}


def chosen(names: Sequence[str] | None = None, *preferences: Mapping[str, str] | None) -> dict[str, str]:
    """Modality -> extractor, in token order: the first preference that names one, else the first of its row.

    Args:
        names: which modalities; None takes all.

    Raises:
        ValueError: an unknown modality or extractor.
    """
    given = [preference for preference in preferences if preference is not None]
    unknown = sorted(set(names or ()).union(*given) - set(ROWS))
    if unknown:
        raise ValueError(f"modalities: got {', '.join(unknown)}, wanted some of {', '.join(ROWS)}")
    found = {}
    for row in MODALITIES:
        wanted = [preference[row.name] for preference in given if row.name in preference]
        wrong = sorted(set(wanted) - set(row.extractors))
        if wrong:
            raise ValueError(f"{row.label}: got extractor {wrong[0]!r}, wanted one of {', '.join(row.extractors)}")
        if names is None or row.name in names:
            found[row.name] = wanted[0] if wanted else next(iter(row.extractors))
    return found


@dataclass(frozen=True)
class Access:
    """What one reading may do.

    Attributes:
        allowed: names of the extractors that may send the photo away -> the key that was typed for them, or None for
            the one in the environment. An extractor that is not in here stays off, whoever asks for it.
        cancel: ends the reading once it is set, a download or a wait for a service too.
        say: told, in a sentence, what people should know: a download, another extractor that was taken instead.
    """

    allowed: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    cancel: threading.Event | None = None
    say: Callable[[str], None] | None = None


class Readers:
    """Reads modalities from photos.

    Args:
        weights: folder of the preset's weights.
        device: of torch.
        models: name of a public model -> folder or hub id that is used for it; `MODELS` has the defaults.
        palette: in which segmentation maps are drawn.
        defaults: modality -> extractor, where it is not the first of its row.

    Raises:
        ValueError: an unknown model.
    """

    def __init__(
        self,
        weights: Path,
        device: str = "cpu",
        models: Mapping[str, str] | None = None,
        palette: Palette = BUNDLED,
        defaults: Mapping[str, str] | None = None,
    ) -> None:
        self.weights, self.device, self.palette = weights, device, palette
        self.models, self.defaults = dict(models or {}), dict(defaults or {})
        unknown = sorted(set(self.models) - set(MODELS))
        if unknown:
            raise ValueError(f"extractor model: got {', '.join(unknown)}, wanted some of {', '.join(MODELS)}")
        self.shelf = Shelf(device)

    def read(
        self,
        image: Image.Image,
        names: Sequence[str] | None = None,
        extractors: Mapping[str, str] | None = None,
        access: Access | None = None,
    ) -> Iterator[tuple[str, Image.Image | str]]:
        """(modality, value) of a photo (RGB), each as soon as it is read.

        Those that ask a service wait beside the others; those of this machine run side by side where it has cores to
        spare.

        Args:
            names: which modalities; None reads all.
            extractors: modality -> extractor, where it is not the default.

        Raises:
            Stopped: `access.cancel` was set.
            ValueError: an unknown modality or extractor, or one that cannot be had.
        """
        access = Access() if access is None else access
        wanted = chosen(names, extractors, self.defaults)
        away = [name for name, way in wanted.items() if ROWS[name].extractors[way].consent is not None]
        here = [name for name in wanted if name not in away]
        done, stop, turns = queue.SimpleQueue(), threading.Event(), threading.Semaphore(self.workers())

        def work(name: str) -> None:
            with nullcontext() if name in away else turns:
                try:
                    value = None if stop.is_set() else self._value(ROWS[name], wanted[name], image, access)
                except Exception as error:
                    value = error
            done.put((name, value))

        try:
            for name in (*away, *here):  # who waits for a service waits from the start
                threading.Thread(target=work, args=(name,), name=f"read {name}", daemon=True).start()
            for _ in wanted:
                yield _next(done, access.cancel)
        finally:
            stop.set()

    def workers(self) -> int:
        """How many extractors of this machine work at once: as many as leave every thread of torch a core."""
        import torch

        if self.device != "cpu":
            return 2  # one prepares pictures on the CPU while the other computes
        return max((os.cpu_count() or 1) // torch.get_num_threads(), 1)

    def extractor(self, name: str, way: str, access: Access | None = None, device: str | None = None) -> Extractor:
        """One extractor, ready to use; many have `many(photos)` besides.

        Raises:
            ValueError: its weights, its key, its package or the consent to send the photo away are not there.
        """
        row, access = ROWS[name], Access() if access is None else access
        how = row.extractors[way]
        if how.consent is not None and way not in access.allowed:
            raise ValueError(f"{row.label}: got {how.label} without leave. {how.consent} Wanted your consent to that")
        if row.classes and self.palette.name not in how.palettes:
            fitting = ", ".join(n for n, other in row.extractors.items() if self.palette.name in other.palettes)
            raise ValueError(
                f"{row.label}: got {way}, which cannot draw the {len(self.palette.classes)} classes of the palette "
                f"{self.palette.name} that these weights know, wanted one of {fitting}"
            )
        return how(
            self.weights,
            self.device if device is None else device,
            source=None if how.model is None else self.models.get(how.model.name),
            palette=self.palette,
            key=access.allowed.get(way),
            keep=self.shelf.keep,
            cancel=access.cancel,
            say=access.say,
        )

    def make_room(self, needed: int) -> None:
        """Lets go of networks until `needed` bytes are free, for whatever comes next."""
        self.shelf.make_room(needed)

    def release(self) -> None:
        """Lets go of every network; they are loaded again when they are used again."""
        self.shelf.release()

    def _value(self, row: Modality, way: str, image: Image.Image, access: Access) -> Image.Image | str:
        how = row.extractors[way]
        try:
            return self._fitted(row, way, image, access)
        except Unavailable as error:
            if how.instead is None:
                raise
            if access.say is not None:
                access.say(f"{row.label}: {error}; {row.extractors[how.instead].label} is used instead.")
            return self._fitted(row, how.instead, image, access)

    def _fitted(self, row: Modality, way: str, image: Image.Image, access: Access) -> Image.Image | str:
        """The value; where memory runs out, again with every other network gone, and at last on the CPU."""
        for attempt, device in enumerate((self.device, self.device, "cpu")):
            try:
                return self.extractor(row.name, way, access, device)(image)
            except Exception as error:
                if attempt == 2 or not memory.is_out_of_memory(error):
                    raise
            self.release()
            if attempt == 1 and access.say is not None:
                access.say(f"{row.label}: not enough memory on {self.device}, read on the CPU instead.")
        raise AssertionError("the last attempt returns or raises")


def _next(done: queue.SimpleQueue, cancel: threading.Event | None) -> tuple[str, Image.Image | str]:
    """The next (modality, value); an error that was put instead of a value is raised."""
    while True:
        if cancel is not None and cancel.is_set():
            raise Stopped("reading: stopped; what was read before is kept")
        try:
            name, value = done.get(timeout=0.1)
        except queue.Empty:
            continue
        if isinstance(value, Exception):
            raise value
        return name, value
