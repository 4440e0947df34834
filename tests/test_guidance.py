"""Laws of the guidance: what each branch sees, and how the predictions are combined."""

import pytest
import torch

from mmsr_core.guidance import branches, combine, count

MODALITIES = {"text": "cat", "depth": "D", "edge": "E"}


def test_m_cfg_differs_in_the_text_alone():
    positive, negative = branches("m-cfg", MODALITIES, "bad")
    assert positive == MODALITIES
    assert negative == {**MODALITIES, "text": "bad"}


def test_null_cfg_has_maps_in_the_positive_branch_only():
    assert branches("null-cfg", MODALITIES, "bad") == (MODALITIES, {"text": "bad"})


def test_cfg_has_no_maps():
    assert branches("cfg", MODALITIES, "bad") == ({"text": "cat"}, {"text": "bad"})


@pytest.mark.parametrize("mode", ["m-cfg", "null-cfg", "cfg"])
def test_a_text_that_is_off_is_off_in_both_branches(mode):
    positive, negative = branches(mode, {"depth": "D"}, "bad")
    assert "text" not in positive and "text" not in negative


@pytest.mark.parametrize(
    "mode,names,branches",
    [
        ("m-cfg", ["text", "depth"], 2), ("m-cfg", ["depth", "edge"], 1), ("m-cfg", [], 1),
        ("null-cfg", ["text"], 2), ("null-cfg", ["depth"], 2), ("null-cfg", [], 1),
        ("cfg", ["text"], 2), ("cfg", ["depth"], 1),
    ],
)  # fmt: skip
def test_branches_that_are_alike_are_one(mode, names, branches):
    assert count(mode, names, 2.0) == branches and count(mode, names, 0.0) == 1


def test_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="got 'cfg\\+\\+', wanted one of"):
        branches("cfg++", MODALITIES, "bad")


def test_weight_zero_ignores_the_negative():
    positive = torch.randn(2, 3)
    assert torch.equal(combine(positive, torch.randn(2, 3), 0.0), positive)


@pytest.mark.parametrize("weight", [0.0, 2.0, 14.0])
def test_equal_branches_make_the_weight_irrelevant(weight):
    same = torch.randn(2, 3)
    torch.testing.assert_close(combine(same, same, weight), same)


def test_combine_is_the_papers_formula():
    assert combine(torch.tensor([3.0]), torch.tensor([1.0]), 2.0).item() == 3 * 3 - 2 * 1


def test_guidance_in_samples_equals_guidance_in_noise():
    """x0 is affine in ε with coefficients that sum out, so both spaces give the same guided x0."""
    torch.manual_seed(0)
    z, eps_pos, eps_neg, alpha = torch.randn(4), torch.randn(4), torch.randn(4), 0.3
    x0 = lambda eps: (z - (1 - alpha) ** 0.5 * eps) / alpha**0.5  # noqa: E731
    torch.testing.assert_close(combine(x0(eps_pos), x0(eps_neg), 3.0), x0(combine(eps_pos, eps_neg, 3.0)))
