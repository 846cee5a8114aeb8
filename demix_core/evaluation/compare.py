"""Is the difference between two ways of training real? A paired bootstrap over measured rows and seeds.

Both ways are measured on the same rows with the same seeds; a draw takes rows with replacement and seeds with
replacement, the same ones for both. Cost: B · S · n per metric, streamed in chunks of draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from demix_core.evaluation.metrics import Measured, Metric

DRAWS = 400
CHUNK = 4_000_000
"""Weights in memory at once."""

LEVEL = 0.95


@dataclass(frozen=True)
class Difference:
    """One metric before and after, means over seeds; low, high: a 95 % interval of after − before; p: two-sided.

    better: whether the difference is an improvement, None where p ≥ .05.
    """

    metric: str
    title: str
    higher: bool
    before: float
    after: float
    low: float
    high: float
    p: float
    seeds_before: tuple[float, ...]
    seeds_after: tuple[float, ...]

    @property
    def delta(self) -> float:
        """after − before."""
        return self.after - self.before

    @property
    def better(self) -> bool | None:
        """True, False, or None when chance explains it."""
        return None if not self.p < 1 - LEVEL else (self.delta > 0) == self.higher


def difference(
    metric: Metric, before: Sequence[Measured], after: Sequence[Measured], seed: int, draws: int = DRAWS
) -> Difference | None:
    """before, after: one Measured per seed, of the same rows. None where the metric says nothing (NaN)."""
    ones = np.ones((1, len(before[0].y)))
    plain = [np.array([metric.measure(m, ones)[0] for m in side]) for side in (before, after)]
    if not np.isfinite(np.concatenate(plain)).all():
        return None
    gaps = bootstrap(metric, before, after, seed, draws)
    gaps = gaps[np.isfinite(gaps)]
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(gaps, (tail, 1 - tail)) if len(gaps) else (np.nan, np.nan)
    beyond = min(int((gaps <= 0).sum()), int((gaps >= 0).sum()))
    p = min(1.0, 2 * (beyond + 1) / (len(gaps) + 1))
    return Difference(
        metric.name, metric.title, metric.higher, float(plain[0].mean()), float(plain[1].mean()), float(low),
        float(high), p, *(tuple(float(v) for v in side) for side in plain),
    )  # fmt: skip


def bootstrap(
    metric: Metric, before: Sequence[Measured], after: Sequence[Measured], seed: int, draws: int
) -> np.ndarray:
    """after − before in each draw, float [draws]."""
    rng = np.random.default_rng(seed)
    n, seeds = len(before[0].y), len(before)
    at_once = max(1, CHUNK // n)
    parts = []
    for start in range(0, draws, at_once):
        size = min(at_once, draws - start)
        weights = _counts(rng.integers(0, n, (size, n)), n)
        taken = _counts(rng.integers(0, seeds, (size, seeds)), seeds) / seeds
        sides = [np.stack([metric.measure(m, weights) for m in side], 1) for side in (before, after)]
        parts.append(((sides[1] - sides[0]) * taken).sum(1))
    return np.concatenate(parts)


def _counts(drawn: np.ndarray, size: int) -> np.ndarray:
    """How often each of 0 … size−1 was drawn, float [draws, size]."""
    flat = drawn + size * np.arange(len(drawn))[:, None]
    return np.bincount(flat.ravel(), minlength=size * len(drawn)).reshape(len(drawn), size).astype(float)
