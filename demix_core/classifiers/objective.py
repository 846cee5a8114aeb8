"""The intervention-based objective (DESIGN §3): say what the errors are, and say the same under every environment.

L = Σ_k FocalBCE + λ₁·InfoNCE(z^e, z^e′) + λ₂·spread of each type's mean embedding over task models.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

GAMMA = 1.0
TEMPERATURE = 0.1


def focal_bce(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy × (1 − p_correct)^γ, mean over rows, sum over types. logits, truth [B, 3]."""
    plain = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    p = torch.sigmoid(logits)
    correct = torch.where(truth > 0.5, p, 1 - p)
    return ((1 - correct) ** GAMMA * plain).mean(0).sum()


def cell_bce(logits: torch.Tensor, wrong: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy over the cells that are there, mean over rows of the sum. logits, wrong, present [B, P]."""
    plain = F.binary_cross_entropy_with_logits(logits, wrong.float(), reduction="none")
    return (plain * present).sum() / len(logits)


def info_nce(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Two views of one row are each other's positive, other rows of the batch the negatives; symmetric. a, b [B, P]."""
    scores = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T / TEMPERATURE
    same = torch.arange(len(a))
    return (F.cross_entropy(scores, same) + F.cross_entropy(scores.T, same)) / 2


def centroid_spread(projected: torch.Tensor, truth: torch.Tensor, model: torch.Tensor, models: int) -> torch.Tensor:
    """Σ_k Σ_m ‖μ_{k,m} − mean_m μ_{k,m}‖²; μ_{k,m}: mean projection of rows with error k under task model m.

    projected [B, P], truth [B, 3], model int64 [B] < models. Types seen under fewer than two models add nothing.
    """
    total = projected.new_zeros(())
    for k in range(truth.shape[1]):
        centres = []
        for m in range(models):
            rows = (truth[:, k] > 0.5) & (model == m)
            if rows.any():
                centres.append(projected[rows].mean(0))
        if len(centres) > 1:
            stacked = torch.stack(centres)
            total = total + (stacked - stacked.mean(0)).square().sum()
    return total
