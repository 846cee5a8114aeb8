"""Where a row to come stands among the rows of a run, with everything that was fitted left as it is.

One idea throughout: each row is looked at as if it alone were added to the run's table, or, where it is an edited row
of that table, put in the place of its old version. So no row vouches for itself, rows to come do not see one another,
and a row of the table that is looked at again, unchanged, gets the numbers that it has.
"""

from __future__ import annotations

import numpy as np

from demix_core.signals.binning import SMOOTHING

NEW = -1
"""The place of a row that is in no version in the run's table."""

NOISE = 1e-5
"""Two numbers nearer than this (of their size, or of 1) are the same number, computed twice."""


def same(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """values [m], each moved onto its nearest of reference [N] (sorted) where the two differ by rounding only."""
    if not len(reference):
        return values
    after = np.searchsorted(reference, values).clip(0, len(reference) - 1)
    before = (after - 1).clip(0)
    nearer = np.abs(reference[before] - values) <= np.abs(reference[after] - values)
    nearest = np.where(nearer, reference[before], reference[after])
    return np.where(np.abs(nearest - values) <= NOISE * np.maximum(np.abs(values), 1), nearest, values)


def own(column: np.ndarray, where: np.ndarray) -> np.ndarray:
    """What the old version of each row has in column [N]; NaN for new rows. where: place in the table or NEW."""
    return np.where(where == NEW, np.nan, column[where].astype(np.float64))


def settled(values: np.ndarray, column: np.ndarray, where: np.ndarray) -> np.ndarray:
    """values [m] without rounding: moved onto the row's own old number, else onto the nearest of column [N]."""
    mine = own(column, where)
    with np.errstate(invalid="ignore"):
        kept = np.abs(mine - values) <= NOISE * np.maximum(np.abs(values), 1)
    return np.where(kept, mine, same(values.astype(np.float64), np.sort(column).astype(np.float64)))


def _below(values: np.ndarray, column: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(how many others are less, how many are equal) of the N rows, the row's old version left out."""
    ordered, mine = np.sort(column), own(column, where)
    less = np.searchsorted(ordered, values, side="left")
    equal = np.searchsorted(ordered, values, side="right") - less
    return less - (mine < values), equal - (mine == values)


def average_rank(values: np.ndarray, column: np.ndarray, where: np.ndarray) -> np.ndarray:
    """float [m] in (0, 1]: as pandas' rank(pct=True) of the row in the table with it. column: [N]."""
    values = settled(values, column, where)
    less, equal = _below(values, column, where)
    return np.asarray((less + 1 + equal / 2) / (len(column) + (where == NEW)))


def ordinal_rank(values: np.ndarray, column: np.ndarray, where: np.ndarray) -> np.ndarray:
    """float [m] in [0, 1]: place in a stable order over the largest one; a new row stands amid its equals."""
    values = settled(values, column, where)
    less, equal = _below(values, column, where)
    before = equal / 2
    for i in np.flatnonzero((where != NEW) & (equal > 0)):
        before[i] = np.count_nonzero(column[: where[i]] == values[i])
    return np.asarray((less + before) / max(len(column) - 1, 1)).clip(0, 1)


def others(codes: np.ndarray, size: int, where: np.ndarray, now: np.ndarray) -> np.ndarray:
    """float [m]: how many other rows of the table hold the code `now` [m]; size itself is a code that nobody holds."""
    counts = np.bincount(codes, minlength=size + 1).astype(float)
    return np.asarray(counts[now] - ((where != NEW) & (codes[where] == now)))


def placed_lift(
    old: tuple[np.ndarray, np.ndarray], now: tuple[np.ndarray, np.ndarray], classes: int, where: np.ndarray
) -> np.ndarray:
    """binning.code_lift of rows to come. old: (codes, y) [N] of the table; now: (codes, y) [m] as by Cut.codes.

    classes: how many y there are; one more stands for a y that nobody has.
    """
    codes, y = old
    size, width = int(max(codes.max(initial=0), now[0].max(initial=0))) + 1, classes + 1
    joint = others(codes * width + y, size * width, where, now[0] * width + now[1])
    total = others(codes, size, where, now[0])
    rows = len(y) + (where == NEW)
    prior = (others(y, classes, where, now[1]) + 1.5) / (rows + 0.5 * classes)
    return np.asarray(np.log((joint + SMOOTHING * prior) / (total + SMOOTHING)) - np.log(prior))
