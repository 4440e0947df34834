"""MMLC, the Multimodal Latent Connector: 845 tokens of four modalities -> 128 context tokens for the U-Net.

Paper, section 3.2 (https://arxiv.org/abs/2503.14503): learnable latent tokens cross-attend to the tokens of every
modality, then attend to each other; the cost is O(M·N) in the number of tokens M and latents N instead of O(M²).
Depth, width, the position code and the form of the temperature are this project's choices (the paper gives none).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from einops import rearrange
from torch import Tensor, nn

from mmsr_core.places import HEAD, grid_places, position_code

TEXT = "text"  # the modality that a bypass hands on
LOUD = 1.3  # power of 1/δ by which a modality is louder: 3.3 times at δ = 0.4, a twentieth at 10
READ = 16  # side of the grid on which gains are read: as fine as the tokens of a map


@dataclass(frozen=True)
class TokenSpec:
    """Shape of one modality's tokens: how many, how wide, and whether they lie on a square grid."""

    count: int
    width: int
    grid: bool


class Attention(nn.Module):
    """Multi-head attention whose logits can be tempered per key."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = max(width // HEAD, 1)
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, context: Tensor, tempering: Tempering | None = None) -> Tensor:
        """x (B, N, D), context (B, M, D) -> (B, N, D)."""
        valued = context if tempering is None or tempering.loudness is None else context * tempering.loudness
        query, key, value = (
            rearrange(layer(t), "b n (h d) -> b h n d", h=self.heads)
            for layer, t in ((self.query, x), (self.key, context), (self.value, valued))
        )
        if tempering is None:
            out = F.scaled_dot_product_attention(query, key, value)
        else:
            key, bias = tempering.apply(key)
            out = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return self.out(rearrange(out, "b h n d -> b n (h d)"))

    def weights(self, x: Tensor, context: Tensor, tempering: Tempering | None = None) -> Tensor:
        """The attention map itself: (B, heads, N, M), rows sum to one."""
        query = rearrange(self.query(x), "b n (h d) -> b h n d", h=self.heads)
        key = rearrange(self.key(context), "b m (h d) -> b h m d", h=self.heads)
        key, bias = (key, None) if tempering is None else tempering.apply(key)
        logits = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        return (logits if bias is None else logits + bias).softmax(-1)


@dataclass(frozen=True)
class Tempering:
    """Attention temperature per key. δ (M,) or (B, M) > 0; below 1 a token is heard more, above 1 less.

    "keys" divides the keys, hence the logits, by δ before the joint softmax; "bias" subtracts log δ from the logits.
    `loudness` (B, M, D), where given, scales what is heard (`LatentConnector`).
    """

    delta: Tensor
    form: str = "keys"
    loudness: Tensor | None = None

    def apply(self, key: Tensor) -> tuple[Tensor, Tensor | None]:
        """key (B, H, M, d) -> the key to use, and the additive bias (B or 1, 1, 1, M) or None."""
        delta = torch.atleast_2d(self.delta)[:, None]  # (B or 1, 1, M)
        if self.form == "keys":
            return key / delta[..., None].to(key.dtype), None
        return key, -delta.log().to(key.dtype)[:, None]


class Block(nn.Module):
    """Pre-norm attention and feed-forward, each added to its input."""

    def __init__(self, width: int, expansion: int = 3) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width)
        self.forward_norm = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, expansion * width), nn.GELU(), nn.Linear(expansion * width, width)
        )

    def forward(self, x: Tensor, context: Tensor | None = None, tempering: Tempering | None = None) -> Tensor:
        inner = self.norm(x)
        x = x + self.attention(inner, inner if context is None else context, tempering)
        return x + self.feed_forward(self.forward_norm(x))


class LatentConnector(ModelMixin, ConfigMixin):
    """Every trained part between the frozen tokens and the U-Net's cross-attention.

    Args:
        specs: [modality, tokens, width, on a grid] in token order (a list: JSON would not keep a mapping's order).
        width: width of the context, the U-Net's `cross_attention_dim`.
        latents: learnable latent tokens (128 in the paper); 0 passes all tokens on ("w/o MMLC").
        depth: self-attention blocks after the cross-attention.
        spatial: how many latents start at places of a square grid and look around them; a square number.
        text_bypass: the U-Net also sees the text states themselves, beside the latents, which are zero-gated (see
            `bypassed`). For U-Nets that were pretrained on text (`sd2`).
        loud: what is heard of a modality is scaled by δ to the power of a learnt vector, -LOUD at first; ours, not the
            paper's. Shares of attention alone tell a small connector too little of δ for it to act on.
        gains: how many maps of gains are read from the context beside the U-Net (`read`); 0 for none.
        trained: False marks a connector that nobody has trained yet; such a model is refused.
    """

    @register_to_config
    def __init__(
        self,
        specs: list[list],
        width: int = 256,
        latents: int = 128,
        depth: int = 2,
        spatial: int = 64,
        text_bypass: bool = False,
        loud: bool = False,
        gains: int = 0,
        trained: bool = True,
    ) -> None:
        super().__init__()
        self.specs = {name: TokenSpec(*shape) for name, *shape in specs}
        if text_bypass and (latents == 0 or self.specs[TEXT].width != width):
            raise ValueError(
                f"connector: got a text bypass with {latents} latents and text of width {self.specs[TEXT].width}, "
                f"wanted latents and the context's width {width}"
            )
        self.project = nn.ModuleDict({name: nn.Linear(spec.width, width) for name, spec in self.specs.items()})
        self.null = nn.ParameterDict({name: nn.Parameter(torch.randn(1, 1, width) * 0.5) for name in self.specs})
        self.embedding = nn.ParameterDict({name: nn.Parameter(torch.randn(1, 1, width)) for name in self.specs})
        louder = self.specs if loud else ()
        self.power = nn.ParameterDict({name: nn.Parameter(torch.full((1, 1, width), -LOUD)) for name in louder})
        self.token_norm = nn.LayerNorm(width)
        self.latent_tokens = nn.Parameter(torch.randn(1, max(latents, 1), width)) if latents > 0 else None
        self.cross = Block(width) if latents > 0 else None
        self.blocks = nn.ModuleList([Block(width) for _ in range(depth if latents > 0 else 0)])
        self.norm = nn.LayerNorm(width)
        if latents > 0 and self.norm.weight.device.type != "meta":  # an empty shell is about to be loaded
            self._look_around(min(spatial, latents))
        self.reader = Block(width) if gains > 0 else None
        self.gain = nn.Linear(width, gains) if gains > 0 else None
        if gains > 0 and self.gain.weight.device.type != "meta":
            self._read_around()
        self.gate = nn.Parameter(torch.zeros(latents)) if text_bypass else None
        self.no_text = nn.Parameter(torch.zeros(1, self.specs[TEXT].count, width)) if text_bypass else None

    @torch.no_grad()
    def _look_around(self, spatial: int) -> None:
        """A start from which every modality is heard: the first latents have a place each and look around it in all
        modalities; the others listen to one modality each, wherever its tokens are."""
        side, width = math.isqrt(spatial), self.config.width
        self.latent_tokens[0, : side * side] = 1.4 * position_code(grid_places(side, side), width)
        marks = [F.normalize(self.embedding[name][0, 0], dim=0) * math.sqrt(width) for name in self.specs]
        for index in range(side * side, self.config.latents):
            self.latent_tokens[0, index] = marks[index % len(marks)] + 0.3 * torch.randn(width)
        for layer in (self.cross.attention.query, self.cross.attention.key):
            layer.weight.copy_(1.5 * torch.eye(width))

    @torch.no_grad()
    def _read_around(self) -> None:
        """A start from which every place reads the latents around it, and gains nothing."""
        for layer in (self.reader.attention.query, self.reader.attention.key):
            layer.weight.copy_(1.5 * torch.eye(self.config.width))
        for parameter in (self.gain.weight, self.gain.bias):
            nn.init.zeros_(parameter)

    def tokens(self, given: Mapping[str, Tensor], batch: int = 1) -> Tensor:
        """{name: (B, N, D)}; a missing name becomes its null token -> (B, 845, width), normalised.

        Raises:
            ValueError: an unknown modality, or tokens of another shape than configured.
        """
        unknown = sorted(set(given) - set(self.specs))
        if unknown:
            raise ValueError(f"modalities: got unknown {', '.join(unknown)}, wanted some of {', '.join(self.specs)}")
        batch = next((len(tokens) for tokens in given.values()), batch)
        return self.token_norm(torch.cat([self.embedded(name, given.get(name), batch) for name in self.specs], 1))

    def embedded(self, name: str, tokens: Tensor | None, batch: int) -> Tensor:
        """One modality's tokens (B, N, D), or None for its null token -> (B, N, width) with place and modality."""
        spec = self.specs[name]
        if tokens is None:
            tokens = self.null[name].expand(batch, spec.count, -1)
        elif tokens.shape[1:] != (spec.count, spec.width):
            raise ValueError(
                f"{name}: got tokens of shape {tuple(tokens.shape)}, wanted (B, {spec.count}, {spec.width})"
            )
        else:
            tokens = self.project[name](tokens.to(self.null[name].dtype))
        if spec.grid:
            side = math.isqrt(spec.count)
            tokens = tokens + position_code(grid_places(side, side, tokens.device), self.config.width).to(tokens.dtype)
        return tokens + self.embedding[name]

    def dropped(self, tokens: Tensor, name: str, rows: Tensor) -> Tensor:
        """Training's null-drop: tokens (B, N, D) of one modality, rows (B,) bool -> projected tokens with null rows.

        Returns (B, N, width) as `embedded` would, with the null token where `rows` is true.
        """
        kept, null = self.embedded(name, tokens, len(tokens)), self.embedded(name, None, len(tokens))
        return torch.where(rows[:, None, None], null, kept)

    def bypassed(self, text: Tensor | None, batch: int = 1, drop: Tensor | None = None) -> Tensor | None:
        """The text states that stand before the latents in the context: (B, 77, width); None without the bypass.

        Our choice, not the paper's, for a start from the behaviour of a text-only model: the U-Net attends to the text
        as it did, and adds tanh(gate) times what it finds among the latents (`ContextAttention`). The gates start at
        zero as in GLIGEN (https://arxiv.org/abs/2301.07093), one a latent, so the first gradient reaches them and the
        next ones the connector. (A large negative attention bias would start as close, but its softmax passes no
        gradient.) The text's temperature acts on the latents only.

        Args:
            text: (B, 77, width), or None for `no_text`, which starts as the states of the empty text.
            drop: (B,) bool, rows that get `no_text`; training only.
        """
        if self.no_text is None:
            return None
        nothing = self.no_text.expand(batch if text is None else len(text), -1, -1)
        if text is None:
            return nothing
        return text.to(nothing.dtype) if drop is None else torch.where(drop[:, None, None], nothing, text)

    def tempering(self, temperature: Mapping[str, float | Tensor] | None, form: str = "keys") -> Tempering | None:
        """{name: δ, or one δ a picture (B,)} -> one δ per token.

        None where every δ is the number 1, so that neutral is bit for bit no temperature.
        """
        if not temperature or all(not isinstance(value, Tensor) and value == 1 for value in temperature.values()):
            return None
        place = self.norm.weight.device
        delta = {  # one column a modality: (B or 1, 1)
            name: torch.as_tensor(temperature.get(name, 1.0), device=place, dtype=torch.float32).reshape(-1, 1)
            for name in self.specs
        }
        batch = max(map(len, delta.values()))
        per_token = [delta[name].expand(batch, spec.count) for name, spec in self.specs.items()]
        loudness = [(self.power[name] * value.log()[..., None]).exp() for name, value in zip(self.power, per_token)]
        return Tempering(torch.cat(per_token, 1), form, torch.cat(loudness, 1) if loudness else None)

    def forward(self, tokens: Tensor, tempering: Tempering | None = None, text: Tensor | None = None) -> Tensor:
        """tokens (B, 845, width) from `tokens()` -> context (B, 128, width), or (B, 845, width) without latents.

        With the bypass, `text` (B, 77, width) from `bypassed` stands before the latents: (B, 77 + 128, width).
        """
        if self.latent_tokens is None:
            return self.norm(tokens)
        x = self.latent_tokens.expand(len(tokens), -1, -1)  # (B, 128, width)
        x = self.cross(x, tokens, tempering)
        for block in self.blocks:
            x = block(x)
        return self.norm(x) if text is None else torch.cat([text, self.norm(x)], 1)

    def read(self, context: Tensor) -> Tensor | None:
        """How much detail the context wants added at each place: (B, 128, width) -> (B, gains, READ, READ), or None.

        Places of a READ x READ grid attend to the context as the U-Net's queries do, but know nothing besides where
        they are. Ours, not the paper's: see `PatchCodec` for what the gains do.
        """
        if self.reader is None:
            return None
        return rearrange(self.gain(self.around(context)), "b (h w) g -> b g h w", h=READ)

    def around(self, context: Tensor) -> Tensor:
        """What each place hears: (B, 128, width) -> (B, READ * READ, width)."""
        places = 1.4 * position_code(grid_places(READ, READ, context.device), self.config.width).to(context.dtype)
        return self.reader(places.expand(len(context), -1, -1), context)

    @torch.no_grad()
    def attention_mass(self, tokens: Tensor, tempering: Tempering | None = None) -> dict[str, float]:
        """How much each modality is heard: its share of the cross-attention, averaged; the shares sum to one.

        Without latents there is no cross-attention here, and the shares are those of the token counts.
        """
        counts = {name: spec.count for name, spec in self.specs.items()}
        if self.latent_tokens is None:
            return {name: count / sum(counts.values()) for name, count in counts.items()}
        x = self.cross.norm(self.latent_tokens.expand(len(tokens), -1, -1))
        mass = self.cross.attention.weights(x, tokens, tempering).mean((0, 1, 2))
        return dict(zip(counts, (float(part.sum()) for part in mass.split(list(counts.values())))))
