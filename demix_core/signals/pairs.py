"""Which cells contradict another cell of their row, looked at two columns at a time?

The masked network sees the whole row, so errors that were made together explain each other. A pair is blind to all but
itself: where one process spoilt five columns at once, each spoilt cell still contradicts the columns it left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from demix_core.signals.binning import Cut, bin_column, code_lift
from demix_core.signals.placing import placed_lift
from demix_core.types import ColumnKind, Schema

BINS = 10
PARTNERS = 12
"""Other columns that a column is looked at with: those it depends on most."""


@dataclass(frozen=True)
class Pairs:
    """float32 [N, F] each, nats: the lowest, and the mean, of log p(value | one other cell) − log p(value)."""

    lowest: np.ndarray
    mean: np.ndarray


@dataclass(frozen=True)
class PairReference:
    """What find_pairs learned. cuts: of every feature; codes: int16 [N, F]; partners: of every feature, the features
    that it is looked at with, none for a column about which nothing is said.
    """

    cuts: tuple[Cut, ...]
    codes: np.ndarray
    partners: tuple[tuple[int, ...], ...]

    def place(self, frame: pd.DataFrame, schema: Schema, where: np.ndarray) -> Pairs:
        """Of rows to come; where: int64 [m], see placing."""
        now = [cut.codes(frame[c.name]) for cut, c in zip(self.cuts, schema.features, strict=True)]
        old = [column.astype(np.int64) for column in self.codes.T]

        def lift(by: int, of: int) -> np.ndarray:
            return placed_lift((old[by], old[of]), (now[by], now[of]), self.cuts[of].size, where)

        return _pairs(len(frame), self.partners, lift)


def find_pairs(frame: pd.DataFrame, schema: Schema) -> Pairs:
    """Leave-one-out lifts of every cell by its partners. Cost: F² counts of N rows, and PARTNERS look-ups a cell."""
    return learn_pairs(frame, schema)[0]


def learn_pairs(frame: pd.DataFrame, schema: Schema) -> tuple[Pairs, PairReference]:
    """find_pairs, with what it learned for rows to come."""
    count = len(schema.features)
    binned = [bin_column(frame[c.name], c.kind, BINS) for c in schema.features]
    usable = [j for j, c in enumerate(schema.features) if c.kind is not ColumnKind.TEXT and binned[j].size > 1]
    told = np.zeros((count, count))
    for i, j in ((i, j) for i in usable for j in usable if i < j):
        told[i, j] = told[j, i] = _information(binned[i].codes, binned[j].codes, binned[i].size, binned[j].size)
    partners: list[tuple[int, ...]] = [()] * count
    for j in usable:
        most = np.argsort(-told[j], kind="stable")[:PARTNERS]
        partners[j] = tuple(int(k) for k in most if k in usable and k != j)

    def lift(by: int, of: int) -> np.ndarray:
        return code_lift(binned[by].codes, binned[by].size, binned[of].codes, binned[of].size)[0]

    codes = np.stack([b.codes for b in binned], 1).astype(np.int16)
    reference = PairReference(tuple(b.cut for b in binned), codes, tuple(partners))
    return _pairs(len(frame), partners, lift), reference


def _pairs(rows: int, partners: Sequence[tuple[int, ...]], lift: Callable[[int, int], np.ndarray]) -> Pairs:
    """lift(by, of): float [rows], what the cell of column `by` says of that of column `of`."""
    lowest, mean = np.zeros((rows, len(partners)), np.float32), np.zeros((rows, len(partners)), np.float32)
    for j, others in enumerate(partners):
        if others:
            lifts = [lift(k, j) for k in others]
            lowest[:, j], mean[:, j] = np.min(lifts, 0), np.mean(lifts, 0)
    return Pairs(lowest, mean)


def _information(a: np.ndarray, b: np.ndarray, size_a: int, size_b: int) -> float:
    """Mutual information of two coded columns, nats."""
    joint = np.bincount(a * size_b + b, minlength=size_a * size_b).reshape(size_a, size_b) / len(a)
    apart = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    seen = joint > 0
    return float((joint[seen] * np.log(joint[seen] / apart[seen])).sum())
