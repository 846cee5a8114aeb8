"""An FT-Transformer for tables (Gorishniy et al. 2021, section 3.3), of layers whose influence has rules of its own.

Every column of the encoded table is a token. Of wider tables neighbouring columns, which are those of one category as a
rule, share a token, since attention costs the square of their number. The class token and the embeddings are nn.Linear
layers like all others, so that each row's gradient is written down exactly.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from demix_core.models.base import MODELS

WIDTH, HEADS, BLOCKS, HIDDEN = 32, 4, 2, 64
MOST_TOKENS = 24


class Tokens(nn.Module):
    """[B, D] to [B, T + 1, WIDTH]: the class token, then one for each part of the columns, T ≤ MOST_TOKENS."""

    def __init__(self, n_inputs: int) -> None:
        super().__init__()
        count = min(n_inputs, MOST_TOKENS)
        self.sizes = [n_inputs // count + (k < n_inputs % count) for k in range(count)]
        self.parts = nn.ModuleList([nn.Linear(size, WIDTH) for size in self.sizes])
        self.first = nn.Linear(1, WIDTH, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, D] to [B, T + 1, WIDTH]."""
        of_columns = [part(some) for part, some in zip(self.parts, x.split(self.sizes, 1), strict=True)]
        return torch.stack([self.first(torch.ones_like(x[:, :1])), *of_columns], 1)


class Block(nn.Module):
    """Attention, then a small network on each token, both beside a way past them; LayerNorm before each."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.query, self.key, self.value, self.join = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.wide, self.back = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, WIDTH] to the same."""
        normed = self.before(x)
        layers = self.query, self.key, self.value
        heads = [layer(normed).unflatten(2, (HEADS, -1)).transpose(1, 2) for layer in layers]
        seen = functional.scaled_dot_product_attention(*heads)
        x = x + self.join(seen.transpose(1, 2).flatten(2))
        return x + self.back(torch.relu(self.wide(self.between(x))))


class Head(nn.Module):
    """[B, T, WIDTH] to [B, K], by the class token."""

    def __init__(self, n_outputs: int) -> None:
        super().__init__()
        self.norm, self.out = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, n_outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, WIDTH] to [B, K]."""
        return self.out(torch.relu(self.norm(x[:, 0])))


@MODELS.register("transformer")
def transformer(n_inputs: int, n_outputs: int) -> nn.Module:
    """Two blocks of attention between columns, width 32, four heads; slower than the other models."""
    return nn.Sequential(Tokens(n_inputs), *(Block() for _ in range(BLOCKS)), Head(n_outputs))
