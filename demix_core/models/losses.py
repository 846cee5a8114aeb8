"""The per-row loss: one definition for training, for the dynamics and for influence."""

from __future__ import annotations

import torch
from torch.nn import functional

from demix_core.types import Task


def row_loss(outputs: torch.Tensor, y: torch.Tensor, task: Task) -> torch.Tensor:
    """Loss of each row, never averaged and never weighted (DESIGN section 3, "Definitions").

    outputs: [B, K] logits, or [B, 1] for regression; y: [B] class ids, or the standardised target; or, of the shape of
    outputs, class probabilities or standardised predictions of another model.
    Returns [B]: cross-entropy, or half the squared error, so that the output gradient is the residual itself.

    >>> row_loss(torch.tensor([[3.0]]), torch.tensor([1.0]), Task.REGRESSION)
    tensor([2.])
    """
    if task is Task.CLASSIFICATION:
        return functional.cross_entropy(outputs, y, reduction="none")
    return 0.5 * (outputs[:, 0] - y.to(outputs.dtype).reshape(-1)).square()
