"""Which suggestions a person wants to see first: conditions on cells, and how much a verdict would tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from demix_core.columns import to_numeric


@dataclass(frozen=True)
class Condition:
    """Rows by the cell of one column: its text is one of `values`, or its number lies in [low, high].

    values: cell texts as in the file, "" for an empty cell; used when there are any. low, high: inclusive, None: open.

    >>> frame = pd.DataFrame({"age": ["17", "40", "?"], "sex": ["f", "m", "m"]})
    >>> Condition("age", low=18).holds(frame).tolist(), Condition("sex", ("f",)).holds(frame).tolist()
    ([False, True, False], [True, False, False])
    """

    column: str
    values: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None

    @property
    def empty(self) -> bool:
        """Whether it asks for nothing."""
        return not self.values and self.low is None and self.high is None

    def holds(self, frame: pd.DataFrame) -> np.ndarray:
        """bool [n] of a frame's n rows; a cell that is no number lies in no range. KeyError: no such column."""
        cells = frame[self.column]
        if self.values:
            return np.asarray(cells.fillna("").astype(str).isin(self.values), dtype=bool)
        if self.empty:
            return np.ones(len(frame), bool)
        numbers = to_numeric(cells)
        low = -np.inf if self.low is None else self.low
        high = np.inf if self.high is None else self.high
        return np.asarray((numbers >= low) & (numbers <= high), dtype=bool)  # NaN compares false


def uncertainty(probability: np.ndarray) -> np.ndarray:
    """How much a person's verdict tells, in bits, float64 in [0, 1]: H(p) = −p log₂ p − (1−p) log₂(1−p).

    probability: float [n] in [0, 1], the chance that accepting is right. When the verdict is sure to be right, the
    entropy of what we believe before it is what we learn from it: 1 bit at ½, nothing at 0 and 1. Of the
    suggestion itself, that is: of the others, rows at random teach more (`bench lessons`).

    >>> uncertainty(np.array([0.5, 1.0])).tolist()
    [1.0, 0.0]
    """
    p = np.clip(np.asarray(probability, np.float64), 0.0, 1.0)
    parts = [np.where(q > 0, -q * np.log2(np.where(q > 0, q, 1.0)), 0.0) for q in (p, 1.0 - p)]
    return np.asarray(parts[0] + parts[1])


def benefit(relabels: np.ndarray, confidence: np.ndarray, gain: np.ndarray, numbers: bool) -> np.ndarray:
    """In which order a review does most for the model when there is no time for all: float64 [P], largest first.

    relabels: bool [P]; confidence: float [P] in [0, 1]; gain: float [P], what influence expects of accepting, NaN where
    unknown; numbers: the target is a number. Classes: by gain. Numbers: wrong targets first, surest first, as they
    weigh far more than wrong cells. Chosen on eleven development tables that no benchmark uses (ARCHITECTURE).

    >>> benefit(np.array([False, True]), np.array([0.9, 0.5]), np.array([1.0, np.nan]), numbers=True).tolist()
    [0.9, 1.5]
    """
    if numbers:
        return np.asarray(confidence + relabels.astype(float), np.float64)
    return np.where(np.isfinite(gain), gain, -np.inf).astype(np.float64)
