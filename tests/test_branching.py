"""Laws of the shared U-Net call."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from mmsr_core.branching import branched
from mmsr_core.pipeline import MMSRPipeline


def _inputs(pipeline: MMSRPipeline, contexts: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    unet = pipeline.unet.config
    x = torch.randn(1, unet.in_channels, 16, 24, generator=generator)
    return x, torch.randn(contexts, 128, unet.cross_attention_dim, generator=generator)


@torch.no_grad()
def test_equals_the_plain_call_of_every_branch(pipeline: MMSRPipeline) -> None:
    for count in (1, 2, 3):
        x, contexts = _inputs(pipeline, count)
        attention = pipeline.hearing((16, 24))
        shared = branched(pipeline.unet, x, torch.tensor(500), contexts, {**attention, "cache": {}})
        plain = pipeline.unet(x.expand(count, -1, -1, -1), 500, contexts, cross_attention_kwargs=attention).sample
        assert torch.allclose(shared, plain, atol=1e-4), count
        assert shared.std() > 0


@torch.no_grad()
def test_hears_the_context_of_each_branch(pipeline: MMSRPipeline) -> None:
    x, contexts = _inputs(pipeline, 2)
    one, other = branched(pipeline.unet, x, torch.tensor(500), contexts, pipeline.hearing((16, 24)))
    assert not torch.equal(one, other)


@torch.no_grad()
def test_several_inputs_each_get_their_own_branches(pipeline: MMSRPipeline) -> None:
    """n inputs, 2 n contexts: the first branch of every input, then the second."""
    x, contexts = _inputs(pipeline, 4)
    x, attention = torch.cat([x, x.flip(-1)]), pipeline.hearing((16, 24))
    shared = branched(pipeline.unet, x, torch.tensor(500), contexts, attention)
    plain = pipeline.unet(x.repeat(2, 1, 1, 1), 500, contexts, cross_attention_kwargs=attention).sample
    assert torch.allclose(shared, plain, atol=1e-4)


@torch.no_grad()
def test_self_attention_before_the_branches_part_is_computed_once(pipeline: MMSRPipeline, monkeypatch) -> None:
    rows, computed = [], F.scaled_dot_product_attention

    def noted(query, key, value):
        if query.shape[2] == key.shape[2]:  # no level of this grid has as many cells as the context has tokens
            rows.append(len(query))
        return computed(query, key, value)

    monkeypatch.setattr(F, "scaled_dot_product_attention", noted)
    x, contexts = _inputs(pipeline, 2)
    branched(pipeline.unet, x, torch.tensor(500), contexts, pipeline.hearing((16, 24)))
    assert rows[0] == 1 and set(rows[1:]) == {2}
