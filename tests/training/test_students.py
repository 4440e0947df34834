"""The students' training: losses' laws, and labels that lie where the photo is."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmsr_core.modalities.palette import NAMES
from mmsr_core.modalities.student import Student
from mmsr_core.training import students, students_check
from mmsr_core.training.data import LABEL, PHOTO, PhotoStore
from mmsr_core.training.students import Batches, Students, depth_loss, loss, segmentation_loss


@pytest.fixture(scope="module")
def store():
    """Three photos whose grey level is their depth and half of whose height is sky."""
    rng = np.random.default_rng(0)
    blobs = torch.from_numpy(rng.random((3, 1, 6, 6)).astype(np.float32))
    depth = (F.interpolate(blobs, (LABEL, LABEL), mode="bilinear")[:, 0] * 255).byte().numpy()
    photos = np.repeat(np.repeat(depth, 2, 1), 2, 2)[..., None].repeat(3, -1)
    segmentation = np.where(depth > 127, 8, 10).astype(np.uint8)
    assert photos.shape == (3, PHOTO, PHOTO, 3)
    return PhotoStore(photos, depth, segmentation, [""] * 3, [[]] * 3, [""] * 3)


def test_batches_are_a_function_of_the_step(store):
    batches = Batches(store, None, 4, seed=3, strength=1.0)
    first, again = batches(5, 0, torch.device("cpu")), batches(5, 0, torch.device("cpu"))
    assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize("step", range(4))
def test_labels_lie_where_the_photo_is(store, step):
    batch = Batches(store, None, 6, seed=0, strength=0.2)(step, 0, torch.device("cpu"))
    small = F.avg_pool2d(batch["photo"].mean(1, keepdim=True), 2)
    assert small.shape == batch["depth"].shape
    for photo, depth, classes in zip(small, batch["depth"], batch["segmentation"], strict=True):
        assert torch.corrcoef(torch.stack([photo.flatten(), depth.flatten()]))[0, 1] > 0.95
        clear = (depth[0] - 0.5).abs() > 0.05
        assert ((classes[8] > 0.5) == (depth[0] > 0.5))[clear].float().mean() > 0.97


def test_hints_follow_the_window_and_the_flip(store):
    ramp = np.linspace(-1, 1, 19, dtype=np.float32)
    hint = np.broadcast_to(ramp, (3, 64, 19, 19)).astype(np.float16)
    batch = Batches(store, hint, 16, seed=0, strength=0.0)(1, 0, torch.device("cpu"))
    steps = batch["hint"].diff(dim=-1).mean((1, 2, 3))
    assert (steps > 0).any() and (steps < 0).any()  # some are flipped
    assert batch["hint"].shape[2] == batch["photo"].shape[2] // 16


def test_depth_loss_forgives_scale_and_shift_but_not_order():
    wanted = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    assert depth_loss(wanted, wanted) < 1e-5
    assert depth_loss(0.5 * wanted + 0.3, wanted) < 0.3 < depth_loss(1 - wanted, wanted)


def test_constant_depth_teaches_only_its_level():
    wanted = torch.full((1, 1, 16, 16), 0.5)
    assert depth_loss(wanted + 0.1, wanted) == pytest.approx(0.05, abs=1e-4)


def test_segmentation_loss_ignores_a_class_of_weight_zero():
    soft = F.one_hot(torch.tensor([[[0, 1], [0, 1]]]), 2).permute(0, 3, 1, 2).float()
    logits = torch.tensor([-9.0, 9.0])[None, :, None, None].expand(1, 2, 2, 2)  # always class 1
    assert segmentation_loss(logits, soft, torch.tensor([0.0, 1.0])) < 1e-4
    assert segmentation_loss(logits, soft, torch.tensor([1.0, 1.0])) > 5


def test_one_step_gives_every_part_a_gradient(store):
    model = Students()
    hint = np.zeros((3, 64, 19, 19), np.float16)
    loss.done = 0.0
    values = loss(model, Batches(store, hint, 4, seed=0, strength=1.0)(0, 0, torch.device("cpu")))
    values["loss"].backward()
    assert torch.isfinite(values["loss"])
    assert model.depth.encoder is model.segmentation.encoder
    untouched = [name for name, p in model.named_parameters() if p.grad is None]
    assert untouched == []


def test_calibration_lowers_what_weighed_much_and_moves_what_is_met_more_or_less_often():
    student = Student(outputs=12, widths=(8,) * 5, blocks=(0,) * 5, thin=8)
    before = student.decoder.head[-1].bias.detach().clone()
    weight = torch.ones(12)
    weight[0], weight[3] = 0.3, 2.0
    students.calibrate(student, weight)
    change = student.decoder.head[-1].bias.detach() - before
    expected = torch.tensor([students.EXPECTED.get(name, 0.0) for name in NAMES])
    assert change[3] < -0.3
    change[3] = 0
    torch.testing.assert_close(change, expected)


def test_scores_of_the_labels_themselves_are_perfect(store):
    assert students_check.accuracy(store.segmentation, store.segmentation) == 1
    assert students_check.rank_correlation(store.depth.astype(float), store.depth) == pytest.approx(1)
    assert [v for v in students_check.class_iou(store.segmentation, store.segmentation) if not np.isnan(v)] == [1, 1]


def test_report_writes_a_sheet_and_scores(store, tmp_path):
    scores = students_check.report(students.Students().eval(), store, tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").exists() and (tmp_path / "sheet.json").exists()
    assert 0 <= scores["clean mean IoU"] <= 1
