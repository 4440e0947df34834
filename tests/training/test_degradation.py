"""Laws of the degradation: seeded, bounded, nothing at strength 0, and every flaw comes alone too."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmsr_core.training import degradation
from mmsr_core.training.degradation import ABSENT, FLAWS, Degradation, flawed, jpeg


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def hr() -> Tensor:
    """(8, 3, 64, 64) smooth grey pictures in [-1, 1]."""
    rough = (torch.rand(8, 1, 5, 5, generator=source(1)) * 1.6 - 0.8).expand(-1, 3, -1, -1)
    return F.interpolate(rough, (64, 64), mode="bicubic").clamp(-1, 1)


def test_a_quarter_of_the_side_in_8_bit_steps_and_the_same_for_the_same_seed(hr: Tensor) -> None:
    lr = Degradation(1.0)(hr, source())
    assert lr.shape == (8, 3, 16, 16) and lr.abs().max() <= 1
    steps = (lr * 0.5 + 0.5) * 255
    torch.testing.assert_close(steps, steps.round(), atol=1e-3, rtol=0)
    assert torch.equal(lr, Degradation(1.0)(hr, source())) and not torch.equal(lr, Degradation(1.0)(hr, source(2)))


def test_clean_pictures_get_a_plain_resize(hr: Tensor) -> None:
    wanted = F.interpolate(hr, (16, 16), mode="bicubic", antialias=True).clamp(-1, 1)
    assert (Degradation(1.0, clean=1.0)(hr, source()) - wanted).abs().max() < 3 / 127
    assert (Degradation(0.0)(hr, source()) - wanted).abs().mean() < 0.04


def test_more_strength_is_farther_from_the_photo(hr: Tensor) -> None:
    hr = hr.repeat(8, 1, 1, 1)
    plain = F.interpolate(hr, (16, 16), mode="bicubic", antialias=True).clamp(-1, 1)
    errors = [float((Degradation(s, clean=0)(hr, source()) - plain).square().mean()) for s in (0.0, 0.5, 1.0, 1.5)]
    assert errors == sorted(errors) and errors[3] > 2 * errors[0]


def test_every_flaw_has_a_severity_of_its_own_and_is_absent_in_some_pictures(hr: Tensor) -> None:
    """Noise without blocks and blocks without noise are what a network has to know apart from both."""
    pictures = hr[:1].expand(4000, -1, -1, -1)[..., :1, :1]
    severities = torch.cat([Degradation(1.5)._severities(pictures, source(seed)) for seed in range(2)])  # (4, 4000)
    assert severities.min() == 0 and 1.4 < severities.max() <= 1.5
    assert ((severities == 0).float().mean(1) - ABSENT).abs().max() < 0.05
    assert (torch.corrcoef(severities) - torch.eye(4)).abs().max() < 0.07


def test_jpeg_loses_more_at_lower_quality_and_keeps_flat_colours() -> None:
    picture = torch.rand(1, 3, 24, 40, generator=source())
    blocky = [jpeg(picture, torch.tensor([quality]), subsample=False) for quality in (95.0, 60.0, 20.0)]
    losses = [float((made - picture).square().mean()) for made in blocky]
    assert losses == sorted(losses) and losses[2] > 2 * losses[0]
    flat = torch.full((1, 3, 20, 20), 0.5)
    torch.testing.assert_close(jpeg(flat, torch.tensor([90.0])), flat, atol=0.01, rtol=0)


def test_flawed_pictures_say_what_is_wrong_with_them(hr: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, words = flawed(hr, source())
    assert bad.shape == hr.shape and all("low quality" in text for text in words)
    assert all(any(flaw in text for flaw in FLAWS) for text in words)
    assert ((bad - hr).square().mean((1, 2, 3)) > 0).all()
    monkeypatch.setattr(degradation, "noisy", lambda x, *_: x * 0)
    blackened, said = flawed(hr, source())
    dark = torch.tensor(["noisy" in text for text in said])
    assert ((blackened.mean((1, 2, 3)) < -0.9) == dark).all() and dark.any() and not dark.all()
