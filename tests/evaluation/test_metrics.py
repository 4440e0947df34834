"""Laws of the measures: perfect is best, worse is worse, and what is missing is said in one sentence."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from mmsr_core.evaluation import metrics
from mmsr_core.evaluation.__main__ import main
from mmsr_core.evaluation.metrics import METRICS, Models

from .conftest import picture

BUNDLED = ("psnr", "ssim", "perceptual", "niqe")
needs_pyiqa = pytest.mark.skipif(
    importlib.util.find_spec("pyiqa") is None, reason="pyiqa is not installed (pip install -r requirements-eval.txt)"
)


def noisy(image: Image.Image, sigma: float) -> Image.Image:
    values = np.asarray(image) + np.random.default_rng(1).normal(0, sigma, (image.height, image.width, 3))
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def scorers(niqe_model: Path, squeezenet: Path) -> dict[str, metrics.Scorer]:
    return metrics.load(BUNDLED, Models(niqe_model, squeezenet))


@pytest.mark.parametrize("name", BUNDLED)
def test_a_perfect_picture_is_best_and_every_step_away_is_worse(name: str, scorers: dict) -> None:
    truth = picture(0)
    given = [truth] if METRICS[name].reference else []
    values = [scorers[name](noisy(truth, sigma), *given) for sigma in (0, 4, 16, 48)]
    sign = 1 if METRICS[name].better == "higher" else -1
    assert all(sign * one > sign * other for one, other in zip(values, values[1:])), values


def test_the_perfect_values(scorers: dict) -> None:
    truth = picture(0)
    assert scorers["psnr"](truth, truth) == math.inf
    assert scorers["ssim"](truth, truth) == pytest.approx(1)
    assert scorers["perceptual"](truth, truth) == pytest.approx(0, abs=1e-6)
    assert scorers["niqe"](truth) == pytest.approx(0, abs=1e-6), "a picture is nearest to a model fitted on itself"


def test_psnr_of_a_known_error() -> None:
    one, other = Image.new("RGB", (16, 16), (100,) * 3), Image.new("RGB", (16, 16), (101,) * 3)
    assert metrics.psnr(one, other) == pytest.approx(20 * math.log10(255))
    luma = sum(metrics._LUMA) / 255  # a grey level in studio range
    assert metrics.psnr(one, other, luma=True) == pytest.approx(20 * math.log10(255 / luma))


def test_the_border_is_left_out() -> None:
    truth, framed = picture(0), picture(0)
    framed.paste(0, (0, 0, framed.width, metrics.BORDER))
    assert metrics.psnr(framed, truth, crop=metrics.BORDER) == math.inf
    assert metrics.psnr(framed, truth) < 30


def test_ssim_agrees_with_scikit_image() -> None:
    structural = pytest.importorskip("skimage.metrics", reason="scikit-image is not installed").structural_similarity
    truth = picture(0)
    worse = truth.filter(ImageFilter.GaussianBlur(1.5))
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    other = structural(np.asarray(worse, float), np.asarray(truth, float), channel_axis=-1, **options)
    assert metrics.ssim(worse, truth) == pytest.approx(other, abs=1e-6)


def test_grey_pictures_and_colour_pictures_of_grey_score_alike() -> None:
    grey = picture(0).convert("L")
    assert metrics.psnr(grey, picture(1)) == metrics.psnr(grey.convert("RGB"), picture(1))


@pytest.mark.parametrize("measure", [metrics.psnr, metrics.ssim])
def test_pictures_of_different_size_are_refused(measure) -> None:
    with pytest.raises(ValueError, match="got .*, wanted pictures of one size"):
        measure(picture(0), picture(0, 64))


def test_pictures_that_are_too_small_are_refused(scorers: dict) -> None:
    with pytest.raises(ValueError, match="wanted at least 11 px"):
        metrics.ssim(picture(0, 10), picture(0, 10))
    with pytest.raises(ValueError, match="wanted at least 96 px"):
        scorers["niqe"](picture(0, 64))


def test_every_row_says_what_it_is() -> None:
    for row in METRICS.values():
        assert row.better in ("higher", "lower") and row.source
        assert row.heading.endswith("↑" if row.better == "higher" else "↓")


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="got 'psnrr', wanted some of psnr, ssim"):
        metrics.load(["psnr", "psnrr"], Models())


@pytest.mark.parametrize("name, option", [("niqe", "--niqe-model"), ("perceptual", "--perceptual-weights")])
def test_a_missing_model_file_is_said_with_the_option_that_gives_it(name: str, option: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"got no model file, wanted {option}"):
        metrics.load([name], Models())
    wrong = tmp_path / "wrong.npz"
    np.savez(wrong, something=np.zeros(3))
    for file in (wrong, tmp_path / "absent.npz"):
        with pytest.raises(ValueError, match=f"got '{file.name}', wanted"):
            metrics.load([name], Models(niqe=file, perceptual=file))
    assert option in metrics.missing(Models())


def test_nothing_is_missing_with_all_files(niqe_model: Path, squeezenet: Path) -> None:
    assert metrics.missing(Models(niqe_model, squeezenet)) == ""
    assert metrics.available(Models(niqe_model, squeezenet)) == list(BUNDLED)
    assert metrics.available(Models()) == ["psnr", "ssim"]


@pytest.mark.parametrize("name", ["lpips", "dists", "musiq", "clipiqa", "fid"])
def test_without_pyiqa_one_sentence_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    with pytest.raises(ValueError, match=f"^{name}: got no pyiqa, wanted it installed .*requirements-eval.txt"):
        metrics.load([name], Models())


@needs_pyiqa
def test_pyiqa_agrees_on_psnr_and_ssim() -> None:
    from mmsr_core.evaluation.learned import pyiqa_metric

    truth, worse = picture(0), picture(0).filter(ImageFilter.GaussianBlur(1.5))
    for name, ours in (("psnr", metrics.psnr), ("ssim", metrics.ssim)):
        assert pyiqa_metric(name, "cpu")(worse, truth) == pytest.approx(ours(worse, truth), rel=0.01)


def _score(capsys: pytest.CaptureFixture, *words: object) -> str:
    main(["score", *map(str, words)])
    return capsys.readouterr().out


def test_score_prints_one_row_a_folder(pairs: Path, tmp_path: Path, capsys, niqe_model: Path) -> None:
    for name in ("good", "bad"):
        (tmp_path / name).mkdir()
    for file in (pairs / "hr").iterdir():
        noisy(Image.open(file), 2).save(tmp_path / "good" / file.name)
        noisy(Image.open(file), 20).save(tmp_path / "bad" / file.name)
    out = _score(capsys, pairs / "hr", tmp_path / "good", tmp_path / "bad", "--niqe-model", niqe_model)
    good, bad = (next(row.split("|")[2:-1] for row in out.splitlines() if f"| {n} |" in row) for n in ("good", "bad"))
    assert good[0].strip() == bad[0].strip() == "3"
    assert float(good[1]) > float(bad[1]) and float(good[-1]) < float(bad[-1])
    assert "--perceptual-weights" in out, "what was not measured is said"


def test_score_refuses_in_one_sentence(pairs: Path, tmp_path: Path, capsys) -> None:
    for words, sentence in (
        (["-", str(pairs / "hr")], "got no measure that works without references"),
        ([str(pairs / "hr"), str(tmp_path)], "without files named as the references"),
        ([str(pairs / "hr"), str(pairs / "lr")], "wanted pictures of one size"),
    ):
        with pytest.raises(SystemExit, match=sentence):
            main(["score", *words])
