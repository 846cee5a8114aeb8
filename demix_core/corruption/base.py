"""What every corruption shares: rules over rows, writing wrong values into cells, and the truth beside the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from demix_core.columns import holds_text, to_numeric, to_text
from demix_core.registry import Family
from demix_core.types import ColumnKind, ErrorType, Schema, Task

Bools = np.ndarray
"""bool [n], one per row."""


@dataclass(frozen=True)
class Corrupted:
    """A table with planted errors. frame: the kept rows; truth: one line per kept row, in the same order.

    truth columns: row_id (0-based position in frame), label_error, feature_error, spurious (bool),
    columns (the corrupted columns, joined by '|'). kept: int64, for each row its position in the table it comes from.
    """

    frame: pd.DataFrame
    truth: pd.DataFrame
    kept: np.ndarray


@dataclass(frozen=True)
class Condition:
    """True where a column's value is among `values`, or lies in [low, high]."""

    column: str
    values: tuple[str, ...] = ()
    low: float = -np.inf
    high: float = np.inf

    def holds(self, frame: pd.DataFrame) -> Bools:
        """bool [n]; missing cells never hold."""
        if self.values:
            return np.isin(to_text(frame[self.column]).astype(str), self.values)
        numbers = to_numeric(frame[self.column])
        return (numbers >= self.low) & (numbers <= self.high)


@dataclass(frozen=True)
class Rule:
    """A shortcut: all conditions hold ↔ the target condition holds. Rows against it are the minority."""

    conditions: tuple[Condition, ...]
    target: Condition

    def minority(self, frame: pd.DataFrame) -> Bools:
        """bool [n]: exactly one side of the equivalence holds."""
        left = np.logical_and.reduce([c.holds(frame) for c in self.conditions])
        return left != self.target.holds(frame)


class Plan:
    """A corruption drawn once for a table, applicable to further rows of the same table (validation)."""

    def apply(self, frame: pd.DataFrame, rng: np.random.Generator) -> Corrupted:
        """Corrupt a copy of frame."""
        raise TypeError(f"{type(self).__name__} must define apply")


Protocol = Callable[[pd.DataFrame, Schema, float | None, int], Plan]
"""(frame, schema, alpha = clean share or None for the protocol's own, seed) -> Plan."""

PROTOCOLS: Family[Protocol] = Family("corruption protocol", "demix_core.corruption")


def keep_minority(frame: pd.DataFrame, rule: Rule, share: float, rng: np.random.Generator) -> tuple[np.ndarray, Bools]:
    """Drop rows until the rule's minority is `share` of the rest; returns kept positions, sorted, and their flag.

    DESIGN §4: SC rows are the minority of the rule, labelled before any other corruption.
    """
    against = rule.minority(frame)
    minority, majority = np.flatnonzero(against), np.flatnonzero(~against)
    if not len(minority) or not len(majority):
        return np.arange(len(frame)), np.zeros(len(frame), bool)
    if len(minority) < share * len(frame):
        wanted = int(len(minority) * (1 - share) / share)
        majority = rng.choice(majority, min(wanted, len(majority)), replace=False)
    else:
        wanted = max(1, int(len(majority) * share / (1 - share)))
        minority = rng.choice(minority, min(wanted, len(minority)), replace=False)
    kept = np.sort(np.concatenate([majority, minority]))
    return kept, against[kept]


def holds_numbers(series: pd.Series) -> bool:
    """Whether the dtype is one of numbers; pandas itself counts booleans among them."""
    return pd.api.types.is_numeric_dtype(series) and not pd.api.types.is_bool_dtype(series)


def write_numbers(frame: pd.DataFrame, rows: np.ndarray, column: str, numbers: np.ndarray) -> None:
    """Put numbers into cells in the column's own form: its decimals as text, its dtype otherwise. Changes frame."""
    series = frame[column]
    if holds_numbers(series):
        if pd.api.types.is_integer_dtype(series) and np.isfinite(numbers).all():
            numbers = np.round(np.clip(numbers, -(2.0**31), 2.0**31 - 1)).astype(np.int64)
        elif pd.api.types.is_integer_dtype(series):
            frame[column] = series.astype(np.float64)
        else:
            numbers = np.asarray(pd.Series(numbers).astype(series.dtype))
        _put(frame, rows, column, numbers)
        return
    decimals = decimals_of(series)
    texts = np.array(["" if np.isnan(v) else f"{v:.{decimals}f}" for v in numbers], object)
    _put(frame, rows, column, texts)


def _put(frame: pd.DataFrame, rows: np.ndarray, column: str, values: np.ndarray) -> None:
    cells: Any = frame.iloc  # the stubs know no array of positions
    cells[rows, frame.columns.get_loc(column)] = values


def decimals_of(series: pd.Series) -> int:
    """The most decimals seen among the first thousand cells of a text column of numbers."""
    texts = to_text(series.head(1000)).astype(str)
    return max((len(t.partition(".")[2]) for t in texts if "e" not in t.lower()), default=0)


def write_texts(frame: pd.DataFrame, rows: np.ndarray, column: str, texts: np.ndarray) -> None:
    """Put texts into cells; a column of another dtype becomes object only where it must. Changes frame."""
    if not holds_text(frame[column]):
        frame[column] = frame[column].astype(object)
    _put(frame, rows, column, texts)


def other_value(series: pd.Series, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """object [len(rows)]: for each row another of the column's distinct values, uniformly drawn."""
    texts = to_text(series).astype(str)
    values = np.unique(texts)
    codes = np.searchsorted(values, texts[rows])
    if len(values) < 2:
        return texts[rows].astype(object)
    return values[(codes + rng.integers(1, len(values), len(rows))) % len(values)].astype(object)


def flip_labels(frame: pd.DataFrame, schema: Schema, rows: np.ndarray, rng: np.random.Generator) -> None:
    """Another class, uniformly; regression: the target moved by 25–75 % of its range, kept inside it. Changes frame."""
    target = schema.target
    if schema.task is Task.CLASSIFICATION:
        write_cells(frame, rows, target, other_value(frame[target], rows, rng))
        return
    numbers = to_numeric(frame[target])
    low, high = np.nanmin(numbers), np.nanmax(numbers)
    step = rng.uniform(0.25, 0.75, len(rows)) * (high - low) * rng.choice([-1.0, 1.0], len(rows))
    moved = numbers[rows] + step
    outside = (moved < low) | (moved > high)
    moved[outside] = numbers[rows][outside] - step[outside]
    write_numbers(frame, rows, target, np.clip(moved, low, high))


def write_cells(frame: pd.DataFrame, rows: np.ndarray, column: str, texts: np.ndarray) -> None:
    """Put texts into cells of any column, in the column's dtype where all of them fit it. Changes frame."""
    if holds_numbers(frame[column]):
        numbers = to_numeric(pd.Series(texts, dtype=object))
        if not (np.isnan(numbers) & (texts != "")).any():
            write_numbers(frame, rows, column, numbers)
            return
    elif pd.api.types.is_bool_dtype(frame[column]) and np.isin(texts.astype(str), ("True", "False")).all():
        _put(frame, rows, column, texts == "True")
        return
    write_texts(frame, rows, column, texts)


def truth_table(label: Bools, spurious: Bools, touched: dict[str, Bools]) -> pd.DataFrame:
    """The truth of n rows; touched: for each corrupted column the rows it was corrupted in."""
    n = len(label)
    feature = np.logical_or.reduce([np.zeros(n, bool), *touched.values()])
    columns = ["|".join(c for c, rows in touched.items() if rows[i]) if feature[i] else "" for i in range(n)]
    return pd.DataFrame(
        {
            "row_id": np.arange(n),
            ErrorType.LABEL.value: label,
            ErrorType.FEATURE.value: feature,
            ErrorType.SPURIOUS.value: spurious,
            "columns": columns,
        }
    )


def numeric_columns(schema: Schema) -> list[str]:
    """Feature columns that hold numbers."""
    return [c.name for c in schema.features if c.kind is ColumnKind.NUMERIC]


def category_columns(schema: Schema) -> list[str]:
    """Feature columns that hold categories or booleans."""
    return [c.name for c in schema.features if c.kind in (ColumnKind.CATEGORICAL, ColumnKind.BOOLEAN)]
