"""What the DEC reads of each cell: what the signals say of it alone, and how its whole column behaves.

A quarter of a column may be wrong in the same way, and the errors of one row explain each other; so no single signal
finds wrong cells everywhere. The network is shown all of them, with how common each oddity is in the column.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demix_core.signals.base import Signals
from demix_core.signals.cells import CellModel
from demix_core.signals.placing import NEW, ordinal_rank
from demix_core.types import ColumnKind, Schema

NAMES = (
    "surprise", "lift", "distance", "share", "crowd", "form", "missing", "certainty", "coherence", "label_shift",
    "pair_lowest", "pair_mean", "surprise_rank", "lift_rank",
    "column_surprising", "column_far", "column_form", "column_crowded", "column_missing", "column_lift", "column_pair",
    "column_label_shift", "column_distinct", "is_number", "is_category",
)  # fmt: skip
OWN = 14
"""The first OWN differ from cell to cell, the others are the column's."""

SURPRISING, FAR, CROWDED = 3.0, 1.0, 1.5
SHRINK = 5.0
MOST_LIFT = 10.0


@dataclass(frozen=True)
class CellFeatures:
    """own: float32 [N, F, OWN]; column: float32 [F, Q − OWN], Q = len(NAMES); garbled: float32 [N, F] and label:
    float32 [N], which no network has to learn: P(wrong) by the spelling of cells and class labels, 0 where it is fine;
    blame, broken: of laws, as in signals.laws.Laws; negative: float32 [N, F], as in Oddities.
    """

    own: np.ndarray
    column: np.ndarray
    garbled: np.ndarray
    label: np.ndarray
    blame: np.ndarray
    broken: np.ndarray
    negative: np.ndarray

    def block(self, rows: slice | np.ndarray) -> np.ndarray:
        """float32 [B, F, Q] of some rows."""
        own = self.own[rows]
        return np.concatenate([own, np.broadcast_to(self.column, (len(own), *self.column.shape))], 2)


def cell_features(schema: Schema, signals: Signals) -> CellFeatures:
    """Of all N rows. Cost: O(N·F log N)."""
    cells = signals.cells
    lift = _clipped(cells)
    own = _own(signals, _coherence(cells.codes, lift), _ranks(cells.surprise), _ranks(lift))
    return CellFeatures(own, _columns(schema, signals), *_certain(signals))


def placed_cell_features(schema: Schema, signals: Signals, table: Signals, where: np.ndarray) -> CellFeatures:
    """Of rows to come. table: the signals of the run's rows; where: int64 [m], see signals.placing."""
    lift, old = _clipped(signals.cells), _clipped(table.cells)
    surprises = signals.cells.surprise, table.cells.surprise
    ranks = [
        np.stack([ordinal_rank(now[:, j], before[:, j], where) for j in range(now.shape[1])], 1)
        for now, before in (surprises, (lift, old))
    ]
    coherence = _placed_coherence(signals.cells.codes, table.cells.codes, old, where)
    return CellFeatures(_own(signals, coherence, *ranks), _columns(schema, table), *_certain(signals))


def _certain(signals: Signals) -> tuple[np.ndarray, ...]:
    """What no network has to learn."""
    odd, laws = signals.oddities, signals.laws
    return odd.garbled, odd.label, laws.blame, laws.broken, odd.negative


def _clipped(cells: CellModel) -> np.ndarray:
    return np.clip(cells.lift, -MOST_LIFT, MOST_LIFT)


def _own(signals: Signals, coherence: np.ndarray, surprise_rank: np.ndarray, lift_rank: np.ndarray) -> np.ndarray:
    """float32 [n, F, OWN]."""
    cells, odd = signals.cells, signals.oddities
    own = [
        np.arcsinh(cells.surprise), _clipped(cells), np.arcsinh(odd.distance), np.log(odd.share), odd.crowd, odd.form,
        odd.missing, cells.certainty, coherence, np.arcsinh(cells.label_shift), signals.pairs.lowest,
        signals.pairs.mean, surprise_rank, lift_rank,
    ]  # fmt: skip
    return np.stack(own, 2).astype(np.float32)


def _columns(schema: Schema, signals: Signals) -> np.ndarray:
    """float32 [F, Q − OWN]."""
    cells, odd, lift = signals.cells, signals.oddities, _clipped(signals.cells)
    kinds = [c.kind for c in schema.features]
    number = [k in (ColumnKind.NUMERIC, ColumnKind.DATETIME) for k in kinds]
    category = [k in (ColumnKind.CATEGORICAL, ColumnKind.BOOLEAN) for k in kinds]
    column = [
        (cells.surprise > SURPRISING).mean(0), (odd.distance > FAR).mean(0), odd.form.mean(0),
        (odd.crowd > CROWDED).mean(0), odd.missing.mean(0), lift.mean(0), signals.pairs.mean.mean(0),
        cells.label_shift.mean(0),
        np.log(_distinct(odd.share)), np.array(number), np.array(category),
    ]  # fmt: skip
    return np.stack(column, 1).astype(np.float32)


def _coherence(codes: np.ndarray, lift: np.ndarray) -> np.ndarray:
    """float [N, F]: the mean lift of the other rows that hold the same code; about 0 where a value fits nothing."""
    out = np.zeros(lift.shape)
    for j in range(codes.shape[1]):
        total = np.bincount(codes[:, j], weights=lift[:, j])[codes[:, j]] - lift[:, j]
        out[:, j] = total / (np.bincount(codes[:, j])[codes[:, j]] - 1 + SHRINK)
    return out


def _placed_coherence(now: np.ndarray, codes: np.ndarray, lift: np.ndarray, where: np.ndarray) -> np.ndarray:
    """_coherence of rows to come, float [m, F]. now: their codes; codes, lift: those of the table [N, F]."""
    out = np.zeros(now.shape)
    for j in range(now.shape[1]):
        size = int(max(now[:, j].max(initial=0), codes[:, j].max(initial=0))) + 1
        total = np.bincount(codes[:, j], weights=lift[:, j], minlength=size)[now[:, j]]
        mine = (where != NEW) & (codes[where, j] == now[:, j])
        count = np.bincount(codes[:, j], minlength=size)[now[:, j]] - mine
        out[:, j] = (total - np.where(mine, lift[where, j], 0)) / (count + SHRINK)
    return out


def _ranks(values: np.ndarray) -> np.ndarray:
    """Rank of each cell within its column, in [0, 1]."""
    return np.asarray(values.argsort(0, kind="stable").argsort(0, kind="stable") / max(len(values) - 1, 1))


def _distinct(share: np.ndarray) -> np.ndarray:
    """The number of distinct values of each column: Σ 1/(rows that hold the value)."""
    return np.asarray((1 / share).sum(0) / len(share))
