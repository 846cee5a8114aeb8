"""Typed views of raw cells: one place that says what is missing, a number, a text or a time.

A series holds the cells as they stand in the file: str for text formats, native dtypes for parquet. Work is done on
the distinct values only, so a million cells cost little.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

MISSING: frozenset[str] = frozenset(
    {"", "na", "n/a", "#n/a", "n.a.", "nan", "null", "none", "nil", "<na>", "nat", "?", "-", "--", "."}
)
"""Texts (stripped, lowercase) that stand for no value."""

DATETIME_FORMATS: tuple[str, ...] = (
    "ISO8601",
    *(
        day + time
        for day in (
            "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%Y/%m/%d", "%d %b %Y", "%b %d, %Y", "%m/%d/%y",
            "%d/%m/%y", "%d-%b-%Y", "%d-%b-%y", "%d %B %Y", "%B %d, %Y",
        )
        for time in ("", " %H:%M", " %H:%M:%S")
    ),
    "%b %Y",
    "%B %Y",
)  # fmt: skip
"""Formats tried in this order; of days in four-digit years day first wins where a column fits both."""

SAMPLE = 2000
"""Distinct values looked at to find a datetime format."""


def holds_text(series: pd.Series) -> bool:
    """Whether its cells are texts, as all are in a text file."""
    return bool(series.dtype == object or pd.api.types.is_string_dtype(series))


def is_missing(series: pd.Series) -> np.ndarray:
    """bool [n]: nulls and the texts of MISSING."""
    if _is_native(series):
        return np.asarray(series.isna(), dtype=bool)
    return _per_distinct(series, lambda texts: np.array([t.strip().lower() in MISSING for t in texts], bool), True)


def to_numeric(series: pd.Series) -> np.ndarray:
    """float64 [n]; NaN where missing, infinite or not a number."""
    if pd.api.types.is_datetime64_any_dtype(series):
        return np.full(len(series), np.nan)
    if _is_native(series):
        values = np.array(pd.to_numeric(series, errors="coerce").to_numpy(np.float64, na_value=np.nan))
    else:
        values = _per_distinct(series, _numbers, np.nan)
    values[~np.isfinite(values)] = np.nan
    return values


def to_text(series: pd.Series) -> np.ndarray:
    """object [n] of str, "" where missing. Whole numbers of a float column that has nulls keep no decimals."""
    missing = is_missing(series)
    values: np.ndarray = np.empty(len(series), dtype=object)
    if _whole(series):
        numbers = series.to_numpy(np.float64, na_value=0.0)
        values[:] = [str(int(v)) if np.isfinite(v) else str(v) for v in numbers]
    else:
        values[:] = series.astype(object).map(str, na_action="ignore").to_numpy(object)
    values[missing] = ""
    return values


def labels(series: pd.Series) -> np.ndarray:
    """object [n]: stripped label texts, "" where missing."""
    return np.array([t.strip() for t in to_text(series)], dtype=object)


def datetime_format(series: pd.Series) -> str | None:
    """The format of DATETIME_FORMATS that reads most distinct texts; None when none reads any, or for native times."""
    if _is_native(series):
        return None
    texts = [t for t in pd.unique(to_text(series)) if t][:SAMPLE]
    best, most = None, 0
    for fmt in DATETIME_FORMATS if texts else ():
        read = int(np.count_nonzero(_parsed(texts, fmt).notna()))
        if read > most:
            best, most = fmt, read
        if most == len(texts):
            break
    return best


def to_datetime(series: pd.Series, fmt: str | None = None) -> np.ndarray:
    """float64 [n] seconds since 1970 (UTC), NaN where missing or no time. fmt: one of DATETIME_FORMATS; else found."""
    if pd.api.types.is_datetime64_any_dtype(series):
        return _seconds(pd.DatetimeIndex(pd.to_datetime(series, utc=True)))
    if _is_native(series):
        return np.full(len(series), np.nan)
    chosen = fmt or datetime_format(series)
    if chosen is None:
        return np.full(len(series), np.nan)
    return _per_distinct(series, lambda texts: _seconds(_parsed([t.strip() for t in texts], chosen)), np.nan)


def _is_native(series: pd.Series) -> bool:
    kinds = pd.api.types
    return kinds.is_numeric_dtype(series) or kinds.is_bool_dtype(series) or kinds.is_datetime64_any_dtype(series)


def _whole(series: pd.Series) -> bool:
    if not pd.api.types.is_float_dtype(series) or not bool(series.isna().any()):
        return False
    values = series.dropna().to_numpy(np.float64)
    return bool(len(values) and np.isfinite(values).all() and (values == np.floor(values)).all())


def _per_distinct(series: pd.Series, function: Callable[[list[str]], np.ndarray], null: float | bool) -> np.ndarray:
    codes, distinct = pd.factorize(series, use_na_sentinel=True)
    texts = [str(v) for v in distinct]
    values = function(texts) if texts else np.empty(0, dtype=np.asarray(null).dtype)
    return np.append(values, null).astype(np.asarray(null).dtype)[codes]


def _numbers(texts: list[str]) -> np.ndarray:
    plain = pd.Series([t.strip() for t in texts], dtype=object)
    return np.array(pd.to_numeric(plain, errors="coerce").to_numpy(np.float64))


def _parsed(texts: list[str], fmt: str) -> pd.DatetimeIndex:
    kept = [t if len(t) >= 6 else None for t in texts]  # a bare year or code is no time
    return pd.DatetimeIndex(pd.to_datetime(pd.Series(kept, dtype=object), format=fmt, errors="coerce", utc=True))


def _seconds(times: pd.DatetimeIndex) -> np.ndarray:
    values = times.tz_localize(None) if times.tz is not None else times
    return np.where(values.isna(), np.nan, values.as_unit("us").asi8 / 1e6)
