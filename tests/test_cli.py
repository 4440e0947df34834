"""The command line: what a shell user sees, and what is left on the disk."""

import functools
import json
import subprocess
import sys
import weakref
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmsr_core.__main__ import _order, build_parser, main, row_of
from mmsr_core.images import read_recipe
from mmsr_core.modalities import MODALITIES
from mmsr_core.recipe import Recipe
from mmsr_core.settings import Settings
from mmsr_core.upscaler import Upscaler

ROOT = Path(__file__).parent.parent
TINY = ["--preset", "tiny", "--steps", "1", "--device", "cpu"]


def photo(seed=0, size=(20, 17)):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8))


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    photo(1).save(tmp_path / "in" / "a.png")
    photo(2).save(tmp_path / "in" / "b.jpg", quality=95)
    (tmp_path / "in" / "notes.txt").write_text("not a photo")
    return tmp_path


@pytest.fixture(autouse=True)
def load_once(monkeypatch):
    monkeypatch.setattr(Upscaler, "load", lambda *where, models: _loaded(*where, tuple(models.items())))


@functools.cache
def _loaded(preset, weights, device, models, load=Upscaler.load):
    return load(preset, weights, device, dict(models))


def shell(*arguments, **options):
    command = [sys.executable, "-m", "mmsr_core", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, **options)


# ------------------------------------------------------------ without a model


def test_each_preset_starts_from_its_own_settings():
    for preset, steps in (("mini", 2), ("sd2", 20)):
        args = build_parser().parse_args(["in.png", "out.png", "--preset", preset])
        assert _order(args, None, row_of(preset).defaults).settings.steps == steps


def test_a_caption_may_be_a_folder_and_the_words_off_and_auto(folder):
    def order(*options):
        args = build_parser().parse_args(["in.png", "out.png", *options])
        return _order(args, None, Settings())

    assert order("--caption", str(folder)).given == {"text": folder}
    assert order("--caption", "", "--edge", "off").given == {"text": "", "edge": None}
    assert order("--caption", "a lake " * 99).given == {"text": "a lake " * 99}
    assert order("--caption", "auto", "--depth", "auto").fresh == ["text", "depth"]
    assert order("--caption", "auto", "--depth", "auto").given == {}


def test_reading_the_command_line_loads_no_torch():
    code = "import sys, mmsr_core.__main__ as m; m.build_parser(); print({'torch', 'diffusers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()", done.stderr


def test_every_knob_and_modality_has_an_option():
    args = vars(build_parser().parse_args(["in.png", "out.png"]))
    for name in [spec.name for spec in fields(Settings)] + [row.name for row in MODALITIES]:
        assert args[name] is None


def test_a_usage_error_exits_with_2_and_one_sentence(tmp_path):
    done = shell(tmp_path / "none.png", tmp_path / "out.png")
    assert done.returncode == 2 and "got no file or folder named 'none.png', wanted" in done.stderr
    assert str(tmp_path) not in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-w", "99"], "weight: got 99.0, wanted a number from 0"),
        (["--steps", "0"], "steps: got 0, wanted"),
        (["--scale", "5"], "--scale"),
        (["--temperature", "depth"], "wanted NAME=VALUE"),
        (["--temperature", "smell=2"], "wanted a mapping with keys among text"),
        (["--temperature", "depth=50"], "temperature depth: got 50.0"),
        (["--depth", "none.png"], "--depth: got no file named 'none.png'"),
        (["--recipe", "none.json"], "none.json: got no such file"),
        (["--preset", "huge"], "preset: got 'huge', wanted one of mini"),
        (["--quality", "0"], "--quality"),
        (["--quality", "50"], "--quality: got it for .png, wanted jpg, webp or avif"),
        (["--format", "jpg"], "format: got jpg for the file 'out.png', wanted one of both"),
        (["--edge", "off", "--extractor", "edge=canny"], "--extractor: got edge=canny beside off for it"),
        (["--caption", "a lake", "--extractor", "text=composed"], "got text=composed beside a caption for it"),
        (["--progress", "--quiet"], "not allowed with"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_usage_errors(folder, capsys, options, message):
    with pytest.raises(SystemExit) as caught:
        main([str(folder / "in" / "a.png"), str(folder / "out.png"), *options])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
    assert not (folder / "out.png").exists()


# ------------------------------------------------------------ with the tiny model


@pytest.mark.parametrize(("scale", "name"), [(4, "out.png"), (3, "deep/er/out.webp"), (2, "folder")])
def test_one_photo(folder, capsys, scale, name):
    assert main([str(folder / "in" / "a.png"), str(folder / name), *TINY, "--scale", str(scale)]) == 0
    path = folder / name if Path(name).suffix else folder / name / "a.png"
    assert Image.open(path).size == (20 * scale, 17 * scale)
    assert f"20x17 -> {path.name} {20 * scale}x{17 * scale}, seed " in capsys.readouterr().out


def test_a_folder_with_a_broken_file_goes_on_and_exits_with_1(folder):
    (folder / "in" / "aa.png").write_bytes(b"broken")
    done = shell(folder / "in", folder / "out", *TINY, "--progress")
    assert done.returncode == 1, done.stderr
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["a.png", "b.jpg"]
    assert "1 of 3 failed:\n  aa.png: got no picture" in done.stderr and "Traceback" not in done.stderr
    assert "1/3 a.png" in done.stderr and len(done.stdout.splitlines()) == 2


def test_resume_does_only_what_is_missing(folder, capsys):
    command = [str(folder / "in"), str(folder / "out"), *TINY]
    assert main(command) == 0
    kept = (folder / "out" / "a.png").read_bytes()
    (folder / "out" / "b.jpg").unlink()
    capsys.readouterr()
    assert main([*command, "--resume"]) == 0
    printed = capsys.readouterr().out
    assert "1 of 2 done already" in printed and "b.jpg" in printed and "a.png" not in printed
    assert (folder / "out" / "a.png").read_bytes() == kept
    assert main([*command, "--resume"]) == 0


def test_a_result_is_gone_before_the_next_photo_needs_its_memory(folder, monkeypatch):
    made, restore = [], Upscaler.restore

    def watched(upscaler, *given, **options):
        assert not any(result() for result in made)
        result = restore(upscaler, *given, **options)
        made.append(weakref.ref(result))
        return result

    monkeypatch.setattr(Upscaler, "restore", watched)
    assert main([str(folder / "in"), str(folder / "out"), *TINY]) == 0
    assert len(made) == 2


def test_a_recipe_makes_the_same_file_again(folder):
    depth = Image.linear_gradient("L").resize((33, 21))
    depth.save(folder / "depth.png")
    source, first = str(folder / "in" / "a.png"), folder / "first.png"
    options = [
        "--depth",
        str(folder / "depth.png"),
        "--edge",
        "off",
        "--caption",
        "a lake",
        "--temperature",
        "depth=0.5",
    ]
    assert main([source, str(first), *TINY, *options, "--color", "adain", "--quiet"]) == 0
    (folder / "depth.png").unlink()
    recipe = Recipe.from_json(read_recipe(first))
    assert recipe.sources == {"text": "edited", "depth": "file", "segmentation": "auto", "edge": "off"}
    assert recipe.caption == "a lake" and list(recipe.maps) == ["depth"] and recipe.map("depth").now.size == (33, 21)
    (folder / "r.json").write_text(recipe.to_json())
    for number, given in enumerate((first, folder / "r.json")):
        again = folder / f"again{number}.png"
        assert main([source, str(again), "--recipe", str(given), "--device", "cpu", "--quiet"]) == 0
        assert again.read_bytes() == first.read_bytes()
    changed = folder / "changed.png"
    assert main([source, str(changed), "--recipe", str(first), "--device", "cpu", "--color", "none"]) == 0
    assert Recipe.from_json(read_recipe(changed)).settings == recipe.settings.with_(color="none")


def test_a_replay_keeps_the_extractors_that_were_named(folder):
    source, first, again = str(folder / "in" / "a.png"), folder / "first.png", folder / "again.png"
    ways = ["--extractor", "text=composed", "--extractor", "edge=canny-few"]
    assert main([source, str(first), *TINY, *ways, "--quiet"]) == 0
    assert main([source, str(again), "--recipe", str(first), "--device", "cpu", "--quiet"]) == 0
    assert again.read_bytes() == first.read_bytes()


def test_what_is_extracted_anew_is_not_the_recipes(folder):
    source, first, again = str(folder / "in" / "a.png"), folder / "first.png", folder / "again.png"
    assert main([source, str(first), *TINY, "--caption", "a lake", "--edge", "off", "--quiet"]) == 0
    ways = ["--extractor", "text=composed", "--extractor", "edge=canny"]
    for anew in (["--caption", "auto", "--edge", "auto"], ways):
        assert main([source, str(again), "--recipe", str(first), "--device", "cpu", "--quiet", *anew]) == 0
        recipe = Recipe.from_json(read_recipe(again))
        assert set(recipe.sources.values()) == {"auto"} and recipe.caption != "a lake"


def test_a_dry_run_tells_sizes_and_costs_and_writes_nothing(folder, capsys):
    before = sorted(folder.rglob("*"))
    command = [str(folder / "in"), str(folder / "out"), *TINY, "--scale", "2", "--dry-run"]
    assert main([*command, "--summary", str(folder / "done.json"), "--save-maps", str(folder / "maps")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == ["a.png 20x17 -> a.png 40x34", "b.jpg 20x17 -> b.jpg 40x34"]
    assert all("1 tile, about " in line and "GB of memory" in line for line in lines)
    assert sorted(folder.rglob("*")) == before
    (folder / "in" / "b.jpg").write_bytes(b"broken")
    assert main(command) == 1 and "failed: b.jpg: got no picture" in capsys.readouterr().err


def test_a_recipe_for_another_photo_brings_settings_but_not_maps(folder, capsys):
    first = folder / "first.png"
    options = ["--depth", str(folder / "in" / "a.png"), "--edge", "off", "--seed", "5"]
    assert main([str(folder / "in" / "a.png"), str(first), *TINY, *options]) == 0
    assert main([str(folder / "in" / "b.jpg"), str(folder / "b.png"), "--recipe", str(first), "--device", "cpu"]) == 0
    assert "b.jpg: not the recipe's photo, so its own depth is extracted" in capsys.readouterr().err
    recipe = Recipe.from_json(read_recipe(folder / "b.png"))
    assert recipe.sources["depth"] == "auto" and recipe.sources["edge"] == "off" and recipe.seed == 5


def test_saved_maps_can_be_given_back(folder):
    maps, common = folder / "maps", [*TINY, "--seed", "3", "--quiet"]
    assert main([str(folder / "in"), str(folder / "one"), *common, "--save-maps", str(maps)]) == 0
    assert len(list(maps.iterdir())) == 2 * len(MODALITIES)
    (maps / "a-text.txt").write_text("a lake")
    flags = ["--caption" if row.kind == "text" else f"--{row.name}" for row in MODALITIES]
    given = [part for flag in flags for part in (flag, str(maps))]
    assert main([str(folder / "in"), str(folder / "two"), *common, *given]) == 0
    assert main([str(folder / "in" / "b.jpg"), str(folder / "two" / "other.jpg"), *common, *given]) == 0
    for name, source in (("a.png", "a.png"), ("b.jpg", "b.jpg"), ("other.jpg", "b.jpg")):
        recipe = Recipe.from_json(read_recipe(folder / "two" / name))
        assert np.array_equal(pixels(folder / "one" / source), pixels(folder / "two" / name))
        assert recipe.sources["edge"] == "file" and (recipe.caption == "a lake") == (source == "a.png")


def test_everything_off_is_possible_and_recorded(folder):
    off = [part for flag in ("--caption", "--depth", "--segmentation", "--edge") for part in (flag, "off")]
    assert main([str(folder / "in" / "a.png"), str(folder / "out.png"), *TINY, *off, "--quiet"]) == 0
    recipe = json.loads(read_recipe(folder / "out.png"))
    assert set(recipe["sources"].values()) == {"off"} and recipe["caption"] is None


def test_quiet_prints_nothing(folder):
    done = shell(folder / "in" / "a.png", folder / "out.png", *TINY, "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_alpha_grey_and_orientation_survive_the_whole_way(folder):
    grey = photo().convert("LA")
    grey.save(folder / "grey.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    photo().save(folder / "turned.jpg", exif=turned)
    for name, mode, size in (("grey.png", "LA", (80, 68)), ("turned.jpg", "RGB", (68, 80))):
        assert main([str(folder / name), str(folder / "out.png"), *TINY, "--quiet"]) == 0
        result = Image.open(folder / "out.png")
        assert (result.mode, result.size) == (mode, size)
