"""How good predictions are: each metric takes weights of rows, so that a bootstrap is one call of matrix products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from demix_core.types import Task

LEAST_GROUP = 20
"""Rows below which a group says nothing of the worst group."""

FLOOR = 1e-6

Measure = Callable[["Measured", np.ndarray], np.ndarray]
"""(predictions with truth, weights float [B, n]) -> float [B]."""


@dataclass(frozen=True)
class Measured:
    """Predictions beside the truth. p: float [n, K] probabilities, or [n, 1] in target units; y: int [n] or float [n].

    groups: int [n], −1 for none.
    """

    p: np.ndarray
    y: np.ndarray
    groups: np.ndarray

    @property
    def rows(self) -> np.ndarray:
        """0 … n−1."""
        return np.arange(len(self.y))


@dataclass(frozen=True)
class Metric:
    """name: key in files; title: on screens; higher: whether more is better; measure: the formula."""

    name: str
    title: str
    higher: bool
    measure: Measure


def _mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.asarray(weights @ values / weights.sum(1))


def _accuracy(m: Measured, weights: np.ndarray) -> np.ndarray:
    return _mean((m.p.argmax(1) == m.y).astype(float), weights)


def _f1(m: Measured, weights: np.ndarray) -> np.ndarray:
    """Macro F1 over the classes that occur in y."""
    classes, said = np.unique(m.y), m.p.argmax(1)
    truth, guess = (v[:, None] == classes for v in (m.y, said))
    hits, there, told = (weights @ part.astype(float) for part in (truth & guess, truth, guess))
    return np.asarray((2 * hits / np.maximum(there + told, FLOOR)).mean(1))


def _auc(m: Measured, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve; more than two classes: mean of one against the rest, over the classes in y."""
    classes = np.unique(m.y)
    if len(classes) < 2:
        return np.full(len(weights), np.nan)
    if m.p.shape[1] == 2:
        classes = classes[1:]
    return np.stack([_area(m.p[:, c], m.y == c, weights) for c in classes]).mean(0)


def _area(score: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """P(a positive outranks a negative) + half of P(tie), rows weighted."""
    order = np.argsort(score, kind="stable")
    first = rankdata(score[order], "min").astype(int) - 1
    last = rankdata(score[order], "max").astype(int)
    w, pos = weights[:, order], positive[order]
    below = np.concatenate([np.zeros((len(w), 1)), np.where(pos, 0.0, w).cumsum(1)], 1)
    beaten = (below[:, first[pos]] + below[:, last[pos]]) / 2
    total = w[:, pos].sum(1) * below[:, -1]
    return np.asarray((w[:, pos] * beaten).sum(1) / np.maximum(total, FLOOR))


def _log_loss(m: Measured, weights: np.ndarray) -> np.ndarray:
    return _mean(-np.log(np.maximum(m.p[m.rows, m.y], FLOOR)), weights)


def _worst_accuracy(m: Measured, weights: np.ndarray) -> np.ndarray:
    right = (m.p.argmax(1) == m.y).astype(float)
    return _over_groups(m, lambda rows: _mean(right[rows], weights[:, rows]), np.min, len(weights))


def _rmse(m: Measured, weights: np.ndarray) -> np.ndarray:
    return np.sqrt(_mean(np.square(m.p[:, 0] - m.y), weights))


def _mae(m: Measured, weights: np.ndarray) -> np.ndarray:
    return _mean(np.abs(m.p[:, 0] - m.y), weights)


def _r2(m: Measured, weights: np.ndarray) -> np.ndarray:
    centre = _mean(m.y, weights)
    spread = _mean(np.square(m.y), weights) - centre**2
    return np.asarray(1 - _rmse(m, weights) ** 2 / np.maximum(spread, FLOOR))


def _worst_rmse(m: Measured, weights: np.ndarray) -> np.ndarray:
    wrong = np.square(m.p[:, 0] - m.y)
    return _over_groups(m, lambda rows: np.sqrt(_mean(wrong[rows], weights[:, rows])), np.max, len(weights))


def _over_groups(m: Measured, measure: Callable[[np.ndarray], np.ndarray], worst: Callable[..., np.ndarray],
                 draws: int) -> np.ndarray:  # fmt: skip
    """The worst of the groups with enough rows; NaN where fewer than two have."""
    groups, counts = np.unique(m.groups[m.groups >= 0], return_counts=True)
    kept = groups[counts >= LEAST_GROUP]
    if len(kept) < 2:
        return np.full(draws, np.nan)
    return np.asarray(worst(np.stack([measure(np.flatnonzero(m.groups == g)) for g in kept]), axis=0))


METRICS: dict[Task, tuple[Metric, ...]] = {
    Task.CLASSIFICATION: (
        Metric("auc", "AUC", True, _auc),
        Metric("accuracy", "Accuracy", True, _accuracy),
        Metric("f1", "F1 (macro)", True, _f1),
        Metric("log_loss", "Log-loss", False, _log_loss),
        Metric("worst_group_accuracy", "Worst-group accuracy", True, _worst_accuracy),
    ),
    Task.REGRESSION: (
        Metric("rmse", "RMSE", False, _rmse),
        Metric("mae", "Mean absolute error", False, _mae),
        Metric("r2", "R²", True, _r2),
        Metric("worst_group_rmse", "Worst-group RMSE", False, _worst_rmse),
    ),
}
"""The first of each task is its headline: wrong labels in the measured rows shift it least."""
