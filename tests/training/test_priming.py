"""Priming: codes say what the effects look at, the connector hands it on, and nothing else moves."""

from __future__ import annotations

import torch

from mmsr_core.fresh import build_connector
from mmsr_core.places import HEAD, grid_places, position_code
from mmsr_core.training.dials import MAPS, Dials
from mmsr_core.training.priming import _directions, prime


def test_a_primed_connector_tells_one_map_from_another(pipeline):
    torch.manual_seed(0)
    dials = Dials(pipeline.tokenizers)
    connector = build_connector(pipeline.tokenizers, 64, depth=1)
    ids = torch.randint(pipeline.vq.config.num_vq_embeddings, (24, len(MAPS), dials.tokens.grid**2))

    def heard() -> torch.Tensor:
        given = {name: dials.tokens.map_codes(ids[:2, index]) for index, (_, name) in enumerate(MAPS)}
        first, second = connector(connector.tokens(given))
        return (first - second).square().mean()

    before, null = heard(), connector.null["depth"].clone()
    explained = prime(connector, dials, ids)
    assert set(explained) == {name for _, name in MAPS}
    assert all(0 < share <= 1 for share in explained.values())
    assert heard() > before
    assert torch.equal(connector.null["depth"], null)


def test_directions_are_orthonormal_and_leave_the_position_code_alone():
    used: list[torch.Tensor] = []
    first, second = _directions(4 * HEAD, 2, used), _directions(4 * HEAD, 3, used)
    both = torch.cat([first, second], 1)
    torch.testing.assert_close(both.T @ both, torch.eye(5), atol=1e-5, rtol=0)
    places = position_code(grid_places(4, 4), 4 * HEAD)
    assert (places @ both).abs().max() < 1e-4
