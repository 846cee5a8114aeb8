"""Any column as a small number of codes: quantile bins, spikes, tails, frequent categories, missing.

Numbers keep their order: code 0 is the lowest bin. A value that very many rows share exactly (a sentinel, a default, an
outlier written by one faulty program) is a bin of its own, and so are tails far from the bulk.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from demix_core.columns import labels, to_datetime, to_numeric, to_text
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
class Binned:
    """One column's codes. codes: int64 [n] in [0, size); values[c]: a cell text that code c stands for.

    ordered: codes follow the numbers' order, the last code is 'missing'; far: bool [size], bins beyond the outer tails.
    """

    codes: np.ndarray
    size: int
    values: tuple[str, ...]
    ordered: bool
    far: np.ndarray


def bin_column(series: pd.Series, kind: ColumnKind, bins: int = BINS) -> Binned:
    """Codes of one column; text columns become a single code (nothing to say about them)."""
    if kind is ColumnKind.NUMERIC:
        return bin_numbers(to_numeric(series), series, bins)
    if kind is ColumnKind.DATETIME:
        return bin_numbers(to_datetime(series), series, bins)
    if kind in (ColumnKind.CATEGORICAL, ColumnKind.BOOLEAN):
        return _bin_categories(to_text(series).astype(str))
    return _single(len(series))


def _single(n: int) -> Binned:
    return Binned(np.zeros(n, np.int64), 1, ("",), ordered=False, far=np.zeros(1, bool))


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


def bin_numbers(numbers: np.ndarray, series: pd.Series, bins: int = BINS) -> Binned:
    """Quantile bins, spikes and tails in the order of the numbers; 'missing' last."""
    missing = np.isnan(numbers)
    known = numbers[~missing]
    if not len(known):
        return _single(len(numbers))
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
    return Binned(codes.astype(np.int64), count + 1, values, ordered=True, far=far)


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


def _bin_categories(texts: np.ndarray) -> Binned:
    names, inverse, counts = np.unique(texts, return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:CATEGORIES]
    code_of = np.full(len(names), len(order), np.int64)
    code_of[order] = np.arange(len(order))
    rare = len(order) < len(names)
    values = tuple(names[order]) + (("",) if rare else ())
    return Binned(code_of[inverse], len(values), values, ordered=False, far=np.zeros(len(values), bool))


def bin_target(target: pd.Series, schema: Schema, bins: int = 6) -> Binned:
    """Class ids in the schema's order, or quantile bins of a number."""
    if schema.classes:
        ids = {c: i for i, c in enumerate(schema.classes)}
        codes = np.array([ids[t] for t in labels(target)], np.int64)
        return Binned(
            codes, len(schema.classes), schema.classes, ordered=False, far=np.zeros(len(schema.classes), bool)
        )
    numbers = to_numeric(target)
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, bins + 1)[1:-1]))
    codes = np.searchsorted(edges, numbers, side="right")
    used, codes = np.unique(codes, return_inverse=True)
    texts = to_text(target).astype(str)
    values = tuple(_typical(numbers, texts, codes == c) for c in range(len(used)))
    return Binned(codes.astype(np.int64), len(used), values, ordered=True, far=np.zeros(len(used), bool))


def code_lift(codes: np.ndarray, size: int, y: np.ndarray, classes: int) -> tuple[np.ndarray, float]:
    """log p(y | code) − log p(y), leave-one-out, smoothed, float [N]; and its mean: mutual information, nats."""
    counts = np.bincount(codes * classes + y, minlength=size * classes).reshape(size, classes).astype(float)
    prior = (counts.sum(0) + 0.5) / (len(y) + 0.5 * classes)
    joint, total = counts[codes, y] - 1, counts.sum(1)[codes] - 1
    lift = np.log((joint + SMOOTHING * prior[y]) / (total + SMOOTHING)) - np.log(prior[y])
    return lift, float(lift.mean())
