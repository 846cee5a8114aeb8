"""What shared mistakes of all columns have in common: the cells that are looked at, the fix, what is counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from demix_core.columns import to_numeric, to_text
from demix_core.signals.oddities import Oddities
from demix_core.spelling import Vocabulary
from demix_core.types import Column

LEAST_CELLS, LEAST_SHARE = 5, 0.5
"""Suspect cells that share a mistake at least, and the share of those in question that it must explain."""

FAR, CROWD = 1.0, 0.5
"""A placeholder lies this many widths beyond the bulk and is this much (log) more frequent than values near it."""


@dataclass(frozen=True)
class Fix:
    """What to do about one cell. pattern: the same text for all cells of one mistake; new: text, "" for unknown."""

    pattern: str
    new: str
    words: str


@dataclass(frozen=True)
class Cells:
    """A column of a table. suspect: int [S], positions of its suspect cells; odd: of the table, where the column is
    the place-th feature; likely: {position: text} that the rest of the row suggests, of some suspect cells."""

    series: pd.Series
    column: Column
    suspect: np.ndarray
    odd: Oddities
    place: int
    likely: Mapping[int, str]


@dataclass(frozen=True)
class Counted:
    """The distinct texts of a column, most frequent first, and how many cells hold each."""

    texts: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()

    @classmethod
    def of(cls, series: pd.Series) -> Counted:
        """Of all cells."""
        counts = pd.Series(to_text(series), dtype=object).value_counts()
        return cls(tuple(str(t) for t in counts.index), tuple(int(c) for c in counts))

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The same, to be asked what is meant."""
        return Vocabulary(dict(zip(self.texts, self.counts, strict=True)))

    @cached_property
    def reach(self) -> tuple[float, float]:
        """The least and the largest number among the texts; (inf, −inf) where none is one."""
        numbers = to_numeric(pd.Series(self.texts, dtype=object))
        known = numbers[np.isfinite(numbers)]
        return float(known.min(initial=np.inf)), float(known.max(initial=-np.inf))

    def written(self, value: float) -> str:
        """A number with as many decimals as those among the texts."""
        decimals = max((len(t.partition(".")[2]) for t in self.texts if t.replace(".", "", 1).isdigit()), default=0)
        return f"{value:.{decimals}f}"


def placeholders(values: np.ndarray, cells: Cells, suspect: np.ndarray) -> Iterator[tuple[Any, str]]:
    """(value, words) of the far values that many suspect cells hold, and few others. values: of all cells [N]."""
    distinct, counts = np.unique(values[suspect], return_counts=True)
    apart = (cells.odd.distance[:, cells.place] >= FAR) & (cells.odd.crowd[:, cells.place] >= CROWD)
    for value, count in zip(distinct, counts, strict=True):
        rows = suspect[values[suspect] == value]
        if count >= LEAST_CELLS and apart[rows].all() and count >= LEAST_SHARE * (values == value).sum():
            shown = f"'{value}'" if isinstance(value, str) else f"{value:g}"
            yield value, f"{count:,} suspect cells hold exactly {shown}, as if it stood for 'unknown'"


def other_spelling(column: Column, text: str, known: str) -> Fix:
    """Of a text by which a known one is meant."""
    return Fix(f"{column.name}: spelled unlike '{known}'", known, f"'{text}' looks like '{known}'")
