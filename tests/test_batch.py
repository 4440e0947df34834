"""Which files a batch makes: never an input's place, never twice the same name."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmsr_core import batch, pace
from mmsr_core.images import Photo, read_recipe, save_photo
from mmsr_core.recipe import Recipe, record
from mmsr_core.settings import Settings
from mmsr_core.team import Team

ROOT = Path(__file__).parent.parent


def photo():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (17, 20, 3), np.uint8))


def result(path):
    """A file as this program leaves it."""
    return save_photo(path, photo(), Photo(photo()), record(Settings(), 0, "tiny", "", {}, {}, photo()).to_json())


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    photo().save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "notes.txt").write_text("not a photo")
    return tmp_path


def test_an_input_is_never_overwritten(folder):
    for source, target in (("in/a.png", "in/a.png"), ("in/a.png", "in"), ("in", "in")):
        with pytest.raises(ValueError, match="which is an input"):
            batch.plan(folder / source, folder / target)
    (folder / "link.png").symlink_to(folder / "in" / "a.png")
    with pytest.raises(ValueError, match="which is an input"):
        batch.plan(folder / "in" / "a.png", folder / "link.png")


def test_a_file_of_the_visitors_own_is_never_overwritten(folder):
    """As when a pattern of the shell matches two photos."""
    photo().save(folder / "b.png")
    with pytest.raises(ValueError, match="got 'b.png', a file that is no result"):
        batch.plan(folder / "in" / "a.png", folder / "b.png")
    result(folder / "b.png")
    assert len(batch.plan(folder / "in" / "a.png", folder / "b.png")) == 1


@pytest.mark.parametrize("form", ["png", "jpg", "webp", "tiff", "avif"])
def test_a_folder_of_results_replaces_only_results(folder, form):
    for name in ("b.png", "c.png"):
        photo().save(folder / "in" / name)
    (folder / "out").mkdir()
    for name in ("a", "b"):
        result(folder / "out" / f"{name}.{form}")
    assert len(batch.plan(folder / "in", folder / "out", form)) == 3
    photo().save(folder / "out" / f"b.{form}")
    with pytest.raises(ValueError, match=f"got 'b.{form}', a file that is no result of this program; wanted"):
        batch.plan(folder / "in", folder / "out", form)
    assert len(batch.plan(folder / "in", folder / "out", form, keep=True)) == 3


def test_thousands_of_large_results_are_recognised_without_reading_them(folder, monkeypatch):
    large = Image.effect_noise((1200, 1200), 90).convert("RGB")
    recipe = record(Settings(), 0, "tiny", "", {}, {}, photo()).to_json()
    (folder / "out").mkdir()
    for form in ("png", "jpg", "webp"):
        path = save_photo(folder / "out" / f"a.{form}", large, Photo(large), recipe)
        assert path.stat().st_size > 2 * batch._PEEK
        monkeypatch.setattr(batch, "read_recipe", lambda path: pytest.fail("read as a whole"))
        assert len(batch.plan(folder / "in", folder / "out", form)) == 1


def test_impossible_plans_are_refused(folder):
    (folder / "empty").mkdir()
    for source, target, message in (
        ("empty", "out", "got no pictures in 'empty'"),
        ("in", "in/notes.txt", "wanted a folder"),
        ("in/a.png", "out.gif", r"got \.gif, wanted one of"),
    ):
        with pytest.raises(ValueError, match=message):
            batch.plan(folder / source, folder / target)


def test_a_format_that_the_name_of_the_result_contradicts_is_refused(folder):
    with pytest.raises(ValueError, match="format: got jpg for the file 'out.png', wanted one of both"):
        batch.plan(folder / "in" / "a.png", folder / "out.png", "jpg")
    assert batch.plan(folder / "in" / "a.png", folder / "out.jpeg", "jpg")[0].target.name == "out.jpeg"


def test_names_keep_their_format_and_never_collide(tmp_path):
    names = ["a.jpg", "A.png", "a_png.bmp", "b.gif", "c.TIFF", ".hidden.png", "d.txt"]
    for name in names:
        photo().convert("L").save(tmp_path / "x.png")
        (tmp_path / "x.png").rename(tmp_path / name)
    jobs = {job.source.name: job.target.name for job in batch.plan(tmp_path, tmp_path / "out")}
    assert jobs == {
        "A.png": "A_png.png", "a.jpg": "a_jpg.jpg", "a_png.bmp": "a_png_.png", "b.gif": "b.png", "c.TIFF": "c.TIFF",
    }  # fmt: skip
    stems = [job.target.stem.casefold() for job in batch.plan(tmp_path, tmp_path / "out", "webp")]
    assert len(set(stems)) == len(stems) == 5


def test_a_plan_looks_at_each_file_once(tmp_path, monkeypatch):
    """Comparing each result with each photo took 48 s for 2,000 files."""
    (tmp_path / "out").mkdir()
    made = result(tmp_path / "made.png").read_bytes()
    for number in range(60):
        (tmp_path / f"{number}.png").touch()
        (tmp_path / "out" / f"{number}.png").write_bytes(made)
    (tmp_path / "made.png").unlink()
    looked, stat = [], Path.stat
    monkeypatch.setattr(Path, "stat", lambda self, **options: looked.append(self) or stat(self, **options))
    assert len(batch.plan(tmp_path, tmp_path / "out")) == 60
    assert len(looked) < 10 * 60


def test_a_failed_sampling_is_said_in_the_cores_own_words(folder, upscaler, monkeypatch):
    def failing(*given, **options):
        raise FloatingPointError("sampling: got values that are not finite")

    monkeypatch.setattr(upscaler, "restore", failing)
    (outcome,) = batch.run(upscaler, batch.plan(folder / "in", folder / "out"), batch.Order())
    assert outcome.message == "a.png: sampling: got values that are not finite"


def test_a_protected_region_of_a_recipe_is_kept(folder, upscaler):
    settings = Settings(steps=1, seed=0)
    recipe = record(settings, 0, "tiny", "", {}, {}, photo(), region=Image.new("L", (5, 5), 255))
    (outcome,) = batch.run(upscaler, batch.plan(folder / "in", folder / "out"), batch.Order(settings, recipe=recipe))
    made = Image.open(outcome.job.target)
    assert np.array_equal(made.convert("RGB"), photo().resize(made.size, Image.Resampling.BICUBIC))
    assert Recipe.from_json(read_recipe(outcome.job.target)).region().getextrema() == (255, 255)


def test_a_manifest_lists_photos_from_anywhere(tmp_path):
    for name in ("x/a.png", "y/a.png", "b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        photo().save(tmp_path / name)
    (tmp_path / "list.txt").write_text("# photos\nx/a.png\n\ny/a.png\nb.png\nx/a.png\n")
    jobs = batch.plan(tmp_path / "list.txt", tmp_path / "out")
    assert [job.source.relative_to(tmp_path).as_posix() for job in jobs] == ["x/a.png", "y/a.png", "b.png"]
    assert len({job.target for job in jobs}) == 3
    (tmp_path / "LIST.TXT").write_text("x/a.png\ny/a.png\n", "utf-8-sig")  # as Windows' editor saves it
    assert [job.source.is_file() for job in batch.plan(tmp_path / "LIST.TXT", tmp_path / "out")] == [True, True]
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="which is no text"):
        batch.plan(tmp_path / "list.txt", tmp_path / "out")


@pytest.mark.parametrize("world", [1, 3, 8])
def test_shares_are_all_jobs_once(world):
    jobs = list(range(7))
    shares = [Team(rank, world).share(jobs) for rank in range(world)]
    assert sorted(job for share in shares for job in share) == jobs
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_each_process_takes_a_gpu_of_its_machine(monkeypatch):
    current = []
    monkeypatch.setattr("torch.cuda.set_device", current.append)  # else each would hold a context on the first GPU, too
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert [Team(rank, 6, rank % 3).device(None) for rank in range(4)] == ["cuda:0", "cuda:1", "cuda:0", "cuda:0"]
    assert current == [0, 1, 0, 0]
    assert Team(1, 2, 1).device("cpu") == "cpu" and Team().device(None) is None
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert Team(1, 2, 1).device(None) is None


def test_an_impossible_rank_is_refused(monkeypatch):
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="got 2 of WORLD_SIZE 2"):
        Team.here()


def test_two_processes_share_a_folder_resume_and_sum_up_once(tmp_path):
    """One photo is done already, one is broken: the others are made once each, and one summary tells it all."""
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    for name in "abcde":
        photo().save(tmp_path / "in" / f"{name}.png")
    (tmp_path / "in" / "c.png").write_bytes(b"no picture")
    (tmp_path / "out" / "b.png").write_bytes(b"made earlier")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "mmsr_core"]
    options = ["--preset", "tiny", "--steps", "1", "-w", "0", "--resume", "--summary", str(tmp_path / "summary.json")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*command, str(tmp_path / "in"), str(tmp_path / "out"), *options],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert (tmp_path / "summary.json").exists(), done.stderr
    rows = json.loads((tmp_path / "summary.json").read_text())
    states = {row["photo"][-5:]: row["state"] for row in rows}
    assert states == {"a.png": "done", "b.png": "skipped", "c.png": "failed", "d.png": "done", "e.png": "done"}
    assert {row["process"] for row in rows} == {0, 1}
    assert done.stderr.count("1 of 4 failed") == 1 and done.returncode != 0
    assert (tmp_path / "out" / "b.png").read_bytes() == b"made earlier"
    assert all(Image.open(tmp_path / "out" / f"{name}.png").size == (80, 68) for name in "ade")


def test_no_speed_is_measured_to_word_warnings(folder, upscaler, monkeypatch):
    """It took a second of each command; a long run is told by its own first tiles."""
    monkeypatch.setattr(upscaler, "_pace", pace.Pace())
    monkeypatch.setattr(upscaler, "_calibrate", lambda: pytest.fail("measured"))
    monkeypatch.setattr(pace, "SLOW", 0)
    said, order = [], batch.Order(Settings(steps=3, weight=0.0))
    (outcome,) = batch.run(upscaler, batch.plan(folder / "in", folder / "out"), order, notify=said.append)
    assert outcome.state == "done", outcome.message
    assert [text.split(":")[:2] for text in said] == [
        ["a.png", " At weight 0 the negative text has no effect."],
        ["a.png", " About 0 minutes"],
    ]


def test_a_forecast_tells_what_a_run_makes_and_writes_nothing(folder, upscaler):
    (folder / "in" / "b.png").write_bytes(b"no picture")
    before, jobs = sorted(folder.rglob("*")), batch.plan(folder / "in", folder / "out", "webp")
    fine, broken = batch.forecast(upscaler, jobs, batch.Order(Settings(scale=2)))
    assert fine.state == "planned" and broken.state == "failed" and "b.png: got no picture" in broken.message
    cost = upscaler.plan((20, 17), Settings(scale=2))
    costs = f"about {cost.seconds:.1f} s, {cost.memory_bytes / 1e9:.2f} GB of memory"
    assert fine.message == f"a.png 20x17 -> a.webp 40x34, 1 tile, {costs}"
    assert sorted(folder.rglob("*")) == before
