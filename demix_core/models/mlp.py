"""Feed-forward task models: linear (logistic or linear regression), mlp1 and mlp2 of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from demix_core.models.base import MODELS


def _feed_forward(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers of these widths with ReLU between them, none after the last."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


@MODELS.register("linear")
def linear(n_inputs: int, n_outputs: int) -> nn.Module:
    """Logistic regression, or linear regression on a standardised target."""
    return _feed_forward((n_inputs, n_outputs))


@MODELS.register("mlp1")
def mlp1(n_inputs: int, n_outputs: int) -> nn.Module:
    """The larger network of the paper: hidden layers of 256, 128 and 64."""
    return _feed_forward((n_inputs, 256, 128, 64, n_outputs))


@MODELS.register("mlp2")
def mlp2(n_inputs: int, n_outputs: int) -> nn.Module:
    """The smaller network of the paper: hidden layers of 64 and 32."""
    return _feed_forward((n_inputs, 64, 32, n_outputs))
