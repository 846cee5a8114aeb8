"""Evidence of one row beside its influence: where a value lies in its column, and how its loss went in training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from demix_core.columns import datetime_format, is_missing, labels, to_datetime, to_numeric
from demix_core.types import Column, ColumnKind

BARS = 24
"""Bars of a number's histogram."""

VALUES = 11
"""Bars of a column of categories: the most frequent ones; all others share one more."""

CROWD = 20
"""Nearest rows whose labels are counted."""

TAILS = (1.0, 99.0)
"""Percent of a column between which its histogram is drawn; what lies outside is put into the outer bars."""


@dataclass(frozen=True)
class Distribution:
    """One column of the training rows. shares: float64 [B], of its known values, per bar; missing: share of all rows.

    numbers: sorted known values of a number or a time, else None; ends: float64 [B + 1], its bars; values: the text of
    each bar of categories, '' for the last where it holds the others; frequency: share of each text, of all rows.
    """

    column: Column
    shares: np.ndarray
    missing: float
    numbers: np.ndarray | None
    ends: np.ndarray
    values: tuple[str, ...]
    frequency: dict[str, float]
    read: Callable[[pd.Series], np.ndarray]

    @classmethod
    def of(cls, column: Column, cells: pd.Series) -> Distribution:
        """cells: the column's raw cells in the training rows, at least one."""
        missing = float(is_missing(cells).mean())
        if column.kind in (ColumnKind.NUMERIC, ColumnKind.DATETIME):
            read = _reader(column, cells)
            numbers = read(cells)
            numbers = np.sort(numbers[np.isfinite(numbers)])
            if len(numbers):
                low, high = np.percentile(numbers, TAILS)
                ends = np.linspace(low, high if high > low else low + 1.0, BARS + 1)
                shares = np.histogram(np.clip(numbers, ends[0], ends[-1]), ends)[0] / len(numbers)
                return cls(column, shares, missing, numbers, ends, (), {}, read)
        texts = labels(cells)
        frequency = pd.Series(texts, dtype=object).value_counts(normalize=True).drop("", errors="ignore")
        shown = frequency.iloc[:VALUES]
        rest = float(frequency.iloc[VALUES:].sum())
        values = (*(str(v) for v in shown.index), *(("",) if rest else ()))
        shares = np.array([*shown, *((rest,) if rest else ())], np.float64)
        return cls(
            column, shares, missing, None, np.empty(0), values, {str(k): float(v) for k, v in frequency.items()}, labels
        )

    def bar(self, value: str) -> int | None:
        """The bar that this raw cell belongs to; None where it is missing or can't be read."""
        read = self.read(pd.Series([value], dtype=object))[0]
        if self.numbers is not None:
            if not np.isfinite(read):
                return None
            return int(np.clip(np.searchsorted(self.ends, read, side="right") - 1, 0, len(self.shares) - 1))
        if read in self.values and read:
            return self.values.index(read)
        return len(self.values) - 1 if read and self.values and not self.values[-1] else None

    def where(self, value: str) -> str:
        """Where this raw cell lies, to be put behind it: 'is higher than 98 % of the column'."""
        cell = pd.Series([value], dtype=object)
        if is_missing(cell)[0]:
            return f"is missing, as in {_percent(self.missing)} of the rows"
        read = self.read(cell)[0]
        if self.numbers is None:
            return f"stands in {_percent(self.frequency.get(str(read), 0.0))} of the rows"
        if not np.isfinite(read):
            return "can't be read as this column's other values can"
        below = np.searchsorted(self.numbers, read, side="left") / len(self.numbers)
        above = 1 - np.searchsorted(self.numbers, read, side="right") / len(self.numbers)
        word, share = ("higher", below) if below >= above else ("lower", above)
        later = {"higher": "later", "lower": "earlier"}[word] if self.column.kind is ColumnKind.DATETIME else word
        return f"is {later} than {_percent(share)} of the column"

    def reading(self, value: str, suggestion: str | None = None) -> str:
        """One sentence: where the value lies, and where the suggested one would."""
        said = f"{value.strip() or 'It'} {self.where(value)}"
        if not suggestion or suggestion == value:
            return f"{said}."
        return f"{said}; the suggested {suggestion} {self.where(suggestion)}."


def _reader(column: Column, cells: pd.Series) -> Callable[[pd.Series], np.ndarray]:
    """Cells of this column as numbers."""
    if column.kind is ColumnKind.NUMERIC:
        return to_numeric
    form = datetime_format(cells)
    return lambda series: to_datetime(series, form)


def _percent(share: float) -> str:
    """0.254 as '25 %', 0.0004 as '0.04 %'.

    >>> _percent(0.254), _percent(0.0004), _percent(0.99984)
    ('25 %', '0.04 %', '99.98 %')
    """
    if share in (0.0, 1.0):
        return f"{share:.0%}".replace("%", " %")
    digits = 0 if 0.01 <= share <= 0.99 else 1 if 0.001 <= share <= 0.999 else 2
    return f"{100 * share:.{digits}f} %"


@dataclass(frozen=True)
class Training:
    """Loss over the epochs. own: float32 [E], of one row; low, median, high: float32 [E], the quartiles over
    the training rows with its label (numbers: over all); kept: the epoch whose weights were kept, from 0.
    """

    own: np.ndarray
    low: np.ndarray
    median: np.ndarray
    high: np.ndarray
    kept: int

    @property
    def above(self) -> int:
        """In how many epochs its loss was higher than that of three quarters of those rows."""
        return int(np.count_nonzero(self.own > self.high))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        curves = {name: getattr(self, name).tolist() for name in ("own", "low", "median", "high")}
        return curves | {"kept": self.kept, "above": self.above}


def nearest(distance: np.ndarray, count: int, among: np.ndarray) -> np.ndarray:
    """int64: positions of the rows with the least distance, nearest first, at most `count`.

    distance: float [N], infinite for rows that are not meant (the row itself); among: bool [N], those asked about.
    """
    candidates = np.flatnonzero(among & np.isfinite(distance))
    return candidates[np.argsort(distance[candidates], kind="stable")[:count]]
