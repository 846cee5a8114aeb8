"""The set transformer over a row's tokens (Lee et al. 2019): element encoder → ISAB → PMA (DESIGN §3)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class Attention(nn.Module):
    """MAB of the paper: multi-head attention of queries on a set, then a feed-forward layer, both residual."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.norm, self.norm_out = nn.LayerNorm(width), nn.LayerNorm(width)
        self.feed = nn.Linear(width, width)

    def forward(self, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """queries [B, Q, H], keys [B, T, H] -> [B, Q, H]."""
        q, k, v = (self._split(f(x)) for f, x in ((self.query, queries), (self.key, keys), (self.value, keys)))
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        h = self.norm(queries + self.out(mixed))
        return self.norm_out(h + F.relu(self.feed(h)))

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class Induced(nn.Module):
    """ISAB: a set attends to itself through a few learned inducing points; cost linear in the set's size."""

    def __init__(self, width: int, heads: int, inducing: int) -> None:
        super().__init__()
        self.points = nn.Parameter(torch.randn(1, inducing, width) / width**0.5)
        self.gather, self.spread = Attention(width, heads), Attention(width, heads)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, H] -> [B, T, H]."""
        return self.spread(x, self.gather(self.points.expand(len(x), -1, -1), x))


class SetTransformer(nn.Module):
    """Tokens [B, T, C] -> one vector per row [B, H]; the order of the tokens does not matter."""

    def __init__(self, channels: int, width: int, heads: int, inducing: int, blocks: int) -> None:
        super().__init__()
        self.element = nn.Sequential(nn.Linear(channels, width), nn.ReLU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(Induced(width, heads, inducing) for _ in range(blocks))
        self.seed = nn.Parameter(torch.randn(1, 1, width) / width**0.5)
        self.pool = Attention(width, heads)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """[B, T, C] -> [B, H]."""
        x = self.element(tokens)
        for block in self.blocks:
            x = block(x)
        pooled: torch.Tensor = self.pool(self.seed.expand(len(x), -1, -1), x)
        return pooled[:, 0]
