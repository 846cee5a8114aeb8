"""How odd does each cell look on its own: how far from the bulk of its column, how often repeated, how written, spelt?

The bulk of a column is the shortest interval that holds half of its numbers, which many wrong values hardly move.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from demix_core.columns import datetime_format, is_missing, labels, to_datetime, to_numeric, to_text
from demix_core.mojibake import scrambled
from demix_core.signals.binning import bulk
from demix_core.signals.placing import NEW
from demix_core.signs import sign_errors, signs_of
from demix_core.spelling import SURE, Vocabulary
from demix_core.templates import OFTEN, find_template, off_template
from demix_core.types import Column, ColumnKind, Schema

MOST_WIDTHS = 1e4
DIGITS = re.compile(r"\d+")
PER_CELL = ("distance", "share", "crowd", "form", "missing", "garbled", "negative")
"""The fields of Oddities that differ from cell to cell."""


@dataclass(frozen=True)
class Oddities:
    """One number per cell, float32 [N, F] each, and the bulk of each column.

    distance: beyond the bulk, in its widths, 0 inside and for other than numbers; share: of the rows that
    hold just this value; crowd: how many times more rows hold it than a value nearby usually does, log, 0 where alone;
    form: −log of the share of cells written like this one (decimals, sign, case), nats; missing: 0 or 1; garbled:
    P(wrong) of other spellings of a frequent value, of what breaks the template of a column of codes or was read in
    another encoding, and of what is no number, or time, where a column holds such; negative: P(wrong) of a number
    below zero where none can be. low, high: float64 [F], the ends of the bulk (times in seconds); NaN for other than
    numbers. label: float32 [N], garbled of the row's class (numbers: 0).
    """

    distance: np.ndarray
    share: np.ndarray
    crowd: np.ndarray
    form: np.ndarray
    missing: np.ndarray
    garbled: np.ndarray
    low: np.ndarray
    high: np.ndarray
    label: np.ndarray
    negative: np.ndarray


def find_oddities(frame: pd.DataFrame, schema: Schema) -> Oddities:
    """Cost: O(N log N) per column."""
    parts = [_column(frame[c.name], c) for c in schema.features]
    per_cell = {name: np.stack([p[k] for p in parts], 1).astype(np.float32) for k, name in enumerate(PER_CELL)}
    ends = [_numbers(frame[c.name], c) for c in schema.features]
    bulks = [bulk(v[~np.isnan(v)])[:2] if np.isfinite(v).any() else (np.nan, np.nan) for v in ends]
    label = np.zeros(len(frame))
    if schema.classes:
        label = _misspelt(labels(frame[schema.target]))
    low, high = np.array(bulks, np.float64).T
    return Oddities(**per_cell, low=low, high=high, label=label.astype(np.float32))


@dataclass(frozen=True)
class ColumnOddities:
    """One column of the run's table. bulk: (low, high, width), of no number NaN; numbers with counts, in order;

    texts with counts, forms with counts; form: of times; reach_of_signs: of Signs.
    """

    bulk: tuple[float, float, float]
    numbers: np.ndarray
    number_counts: np.ndarray
    texts: np.ndarray
    text_counts: np.ndarray
    forms: np.ndarray
    form_counts: np.ndarray
    form: str | None
    reach_of_signs: float = 0.0

    @classmethod
    def of(cls, series: pd.Series, column: Column) -> ColumnOddities:
        """Counts of everything that a cell to come is compared with."""
        form = datetime_format(series) if column.kind is ColumnKind.DATETIME else None
        numbers = _numbers(series, column, form)
        known = numbers[~np.isnan(numbers)]
        texts = to_text(series).astype(str)
        counted = np.unique(_filled(numbers), return_counts=True), np.unique(texts, return_counts=True)
        forms = np.unique(_forms(texts, _ordered(column)), return_counts=True)
        ends = bulk(known) if len(known) else (np.nan, np.nan, np.nan)
        return cls(ends, *counted[0], *counted[1], *forms, form, _reach_of_signs(numbers, column))

    def place(self, now: pd.Series, old: pd.Series, column: Column, where: np.ndarray, rows: int) -> list[np.ndarray]:
        """PER_CELL of cells to come; old: the cells of their old versions, if any."""
        known, total = where != NEW, rows + (where == NEW)
        texts, before = to_text(now).astype(str), to_text(old).astype(str)
        others = _others(self.texts, self.text_counts, texts, before, known)
        share = (others + 1) / total
        distance, crowd, form, missing = np.zeros(len(now)), np.zeros(len(now)), np.zeros(len(now)), is_missing(now)
        ordered = _ordered(column)
        numbers = _numbers(now, column, self.form)
        if ordered:
            earlier = _filled(_numbers(old, column, self.form))
            distance = _beyond(numbers, *self.bulk)
            pairs = np.column_stack([np.where(np.isnan(numbers), np.inf, numbers), np.where(known, earlier, np.inf)])
            distinct, inverse = np.unique(pairs, axis=0, return_inverse=True)
            crowd = np.array([self._crowd(number, was) for number, was in distinct])[inverse.ravel()]
        if column.kind is not ColumnKind.TEXT:
            looks, looked = _forms(texts, ordered), _forms(before, ordered)
            form = -np.log((_others(self.forms, self.form_counts, looks, looked, known) + 1) / total)
        left = np.where(known, before, "")
        garbled = _unreadable(numbers, missing) if ordered else self._misspelt(texts, others, left)
        garbled = np.maximum(garbled, np.maximum(self._off_template(texts, others, column), SURE * _scrambled(texts)))
        negative = SURE * sign_errors(numbers, self.reach_of_signs)
        return [distance, share, crowd, np.where(missing, 0.0, form), missing.astype(float), garbled, negative]

    def _misspelt(self, texts: np.ndarray, others: np.ndarray, before: np.ndarray) -> np.ndarray:
        """float [m]. others: rows that hold the same text; before: the old version's text, "" for none."""
        vocabulary = Vocabulary({str(t): int(c) for t, c in zip(self.texts, self.text_counts, strict=True)})
        meant = [vocabulary.meant(t, int(n) + 1, b) for t, n, b in zip(texts, others, before, strict=True)]
        return np.array([0.0 if m is None else SURE for m in meant])

    def _off_template(self, texts: np.ndarray, others: np.ndarray, column: Column) -> np.ndarray:
        """float [m]; others: as for _misspelt."""
        template, _ = find_template(self.texts.astype(object), column, self.text_counts)
        few = others + 1 < OFTEN
        breaks = [bool(template is not None and f and template.breaks(t)) for t, f in zip(texts, few, strict=True)]
        return np.where(breaks, SURE, 0.0)

    def _crowd(self, number: float, was: float) -> float:
        """_crowd of one number in the column with it, and without its old version; inf for none of either."""
        if np.isinf(number):
            return 0.0
        at = int(np.searchsorted(self.numbers, number))
        some = slice(max(0, at - 12), at + 13)  # more neighbours than the eight that count
        values, counts = self.numbers[some], self.number_counts[some].copy()
        counts[values == was] -= 1
        values, counts = values[counts > 0], counts[counts > 0]
        there = int(np.searchsorted(values, number))
        if there < len(values) and values[there] == number:
            counts[there] += 1
        else:
            counts = np.insert(counts, there, 1)
        usual = float(np.median(_around(counts)[there]))
        return max(float(np.log(counts[there] / max(usual, 1))), 0.0)


@dataclass(frozen=True)
class OddityReference:
    """What find_oddities counted: one per feature; rows: N; labels: of the target, None for numbers."""

    columns: tuple[ColumnOddities, ...]
    rows: int
    labels: ColumnOddities | None = None

    @classmethod
    def of(cls, frame: pd.DataFrame, schema: Schema) -> OddityReference:
        """Of the run's table."""
        columns = tuple(ColumnOddities.of(frame[c.name], c) for c in schema.features)
        classes = ColumnOddities.of(_stripped(frame, schema), _target(schema)) if schema.classes else None
        return cls(columns, len(frame), classes)

    def place(self, frame: pd.DataFrame, old: pd.DataFrame, schema: Schema, where: np.ndarray) -> Oddities:
        """Of rows to come. old: their old versions, any cells where there is none; where: int64 [m], see placing."""
        parts = [
            one.place(frame[c.name], old[c.name], c, where, self.rows)
            for one, c in zip(self.columns, schema.features, strict=True)
        ]
        per_cell = {name: np.stack([p[k] for p in parts], 1).astype(np.float32) for k, name in enumerate(PER_CELL)}
        label = np.zeros(len(frame))
        if self.labels is not None:
            now, before = _stripped(frame, schema), _stripped(old, schema)
            label = self.labels.place(now, before, _target(schema), where, self.rows)[PER_CELL.index("garbled")]
        low, high = np.array([one.bulk[:2] for one in self.columns], np.float64).T
        return Oddities(**per_cell, low=low, high=high, label=label.astype(np.float32))


def _stripped(frame: pd.DataFrame, schema: Schema) -> pd.Series:
    """The class labels: blanks around them make no other class."""
    return pd.Series(labels(frame[schema.target]), dtype="str")


def _target(schema: Schema) -> Column:
    return next(c for c in schema.columns if c.name == schema.target)


def _others(known: np.ndarray, counts: np.ndarray, now: np.ndarray, old: np.ndarray, edited: np.ndarray) -> np.ndarray:
    """float [m]: how many other rows hold the same text; known: sorted, counts: theirs."""
    at = np.searchsorted(known, now).clip(0, len(known) - 1)
    return np.where(known[at] == now, counts[at], 0).astype(float) - (edited & (now == old))


def _ordered(column: Column) -> bool:
    return column.kind in (ColumnKind.NUMERIC, ColumnKind.DATETIME)


def _numbers(series: pd.Series, column: Column, form: str | None = None) -> np.ndarray:
    """float64 [n]; all NaN for other than numbers and times."""
    if column.kind is ColumnKind.NUMERIC:
        return to_numeric(series)
    return to_datetime(series, form) if column.kind is ColumnKind.DATETIME else np.full(len(series), np.nan)


def _column(series: pd.Series, column: Column) -> tuple[np.ndarray, ...]:
    missing = is_missing(series)
    texts = to_text(series).astype(str)
    distance, crowd = np.zeros(len(series)), np.zeros(len(series))
    ordered, numbers = _ordered(column), _numbers(series, column)
    negative = SURE * sign_errors(numbers, _reach_of_signs(numbers, column))
    if ordered:
        distance, crowd = _distance(numbers), _crowd(numbers)
    form = _rarity(_forms(texts, ordered)) if column.kind is not ColumnKind.TEXT else np.zeros(len(series))
    garbled = _unreadable(numbers, missing) if ordered else _misspelt(texts)
    garbled = np.maximum(garbled, SURE * (off_template(texts, column) | _scrambled(texts)))
    return distance, _share(texts), crowd, np.where(missing, 0.0, form), missing.astype(float), garbled, negative


def _reach_of_signs(numbers: np.ndarray, column: Column) -> float:
    """Of signs_of; times, which may lie before 1970, have no sign."""
    return signs_of(numbers).reach if column.kind is ColumnKind.NUMERIC else 0.0


def _unreadable(numbers: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """float [N]: SURE for cells that are neither a number (or time) nor missing."""
    return np.where(np.isnan(numbers) & ~missing, SURE, 0.0)


def _misspelt(texts: np.ndarray) -> np.ndarray:
    """float [N]: SURE for cells that are another spelling of a frequent value."""
    known = Vocabulary.of(texts).misspellings()
    return np.array([SURE if t in known else 0.0 for t in texts])


def _scrambled(texts: np.ndarray) -> np.ndarray:
    """bool [N]: cells that were read in the wrong encoding."""
    return np.array([scrambled(text) for text in texts], bool)


def _distance(numbers: np.ndarray) -> np.ndarray:
    known = numbers[~np.isnan(numbers)]
    if not len(known):
        return np.zeros(len(numbers))
    return _beyond(numbers, *bulk(known))


def _beyond(numbers: np.ndarray, low: float, high: float, width: float) -> np.ndarray:
    beyond = np.maximum((low - numbers) / width, (numbers - high) / width)
    return np.nan_to_num(np.clip(beyond, 0, MOST_WIDTHS), nan=0.0)


def _crowd(numbers: np.ndarray) -> np.ndarray:
    """log(count of this value / median count of the eight distinct values around it), at least 0."""
    missing = np.isnan(numbers)
    values, inverse, counts = np.unique(_filled(numbers), return_inverse=True, return_counts=True)
    usual = np.median(_around(counts)[: len(values)], axis=1)
    return np.where(missing, 0.0, np.maximum(np.log(counts / np.maximum(usual, 1)), 0)[inverse])


def _filled(numbers: np.ndarray) -> np.ndarray:
    """Missing ones as 0."""
    return np.where(np.isnan(numbers), 0.0, numbers)


def _around(counts: np.ndarray) -> np.ndarray:
    """int [n, 9]: each count with the four on either side."""
    padded = np.pad(counts, 4, mode="reflect" if len(counts) > 4 else "edge")
    return np.lib.stride_tricks.sliding_window_view(padded, 9)


def _share(texts: np.ndarray) -> np.ndarray:
    codes, _ = pd.factorize(texts)
    return np.bincount(codes)[codes] / len(texts)


def _rarity(forms: np.ndarray) -> np.ndarray:
    return -np.log(_share(forms))


def _forms(texts: np.ndarray, number: bool) -> np.ndarray:
    """How each text is written: numbers by sign and decimals; words by case, digits, other signs, outer spaces."""
    distinct, inverse = np.unique(texts, return_inverse=True)
    shape = _number_form if number else _word_form
    return np.array([shape(t) for t in distinct], object)[inverse].astype(str)


def _number_form(text: str) -> str:
    whole, _, decimals = text.strip().removeprefix("-").partition(".")
    sign = "-" if text.strip().startswith("-") else ""
    return f"{sign}{min(len(decimals.rstrip('0')), 4)}{'' if whole.isdigit() else '?'}"


def _word_form(text: str) -> str:
    case = "U" if text.isupper() else "l" if text.islower() else "T" if text[:1].isupper() else "m"
    odd = "".join(sorted({c for c in text if not c.isalnum() and c not in "-_. "}))
    return f"{case}{'#' if DIGITS.search(text) else ''}{odd}{' ' if text != text.strip() else ''}"
