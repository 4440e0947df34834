"""Student networks with tiny random weights: shapes, forms, saving; the guided filter's laws."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from mmsr_core.modalities.depth import StudentDepth
from mmsr_core.modalities.palette import COLORS, to_index
from mmsr_core.modalities.segmentation import StudentSegmentation
from mmsr_core.modalities.student import MULTIPLE, Student, load, predict, refine

SIZES = [(16, 16), (1, 1), (33, 17), (16, 700), (500, 21), (256, 192), (1000, 700)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("students")
    torch.manual_seed(0)
    for name, outputs in (("depth", 1), ("segmentation", 12)):
        student = Student(outputs, widths=(8, 8, 8, 16, 16), blocks=(0, 1, 1, 1, 1), thin=8, long_side=64)
        student.half().save_pretrained(path / name)
    return path


def photo(size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))


@pytest.mark.parametrize("size", SIZES)
def test_depth_is_a_grey_map_of_the_photos_size(folder, size):
    depth = StudentDepth(folder / "depth")(photo(size))
    assert depth.size == size and depth.mode == "L"


@pytest.mark.parametrize("size", SIZES)
def test_segmentation_has_the_photos_size_and_palette_colors_only(folder, size):
    found = StudentSegmentation(folder / "segmentation")(photo(size))
    assert found.size == size and found.mode == "RGB"
    assert (COLORS[to_index(found)] == np.asarray(found)).all()


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_other_photo_modes_are_read(folder, mode):
    assert StudentDepth(folder / "depth")(photo((40, 30)).convert(mode)).size == (40, 30)


def test_a_mirrored_photo_has_the_mirrored_map(folder):
    depth, image = StudentDepth(folder / "depth"), photo((64, 64))
    straight = np.asarray(depth(image), int)
    mirrored = np.asarray(depth(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)), int)[:, ::-1]
    assert abs(straight - mirrored).max() <= 1


def test_same_photo_same_map(folder):
    segment = StudentSegmentation(folder / "segmentation")
    assert segment(photo((64, 48))).tobytes() == segment(photo((64, 48))).tobytes()


def test_the_map_of_the_last_photo_is_made_once_and_is_the_callers_own(folder, monkeypatch):
    segment, calls = StudentSegmentation(folder / "segmentation"), []
    monkeypatch.setattr(segment, "_segment", lambda image, make=segment._segment: calls.append(image) or make(image))
    one, other = photo((64, 48)), photo((48, 64))
    first = segment(one)
    kept = first.tobytes()
    first.paste(0, (0, 0, 64, 48))
    assert segment(one).tobytes() == kept and len(calls) == 1
    assert segment(other).size == (48, 64) and segment(one).tobytes() == kept and len(calls) == 3


@pytest.mark.parametrize("size", SIZES)
def test_the_network_looks_at_multiples_of_its_stride(size):
    seen = Student(1, widths=(8, 8, 8, 8, 8), blocks=(0,) * 5, thin=8, long_side=96).prepare(photo(size))
    assert all(side % MULTIPLE == 0 and MULTIPLE <= side <= 96 for side in seen.size)
    assert max(seen.size) == 96


def test_save_and_load_give_the_same_output(folder):
    student = load(folder / "depth", "cpu")
    student.save_pretrained(folder / "again")
    x = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        assert torch.equal(load(folder / "again", "cpu")(x), student(x))
        assert student(x).shape == (1, 1, 32, 48)


def test_a_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(ValueError, match="student: got 'nothing' .*wanted a folder with saved weights"):
        load(tmp_path / "nothing", "cpu")


def test_default_students_stay_small():
    assert sum(p.numel() for p in Student(12).parameters()) < 1_200_000


def test_depth_is_stretched_to_black_and_white_but_a_flat_scene_stays_flat(folder):
    extractor = StudentDepth(folder / "depth", smallest_range=0.25)
    ramp = np.linspace(0.2, 0.8, 10000).reshape(100, 100)
    assert extractor.stretch(ramp).min() == 0 and extractor.stretch(ramp).max() == 255
    flat = extractor.stretch(0.5 + 0.01 * ramp)
    assert np.ptp(flat) < 10
    assert (np.diff(extractor.stretch(ramp).ravel().astype(int)) >= 0).all()


def test_refining_keeps_a_constant_map_and_follows_the_photos_border():
    half = np.zeros((64, 64, 3), np.uint8)
    half[:, 30:] = 200
    image = Image.fromarray(half)
    constant = refine(torch.full((1, 16, 16), 0.3), image)
    assert constant.shape == (1, 64, 64) and torch.allclose(constant, torch.tensor(0.3), atol=1e-4)
    coarse = torch.zeros(1, 16, 16)
    coarse[:, :, 8:] = 1  # its border lies at pixel 32
    fine = refine(coarse, image, epsilon=1e-5)[0, 32]
    assert fine[31] > 0.6 and fine[28] < 0.4


def test_a_photo_is_looked_at_in_three_sizes_and_mirrored(monkeypatch):
    """The mean of what is seen in each; a mirrored photo gives the mirrored map."""
    student, seen = Student(1, widths=(8, 8, 8, 8, 8), blocks=(0,) * 5, thin=8, long_side=128).eval(), []
    monkeypatch.setattr(student, "forward", lambda photo: seen.append(tuple(photo.shape)) or photo[:, :1, ::2, ::2])
    image = Image.fromarray(np.linspace(0, 255, 96 * 64).astype(np.uint8).reshape(64, 96)).convert("RGB")
    found = predict(student, image)
    assert seen == [(2, 3, 64, 96), (2, 3, 96, 128), (2, 3, 96, 160)] and found.shape == (1, 48, 64)
    assert torch.allclose(predict(student, ImageOps.mirror(image)), found.flip(-1), atol=1e-4)
    small = np.asarray(image.convert("L").resize((64, 48)))
    assert np.corrcoef(found[0].numpy().ravel(), small.ravel())[0, 1] > 0.99
