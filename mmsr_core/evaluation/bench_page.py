"""The benchmark's part about the page: visitors at the same time, each with a photo of their own."""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from argparse import Namespace
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from mmsr_core.evaluation.summary import Table
from mmsr_core.presets import ASSETS

if TYPE_CHECKING:
    from mmsr_core.upscaler import Upscaler

ROOT = ASSETS.parent
VISITORS = (1, 4, 16)
SIDE = 64  # of a visitor's photo in px
START = 180  # seconds that the page may take to start


def page(upscaler: Upscaler, args: Namespace) -> list[Table]:
    """The page in a process of its own, visited through its own endpoint.

    Raises:
        ValueError: the page does not start.
    """
    rows, alone = [], None
    with _served(args) as address, tempfile.TemporaryDirectory(prefix="mmsr-visit-") as folder:
        _visited(address, Path(folder), 1)  # loads the model
        for count in VISITORS[:2] if args.quick else VISITORS:
            visits = [_visited(address, Path(folder), count) for _ in range(3 if count == 1 else 1)]
            seconds, errors = [value for found, _ in visits for value in found], sum(failed for _, failed in visits)
            alone = statistics.median(seconds) if alone is None else alone
            rows.append(
                [f"{count}", f"{statistics.median(seconds):.2f}", f"{max(seconds):.2f}"]
                + [f"{max(seconds) / (count * alone):.2f}", f"{errors}"]
            )
    header = ["visitors at once", "median wait, s", "longest wait, s", "longest : (visitors x one alone)", "errors"]
    note = (
        f"From the click to the picture in the visitor's hands, {SIDE} -> {4 * SIDE} px at default settings, queue "
        "included. One run at a time: a ratio of 1 means that waiting in the queue costs nothing on top."
    )
    return [Table("Page under visitors", header, rows, note)]


@contextmanager
def _served(args: Namespace) -> Iterator[str]:
    """Starts `app.py` on a free port; stops it afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    weights = [] if args.weights is None else ["--weights", str(args.weights)]
    words = [sys.executable, "app.py", "--port", str(port), "--preset", args.preset, "--device", "cpu", *weights]
    server = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}"
        _await(address, server)
        yield address
    finally:
        server.terminate()
        server.wait()


def _await(address: str, server: subprocess.Popen) -> None:
    end = time.monotonic() + START
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.5)
    raise ValueError(f"page: got no answer within {START} s, wanted app.py to start")


def _visited(address: str, folder: Path, count: int) -> tuple[list[float], int]:
    """Seconds of every visit that got its picture, and how many did not."""
    from gradio_client import Client, handle_file

    clients = [Client(address, verbose=False, httpx_kwargs={"timeout": START}) for _ in range(count)]
    photos = [folder / f"{count}-{number}.png" for number in range(count)]
    for number, path in enumerate(photos):
        Image.fromarray(np.random.default_rng([count, number]).integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(path)

    def visit(client: Client, path: Path) -> float | None:
        start = time.perf_counter()
        try:
            picture, *_ = client.predict(handle_file(path), '{"seed": 0}', api_name="/restore")
            if Image.open(picture).size != (4 * SIDE, 4 * SIDE):
                return None
        except Exception:  # whatever the client raises: this visitor has no picture
            return None
        return time.perf_counter() - start

    with ThreadPoolExecutor(count) as pool:
        times = list(pool.map(visit, clients, photos))
    done = [seconds for seconds in times if seconds is not None]
    if not done:
        raise ValueError(f"page: got no picture for any of {count} visitors, wanted one each")
    return done, count - len(done)
