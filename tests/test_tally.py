"""How a run of the command line ends, and what it leaves: by itself, by Ctrl-C, by an error, with nobody listening."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmsr_core.__main__ import main
from mmsr_core.images import ImageError
from mmsr_core.upscaler import Upscaler

ROOT = Path(__file__).parent.parent
TINY = ["--preset", "tiny", "--steps", "1", "--device", "cpu"]


def photo(size=(20, 17)):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png", "c.png"):
        photo().save(tmp_path / "in" / name)
    return tmp_path


@pytest.fixture
def command(folder, upscaler, monkeypatch):
    """A run with a summary, on a model that is loaded already."""
    monkeypatch.setattr(Upscaler, "load", lambda *given, **options: upscaler)
    return [str(folder / "in"), str(folder / "out"), *TINY, "--summary", str(folder / "done.json")]


def states(folder):
    return [row["state"] for row in json.loads((folder / "done.json").read_text())]


def fail_at(monkeypatch, number, error):
    """The restoration of that photo, counted from 1, raises."""
    restore, calls = Upscaler.restore, []

    def failing(*given, **options):
        calls.append(None)
        if len(calls) == number:
            raise error
        return restore(*given, **options)

    monkeypatch.setattr(Upscaler, "restore", failing)


# ------------------------------------------------------------ where a summary may go


@pytest.mark.parametrize(
    ("place", "got"),
    [
        ("nowhere/done.json", "no folder 'nowhere'"),
        ("in/a.png/done.json", "no folder 'a.png'"),
        ("in", "the folder 'in'"),
        ("in/b.png", "'b.png', a file that is no summary"),
        ("recipe.json", "'recipe.json', a file that is no summary"),
        ("out/a.png", "'a.png', which is the name of a result"),
    ],
)
def test_a_summary_that_cannot_be_written_is_refused_before_the_work(folder, capsys, place, got):
    (folder / "recipe.json").write_text('{"recipe": 1}')
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(SystemExit) as end:
        main([str(folder / "in"), str(folder / "out"), "--summary", str(folder / place)])
    assert end.value.code == 2 and f"--summary: got {got}" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_summary_may_stand_beside_the_results_and_replace_an_older_one(folder, command):
    command[-1] = str(folder / "out" / "done.json")
    for _ in range(2):
        assert main(command) == 0
        assert [row["state"] for row in json.loads(Path(command[-1]).read_text())] == ["done"] * 3


def test_a_summary_that_cannot_be_written_after_all_is_said(folder, command, capsys, monkeypatch):
    def full(path, data):
        raise ImageError(f"{path.name}: got No space left on device, wanted a place to write to")

    monkeypatch.setattr("mmsr_core.tally.write_whole", full)
    assert main(command) == 1
    assert "failed: --summary done.json: got No space left" in capsys.readouterr().err


# ------------------------------------------------------------ how a run ends


def test_failures_are_listed_and_written_down(folder, command, capsys, monkeypatch):
    fail_at(monkeypatch, 2, ValueError("odd"))
    assert main(command) == 1
    assert "1 of 3 failed:\n  b.png: odd" in capsys.readouterr().err
    assert states(folder) == ["done", "failed", "done"]


def test_a_stopped_run_writes_down_what_was_not_started(folder, command, capsys, monkeypatch):
    fail_at(monkeypatch, 2, KeyboardInterrupt())
    assert main(command) == 130
    assert "stopped; what was finished is kept" in capsys.readouterr().err
    assert states(folder) == ["done", "not started", "not started"]
    assert [path.name for path in (folder / "out").iterdir()] == ["a.png"]


@pytest.mark.parametrize("error", [RuntimeError, OSError, ImportError])
def test_a_model_that_cannot_be_loaded_is_no_usage_error(folder, command, capsys, monkeypatch, error):
    def broken(*given, **options):
        raise error("no such kernel")

    monkeypatch.setattr(Upscaler, "load", broken)
    assert main(command) == 1
    assert "failed: the model could not be loaded: no such kernel" in capsys.readouterr().err
    assert states(folder) == ["not started"] * 3


@pytest.mark.parametrize("place", ["input", "output"])
def test_a_folder_that_cannot_be_read_is_a_usage_error(folder, command, capsys, monkeypatch, place):
    command[0 if place == "input" else 1] = str(folder / ("x" * 300))
    with pytest.raises(SystemExit) as end:
        main(command)
    said = capsys.readouterr().err
    assert end.value.code == 2 and "model" not in said
    assert f"got File name too long for '{'x' * 80}', wanted files and folders that can be read" in said


def test_a_name_that_the_console_cannot_show_stops_nothing(folder):
    (folder / "in" / "b.png").rename(folder / "in" / "日本.png")
    command = [sys.executable, "-m", "mmsr_core", str(folder / "in"), str(folder / "out"), *TINY]
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert rb"\u65e5\u672c.png 20x17 -> " in done.stdout
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["a.png", "c.png", "日本.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
def test_a_reader_that_goes_away_ends_a_run_quietly(folder):
    read, write = os.pipe()
    os.close(read)
    summary = ["--summary", str(folder / "done.json")]
    command = [sys.executable, "-m", "mmsr_core", str(folder / "in"), str(folder / "out"), *TINY, *summary]
    done = subprocess.run(command, cwd=ROOT, stdout=write, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(write)
    assert (done.returncode, done.stderr) == (130, "loading tiny ...\n")
    assert states(folder) == ["done", "not started", "not started"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_at_once_and_leaves_no_file_but_the_summary(folder, sent):
    photo((64, 64)).save(folder / "big.png")
    command = [sys.executable, "-m", "mmsr_core", str(folder / "big.png"), str(folder / "out.png"), *TINY]
    command += ["--steps", "100", "--tile", "128", "--progress", "--summary", str(folder / "done.json")]
    heard = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731  a shell's background job ignores it
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=heard)
    seen = io.BytesIO()
    while b"%|" not in seen.getvalue():  # the bar has begun
        byte = process.stderr.read(1)
        assert byte, seen.getvalue().decode()
        seen.write(byte)
    process.send_signal(sent)
    _, rest = process.communicate(timeout=120)
    assert process.returncode == 130
    assert b"stopped" in rest and b"Traceback" not in rest and b"100%" not in rest
    assert sorted(path.name for path in folder.iterdir()) == ["big.png", "done.json", "in"]
    assert states(folder) == ["not started"]
