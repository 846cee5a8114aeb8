"""Times that are written unlike the others of their column: how the column writes them, and what such a cell means.

Only what can be read in one way is: '03/04/2021' among '2021-05-30' may be of March or of April, unless another cell of
the column ('25/04/2021') or its range says which.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from demix_core.columns import DATETIME_FORMATS, datetime_format, is_missing, to_datetime, to_text

ISO = "ISO8601"
ISO_LAYOUTS = tuple(f"%Y-%m-%d{time}" for time in ("", " %H:%M:%S", " %H:%M", "T%H:%M:%S", "T%H:%M", "T%H:%M:%SZ"))
HOURS = re.compile(r"[ T]%H")
LIKE_IT_SHARE = 0.95
"""Share of the readable times that a layout must write again, letter by letter."""
MARGIN = 0.05
"""How far beyond the times of the column others may lie, of their range."""
DAY = 86_400.0
SERIALS: dict[str, tuple[re.Pattern[str], float, float]] = {
    "spreadsheet days": (re.compile(r"\d{5}(\.\d+)?"), DAY, -25_569 * DAY),  # 1 is the first day of 1900
    "Unix seconds": (re.compile(r"\d{9,10}(\.\d+)?"), 1.0, 0.0),
    "Unix milliseconds": (re.compile(r"\d{12,13}"), 1e-3, 0.0),
}
"""Times as numbers: how they look, the seconds of one, and seconds since 1970 of zero."""

SAMPLE = 300
"""Distinct texts of each sort that are looked at."""


@dataclass(frozen=True)
class Times:
    """How a column writes times.

    form: its own of DATETIME_FORMATS; layout: the same, as for strftime; padded: whether days and months have two
    digits; low, high: between which its times lie, with a margin, in seconds since 1970; others: the formats (and
    SERIALS) that other cells are in: those of which one says so, for no format that would read others differently
    reads it.
    """

    form: str
    layout: str
    padded: bool
    low: float
    high: float
    others: tuple[str, ...]


def times_of(series: pd.Series) -> Times | None:
    """Of a column of texts of which most are times in one layout and some are in no time of it; None for any other."""
    fmt = datetime_format(series)
    if fmt is None:
        return None
    texts, known = to_text(series).astype(str), to_datetime(series, fmt)
    read = np.isfinite(known)
    strange = list(pd.unique(texts[~read & ~is_missing(series)]))[:SAMPLE]
    layout = layout_of(texts[read], known[read], fmt) if strange and read.any() else None
    if layout is None:
        return None
    margin = MARGIN * float(np.ptp(known[read]))
    low, high = float(known[read].min()) - margin, float(known[read].max()) + margin
    read_by = {other: _within(strange, other, low, high) for other in (*DATETIME_FORMATS, *SERIALS) if other != fmt}
    return Times(fmt, *layout, low, high, _sure(read_by)) if any(read_by.values()) else None


def _sure(read_by: Mapping[str, Mapping[str, float]]) -> tuple[str, ...]:
    """The formats that must be meant. read_by: {format: {text: time}}.

    '25/04/2021' is no month first; '04/04/2021' says nothing of what '03/04/2021' is.
    """
    found = []
    for own, read in read_by.items():
        rivals = [r for r in read_by.values() if any(read[t] != r[t] for t in read.keys() & r.keys())]
        if read.keys() - set().union(*rivals):
            found.append(own)
    return tuple(found)


def _readings(read_by: Mapping[str, Mapping[str, float]]) -> dict[str, set[float]]:
    """{text: the times that it may be}. read_by: {format: {text: time}}."""
    found: dict[str, set[float]] = defaultdict(set)
    for read in read_by.values():
        for text, when in read.items():
            found[text].add(when)
    return found


def meant(texts: Sequence[str], times: Times) -> dict[str, str]:
    """{text: as the column writes it} of the times written otherwise; none of what may be one of several times."""
    seconds = to_datetime(pd.Series(list(texts), dtype=object), times.form)
    strange = [text for text, known in zip(texts, np.isfinite(seconds), strict=True) if not known]
    found = _readings({other: _within(strange, other, times.low, times.high) for other in times.others})
    return {t: written(when.pop(), times.layout, times.padded) for t, when in found.items() if len(when) == 1}


def _within(texts: Sequence[str], fmt: str, low: float, high: float) -> dict[str, float]:
    """{text: seconds} of those that the format, or one of SERIALS, reads as a time between low and high."""
    read = _serials if fmt in SERIALS else to_datetime
    seconds = read(pd.Series(list(texts), dtype=object), fmt)
    return {t: float(s) for t, s in zip(texts, seconds, strict=True) if low <= s <= high}


def _serials(texts: pd.Series, name: str) -> np.ndarray:
    """float64 [n]: seconds since 1970 of numbers that are times, to the second; NaN of others."""
    form, unit, start = SERIALS[name]
    numbers = pd.to_numeric(texts.str.strip().where(texts.str.strip().str.fullmatch(form)), errors="coerce")
    return np.round(numbers.to_numpy(np.float64) * unit + start)


def layout_of(texts: np.ndarray, seconds: np.ndarray, fmt: str) -> tuple[str, bool] | None:
    """(layout, padded) that writes the times as they stand."""
    at = pd.Series(texts).drop_duplicates().index[:SAMPLE]
    for layout in ISO_LAYOUTS if fmt == ISO else (fmt,):
        for padded in (True, False):
            same = np.mean([written(seconds[i], layout, padded) == texts[i].strip() for i in at])
            if same >= LIKE_IT_SHARE:
                return layout, padded
    return None


def written(seconds: float, layout: str, padded: bool) -> str:
    """A time by the layout; of hours and minutes both digits.

    >>> written(0.0, "%d/%m/%Y %H:%M", False)
    '1/1/1970 00:00'
    """
    when, split = datetime.fromtimestamp(seconds, UTC), HOURS.search(layout)
    day, hours = (layout[: split.start()], layout[split.start() :]) if split else (layout, "")
    written = when.strftime(day)
    return (written if padded else re.sub(r"(?<!\d)0(?=\d)", "", written)) + when.strftime(hours)
