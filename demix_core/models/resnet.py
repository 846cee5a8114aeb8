"""A residual network for tables (Gorishniy et al. 2021, section 3.2), with LayerNorm in place of BatchNorm.

BatchNorm would make a row's output depend on the rows beside it; then no row has an influence of its own.
"""

from __future__ import annotations

import torch
from torch import nn

from demix_core.models.base import MODELS

WIDTH, HIDDEN, BLOCKS = 128, 256, 2


class Block(nn.Module):
    """x + Linear(ReLU(Linear(LayerNorm(x)))); [B, WIDTH] to [B, WIDTH]."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.wide, self.back = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, WIDTH]."""
        return x + self.back(torch.relu(self.wide(self.norm(x))))


@MODELS.register("resnet")
def resnet(n_inputs: int, n_outputs: int) -> nn.Module:
    """A residual network: two blocks of width 128 between a first and a last linear layer, LayerNorm before each."""
    blocks = [Block() for _ in range(BLOCKS)]
    return nn.Sequential(
        nn.Linear(n_inputs, WIDTH), *blocks, nn.LayerNorm(WIDTH), nn.ReLU(), nn.Linear(WIDTH, n_outputs)
    )
