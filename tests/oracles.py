"""Slow, obvious twins of the fast paths: one row at a time, nothing clever."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from demix_core.models.losses import row_loss
from demix_core.types import Task


def row_gradients(network: nn.Module, x: np.ndarray, y: np.ndarray, task: Task) -> list[list[torch.Tensor]]:
    """For each row, autograd's gradient of its own loss for each trainable parameter, flattened; a loop over rows."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    dtype = parameters[0].dtype
    rows = []
    for i in range(len(y)):
        target = torch.as_tensor(y[i : i + 1])
        loss = row_loss(network(torch.as_tensor(x[i : i + 1]).to(dtype)), target, task).sum()
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        pairs = zip(parameters, gradients, strict=True)
        rows.append([(torch.zeros_like(p) if g is None else g).ravel() for p, g in pairs])
    return rows


def influence(
    network: nn.Module,
    train: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    task: Task,
    kernel: str = "cosine",
    parameters: slice = slice(None),
) -> np.ndarray:
    """phi [N, M] by two loops; parameters: which of the network's parameters count, by position."""
    g = [torch.cat(row[parameters]).double() for row in row_gradients(network, *train, task)]
    h = [torch.cat(row[parameters]).double() for row in row_gradients(network, *validation, task)]
    phi = np.zeros((len(g), len(h)))
    for i, gradient in enumerate(g):
        for j, other in enumerate(h):
            size = float(gradient.norm() * other.norm()) if kernel == "cosine" else 1.0
            phi[i, j] = -float(gradient @ other) / size if size > 0 else 0.0
    return phi
