"""The sheet of photos to look at: every cell is the same window, and damages are what they are called."""

from __future__ import annotations

from argparse import Namespace

import numpy as np
from PIL import Image

from mmsr_core.evaluation import sheet
from mmsr_core.evaluation.figures import CAPTION, CROP, GAP, label_font


def test_a_sheet_shows_the_same_window_three_times(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sheet, "SHOTS", (sheet.Shot("coins", (60, 60), "both"), *sheet.SHOTS[-2:]))
    sheet.main(Namespace(out=tmp_path / "sheet.png", preset="tiny", weights=None, device="cpu"))
    made = np.asarray(Image.open(tmp_path / "sheet.png"), dtype=float)
    assert made.shape == (CAPTION + CROP, 9 * (CROP + GAP) - GAP, 3)
    bicubic, _, photo = (made[CAPTION + 20 :, i * (CROP + GAP) : i * (CROP + GAP) + CROP] for i in range(3))
    assert np.abs(bicubic - photo).mean() < 25 and np.corrcoef(bicubic.ravel(), photo.ravel())[0, 1] > 0.8
    assert capsys.readouterr().out.count("dB") == 3


def test_every_damage_but_none_changes_the_input():
    small = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    change = {
        name: np.abs(np.asarray(damage(small), float) - np.asarray(small)).mean()
        for name, damage in sheet.DAMAGES.items()
    }
    assert change["clean"] == 0 and min(value for name, value in change.items() if name != "clean") > 1


def test_there_are_24_of_all_kinds():
    assert len(sheet.SHOTS) == 24 and {shot.damage for shot in sheet.SHOTS} == set(sheet.DAMAGES)


def test_labels_have_a_letter_for_the_temperature():
    drawn, missing = (bytes(label_font().getmask(letter)) for letter in ("δ", "\uffff"))
    assert drawn != missing
