"""Which files a batch makes: never an input's place, never twice the same name."""

import numpy as np
import pytest
from PIL import Image

from mmsr_core import batch


def photo():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (17, 20, 3), np.uint8))


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


def test_impossible_plans_are_refused(folder):
    (folder / "empty").mkdir()
    for source, target, message in (
        ("empty", "out", "got no pictures in folder"),
        ("in", "in/notes.txt", "wanted a folder"),
        ("in/a.png", "out.gif", r"got \.gif, wanted one of"),
    ):
        with pytest.raises(ValueError, match=message):
            batch.plan(folder / source, folder / target)


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
