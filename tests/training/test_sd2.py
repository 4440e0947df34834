"""Training at scale, on two processes: nothing lost, nothing twice, and a kill at any moment changes nothing."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import signal
import socket
import sys
import tarfile
import time
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import load_file

from mmsr_core import build
from mmsr_core.modalities import MODALITIES, Unavailable
from mmsr_core.modalities.readers import Access
from mmsr_core.pipeline import MMSRPipeline
from mmsr_core.team import Team
from mmsr_core.training import logbook, prepare_sd2, scale, sd2
from mmsr_core.training.shards import ShardSet
from mmsr_core.training.sources import Folder, Tars, source
from mmsr_core.upscaler import Upscaler
from tests.foreign import stable_diffusion

FORK = multiprocessing.get_context("fork")
SIDE = 64


@pytest.fixture(scope="module")
def parts(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A first checkpoint of sd2, tiny."""
    folder = tmp_path_factory.mktemp("sd2")
    base = stable_diffusion(folder / "base", tiny_folder / "tokenizer")
    options = ["--vqgan", str(tiny_folder / "vq"), "--latents", "8", "--depth", "1", "--palette", "mmsr"]
    build.main(["build", "--base", str(base), *options, str(folder / "first")])
    return folder / "first"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen photos in two folders; one of them is broken and one too small."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for number in range(14):
        place = folder / ("a" if number % 2 else "b")
        place.mkdir(exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (4, 6, 3), dtype=np.uint8))
        size = (SIDE - 8, SIDE) if number == 5 else (SIDE + 32, SIDE + 8)
        coarse.resize(size, Image.Resampling.BICUBIC).save(place / f"{number:02d}.png")
    (folder / "a" / "03.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    return folder


def options(stage: object, *words: object) -> object:
    parser = ArgumentParser()
    stage.add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


def prepare_options(parts: Path, photos: Path, out: Path) -> object:
    words = ("--data", photos, "--weights", parts, "--out", out, "--side", SIDE, "--most", 2, "--unit", 2)
    ways = ("text=composed", "depth=student", "segmentation=student")
    return options(prepare_sd2, *words, "--device", "cpu", *(word for way in ways for word in ("--extractor", way)))


@pytest.fixture(scope="module")
def data(parts: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data")
    together(2, lambda: prepare_sd2.main(prepare_options(parts, photos, out)))
    return out


def started(world: int, act: Callable[[], None]) -> list[multiprocessing.Process]:
    """`act` in so many processes that know each other, as a launcher would start them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])

    def run(rank: int) -> None:
        known = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
        os.environ.update({name: str(value) for name, value in known.items()})
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
        AcceleratorState._reset_state(True)
        act()

    processes = [FORK.Process(target=run, args=(rank,)) for rank in range(world)]
    for process in processes:
        process.start()
    return processes


def together(world: int, act: Callable[[], None]) -> None:
    processes = started(world, act)
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0] * world


def killed(world: int, act: Callable[[], None], when: Callable[[], bool]) -> None:
    """Kill -9 for all processes as soon as `when`."""
    processes, end = started(world, act), time.monotonic() + 300
    while not when():
        assert time.monotonic() < end and all(process.exitcode in (None, 0) for process in processes)
        time.sleep(0.005)
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
        process.join()


def samples(folder: Path) -> dict[str, bytes]:
    """Every file of every shard, by name; refuses a name that is there twice."""
    found = {}
    for path in sorted(folder.glob("shard-*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                assert member.name not in found
                found[member.name] = tar.extractfile(member).read()
    return found


def test_prepare_on_two_processes_makes_every_window_once_and_lists_what_it_cannot_read(data: Path, photos: Path):
    found, shards = samples(data), ShardSet.open(data)
    about = [json.loads(content) for name, content in found.items() if name.endswith(".json")]
    read = {row["photo"] for row in about}
    every = {path.relative_to(photos).as_posix() for path in photos.rglob("*.png")}
    refused = json.loads((data / "refused.json").read_text())
    assert set(refused) == {"a/03.png", "a/05.png"} == every - read
    assert "unreadable" in refused["a/03.png"] and "56 x 64 px" in refused["a/05.png"]
    assert len(shards) == len(about) == len(found) / 3
    window = shards[len(shards) - 1]
    assert window.picture.shape == (SIDE, SIDE, 3) and window.ids.shape[:2] == (2, 3) and window.caption


def test_prepare_killed_and_started_again_loses_and_repeats_nothing(data: Path, parts: Path, photos: Path, tmp_path):
    args = prepare_options(parts, photos, tmp_path)
    killed(2, lambda: prepare_sd2.main(args), lambda: len(list(tmp_path.glob("shard-*.json"))) >= 2)
    done = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("shard-*.json")}
    assert 2 <= len(done) < 7
    (photos / "a" / "late.png").write_bytes((photos / "b" / "00.png").read_bytes())  # must not shift the units
    try:
        together(2, lambda: prepare_sd2.main(args))
    finally:
        (photos / "a" / "late.png").unlink()
    assert samples(tmp_path) == samples(data)
    assert all((tmp_path / name).stat().st_mtime_ns == when for name, when in done.items())  # kept, not made again


def test_tar_files_give_the_photos_of_a_folder(photos: Path, tmp_path: Path):
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        tar.add(photos / "b" / "00.png", "00.png")
        tar.addfile(tarfile.TarInfo("00.json"), io.BytesIO(b""))
    broken = (tmp_path / "0.tar").read_bytes()[:700]
    (tmp_path / "1.tar").write_bytes(broken)
    tars, folder = source(str(tmp_path)), source(str(photos))
    assert isinstance(tars, Tars) and isinstance(folder, Folder) and len(tars.units()) == 2
    assert list(tars.photos(tars.units()[0])) == [("0.tar/00.png", (photos / "b" / "00.png").read_bytes())]
    assert list(tars.photos(tars.units()[1]))[-1][0] == "1.tar"  # listed, not fatal
    with pytest.raises(ValueError, match="wanted a folder, a tar file or hf:owner/name"):
        source(str(tmp_path / "nothing"))


class Streamed(list):
    """What `datasets.load_dataset(..., streaming=True)` gives, as far as we use it."""

    num_shards = 2

    def cast_column(self, column, feature):
        assert (column, feature) == ("image", "undecoded")
        return self

    def shard(self, num_shards, index):
        return self[index::num_shards]


def test_a_data_set_of_the_hub_is_streamed_shard_by_shard(monkeypatch):
    rows = Streamed({"image": {"bytes": content}} for content in (b"a", b"b", None, b"d"))
    library = SimpleNamespace(load_dataset=lambda name, split, streaming: rows, Image=lambda decode: "undecoded")
    monkeypatch.setitem(sys.modules, "datasets", library)
    stream = source("hf:owner/photos:val")
    assert stream.units() == [["0"], ["1"]]
    assert list(stream.photos(["0"])) == [("owner/photos/val-0-0", b"a"), ("owner/photos/val-0-1", b"")]
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match="without the package datasets"):
        stream.units()


def test_a_service_that_does_not_answer_is_replaced_and_not_asked_without_consent(photo):
    class Services:
        def extractor(self, name, way, access):
            def gone(image):
                raise Unavailable("no answer")

            assert way != "gemini" or way in access.allowed
            return gone if way == "gemini" else lambda image: way

    access = Access({"gemini": None})
    make = prepare_sd2.Windows(Services(), {"text": "gemini", "depth": "student"}, None, SIDE, 1, 0, None, access)
    assert make.read("text", [photo, photo]) == ["composed"] * 2 and make.read("depth", [photo]) == ["student"]


def test_other_sources_cannot_join_a_begun_folder(data: Path, parts: Path, photos: Path):
    with pytest.raises(ValueError, match="wanted what .* was begun with"):
        prepare_sd2.planned({str(photos / "a"): source(str(photos / "a"))}, data, 0)


def test_every_epoch_has_every_window_once_whatever_the_number_of_processes(data: Path):
    shards, config = ShardSet.open(data), sd2.Sd2Config(batch=1)
    count = len(shards)

    def order(world: int, epoch: int) -> list[int]:
        micros = [sd2.Micros(shards, config, rank, world) for rank in range(world)]
        return [micros[p % world]._index(p) for p in range(epoch * count, (epoch + 1) * count)]

    assert order(1, 0) == order(2, 0) and sorted(order(1, 0)) == list(range(count)) == sorted(order(1, 1))
    assert order(1, 0) != order(1, 1)


def train(parts: Path, data: Path, out: Path, *words: object) -> Callable[[], None]:
    shared = ("--parts", parts, "--data", data, "--out", out, "--save", out / "final", "--precision", "no")
    args = options(sd2, *shared, "--workers", 0, "--checkpoint-every", 2, "--batch", 2, "--warmup", 1, *words)
    return lambda: sd2.main(args)


def weights(out: Path) -> dict[str, torch.Tensor]:
    folders = (out / "final" / "unet", out / "final" / "connector")
    return {f"{f.name}.{k}": v for f in folders for k, v in load_file(next(f.glob("*.safetensors"))).items()}


def test_two_processes_learn_and_a_kill_changes_nothing(parts: Path, data: Path, tmp_path: Path, photo):
    words = ("--steps", 6, "--accumulate", 2, "--lr", 3e-3, "--ema", 0.5, "--log-every", 1)
    together(2, train(parts, data, tmp_path / "whole", *words, "--val", data, "--validate-every", 3))
    broken = tmp_path / "broken"
    killed(2, train(parts, data, broken, *words), lambda: (broken / "step-0000002").exists())
    assert not (broken / "final").exists()
    (broken / "step-0000005.partial").mkdir()  # what a kill within a save leaves
    together(2, train(parts, data, broken, *words))
    one, other = weights(tmp_path / "whole"), weights(broken)
    first = MMSRPipeline.from_pretrained(parts).unet.state_dict()
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert any(not torch.equal(one[f"unet.{name}"], value) for name, value in first.items())
    rows = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4, 5, 6]
    validated = [row for row in rows if "val_loss" in row]
    assert json.loads((tmp_path / "whole" / "recipe.json").read_text())["steps"]["value"] == 6
    assert validated[1]["val_loss"] < validated[0]["val_loss"] and validated[0]["val_psnr"] > 0
    assert (tmp_path / "whole" / "sheet-0000006.png").exists()
    assert [path.name for path in scale.checkpoints(broken)] == ["step-0000004", "step-0000006"]
    assert ModelCard.load(tmp_path / "whole" / "final" / "README.md").data.license == "openrail++"
    upscaler = Upscaler.load("sd2", weights=tmp_path / "whole" / "final", device="cpu")  # no longer refused
    assert upscaler.restore(photo, {}, sd2.Settings(steps=1, seed=0)).sampled.size == (53 * 4, 37 * 4)


def test_machines_that_do_not_share_a_folder_all_refuse(tmp_path: Path):
    """Each of them: one that goes on alone would wait for the others. A newer step than the first's is no better."""
    for step in ("0/step-0000004", "1/step-0000004", "1/step-0000006"):
        (tmp_path / step).mkdir(parents=True)

    def begin() -> None:
        config = scale.ScaleConfig(out=tmp_path / os.environ["RANK"], precision="no")
        with pytest.raises(ValueError, match="got step-0000004 and step-0000006 as newest .*, wanted the same for all"):
            scale.Run(torch.nn.Linear(1, 1), config)

    together(2, begin)


def test_half_precision_learns_too(parts: Path, data: Path, tmp_path: Path):
    words = ("--steps", 2, "--log-every", 1, "--val", data, "--validate-every", 2, "--precision", "bf16")
    together(1, train(parts, data, tmp_path, *words))
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert all(np.isfinite(row["loss"]) for row in rows if "loss" in row) and (tmp_path / "sheet-0000002.png").exists()


def test_every_option_says_where_its_default_comes_from(tmp_path):
    rows = logbook.recipe(sd2.Sd2Config())
    assert rows["drop"] == {"value": 0.1, "default from": "the paper"}
    assert rows["lr"]["default from"].startswith("ours") and all(row["default from"] for row in rows.values())
    assert Team.here() == Team() and [row.name for row in MODALITIES] == list(sd2.NAMES)
