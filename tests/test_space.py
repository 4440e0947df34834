"""The tree of the Space: complete, configured, and it starts with nothing else beside it."""

import multiprocessing
import os
import re
import socket
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest
from huggingface_hub import SpaceCard

from app import space, zero
from app.engine import Engine, Options
from mmsr_core.settings import Settings

HUB_LIMIT = 10e6  # bytes of a file outside LFS or Xet
QUICK = Settings(seed=1, steps=1, weight=0.0)


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("space") / "tree"
    space.build(out)
    return out


def test_front_matter_is_what_the_hub_reads(tree):
    about = SpaceCard.load(tree / "README.md").data
    assert (about.sdk, about.python_version, about.app_file) == ("gradio", "3.12", "app.py")
    assert about.sdk_version == version("gradio") and (tree / about.app_file).exists()
    assert len(about.to_dict()["short_description"]) <= 60  # the hub refuses longer ones
    assert any(line.startswith("spaces") for line in (tree / "requirements.txt").read_text().splitlines())


def test_every_binary_goes_through_lfs(tree):
    subprocess.run(["git", "init", "-q", str(tree)], check=True)
    files = [path for path in tree.rglob("*") if path.is_file() and ".git" not in path.parts]
    binary = [path for path in files if b"\0" in path.read_bytes()[:8000] or path.stat().st_size > HUB_LIMIT]
    names = "\n".join(path.relative_to(tree).as_posix() for path in binary)
    command = ["git", "-C", str(tree), "check-attr", "--stdin", "filter"]
    said = subprocess.run(command, input=names, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(said) == len(binary) > 5 and all(line.endswith("filter: lfs") for line in said)


def test_the_tree_holds_sources_and_weights_only(tree):
    kinds = {path.suffix for path in tree.rglob("*") if path.is_file() and ".git" not in path.parts}
    assert ".pyc" not in kinds and not (tree / "tests").exists()
    assert (tree / "assets/models/mini/unet/diffusion_pytorch_model.safetensors").stat().st_size > 1e6


def test_it_is_rebuilt_in_place_but_never_over_other_files(tree, tmp_path):
    (tree / "app" / "left-over.py").touch()
    assert Path("app/left-over.py") not in space.build(tree)
    (tmp_path / "letter.txt").touch()
    with pytest.raises(ValueError, match="with other files, wanted a new one"):
        space.build(tmp_path)


@pytest.mark.weights
def test_it_starts_from_the_tree_alone_and_enlarges_a_photo(tree, tmp_path, photo):
    from gradio_client import Client, handle_file

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kept = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH") if key in os.environ}
    served = {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port), "SPACE_ID": "owner/name"}
    environment = {**kept, **served, "HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    log = tmp_path / "log.txt"
    page = subprocess.Popen(
        [sys.executable, "app.py"], cwd=tree, env=environment, stdout=log.open("w"), stderr=subprocess.STDOUT
    )
    try:
        _wait(f"http://127.0.0.1:{port}/", page, log)
        photo.resize((32, 24)).save(tmp_path / "photo.png")
        client = Client(f"http://127.0.0.1:{port}", verbose=False)
        given = (handle_file(tmp_path / "photo.png"), QUICK.to_json(), "a shape", None, None, None)
        picture, recipe, _ = client.predict(*given, "depth,segmentation,edge", api_name="/restore")
        assert Path(picture).stat().st_size > 1000 and '"mini"' in recipe
    finally:
        page.terminate()
        page.wait(20)
    assert not re.search(r"Traceback|Error", log.read_text()), log.read_text()


def _wait(url: str, page: subprocess.Popen, log: Path, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert page.poll() is None, log.read_text()
        try:
            with urlopen(url, timeout=5) as answer:
                assert answer.status == 200
                return
        except (URLError, TimeoutError):
            time.sleep(0.2)
    raise TimeoutError(log.read_text())


class LentGPU:
    """What `spaces.GPU` does on ZeroGPU: the call runs in a forked process, and its values are pickled."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, task, duration):
        def call(*args):
            self.asked.append(duration(*args))
            context = multiprocessing.get_context("fork")
            receiver, sender = context.Pipe(duplex=False)
            worker = context.Process(target=self._work, args=(task, args, sender), daemon=True)
            worker.start()
            sender.close()
            while True:
                try:
                    yield receiver.recv()
                except EOFError:
                    worker.join(20)
                    return

        return call

    @staticmethod
    def _work(task, args, sender) -> None:
        for value in task(*args):
            sender.send(value)
        sender.close()


def test_on_zero_gpu_sampling_alone_runs_in_the_fork(monkeypatch, photo):
    lent = LentGPU()
    monkeypatch.setitem(sys.modules, "spaces", SimpleNamespace(GPU=lent))
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    engine = Engine(Options("tiny"))
    upscaler = engine.upscaler()
    assert lent.asked == [] and "lent" in upscaler.info.device  # loading and calibrating ask for nothing
    maps = upscaler.extract(photo)
    assert lent.asked == []
    with pytest.raises(ValueError, match="got colour"):
        upscaler.stream(photo, {"colour": "red"}, QUICK)  # refused before a GPU is asked for
    result = upscaler.restore(photo, maps, QUICK)
    assert len(lent.asked) == 1 and zero.LEAST <= lent.asked[0] <= zero.MOST
    here = list(upscaler.sample(photo, maps, QUICK, QUICK))[-1].result
    assert np.array_equal(np.asarray(result.sampled), np.asarray(here.sampled))


def test_elsewhere_nothing_is_lent(monkeypatch):
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    assert zero.lent_sampler(lambda: None) is None


def test_more_work_asks_for_more_seconds_within_limits():
    assert zero.seconds(0) == zero.LEAST < zero.seconds(30) < zero.seconds(1000) == zero.MOST
