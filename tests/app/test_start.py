"""Starting the page: flags, what an import loads, what a session leaves behind."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from app import controls, examples, texts, ui, visit
from app.engine import Engine, Options
from app.handlers import DEVICE
from mmsr_core.settings import Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def start():
    """`app.py` as a module; the name `app` belongs to the package."""
    spec = importlib.util.spec_from_file_location("start_page", ROOT / "app.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_building_the_page_loads_no_torch():
    code = (
        "import sys; from app import ui; from app.engine import Engine; ui.build(Engine());"
        "print({'torch', 'diffusers', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip().endswith("set()"), done.stderr


def test_flags_have_defaults_that_keep_the_page_private(start, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MMSR_AUTH", raising=False)
    args = start.arguments([])
    assert (args.preset, args.host, args.share, args.auth, args.mcp) == ("mini", "127.0.0.1", False, None, False)


def test_every_flag_has_help(start, capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit):
        start.arguments(["--help"])
    said = capsys.readouterr().out
    for flag in ["preset", "weights", "device", "host", "port", "share", "auth", "max-megapixels", "queue-size", "mcp"]:
        assert f"--{flag}" in said


def test_auth_comes_from_the_flag_or_the_environment(start, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MMSR_AUTH", "ann:secret")
    assert start.arguments([]).auth == "ann:secret"
    assert start.arguments(["--auth", "bob:pass:word"]).auth == "bob:pass:word"


def test_a_space_is_told_by_its_environment(start, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    for name, value in {"PRESET": "sd2", "WEIGHTS": "somebody/mmsr", "MAX_MEGAPIXELS": "1.5"}.items():
        monkeypatch.setenv(f"MMSR_{name}", value)
    args = start.arguments([])
    assert (args.preset, args.weights, args.max_megapixels) == ("sd2", "somebody/mmsr", 1.5)
    monkeypatch.setenv("MMSR_PRESET", "sd3")
    with pytest.raises(SystemExit):
        start.arguments([])
    assert "got sd3, wanted one of mini, sd2" in capsys.readouterr().err


def test_each_preset_starts_from_settings_that_suit_it():
    assert Engine(Options(preset="mini")).defaults == Settings()
    assert Engine(Options(preset="sd2")).defaults == Settings(steps=20, edit_strength=1.0)


@pytest.mark.parametrize("wrong", [["--auth", "nobody"], ["--max-megapixels", "0"], ["--queue-size", "0"]])
def test_wrong_flags_are_refused(start, wrong: list[str], capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit):
        start.arguments(wrong)
    assert "wanted" in capsys.readouterr().err


def test_mcp_says_what_it_needs(start, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        start.arguments(["--mcp"])
    assert "gradio[mcp]" in capsys.readouterr().err


def test_a_model_that_cannot_be_loaded_is_said_in_a_sentence():
    engine = Engine(Options(preset="sd2", device="cpu"))
    stages = list(engine.stages(every=0.01))
    assert engine.failed and not engine.ready
    assert "wanted a folder" in stages[-1]
    assert "bad" in texts.engine_line(stages[-1], engine.failed)
    with pytest.raises(ValueError, match="wanted a folder"):
        engine.upscaler()


def test_a_session_that_ends_deletes_its_files_and_stops_its_runs():
    one, other = visit.Visit(), visit.Visit()
    (one.folder / "result.png").write_bytes(b"x")
    assert one.folder != other.folder
    running = one.stops["run"]
    visit.close(one)
    assert not one.folder.exists() and running.is_set()
    assert other.folder.exists() and not other.stops["run"].is_set()
    visit.close(other)


@pytest.mark.parametrize(
    "stored",
    [None, "", "text", "[1]", '{"preset": "mini", "weight": 99, "new_seed": false}', '{"preset": "sd2", "weight": 5}'],
)
def test_settings_a_browser_kept_that_are_of_no_use_give_the_defaults(stored: str | None):
    defaults = Settings(steps=20)
    assert controls.kept(stored, "mini", defaults) == controls.Values(defaults, new_seed=True)


def test_settings_a_browser_kept_fill_up_with_the_defaults():
    stored = '{"preset": "mini", "weight": 5, "temperature.depth": 0.5, "new_seed": false, "of_yesterday": 1}'
    wanted = Settings(steps=20, weight=5.0, temperature={"depth": 0.5})
    assert controls.kept(stored, "mini", Settings(steps=20)) == controls.Values(wanted, new_seed=False)


def test_settings_survive_the_controls():
    settings = Settings(weight=3.5, seed=7, temperature={"depth": 0.5}, positive="crisp")
    assert controls.read([*controls.write(settings), False]).settings == settings


def test_examples_are_bundled_with_source_and_licence():
    assert len(examples.rows()) >= 6
    readme = (examples.FOLDER / "README.md").read_text("utf-8")
    for index, row in enumerate(examples.rows()):
        assert examples.path(index).exists() and row["source"] and row["licence"] and row["file"] in readme


def test_the_look_asks_for_no_outside_font():
    look = ui.look()
    assert all(path.exists() for path in look["css_paths"])
    assert "http" not in "".join(path.read_text("utf-8") for path in look["css_paths"]).replace("http://www.w3.org", "")


@pytest.fixture(scope="module")
def listeners() -> list:
    """Every handler of the page that runs on the server, as Gradio keeps it."""
    return [found for found in ui.build(Engine()).fns.values() if found.fn is not None]


def test_only_work_on_the_device_waits_in_the_queue(listeners: list):
    """It may be full: then a visitor can still come, give a photo and turn the dials."""
    waiting = {found.name for found in listeners if found.queue is not False and found.concurrency_id != DEVICE}
    assert waiting == {"stages"}


def test_the_last_word_of_every_input_is_heard(listeners: list):
    inputs = [one for one in listeners if {event for _, event in one.targets} & {"input", "change"}]
    lost = {one.name for one in inputs if one.trigger_mode != "always_last"}
    assert lost == {"<lambda>"}  # a typed seed clears a box, whatever it is
