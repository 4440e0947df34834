"""Laws of the connector: null tokens, temperature, attention mass, the ablation without latents."""

import pytest
import torch

from mmsr_core.connector import LOUD, READ, Attention, LatentConnector, Tempering

SPECS = [["text", 5, 8, False], ["depth", 16, 12, True], ["edge", 16, 12, True]]


@pytest.fixture
def connector() -> LatentConnector:
    torch.manual_seed(0)
    return LatentConnector(SPECS, width=64, latents=10, depth=1, spatial=4).eval()


@pytest.fixture
def given() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {"text": torch.randn(2, 5, 8), "depth": torch.randn(2, 16, 12), "edge": torch.randn(2, 16, 12)}


def test_shapes(connector, given):
    tokens = connector.tokens(given)
    assert tokens.shape == (2, 37, 64)
    assert connector(tokens).shape == (2, 10, 64)


def test_paper_count_is_845():
    specs = [["text", 77, 8, False], *([name, 256, 8, True] for name in ("depth", "segmentation", "edge"))]
    assert LatentConnector(specs, width=32, latents=128, depth=0).tokens({}).shape == (1, 845, 32)


def test_missing_modality_is_the_null_token(connector, given):
    without = {name: value for name, value in given.items() if name != "depth"}
    dropped = torch.cat([connector.dropped(v, n, torch.tensor([n == "depth"] * 2)) for n, v in given.items()], 1)
    assert torch.equal(connector.tokens(without), connector.token_norm(dropped))
    assert not torch.equal(connector.tokens(without), connector.tokens(given))


def test_null_token_ignores_the_map(connector, given):
    other = {**given, "depth": torch.randn(2, 16, 12)}
    rows = torch.tensor([True, True])
    assert torch.equal(
        connector.dropped(given["depth"], "depth", rows), connector.dropped(other["depth"], "depth", rows)
    )


def test_batch_of_two_is_two_singles(connector, given):
    both = connector(connector.tokens(given))
    for i in range(2):
        one = connector(connector.tokens({name: value[i : i + 1] for name, value in given.items()}))
        torch.testing.assert_close(both[i : i + 1], one, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", ["keys", "bias"])
def test_neutral_temperature_is_no_temperature_bit_for_bit(connector, given, form):
    tokens = connector.tokens(given)
    assert connector.tempering({"depth": 1.0, "text": 1.0}, form) is None
    neutral = Tempering(torch.ones(37), form)
    assert torch.equal(connector(tokens), connector(tokens, neutral)) or form == "bias"
    torch.testing.assert_close(connector(tokens), connector(tokens, neutral), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", ["keys", "bias"])
@pytest.mark.parametrize("delta", [0.4, 10.0])
def test_temperature_changes_the_context(connector, given, form, delta):
    tokens = connector.tokens(given)
    changed = connector(tokens, connector.tempering({"depth": delta}, form))
    assert (changed - connector(tokens)).abs().max() > 1e-4


def test_bias_temperature_is_monotone_in_attention_mass(connector, given):
    tokens = connector.tokens(given)
    masses = [
        connector.attention_mass(tokens, connector.tempering({"edge": d}, "bias"))["edge"]
        for d in (0.4, 1.0, 3.0, 10.0)
    ]
    assert masses == sorted(masses, reverse=True) and masses[0] > masses[-1]


def test_keys_temperature_divides_the_logits():
    torch.manual_seed(2)
    attention, x, context = Attention(32), torch.randn(1, 3, 32), torch.randn(1, 6, 32)
    delta = torch.tensor([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])
    logits = attention.query(x) @ attention.key(context).transpose(1, 2) / 32**0.5
    wanted = (logits / delta).softmax(-1)
    torch.testing.assert_close(attention.weights(x, context, Tempering(delta))[:, 0], wanted)


def test_weights_agree_with_forward():
    torch.manual_seed(3)
    attention, x, context = Attention(64), torch.randn(2, 3, 64), torch.randn(2, 7, 64)
    tempering = Tempering(torch.linspace(0.5, 4, 7))
    value = attention.value(context).reshape(2, 7, 2, 32).transpose(1, 2)
    by_hand = attention.out((attention.weights(x, context, tempering) @ value).transpose(1, 2).reshape(2, 3, 64))
    torch.testing.assert_close(attention(x, context, tempering), by_hand, rtol=1e-4, atol=1e-5)


def test_attention_mass_sums_to_one(connector, given):
    mass = connector.attention_mass(connector.tokens(given))
    assert list(mass) == ["text", "depth", "edge"]
    assert sum(mass.values()) == pytest.approx(1, abs=1e-5)


def test_without_latents_all_tokens_pass(given):
    plain = LatentConnector(SPECS, width=64, latents=0)
    assert plain(plain.tokens(given)).shape == (2, 37, 64)
    assert sum(plain.attention_mass(plain.tokens(given)).values()) == pytest.approx(1)


def test_spatial_latents_start_by_looking_at_their_place(given):
    torch.manual_seed(0)
    connector = LatentConnector([["depth", 64, 12, True]], width=64, latents=64, depth=0, spatial=64)
    tokens = connector.tokens({"depth": 0.1 * torch.randn(1, 64, 12)})
    x = connector.cross.norm(connector.latent_tokens)
    head = connector.cross.attention.weights(x, tokens)[0, 0]  # the first half of the heads compares places
    assert (head.argmax(-1) == torch.arange(64)).float().mean() > 0.9


def test_the_other_latents_start_by_listening_to_one_modality_each(given):
    torch.manual_seed(0)
    connector = LatentConnector(SPECS, width=256, latents=16, depth=0, spatial=4)
    x = connector.cross.norm(connector.latent_tokens)
    heard = connector.cross.attention.weights(x, connector.tokens(given)).mean((0, 1))[4:]  # (12, 37)
    shares = torch.stack([part.sum(-1) for part in heard.split([5, 16, 16], -1)], -1)
    wanted = torch.tensor([index % 3 for index in range(4, 16)])
    assert torch.equal(shares.argmax(-1), wanted) and shares.max(-1).values.mean() > 0.5


def test_wrong_tokens_are_refused_with_got_and_wanted(connector, given):
    with pytest.raises(ValueError, match=r"depth: got tokens of shape \(2, 16, 8\), wanted \(B, 16, 12\)"):
        connector.tokens({"depth": torch.randn(2, 16, 8)})
    with pytest.raises(ValueError, match="unknown colour"):
        connector.tokens({"colour": torch.randn(2, 16, 8)})


def test_save_and_load_keep_order_and_output(connector, given, tmp_path):
    connector.save_pretrained(tmp_path)
    again = LatentConnector.from_pretrained(tmp_path)
    assert list(again.specs) == ["text", "depth", "edge"]
    assert torch.equal(connector(connector.tokens(given)), again(again.tokens(given)))


def test_a_loud_connector_scales_what_it_hears_of_a_turned_modality_only():
    connector = LatentConnector(SPECS, width=64, latents=16, depth=1, spatial=4, loud=True)
    tempering = connector.tempering({"depth": 0.4})
    shares = tempering.loudness[0].split([spec.count for spec in connector.specs.values()])
    for name, share in zip(connector.specs, shares):
        expected = torch.full_like(share, 0.4**-LOUD if name == "depth" else 1.0)
        torch.testing.assert_close(share, expected)
    assert connector.tempering({"depth": 1.0}) is None


@torch.no_grad()
def test_gains_are_read_on_a_grid_or_not_at_all():
    torch.manual_seed(0)
    connector = LatentConnector(SPECS, width=64, latents=64, depth=1, spatial=64, gains=2)
    context = connector(connector.tokens({}))
    assert not connector.read(context).any(), "a fresh reader gains nothing"
    torch.nn.init.normal_(connector.gain.weight)
    assert connector.read(context).shape == (1, 2, READ, READ)
    assert LatentConnector(SPECS, width=64, latents=16, depth=1, spatial=4).read(context) is None
