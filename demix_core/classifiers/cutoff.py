"""How many rows of a table to flag, learnt from tables whose errors are known.

How many errors a table has is not seen in one row: probabilities that are right on the whole flag too many rows where
few are wrong. What all probabilities of a table look like together tells more (is there a group apart?). Trees learn,
from tasks on tables kept out of training, which F1 every threshold reaches, given that look. The log-odds are moved so
that the threshold of the largest expected F1 is the one of the largest F1 that they foresee.

Cost: one sort of the N probabilities, STEPS sums over them, and a walk through the trees per threshold of GRID.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingRegressor

from demix_core.classifiers.forest import Forest, filled
from demix_core.classifiers.thresholds import (
    NEAREST,
    USUAL_SHARE,
    expected_f1_threshold,
    log_odds,
    logits,
    own_share,
)
from demix_core.workers import one_thread

GRID = np.arange(-3.0, 6.01, 0.5)
"""Thresholds that are compared, log-odds."""

QUANTILES = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
ABOVE = (-1.0, 0.0, 1.0, 2.0, 3.0)
"""What of the log-odds is looked at: quantiles, and how many lie above limits."""

DEPTH, TREES = 5, 200
_GROWING: dict[str, Any] = {
    "learning_rate": 0.05, "max_depth": DEPTH, "max_leaf_nodes": None, "min_samples_leaf": 200, "max_features": 0.3,
    "early_stopping": False,
}  # fmt: skip
FURTHEST, STEPS = 12.0, 40
"""Of log-odds: how far they are moved at most, and how often that is halved to find how far."""


def meta_features(p: np.ndarray, k: int) -> np.ndarray:
    """float64 [D]: numbers that tell tables apart by their probabilities p [N, 3], of type k in full."""
    p = np.clip(np.asarray(p, np.float64), NEAREST, 1 - NEAREST)
    own, odds = p[:, k], logits(p[:, k])
    flagged = own[own >= expected_f1_threshold(own)]
    means = np.log(p.mean(0))
    above = [np.log((odds > limit).mean() + 2e-3) for limit in ABOVE]
    return np.array(
        [*np.quantile(odds, QUANTILES), means[k], log_odds(own_share(own, USUAL_SHARE)), *np.delete(means, k),
         np.log(len(flagged) / len(own) + 1e-4), *above, flagged.mean()]
    )  # fmt: skip


def f1_curve(p: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """float64 [G]: F1 of flagging p [N] at each threshold of GRID. wrong: bool [N], some."""
    flags = logits(p)[:, None] >= GRID
    return np.asarray(2 * (flags & wrong[:, None]).sum(0) / (flags.sum(0) + wrong.sum()))


def learn_cutoff(described: Sequence[np.ndarray], curves: Sequence[np.ndarray], seed: int = 0) -> Forest:
    """Trees that foresee F1. described: of meta_features; curves: of f1_curve, for the same tables."""
    x = np.concatenate([_with_thresholds(one) for one in described]).astype(np.float32)
    with one_thread():
        model = HistGradientBoostingRegressor(max_iter=TREES, random_state=seed, **_GROWING)
        model.fit(x, np.concatenate(list(curves)))
    return filled([model], DEPTH)


def cutoff_shift(forest: Forest, p: np.ndarray, k: int) -> float:
    """How far the log-odds of type k of p [N, 3] are moved; 0 for no rows."""
    if not len(p):
        return 0.0
    foreseen = forest(torch.from_numpy(_with_thresholds(meta_features(p, k)).astype(np.float32)))[:, 0].numpy()
    odds = np.sort(logits(p[:, k]))[::-1]
    count = max(1, int((odds >= GRID[int(foreseen.argmax())]).sum()))
    return _shift_to_count(odds, count)


def _shift_to_count(odds: np.ndarray, count: int) -> float:
    """The shift nearest 0 of log-odds [N], largest first, that flags `count` of them at the largest expected F1."""
    more = _flagged(odds, 0.0) < count
    near, far = 0.0, FURTHEST if more else -FURTHEST
    for _ in range(STEPS):
        middle = (near + far) / 2
        flagged = _flagged(odds, middle)
        if flagged < count if more else flagged > count:
            near = middle
        else:
            far = middle
    return far


def _flagged(odds: np.ndarray, shift: float) -> int:
    """How many of these log-odds, largest first, are flagged once moved."""
    p = 1 / (1 + np.exp(-(odds + shift)))
    expected = 2 * p.cumsum() / (np.arange(1, len(p) + 1) + p.sum())  # as expected_f1_threshold, but sorted already
    return int((p >= p[expected.argmax()]).sum())


def _with_thresholds(described: np.ndarray) -> np.ndarray:
    """float64 [G, D + 1]: a line for each threshold of GRID."""
    return np.column_stack([np.tile(described, (len(GRID), 1)), GRID])
