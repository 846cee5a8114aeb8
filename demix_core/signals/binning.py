"""Any column as a small number of codes: quantile bins, spikes, tails, frequent categories, missing.

Numbers keep their order: code 0 is the lowest bin. A value that very many rows share exactly (a sentinel, a default, an
outlier written by one faulty program) is a bin of its own, and so are tails far from the bulk.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from demix_core.columns import datetime_format, labels, to_datetime, to_numeric, to_text
from demix_core.types import ColumnKind, Schema

BINS = 24
CATEGORIES = 60
TAILS = (1.5, 3.5, 8.0)
"""Tails begin this many widths of the bulk beyond it: at 2.7, 5.4 and 11.5 sd of a normal."""

SPIKES = 12
SMOOTHING = 5.0
SPIKE_SHARE = 0.004
SPIKE_ROWS = 6


@dataclass(frozen=True)
class Cut:
    """How a column was binned, for cells to come. A code that no row had is `size`, one beyond the codes there are.

    kind: numeric, datetime, categorical or another (one code for all). edges: float64, of numbers; used: int64 [codes],
    the numbers of the intervals between edges that some row fell into; form: of times; names: categories in the order
    of their codes; rest: whether the last code stands for all other categories.
    """

    kind: str
    size: int
    edges: np.ndarray
    used: np.ndarray
    form: str | None = None
    names: tuple[str, ...] = ()
    rest: bool = False

    def codes(self, series: pd.Series) -> np.ndarray:
        """int64 [m] in [0, size]."""
        if self.kind == ColumnKind.NUMERIC:
            return self._of_numbers(to_numeric(series))
        if self.kind == ColumnKind.DATETIME:
            return self._of_numbers(to_datetime(series, self.form))
        if self.names:
            found = pd.Index(self.names, dtype=object).get_indexer(pd.Index(to_text(series), dtype=object))
            return np.where(found < 0, self.size - 1 if self.rest else self.size, found).astype(np.int64)
        return np.zeros(len(series), np.int64)

    def _of_numbers(self, numbers: np.ndarray) -> np.ndarray:
        if not len(self.used):
            return np.where(np.isnan(numbers), 0, self.size).astype(np.int64)
        missing = np.isnan(numbers)
        interval = np.searchsorted(self.edges, np.where(missing, 0.0, numbers), side="right")
        place = np.searchsorted(self.used, interval).clip(0, len(self.used) - 1)
        codes = np.where(self.used[place] == interval, place, self.size)
        return np.where(missing, self.size - 1, codes).astype(np.int64)

    def nearest(self, numbers: np.ndarray) -> np.ndarray:
        """int64 [m] in [0, size) of numbers that are there: where no row fell into the interval, the next one."""
        interval = np.searchsorted(self.edges, numbers, side="right")
        return np.searchsorted(self.used, interval).clip(0, len(self.used) - 1).astype(np.int64)


def _alike(kind: ColumnKind) -> Cut:
    return Cut(str(kind.value), 1, np.zeros(0), np.zeros(0, np.int64))


ALIKE = _alike(ColumnKind.TEXT)
"""Of a column with one code for all."""


@dataclass(frozen=True)
class Binned:
    """One column's codes. codes: int64 [n] in [0, size); values[c]: a cell text that code c stands for.

    ordered: codes follow the numbers' order, the last code is 'missing'; far: bool [size], bins beyond the outer tails;
    cut: how cells to come get their codes.
    """

    codes: np.ndarray
    size: int
    values: tuple[str, ...]
    ordered: bool
    far: np.ndarray
    cut: Cut = ALIKE


def bin_column(series: pd.Series, kind: ColumnKind, bins: int = BINS) -> Binned:
    """Codes of one column; text columns become a single code (nothing to say about them)."""
    if kind is ColumnKind.NUMERIC:
        return bin_numbers(to_numeric(series), series, bins)
    if kind is ColumnKind.DATETIME:
        form = datetime_format(series)
        return bin_numbers(to_datetime(series, form), series, bins, form, ColumnKind.DATETIME)
    if kind in (ColumnKind.CATEGORICAL, ColumnKind.BOOLEAN):
        return _bin_categories(to_text(series).astype(str))
    return _single(len(series), _alike(kind))


def _single(n: int, cut: Cut) -> Binned:
    return Binned(np.zeros(n, np.int64), 1, ("",), ordered=False, far=np.zeros(1, bool), cut=cut)


def bulk(known: np.ndarray) -> tuple[float, float, float]:
    """(low, high, width): the shortest interval that holds half of the numbers (no gaps among them); width above 0.

    Up to half of the numbers may be wrong before it moves far (Rousseeuw's shorth; a quartile gives in at a quarter).
    Where more than half of the numbers are equal, the width is the median distance of the others from them.
    """
    ordered = np.sort(known)
    half = (len(ordered) + 1) // 2
    at = int((ordered[half - 1 :] - ordered[: len(ordered) - half + 1]).argmin())
    low, high = float(ordered[at]), float(ordered[at + half - 1])
    if high > low:
        return low, high, high - low
    others = np.abs(known[known != low] - low)
    return low, high, float(np.median(others)) if len(others) else max(abs(low), 1.0)


def bin_numbers(
    numbers: np.ndarray,
    series: pd.Series,
    bins: int = BINS,
    form: str | None = None,
    kind: ColumnKind = ColumnKind.NUMERIC,
) -> Binned:
    """Quantile bins, spikes and tails in the order of the numbers; 'missing' last. form, kind: of times."""
    missing = np.isnan(numbers)
    known = numbers[~missing]
    if not len(known):
        return _single(len(numbers), _alike(kind))
    low, high, width = bulk(known)
    tails = [edge for t in TAILS for edge in (low - t * width, np.nextafter(high + t * width, np.inf))]
    inside = known[(known >= tails[0]) & (known < tails[1])]
    quantiles = np.quantile(inside, np.linspace(0, 1, bins + 1)[1:-1])
    edges = np.unique(np.concatenate([quantiles, tails, _around(_spikes(known))]))
    codes = np.searchsorted(edges, np.where(missing, low, numbers), side="right")
    used, codes = np.unique(codes, return_inverse=True)  # no empty bins
    count = len(used)
    codes[missing] = count
    texts = to_text(series).astype(str)
    values = (*(_typical(numbers, texts, codes == c) for c in range(count)), "")
    middle = np.array([np.median(numbers[codes == c]) if (codes == c).any() else low for c in range(count)])
    far = np.append((middle < low - TAILS[-1] * width) | (middle > high + TAILS[-1] * width), False)
    cut = Cut(str(kind.value), count + 1, edges, used.astype(np.int64), form)
    return Binned(codes.astype(np.int64), count + 1, values, ordered=True, far=far, cut=cut)


def _spikes(known: np.ndarray) -> np.ndarray:
    """Values that stand out by the number of rows that share them exactly."""
    values, counts = np.unique(known, return_counts=True)
    if len(values) <= SPIKES:
        return values
    usual = np.median(counts)
    order = np.argsort(-counts, kind="stable")[:SPIKES]
    enough = counts[order] >= max(SPIKE_ROWS, SPIKE_SHARE * len(known), 3 * usual)
    return np.sort(values[order[enough]])


def _around(values: np.ndarray) -> np.ndarray:
    """Edges that put each value into a bin of its own."""
    return np.concatenate([values, np.nextafter(values, np.inf)])


def _typical(numbers: np.ndarray, texts: np.ndarray, rows: np.ndarray) -> str:
    """The cell text of the median row of a bin: a value that really occurs."""
    at = np.flatnonzero(rows)
    if not len(at):
        return ""
    return str(texts[at[np.argsort(numbers[at], kind="stable")[len(at) // 2]]])


def _by_name(names: tuple[str, ...], rest: bool = False) -> Cut:
    kind = str(ColumnKind.CATEGORICAL.value)
    return Cut(kind, len(names) + rest, np.zeros(0), np.zeros(0, np.int64), names=names, rest=rest)


def _bin_categories(texts: np.ndarray) -> Binned:
    names, inverse, counts = np.unique(texts, return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:CATEGORIES]
    code_of = np.full(len(names), len(order), np.int64)
    code_of[order] = np.arange(len(order))
    rare = len(order) < len(names)
    values = tuple(names[order]) + (("",) if rare else ())
    cut = _by_name(tuple(map(str, names[order])), rare)
    return Binned(code_of[inverse], len(values), values, ordered=False, far=np.zeros(len(values), bool), cut=cut)


def bin_target(target: pd.Series, schema: Schema, bins: int = 6) -> Binned:
    """Class ids in the schema's order, or quantile bins of a number."""
    if schema.classes:
        ids = {c: i for i, c in enumerate(schema.classes)}
        codes = np.array([ids[t] for t in labels(target)], np.int64)
        far = np.zeros(len(schema.classes), bool)
        return Binned(codes, len(far), schema.classes, ordered=False, far=far, cut=_by_name(schema.classes))
    numbers = to_numeric(target)
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, bins + 1)[1:-1]))
    codes = np.searchsorted(edges, numbers, side="right")
    used, codes = np.unique(codes, return_inverse=True)
    texts = to_text(target).astype(str)
    values = tuple(_typical(numbers, texts, codes == c) for c in range(len(used)))
    cut = Cut(str(ColumnKind.NUMERIC.value), len(used), edges, used.astype(np.int64))
    return Binned(codes.astype(np.int64), len(used), values, ordered=True, far=np.zeros(len(used), bool), cut=cut)


def target_codes(cut: Cut, target: pd.Series, schema: Schema) -> np.ndarray:
    """int64 [m] in [0, size): codes of labels to come as bin_target cut them; every label must be a known one."""
    if schema.classes:
        return cut.codes(pd.Series(labels(target), dtype=object))
    return cut.nearest(to_numeric(target))


def code_lift(codes: np.ndarray, size: int, y: np.ndarray, classes: int) -> tuple[np.ndarray, float]:
    """log p(y | code) − log p(y), leave-one-out, smoothed, float [N]; and its mean: mutual information, nats."""
    counts = np.bincount(codes * classes + y, minlength=size * classes).reshape(size, classes).astype(float)
    prior = (counts.sum(0) + 0.5) / (len(y) + 0.5 * classes)
    joint, total = counts[codes, y] - 1, counts.sum(1)[codes] - 1
    lift = np.log((joint + SMOOTHING * prior[y]) / (total + SMOOTHING)) - np.log(prior[y])
    return lift, float(lift.mean())
