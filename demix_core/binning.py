"""Any column as a small number of codes: quantile bins, far tails, frequent categories, missing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from demix_core.columns import to_datetime, to_numeric, to_text
from demix_core.types import ColumnKind, Schema

BINS = 24
CATEGORIES = 60
FENCE = 4.0
"""Numbers further than FENCE times the 5–95 % range outside of that range are tails of their own."""


@dataclass(frozen=True)
class Binned:
    """One column's codes. codes: int64 [n] in [0, size); values[c]: a cell text that code c stands for.

    ordered: codes 0..len(edges) follow the numbers' order; the last three codes are far below, far above, missing.
    """

    codes: np.ndarray
    size: int
    values: tuple[str, ...]
    ordered: bool
    edges: tuple[float, ...] = ()


def bin_column(series: pd.Series, kind: ColumnKind, bins: int = BINS) -> Binned:
    """Codes of one column; text columns become a single code (nothing to say about them)."""
    if kind is ColumnKind.NUMERIC:
        return bin_numbers(to_numeric(series), series, bins)
    if kind is ColumnKind.DATETIME:
        return bin_numbers(to_datetime(series), series, bins)
    if kind in (ColumnKind.CATEGORICAL, ColumnKind.BOOLEAN):
        return _bin_categories(to_text(series).astype(str))
    return Binned(np.zeros(len(series), np.int64), 1, ("",), ordered=False)


def bin_numbers(numbers: np.ndarray, series: pd.Series, bins: int = BINS) -> Binned:
    """Quantile bins inside the fences; far below, far above and missing are codes of their own."""
    missing = np.isnan(numbers)
    known = numbers[~missing]
    if not len(known):
        return Binned(np.zeros(len(numbers), np.int64), 1, ("",), ordered=False)
    low, high = np.quantile(known, [0.05, 0.95])
    reach = FENCE * (high - low) if high > low else max(abs(high), 1.0) * 1e-6
    far_low, far_high = known_mask(numbers, missing) < low - reach, known_mask(numbers, missing) > high + reach
    inside = numbers[~missing & ~far_low & ~far_high]
    edges = np.unique(np.quantile(inside, np.linspace(0, 1, bins + 1)[1:-1]))
    codes = np.searchsorted(edges, np.where(missing, 0.0, numbers), side="right")
    count = len(edges) + 1
    codes[far_low], codes[far_high], codes[missing] = count, count + 1, count + 2
    texts = to_text(series).astype(str)
    values = (*(_typical(numbers, texts, codes == c) for c in range(count + 2)), "")
    return Binned(codes.astype(np.int64), count + 3, values, ordered=True, edges=tuple(edges.tolist()))


def known_mask(numbers: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """The numbers with missing ones put in the middle, so that comparisons never warn."""
    return np.where(missing, np.median(numbers[~missing]), numbers)


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
    return Binned(code_of[inverse], len(order) + rare, tuple(names[order]) + (("",) if rare else ()), ordered=False)


def bin_target(target: pd.Series, schema: Schema, bins: int = 6) -> Binned:
    """Class ids in the schema's order, or quantile bins of a number."""
    if schema.classes:
        ids = {c: i for i, c in enumerate(schema.classes)}
        codes = np.array([ids[t] for t in to_text(target).astype(str)], np.int64)
        return Binned(codes, len(schema.classes), schema.classes, ordered=False)
    return bin_numbers(to_numeric(target), target, bins)
