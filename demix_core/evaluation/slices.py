"""Where in the table did the model get better or worse? Simple slices of one column, with a paired test each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, norm

from demix_core.columns import labels, to_numeric
from demix_core.types import ColumnKind, Schema

LEAST_ROWS = 40
MOST_VALUES = 5
"""Categories of a column that are looked at, the most frequent ones."""

QUARTERS = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class SliceChange:
    """One slice. before, after: mean of a per-row figure of which more is better; q: false discovery rate."""

    words: str
    rows: int
    before: float
    after: float
    q: float


def slice_changes(frame: pd.DataFrame, schema: Schema, before: np.ndarray, after: np.ndarray) -> list[SliceChange]:
    """Slices of the measured rows, surest changes first. before, after: float [seeds, n], more is better.

    A paired z-test per slice, its error from rows and from seeds; q by Benjamini and Hochberg over all of them.
    """
    found: list[tuple[str, int, float, float, float]] = []
    for words, inside in _slices(frame, schema):
        n = int(inside.sum())
        if n < LEAST_ROWS or n == len(frame):
            continue
        gap = after[:, inside] - before[:, inside]
        by_row, by_seed = gap.mean(0), gap.mean(1)
        error = float(np.sqrt(by_row.var(ddof=1) / n + (by_seed.var(ddof=1) / len(gap) if len(gap) > 1 else 0)))
        p = 2 * float(norm.sf(abs(gap.mean()) / error)) if error > 0 else 1.0
        found.append((words, n, float(before[:, inside].mean()), float(after[:, inside].mean()), p))
    if not found:
        return []
    q = false_discovery_control([p for *_, p in found])
    made = [SliceChange(*one[:4], float(v)) for one, v in zip(found, q, strict=True)]
    return sorted(made, key=lambda s: (s.q, -abs(s.after - s.before)))


def _slices(frame: pd.DataFrame, schema: Schema) -> Iterator[tuple[str, np.ndarray]]:
    """(words, bool [n]) of every class, quarter of a number, and frequent category."""
    for column in (*schema.features, *(c for c in schema.columns if c.name == schema.target)):
        if column.kind is ColumnKind.NUMERIC:
            yield from _quarters(column.name, to_numeric(frame[column.name]))
        elif column.kind in (ColumnKind.CATEGORICAL, ColumnKind.BOOLEAN):
            texts = labels(frame[column.name])
            for value in pd.Series(texts).value_counts().index[:MOST_VALUES]:
                yield f"{column.name} = {value or 'missing'}", texts == value


def _quarters(name: str, numbers: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    known = numbers[np.isfinite(numbers)]
    if not len(known):
        return
    ends = [-np.inf, *np.unique(np.quantile(known, QUARTERS)), np.inf]
    for low, high in pairwise(ends):
        yield interval(name, low, high), (numbers > low) & (numbers <= high)


def interval(name: str, low: float, high: float, words: Callable[[float], str] = "{:.6g}".format) -> str:
    """A half-open interval in words; an infinite end is left out.

    >>> interval("age", 30, 45), interval("age", -np.inf, 30)
    ('30 < age ≤ 45', 'age ≤ 30')
    """
    if low == -np.inf:
        return f"{name} ≤ {words(high)}" if high != np.inf else f"any {name}"
    return f"{name} > {words(low)}" if high == np.inf else f"{words(low)} < {name} ≤ {words(high)}"


def groups_of(frame: pd.DataFrame, schema: Schema, column: str | None, edges: np.ndarray | None) -> np.ndarray:
    """int64 [n], group of each row for the worst-group metric: value of one column × class (regression: value alone).

    column: that of the strongest shortcut; edges: cuts of a number, or None for categories. −1 where it is missing.
    """
    own = np.zeros(len(frame), np.int64)
    if column is not None and edges is not None:
        numbers = to_numeric(frame[column])
        own = np.where(np.isfinite(numbers), np.searchsorted(edges, np.nan_to_num(numbers)), -1)
    elif column is not None:
        own = np.asarray(pd.factorize(labels(frame[column]), sort=True)[0])
    if not schema.classes:
        return own
    y = pd.Index(schema.classes, dtype=object).get_indexer(pd.Index(labels(frame[schema.target]), dtype=object))
    return np.where(own < 0, -1, own * len(schema.classes) + y)


def group_edges(frame: pd.DataFrame, schema: Schema, column: str | None) -> np.ndarray | None:
    """Quartiles of a numeric column of the training rows; None for other columns."""
    if column is None or schema.kind(column) is not ColumnKind.NUMERIC:
        return None
    numbers = to_numeric(frame[column])
    return np.unique(np.quantile(numbers[np.isfinite(numbers)], QUARTERS)) if np.isfinite(numbers).any() else None
