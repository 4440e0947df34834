"""Laws of the shared U-Net call."""

from __future__ import annotations

import torch

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
