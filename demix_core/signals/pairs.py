"""Which cells contradict another cell of their row, looked at two columns at a time?

The masked network sees the whole row, so errors that were made together explain each other. A pair is blind to all but
itself: where one process spoilt five columns at once, each spoilt cell still contradicts the columns it left alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from demix_core.signals.binning import bin_column, code_lift
from demix_core.types import ColumnKind, Schema

BINS = 10
PARTNERS = 12
"""Other columns that a column is looked at with: those it depends on most."""


@dataclass(frozen=True)
class Pairs:
    """float32 [N, F] each, nats: the lowest, and the mean, of log p(value | one other cell) − log p(value)."""

    lowest: np.ndarray
    mean: np.ndarray


def find_pairs(frame: pd.DataFrame, schema: Schema) -> Pairs:
    """Leave-one-out lifts of every cell by its partners. Cost: F² counts of N rows, and PARTNERS look-ups a cell."""
    n, count = len(frame), len(schema.features)
    binned = [bin_column(frame[c.name], c.kind, BINS) for c in schema.features]
    usable = [j for j, c in enumerate(schema.features) if c.kind is not ColumnKind.TEXT and binned[j].size > 1]
    told = np.zeros((count, count))
    for i, j in ((i, j) for i in usable for j in usable if i < j):
        told[i, j] = told[j, i] = _information(binned[i].codes, binned[j].codes, binned[i].size, binned[j].size)
    lowest, mean = np.zeros((n, count), np.float32), np.zeros((n, count), np.float32)
    for j in usable:
        partners = [k for k in np.argsort(-told[j], kind="stable")[:PARTNERS] if k in usable and k != j]
        if not partners:
            continue
        lifts = [code_lift(binned[k].codes, binned[k].size, binned[j].codes, binned[j].size)[0] for k in partners]
        lowest[:, j], mean[:, j] = np.min(lifts, 0), np.mean(lifts, 0)
    return Pairs(lowest, mean)


def _information(a: np.ndarray, b: np.ndarray, size_a: int, size_b: int) -> float:
    """Mutual information of two coded columns, nats."""
    joint = np.bincount(a * size_b + b, minlength=size_a * size_b).reshape(size_a, size_b) / len(a)
    apart = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    seen = joint > 0
    return float((joint[seen] * np.log(joint[seen] / apart[seen])).sum())
