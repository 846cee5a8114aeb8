"""Checks the ruler: which of the rows that improvement is measured on look mislabelled themselves?

Neither training table speaks of these rows, so the models' predictions are out of sample. A class is suspect by
confident learning (Northcutt et al. 2021, section 3.1): another class is at least as probable as it is on average for
rows of that class. A number is suspect when its residual is beyond WIDE robust deviations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

WIDE = 4.0


@dataclass(frozen=True)
class Suspect:
    """A measured row: place in the measured part; likely: class id or number; certainty: probability, or deviations."""

    place: int
    likely: float
    certainty: float


def suspects(p: np.ndarray, y: np.ndarray, classes: int) -> list[Suspect]:
    """The most suspect first. p: [n, K] mean probabilities over models, or [n, 1] predictions; y: ids or numbers."""
    return _classes(p, y, classes) if classes else _numbers(p[:, 0], y)


def _classes(p: np.ndarray, y: np.ndarray, classes: int) -> list[Suspect]:
    usual = np.array([p[y == k, k].mean() if (y == k).any() else np.inf for k in range(classes)])
    confident = np.where(p >= usual, p, -1.0)
    rows = np.arange(len(y))
    likely = confident.argmax(1)
    bad = (confident[rows, likely] > 0) & (likely != y) & (p[rows, likely] > p[rows, y])
    order = np.flatnonzero(bad)[np.argsort(-(p[rows, likely] - p[rows, y])[bad], kind="stable")]
    return [Suspect(int(i), float(likely[i]), float(p[i, likely[i]])) for i in order]


def _numbers(predicted: np.ndarray, y: np.ndarray) -> list[Suspect]:
    off = np.abs(y - predicted)
    scale = 1.4826 * float(np.median(off)) + 1e-12
    order = np.argsort(-off, kind="stable")
    return [Suspect(int(i), float(predicted[i]), float(off[i] / scale)) for i in order if off[i] > WIDE * scale]
