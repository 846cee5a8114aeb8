"""How odd does each cell look on its own: how far from the bulk of its column, how often repeated, how written?

The bulk of a column is the shortest interval that holds half of its numbers, which many wrong values hardly move.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from demix_core.columns import is_missing, to_datetime, to_numeric, to_text
from demix_core.signals.binning import bulk
from demix_core.types import Column, ColumnKind, Schema

MOST_WIDTHS = 1e4
DIGITS = re.compile(r"\d+")


@dataclass(frozen=True)
class Oddities:
    """One number per cell, float32 [N, F] each, and the bulk of each column.

    distance: beyond the bulk, in its widths, 0 inside and for other than numbers; share: of the rows that
    hold just this value; crowd: how many times more rows hold it than a value nearby usually does, log, 0 where alone;
    form: −log of the share of cells written like this one (decimals, sign, case), nats; missing: 0 or 1.
    low, high: float64 [F], the ends of the bulk (times in seconds); NaN for other than numbers.
    """

    distance: np.ndarray
    share: np.ndarray
    crowd: np.ndarray
    form: np.ndarray
    missing: np.ndarray
    low: np.ndarray
    high: np.ndarray


def find_oddities(frame: pd.DataFrame, schema: Schema) -> Oddities:
    """Cost: O(N log N) per column."""
    parts = [_column(frame[c.name], c) for c in schema.features]
    per_cell = [np.stack([p[k] for p in parts], 1).astype(np.float32) for k in range(5)]
    ends = [_numbers(frame[c.name], c) for c in schema.features]
    bulks = [bulk(v[~np.isnan(v)])[:2] if np.isfinite(v).any() else (np.nan, np.nan) for v in ends]
    return Oddities(*per_cell, *np.array(bulks, np.float64).T)


def _numbers(series: pd.Series, column: Column) -> np.ndarray:
    """float64 [n]; all NaN for other than numbers and times."""
    if column.kind is ColumnKind.NUMERIC:
        return to_numeric(series)
    return to_datetime(series) if column.kind is ColumnKind.DATETIME else np.full(len(series), np.nan)


def _column(series: pd.Series, column: Column) -> tuple[np.ndarray, ...]:
    missing = is_missing(series)
    texts = to_text(series).astype(str)
    distance, crowd = np.zeros(len(series)), np.zeros(len(series))
    ordered = column.kind in (ColumnKind.NUMERIC, ColumnKind.DATETIME)
    if ordered:
        numbers = _numbers(series, column)
        distance, crowd = _distance(numbers), _crowd(numbers)
    form = _rarity(_forms(texts, ordered)) if column.kind is not ColumnKind.TEXT else np.zeros(len(series))
    return distance, _share(texts), crowd, np.where(missing, 0.0, form), missing.astype(float)


def _distance(numbers: np.ndarray) -> np.ndarray:
    known = numbers[~np.isnan(numbers)]
    if not len(known):
        return np.zeros(len(numbers))
    low, high, width = bulk(known)
    beyond = np.maximum((low - numbers) / width, (numbers - high) / width)
    return np.nan_to_num(np.clip(beyond, 0, MOST_WIDTHS), nan=0.0)


def _crowd(numbers: np.ndarray) -> np.ndarray:
    """log(count of this value / median count of the eight distinct values around it), at least 0."""
    missing = np.isnan(numbers)
    values, inverse, counts = np.unique(np.where(missing, 0.0, numbers), return_inverse=True, return_counts=True)
    around = np.lib.stride_tricks.sliding_window_view(
        np.pad(counts, 4, mode="reflect" if len(counts) > 4 else "edge"), 9
    )
    usual = np.median(around[: len(values)], axis=1)
    return np.where(missing, 0.0, np.maximum(np.log(counts / np.maximum(usual, 1)), 0)[inverse])


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
