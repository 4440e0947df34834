"""Test pictures: partners find each other, what is made here is always the same, what does not fit is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmsr_core.evaluation.__main__ import main
from mmsr_core.evaluation.datasets import DEFINITIONS, open_set
from mmsr_core.presets import ASSETS

from .conftest import picture


def _folder(root: Path, files: dict[str, int]) -> Path:
    """Files of a name and side in px."""
    for name, side in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        picture(0, side).save(root / name)
    return root


def test_pairs_by_stem(pairs: Path) -> None:
    data = open_set(f"mine={pairs}")
    assert data.name == "mine" and [sample.name for sample in data.samples] == ["p_0", "p_1", "p_2"]
    lr, hr = data.pair(data.samples[1])
    assert hr.size == (lr.width * 4, lr.height * 4)
    assert "3 LR/HR pairs" in data.about


@pytest.mark.parametrize("lr, hr", [("test_LR", "test_HR"), ("lq", "gt"), ("LR", "HR")])
def test_partners_of_other_names_by_their_order(tmp_path: Path, lr: str, hr: str) -> None:
    _folder(tmp_path, {f"{lr}/a_LR4.png": 16, f"{lr}/b_LR4.png": 16, f"{hr}/a_HR.png": 64, f"{hr}/b_HR.png": 64})
    samples = open_set(str(tmp_path)).samples
    assert [(sample.lr.stem[0], sample.hr.stem[0]) for sample in samples] == [("a", "a"), ("b", "b")]


def test_known_sets_have_a_layout_or_are_flat_and_say_where_they_are(capsys) -> None:
    main(["datasets"])
    listed = capsys.readouterr().out
    assert {"div2k-val", "realsr", "drealsr", "realphoto60"} <= set(DEFINITIONS)
    assert all(row.title in listed and row.where in listed for row in DEFINITIONS.values())


def test_the_example_photos_are_a_set_without_reference() -> None:
    data = open_set(f"examples={ASSETS / 'examples'}")
    assert data.samples and all(sample.hr is None for sample in data.samples)
    assert data.pair(data.samples[0])[1] is None


def test_a_made_input_depends_on_name_and_seed_only(tmp_path: Path) -> None:
    _folder(tmp_path, {"a.png": 64, "b.png": 64, "c.png": 71})
    data, again, other = (open_set(str(tmp_path), seed=seed) for seed in (0, 0, 1))
    a, b, c = (np.asarray(data.pair(sample)[0]) for sample in data.samples)
    assert np.array_equal(a, np.asarray(again.pair(again.samples[0])[0]))
    assert not np.array_equal(a, np.asarray(other.pair(other.samples[0])[0]))
    assert not np.array_equal(a, b), "equal pictures of other names are degraded in another way"
    assert c.shape[:2] == (17, 17), "sides are cut to multiples of the scale"


def test_strength_zero_only_shrinks(tmp_path: Path) -> None:
    _folder(tmp_path, {"a.png": 64})
    clean, dirty = (open_set(str(tmp_path), strength=strength) for strength in (0.0, 1.0))
    hr = clean.pair(clean.samples[0])[1]
    small = np.asarray(hr.resize((16, 16), Image.Resampling.BICUBIC), float)
    errors = [np.abs(np.asarray(data.pair(data.samples[0])[0], float) - small).mean() for data in (clean, dirty)]
    assert errors[0] < 2 < errors[1]


def test_a_limit_spreads_over_the_set(tmp_path: Path) -> None:
    data = open_set(str(_folder(tmp_path, {f"{i}.png": 16 for i in range(9)})))
    assert [sample.name for sample in data.limited(3).samples] == ["0", "3", "6"]
    assert data.limited(None) == data.limited(99) == data
    with pytest.raises(ValueError, match="limit: got 0"):
        data.limited(0)


def test_a_folder_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="realsr comes from folder RealSRVal_crop128"):
        open_set(f"realsr={tmp_path / 'absent'}")
    with pytest.raises(ValueError, match="got no pictures"):
        open_set(str(tmp_path))
    with pytest.raises(ValueError, match="got 2 LR and 1 HR pictures"):
        open_set(str(_folder(tmp_path / "odd", {"lr/a.png": 16, "lr/b.png": 16, "hr/a.png": 64})))
    data = open_set(str(_folder(tmp_path / "scale", {"lr/a.png": 16, "hr/a.png": 48})))
    with pytest.raises(ValueError, match="wanted HR four times as large"):
        data.pair(data.samples[0])
