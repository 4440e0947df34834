"""The benchmark's clocks and tables. Times are not tested, only that the right things are timed."""

from __future__ import annotations

import json
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

import pytest
import torch
from diffusers import VQModel

from mmsr_core.attention import ContextAttention
from mmsr_core.build import assembled
from mmsr_core.evaluation import bench, bench_context, bench_page, bench_sd2
from mmsr_core.evaluation.__main__ import main
from mmsr_core.evaluation.rrdbnet import RRDBNet
from mmsr_core.evaluation.timing import alone, peak_bytes, race, threads
from mmsr_core.settings import Settings
from mmsr_core.upscaler import Upscaler
from tests.foreign import stable_diffusion


@pytest.fixture
def quick() -> Namespace:
    parser = ArgumentParser()
    bench.add_arguments(parser)
    return parser.parse_args(["--quick", "--preset", "tiny"])


def test_runners_take_turns_and_the_median_counts() -> None:
    calls: list[str] = []
    times = race({"a": lambda: calls.append("a"), "b": lambda: (calls.append("b"), sum(range(10**6)))}, rounds=3)
    assert calls == ["a", "b"] * 4
    assert 0 <= times["a"] < times["b"]


def test_the_number_of_threads_is_given_back() -> None:
    before = torch.get_num_threads()
    with pytest.raises(KeyError), threads(2):
        assert torch.get_num_threads() == 2
        raise KeyError
    assert torch.get_num_threads() == before


def test_the_yardstick_has_the_size_of_real_esrgan() -> None:
    assert sum(p.numel() for p in RRDBNet().parameters()) == 16_697_987  # RealESRGAN_x4plus.pth
    with torch.no_grad():
        assert RRDBNet(8, 1, 4)(torch.zeros(1, 3, 5, 7)).shape == (1, 3, 20, 28)


def test_every_restoration_gets_a_photo_that_was_not_there_before(upscaler: Upscaler, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(upscaler, "extract", lambda image: seen.append(image.tobytes()) or {})
    run = bench._restores(upscaler, 16, bench.Settings(seed=0, steps=1))
    run(), run(), run()
    assert len(set(seen)) == 3


def test_a_visit_measures_first_run_and_changes(upscaler: Upscaler) -> None:
    found = bench._visit(upscaler, bench.photo(24))
    assert list(found)[0].startswith("first run") and len(found) == 4 and all(value > 0 for value in found.values())


def test_context_tables_have_a_row_a_case(upscaler: Upscaler, quick: Namespace, monkeypatch) -> None:
    monkeypatch.setattr(bench_context, "GRID", 8)
    monkeypatch.setattr(bench_context, "GRIDS", (8, 16))
    (connector,) = bench_context.connector(upscaler, quick)
    assert [row[0] for row in connector.rows] == ["1 (256)", "4 (1024)", "8 (2048)"]
    with_, without = (float(value) for value in connector.rows[-1][-2:])
    assert without > 10 * with_, "2048 tokens against 128"
    (cache,) = bench_context.cache(upscaler, quick)
    assert len(cache.rows) == 4


def test_a_benchmark_writes_table_and_numbers(tmp_path: Path, capsys) -> None:
    main(["bench", "--preset", "tiny", "--quick", "--only", "extractors", "--out", str(tmp_path)])
    numbers = json.loads((tmp_path / "bench.json").read_text())
    assert numbers["quick"] and len(numbers["tables"][0]["rows"]) == 5
    assert numbers["machine"] in (tmp_path / "bench.md").read_text() and "| Depth" in capsys.readouterr().out


def test_a_large_picture_is_measured_in_a_process_of_its_own() -> None:
    found = alone(["mmsr_core.evaluation.bench_tile", "64", "--preset", "tiny"])
    assert set(found) == {"seconds", "tiles", "loaded", "peak"} and found["peak"] >= found["loaded"] > 2**20
    assert peak_bytes() > 2**20
    with pytest.raises(ValueError, match="got a failed run of mmsr_core.absent"):
        alone(["mmsr_core.absent"])


def test_visitors_without_a_picture_are_counted(tmp_path: Path, monkeypatch) -> None:
    class Client:
        def __init__(self, address: str, **options: object) -> None:
            self.number = len(clients)
            clients.append(self)

        def predict(self, photo: dict, settings: str, api_name: str) -> tuple[str, str]:
            if self.number == 1:
                raise RuntimeError
            bench.photo(4 * bench_page.SIDE if self.number else 8).save(tmp_path / f"{self.number}.png")
            return str(tmp_path / f"{self.number}.png"), ""

    clients: list[Client] = []
    monkeypatch.setattr("gradio_client.Client", Client)
    seconds, errors = bench_page._visited("", tmp_path, 4)
    assert len(seconds) == 2 and errors == 2, "one raised, one got a picture of a wrong size"


def test_the_papers_size_is_measured_beside_instructpix2pix(tiny_folder: Path, tmp_path: Path, capsys) -> None:
    base = stable_diffusion(tmp_path / "base", tiny_folder / "tokenizer")
    vq = VQModel.from_pretrained(tiny_folder / "vq")
    parser = ArgumentParser()
    bench_sd2.add_arguments(parser)
    sizes = ["--sides", "128", "64", "--peer-sides", "64", "--steps", "2", "--rounds", "1", "--device", "cpu"]
    bench_sd2.main(parser.parse_args([*sizes, "--out", str(tmp_path)]), lambda: assembled(base, vq, 8, 1))
    small, large = json.loads((tmp_path / "bench.json").read_text())["tables"][0]["rows"]
    assert (small[0], large[0], large[-1]) == ("64 px", "128 px", "–")
    assert all(float(cell.rstrip("%")) > 0 for cell in (small[2], small[3], small[5], small[6], small[8]))
    assert "| 64 px |" in capsys.readouterr().out


def test_a_size_that_does_not_fit_is_a_row_that_says_so(upscaler: Upscaler, monkeypatch) -> None:
    def too_large(*given: object) -> None:
        raise MemoryError("memory: got too little")

    monkeypatch.setattr(upscaler, "restore", too_large)
    options = Namespace(steps=1, rounds=1, peer_sides=[])
    assert bench_sd2._row(upscaler, None, 64, options)[:3] == ["64 px", "does not fit", "–"]


def test_the_peer_leaves_the_unet_as_it_was(tiny_folder: Path, tmp_path: Path) -> None:
    pipeline = assembled(
        stable_diffusion(tmp_path, tiny_folder / "tokenizer"), VQModel.from_pretrained(tiny_folder / "vq"), 8, 1
    )
    peer = bench_sd2.Peer(pipeline)
    assert peer(bench.photo(16), Settings(steps=1)).size == (64, 64)
    assert {type(found) for found in pipeline.unet.attn_processors.values()} == {ContextAttention}


def test_the_peak_is_counted_from_the_start() -> None:
    """In a process of its own: here others come and go."""
    code = """
import numpy as np
from mmsr_core.evaluation.timing import peak_of
with peak_of("cpu") as peak:
    before = peak()
    np.ones(2**26, np.uint8)
    largest = peak()
assert largest - before > 2**25, (before, largest)
with peak_of("cpu") as peak:
    assert peak() < largest
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
