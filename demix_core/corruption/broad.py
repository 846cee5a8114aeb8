"""Protocol *broad* (DESIGN §4), what real pipelines do: groups of cell errors, shaped label flips, random rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from demix_core.columns import to_numeric, to_text
from demix_core.corruption.base import (
    PROTOCOLS,
    Corrupted,
    Plan,
    Rule,
    category_columns,
    flip_labels,
    holds_numbers,
    keep_minority,
    numeric_columns,
    other_value,
    truth_table,
    write_cells,
    write_numbers,
    write_texts,
)
from demix_core.corruption.rules import random_rule
from demix_core.types import Schema, Task

SHARES = (0.01, 0.30)
"""The range of each error type's share: half of the runs log-uniform, half uniform, so that neither end is rare."""

MINORITY = (0.03, 0.25)
SWAPS = 0.08
"""The share of groups in which columns change places."""

SENTINELS = (-1.0, 0.0, 99.0, 999.0, 9999.0, -999.0)

Kind = Callable[[pd.DataFrame, np.ndarray, str, np.random.Generator], None]


def _outlier(frame: pd.DataFrame, rows: np.ndarray, column: str, rng: np.random.Generator) -> None:
    v = to_numeric(frame[column])
    sd = rng.uniform(3, 8) * (np.nanstd(v) + 1e-9)
    write_numbers(frame, rows, column, np.nanmean(v) + rng.choice([-1.0, 1.0], len(rows)) * sd)


def _outliers(frame: pd.DataFrame, rows: np.ndarray, column: str, rng: np.random.Generator) -> None:
    """As far out as _outlier, but each row in its own way."""
    v = to_numeric(frame[column])
    away = rng.uniform(3, 10, len(rows)) * rng.choice([-1.0, 1.0], len(rows)) * (np.nanstd(v) + 1e-9)
    write_numbers(frame, rows, column, np.nanmean(v) + away)


def _scale(frame: pd.DataFrame, rows: np.ndarray, column: str, rng: np.random.Generator) -> None:
    write_numbers(frame, rows, column, to_numeric(frame[column])[rows] * rng.uniform(0.2, 5, len(rows)))


def _noise(frame: pd.DataFrame, rows: np.ndarray, column: str, rng: np.random.Generator) -> None:
    v = to_numeric(frame[column])
    write_numbers(frame, rows, column, v[rows] + rng.normal(0, rng.uniform(1, 4) * (np.nanstd(v) + 1e-9), len(rows)))


def _unit(frame: pd.DataFrame, rows: np.ndarray, column: str, rng: np.random.Generator) -> None:
    factor = rng.choice([0.001, 0.01, 0.1, 10.0, 100.0, 1000.0])
    write_numbers(frame, rows, column, to_numeric(frame[column])[rows] * factor)


def _sentinel(frame: pd.DataFrame, rows: np.ndarray, column: str, rng: np.random.Generator) -> None:
    write_numbers(frame, rows, column, np.full(len(rows), rng.choice(SENTINELS)))


def _shifted(frame: pd.DataFrame, rows: np.ndarray, column: str, rng: np.random.Generator) -> None:
    """Cells slipped by one row: each gets its neighbour's value."""
    write_cells(frame, rows, column, to_text(frame[column])[(rows + 1) % len(frame)])


def _shuffled(frame: pd.DataFrame, rows: np.ndarray, column: str, rng: np.random.Generator) -> None:
    """Values of other rows, drawn by their frequency."""
    write_cells(frame, rows, column, to_text(frame[column])[rng.integers(0, len(frame), len(rows))])


def _missing(frame: pd.DataFrame, rows: np.ndarray, column: str, rng: np.random.Generator) -> None:
    if holds_numbers(frame[column]):
        write_numbers(frame, rows, column, np.full(len(rows), np.nan))
    else:
        write_texts(frame, rows, column, np.full(len(rows), "", object))


def _category(frame: pd.DataFrame, rows: np.ndarray, column: str, rng: np.random.Generator) -> None:
    write_cells(frame, rows, column, other_value(frame[column], rows, rng))


def _typo(frame: pd.DataFrame, rows: np.ndarray, column: str, rng: np.random.Generator) -> None:
    """A letter doubled, or the case changed: categories never seen before."""
    texts = to_text(frame[column])[rows].astype(str)
    at = rng.integers(0, 3, len(rows))
    wrong = [
        t[: i + 1] + t[i : i + 1] + t[i + 1 :] if i < len(t) else t.upper() + "?"
        for t, i in zip(texts, at, strict=True)
    ]
    write_texts(frame, rows, column, np.array(wrong, object))


def _offset(frame: pd.DataFrame, rows: np.ndarray, column: str, rng: np.random.Generator) -> None:
    """A counter that was not reset: every value moved by the same amount."""
    v = to_numeric(frame[column])
    step = rng.uniform(1, 5) * rng.choice([-1.0, 1.0]) * (np.nanstd(v) + 1e-9)
    write_numbers(frame, rows, column, v[rows] + step)


def _mixed_units(frame: pd.DataFrame, rows: np.ndarray, column: str, rng: np.random.Generator) -> None:
    """A wrong unit, another one in each row."""
    factor = rng.choice([0.001, 0.01, 0.1, 10.0, 100.0, 1000.0], len(rows))
    write_numbers(frame, rows, column, to_numeric(frame[column])[rows] * factor)


def _negative(frame: pd.DataFrame, rows: np.ndarray, column: str, rng: np.random.Generator) -> None:
    write_numbers(frame, rows, column, -to_numeric(frame[column])[rows])


def _wrong_digit(frame: pd.DataFrame, rows: np.ndarray, column: str, rng: np.random.Generator) -> None:
    """One digit mistyped, somewhere among the leading two."""
    v = to_numeric(frame[column])[rows]
    place = 10.0 ** (np.floor(np.log10(np.maximum(np.abs(v), 1e-6))) - rng.integers(0, 2, len(rows)))
    write_numbers(frame, rows, column, v + place * rng.integers(1, 9, len(rows)) * rng.choice([-1, 1], len(rows)))


def _capped(frame: pd.DataFrame, rows: np.ndarray, column: str, rng: np.random.Generator) -> None:
    """A limit that should not be there."""
    v = to_numeric(frame[column])
    low, high = np.nanquantile(v, [0.1, 0.9])
    write_numbers(frame, rows, column, np.full(len(rows), rng.choice([low, high])))


def _rewritten(frame: pd.DataFrame, rows: np.ndarray, column: str, rng: np.random.Generator) -> None:
    """Written in another way by another system: upper case, cut short, blanks around, a broken sign."""
    texts = to_text(frame[column])[rows].astype(str)
    way = int(rng.integers(4))
    made = [(t.swapcase(), t[:2] + ".", f" {t} ", t + "Ã©")[way] if t else t for t in texts]
    write_texts(frame, rows, column, np.array(made, object))


@dataclass(frozen=True)
class Kinds:
    """The kinds of cell errors that a protocol draws from; one named twice is twice as frequent."""

    number: tuple[Kind, ...]
    category: tuple[Kind, ...]


BROAD = Kinds(
    (_outlier, _outliers, _scale, _noise, _unit, _sentinel, _shifted, _shuffled, _missing),
    (_category, _category, _typo, _shifted, _shuffled, _missing),
)
WIDE = Kinds(
    (
        _outlier, _outlier, _outliers, _outliers, _scale, _scale, _noise, _noise, _unit, _mixed_units, _sentinel,
        _sentinel, _shifted, _shuffled, _missing, _offset, _negative, _wrong_digit, _capped,
    ),
    (_category, _category, _category, _typo, _shifted, _shuffled, _missing, _rewritten),
)  # fmt: skip


@dataclass(frozen=True)
class Group:
    """One group of cell errors: its columns, its kinds for numbers and for categories; swap: the columns' values change
    places instead, numbers with numbers and categories with categories."""

    columns: tuple[str, ...]
    number_kind: Kind
    category_kind: Kind
    swap: bool = False


@dataclass(frozen=True)
class BroadPlan(Plan):
    """One run of the protocol."""

    schema: Schema
    rule: Rule | None
    minority: float
    label_share: float
    label_shape: str
    label_kind: LabelKind
    groups: tuple[Group, ...]
    feature_share: float
    overlap: bool

    def apply(self, frame: pd.DataFrame, rng: np.random.Generator) -> Corrupted:
        """SC by dropping rows, then label flips, then groups of cell errors; errors may overlap."""
        if self.rule is None:
            kept, spurious = np.arange(len(frame)), np.zeros(len(frame), bool)
        else:
            kept, spurious = keep_minority(frame, self.rule, self.minority, rng)
        out = frame.iloc[kept].reset_index(drop=True).copy()
        label = self._flip(out, rng)
        touched = self._corrupt_cells(out, label, rng)
        return Corrupted(out, truth_table(label, spurious, touched), kept)

    def _flip(self, out: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
        weights = _flip_weights(out, self.schema, self.label_shape, rng)
        count = min(int(len(out) * self.label_share), int((weights > 0).sum()))
        rows = np.sort(rng.choice(len(out), count, replace=False, p=weights / weights.sum()))
        before = _seen(out, rows, self.schema.target)
        self.label_kind(out, self.schema, rows, rng)
        label = np.zeros(len(out), bool)
        label[rows[before != _seen(out, rows, self.schema.target)]] = True
        return label

    def _corrupt_cells(self, out: pd.DataFrame, label: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
        pool = rng.permutation(len(out))
        if not self.overlap:
            pool = pool[~label[pool]]
        numbers = set(numeric_columns(self.schema))
        touched: dict[str, np.ndarray] = {}
        for group, rows in zip(
            self.groups, np.array_split(pool[: int(len(out) * self.feature_share)], len(self.groups)), strict=True
        ):
            if not len(rows):
                continue
            rows = np.sort(rows)
            before = {column: _seen(out, rows, column) for column in group.columns}
            if group.swap:
                _swap(out, rows, [c for c in group.columns if c in numbers])
                _swap(out, rows, [c for c in group.columns if c not in numbers])
            else:
                for column in group.columns:
                    kind = group.number_kind if column in numbers else group.category_kind
                    kind(out, rows, column, rng)
            for column, seen in before.items():
                changed = rows[seen != _seen(out, rows, column)]
                touched.setdefault(column, np.zeros(len(out), bool))[changed] = True
        return touched


def _seen(frame: pd.DataFrame, rows: np.ndarray, column: str) -> np.ndarray:
    """What stands in the cells, numbers by their value."""
    series = frame[column].iloc[rows]
    return to_numeric(series).astype(str) if holds_numbers(series) else to_text(series).astype(str)


def _swap(frame: pd.DataFrame, rows: np.ndarray, columns: list[str]) -> None:
    """Each of the columns gets the next one's cells."""
    cells = [to_text(frame[c])[rows].astype(str) for c in columns]
    for column, texts in zip(columns, [*cells[1:], *cells[:1]], strict=True):
        if len(columns) > 1:
            write_cells(frame, rows, column, texts)


def _confuse(frame: pd.DataFrame, schema: Schema, rows: np.ndarray, rng: np.random.Generator) -> None:
    """Every class is mistaken for one other class."""
    texts = to_text(frame[schema.target]).astype(str)
    names = rng.permutation(np.unique(texts))
    other = dict(zip(names, np.roll(names, 1), strict=True))
    write_cells(frame, rows, schema.target, np.array([other[t] for t in texts[rows]], object))


def _take_neighbours(frame: pd.DataFrame, schema: Schema, rows: np.ndarray, rng: np.random.Generator) -> None:
    """Targets of other rows."""
    _shuffled(frame, rows, schema.target, rng)


def _disturb(frame: pd.DataFrame, schema: Schema, rows: np.ndarray, rng: np.random.Generator) -> None:
    """Moved by one to four standard deviations."""
    v = to_numeric(frame[schema.target])
    step = rng.uniform(1, 4, len(rows)) * rng.choice([-1.0, 1.0], len(rows)) * np.nanstd(v)
    write_numbers(frame, rows, schema.target, v[rows] + step)


def _mistake_unit(frame: pd.DataFrame, schema: Schema, rows: np.ndarray, rng: np.random.Generator) -> None:
    """A tenth or ten times."""
    v = to_numeric(frame[schema.target])
    write_numbers(frame, rows, schema.target, v[rows] * rng.choice([0.1, 10.0]))


LabelKind = Callable[[pd.DataFrame, Schema, np.ndarray, np.random.Generator], None]
CLASS_KINDS: tuple[LabelKind, ...] = (flip_labels, flip_labels, _confuse)
TARGET_KINDS: tuple[LabelKind, ...] = (flip_labels, flip_labels, _take_neighbours, _disturb, _mistake_unit)


def _flip_weights(frame: pd.DataFrame, schema: Schema, shape: str, rng: np.random.Generator) -> np.ndarray:
    """float [n]: how likely each label is to be wrong: everywhere alike, from one class, or near a column's middle."""
    n = len(frame)
    if shape == "class" and schema.task is Task.CLASSIFICATION:
        texts = to_text(frame[schema.target]).astype(str)
        return np.where(texts == rng.choice(np.unique(texts)), 1.0, 0.15)
    numbers = numeric_columns(schema)
    if shape == "boundary" and numbers:
        v = to_numeric(frame[str(rng.choice(numbers))])
        rank = pd.Series(v).rank(pct=True).fillna(0.5).to_numpy()
        return np.exp(-(((rank - rng.uniform(0.2, 0.8)) / 0.25) ** 2)) + 0.02
    return np.ones(n)


def _share(rng: np.random.Generator) -> float:
    low, high = SHARES
    return float(np.exp(rng.uniform(np.log(low), np.log(high))) if rng.random() < 0.5 else rng.uniform(low, high))


@PROTOCOLS.register("broad")
def broad(frame: pd.DataFrame, schema: Schema, alpha: float | None, seed: int) -> Plan:
    """Draw a run."""
    return _draw(frame, schema, alpha, seed, BROAD)


@PROTOCOLS.register("wide")
def wide(frame: pd.DataFrame, schema: Schema, alpha: float | None, seed: int) -> Plan:
    """As broad, with more kinds of cell errors: mixed units, wrong signs and digits, offsets, caps, rewritten words."""
    return _draw(frame, schema, alpha, seed, WIDE)


def _draw(frame: pd.DataFrame, schema: Schema, alpha: float | None, seed: int, kinds: Kinds) -> Plan:
    """alpha, if given, fixes the clean share: half of the rest LE, half FE; else each share is drawn."""
    rng = np.random.default_rng([seed, 3])
    label_share, feature_share = [_share(rng) for _ in range(2)] if alpha is None else [(1 - alpha) / 2] * 2
    label_kinds = CLASS_KINDS if schema.task is Task.CLASSIFICATION else TARGET_KINDS
    pool = numeric_columns(schema) + category_columns(schema)
    groups = tuple(
        Group(
            columns=tuple(rng.choice(pool, min(len(pool), int(rng.integers(1, 6))), replace=False).tolist()),
            number_kind=kinds.number[rng.integers(len(kinds.number))],
            category_kind=kinds.category[rng.integers(len(kinds.category))],
            swap=bool(rng.random() < SWAPS),
        )
        for _ in range(rng.integers(1, 5))
    )
    return BroadPlan(
        schema=schema,
        rule=random_rule(frame, schema, rng) if rng.random() < 0.85 else None,
        minority=float(rng.uniform(*MINORITY)),
        label_share=float(label_share),
        label_shape=str(rng.choice(["uniform", "uniform", "class", "boundary"])),
        label_kind=label_kinds[rng.integers(len(label_kinds))],
        groups=groups,
        feature_share=float(feature_share),
        overlap=bool(rng.random() < 0.4),
    )
