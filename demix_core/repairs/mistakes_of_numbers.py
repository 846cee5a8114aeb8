"""Mistakes that numbers share: a placeholder, a wrong unit or sign, years of two digits, numbers written otherwise."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from demix_core.columns import is_missing, to_numeric, to_text
from demix_core.notation import DECIMAL_COMMA, in_another_unit, read_number, signed_number
from demix_core.repairs.mistakes import LEAST_CELLS, LEAST_SHARE, Cells, Counted, Fix, other_spelling, placeholders
from demix_core.signs import sign_errors, signs_of
from demix_core.types import Column
from demix_core.units import named

FACTORS = (1e-3, 1e-2, 1e-1, 1e1, 1e2, 1e3)
"""Cells are these times what they should be."""

NEAR = 1.5
"""The usual ratio of cells to what is expected may be off the factor by this much."""

WRITTEN = 1e-6
"""Relative error of a number that was written, scaled and read again."""

YEARS, ARE_YEARS = (1500, 2100), 0.98
"""This share of a column's other cells lies between, for them to be years."""

YEARS_NEAR, YEAR_SHARE = 2, 0.95
"""Of the cells that lie so near one of the years that two digits may stand for, the share near the likeliest one: by
'07' 2007 is meant where next to none are near 1907.
"""


@dataclass(frozen=True)
class Scaled:
    """Cells are `factor` times what they should be, when they lie outside low to high and inside it once mended."""

    factor: float
    low: float
    high: float
    words: str


@dataclass(frozen=True)
class NumberMistakes:
    """Of one column. unknown: numbers that stand for unknown, with the words for it; scaled: None for no such mistake;
    reach_of_signs: up to which negative ones have lost their sign; years: whether some years have two digits; decimals:
    with which numbers are written; known: what the cells hold, where some are no numbers, or such years.
    """

    unknown: tuple[tuple[float, str], ...]
    scaled: Scaled | None
    reach_of_signs: float
    years: bool
    decimals: int
    known: Counted

    @classmethod
    def learn(cls, cells: Cells) -> NumberMistakes:
        """From the suspect cells of a table, and the others."""
        numbers, suspect = to_numeric(cells.series), cells.suspect
        years = _are_years(np.delete(numbers, suspect)) and bool((numbers[suspect] < 100).any())
        unread = (np.isnan(numbers[suspect]) & ~is_missing(cells.series.iloc[suspect])).any()
        known = Counted.of(cells.series) if years or unread else Counted()
        suspect = suspect[np.isfinite(numbers[suspect])]
        unknown = {float(value): words for value, words in placeholders(numbers, cells, suspect)}
        signs = signs_of(numbers)
        reach = signs.reach if signs.lost else 0.0
        rest = np.array([i for i in suspect if numbers[i] not in unknown], int)
        rest = rest[~sign_errors(numbers[rest], reach)]
        decimals = decimals_of(cells.series, rest)
        scaled = _of_units(numbers, rest, cells, decimals)
        return cls(tuple(unknown.items()), scaled, reach, years, decimals, known)

    def mend(self, series: pd.Series, column: Column, suspect: np.ndarray) -> Iterator[tuple[int, Fix]]:
        """(position, fix) of the suspect cells that have one of these mistakes."""
        numbers, texts, unknown = to_numeric(series), to_text(series), dict(self.unknown)
        for i in suspect:
            if np.isnan(numbers[i]):
                fix = _read(texts[i], self.known, column) if texts[i] else None
            elif float(numbers[i]) in unknown:
                value = float(numbers[i])
                fix = Fix(f"{column.name}: {value:g} stands for unknown", "", unknown[value])
            else:
                fix = self._whole(texts[i], column) or self._turned(numbers[i], texts[i], column)
                fix = fix or self._unscaled(numbers[i], column)
            if fix is not None:
                yield int(i), fix

    def _whole(self, text: str, column: Column) -> Fix | None:
        year = _whole_year(text, self.known.vocabulary.counts) if self.years else None
        pattern = f"{column.name}: years of two digits"
        return None if year is None else Fix(pattern, year, f"'{text}' is the end of a year; {year} is meant")

    def _turned(self, value: float, text: str, column: Column) -> Fix | None:
        if not sign_errors(np.array([value]), self.reach_of_signs)[0]:
            return None
        new = f"{-value:.{self.decimals}f}"
        return Fix(f"{column.name}: signs lost", new, f"{text} has the wrong sign; {new} is meant")

    def _unscaled(self, value: float, column: Column) -> Fix | None:
        scaled = self.scaled
        if scaled is None or value == 0 or scaled.low <= value <= scaled.high:
            return None
        mended = value / scaled.factor
        if not scaled.low <= mended <= scaled.high or not _writable(mended, self.decimals):
            return None
        pattern = f"{column.name}: cells that are {scaled.factor:g} times what they should be"
        return Fix(pattern, f"{mended:.{self.decimals}f}", scaled.words)


def decimals_of(series: pd.Series, suspect: np.ndarray) -> int:
    """Decimals of the cells that are not suspect."""
    texts = series.drop(series.index[suspect]).head(1000).astype(str)
    found = [re.search(r"\.(\d+)\s*$", t) for t in texts]
    return max((len(m.group(1)) for m in found if m), default=0)


def _read(text: str, known: Counted, column: Column) -> Fix | None:
    """The number that a cell which is none was meant to be: a frequent one mistyped, or one that is written otherwise.

    It lies between the plain numbers; '5%' beside 0.04 and 0.06 is not 5.
    """
    low, high = known.reach
    other = in_another_unit(text, column.notation) if column.notation is not None else None
    if other is not None:
        number, unit = known.written(other[0]), column.notation.after if column.notation is not None else ""
        fix = Fix(f"{column.name}: numbers in {other[1]}", number, f"{text} is {number}{unit}")
        return fix if low <= other[0] <= high else None
    counts = known.vocabulary.counts
    meant = known.vocabulary.meant(text, counts.get(text, 1))
    for how, number in _written_otherwise(text, column).items():
        if meant is None and number and low <= float(number) <= high:
            return Fix(f"{column.name}: numbers with {how}", number, f"'{text}' is no number, but {number} is meant")
    meant = meant or _only_number_like(text, counts)
    return None if meant is None else other_spelling(column, text, meant)


def _written_otherwise(text: str, column: Column) -> dict[str, str]:
    """{in what a text that is no plain number differs from one: the number it would be}; "" where it is none.

    A sign that is not the column's own makes it another number.

    >>> from demix_core.types import ColumnKind
    >>> _written_otherwise("12,5", Column("price", ColumnKind.NUMERIC))
    {'a sign or unit': '', 'a decimal comma': '12.5'}
    """
    signed, comma = signed_number(text), read_number(text, DECIMAL_COMMA)
    own = {named(column.notation.before), named(column.notation.after)} if column.notation is not None else {""}
    foreign = signed is not None and signed[1] not in ("", *own) and own != {""}
    return {"a sign or unit": signed[0] if signed and not foreign else "", "a decimal comma": comma or ""}


def _only_number_like(text: str, counts: Mapping[str, int]) -> str | None:
    """The one repeated number of the column that has other digits only where `text` has none.

    >>> _only_number_like("3x957", {"35957": 9, "35958": 7, "3x957": 1})
    '35957'
    """
    digits = re.compile("".join(c if c.isdigit() or c in ".-" else "[0-9]" for c in text.strip()))
    alike = [t for t, count in counts.items() if count >= 2 and t != text and digits.fullmatch(t)]
    return alike[0] if len(alike) == 1 and any(c.isdigit() for c in text) else None


def _are_years(numbers: np.ndarray) -> bool:
    known = numbers[np.isfinite(numbers)]
    low, high = YEARS
    years = (known >= low) & (known <= high) & (known == np.floor(known))
    return bool(len(known) and years.mean() >= ARE_YEARS)


def _whole_year(text: str, counts: Mapping[str, int]) -> str | None:
    """The year of which a text holds the last two digits; None for any other text, or where two are likely.

    >>> _whole_year("07", {"2006": 40, "1907": 1, "1955": 9}), _whole_year("7", {"2007": 40})
    ('2007', None)
    """
    if not re.fullmatch(r"\d\d", text.strip()):
        return None
    near: dict[int, int] = defaultdict(int)
    for known, count in counts.items():
        if re.fullmatch(r"\d{4}", known):
            for year in range(int(known) - YEARS_NEAR, int(known) + YEARS_NEAR + 1):
                near[year] += count * (year % 100 == int(text))
    best = max(near, key=near.__getitem__, default=0)
    return str(best) if near[best] and near[best] >= YEAR_SHARE * sum(near.values()) else None


def _of_units(numbers: np.ndarray, suspect: np.ndarray, cells: Cells, decimals: int) -> Scaled | None:
    """The factor that explains most of the suspect numbers that lie outside of where numbers usually do."""
    bulk = float(cells.odd.low[cells.place]), float(cells.odd.high[cells.place])
    width = max(bulk[1] - bulk[0], 1e-12)
    low, high = bulk[0] - width, bulk[1] + width
    outside = suspect[(numbers[suspect] < low) | (numbers[suspect] > high)]
    if len(outside) < LEAST_CELLS:
        return None
    mended = {f: numbers[outside] / f for f in FACTORS}
    inside = {f: (v >= low) & (v <= high) & (numbers[outside] != 0) & _writable(v, decimals) for f, v in mended.items()}
    best = max(FACTORS, key=lambda f: int(inside[f].sum()))
    hits = int(inside[best].sum())
    if hits < max(LEAST_CELLS, LEAST_SHARE * len(outside)):
        return None
    if not _usual_ratio(numbers, outside[inside[best]], best, cells.likely):
        return None
    words = f"{hits:,} suspect cells are {best:g} times what they should be, as in another unit"
    return Scaled(best, low, high, words)


def _usual_ratio(numbers: np.ndarray, rows: np.ndarray, factor: float, likely: Mapping[int, str]) -> bool:
    """Whether the cells are about `factor` times what the rest of their rows suggests; True where nothing is known.

    An outlier, or a value that was scaled at random, may come to lie among the others when divided by ten; by luck.
    """
    known = [int(i) for i in rows if int(i) in likely]
    wanted = to_numeric(pd.Series([likely[i] for i in known], dtype=object))
    told = np.isfinite(wanted) & (wanted != 0)
    if told.sum() < LEAST_CELLS:
        return True
    ratio = float(np.median(numbers[known][told] / wanted[told])) / factor
    return 1 / NEAR <= ratio <= NEAR


def _writable(values: Any, decimals: int) -> Any:
    """Whether numbers could stand in a column of so many decimals; an undone mistake is a value that was once there.

    >>> _writable(np.array([7.0, 0.7, 12.25]), 0).tolist(), bool(_writable(12.25, 2))
    ([True, False, False], True)
    """
    return np.isclose(values, np.round(values, decimals), rtol=WRITTEN, atol=0.0)
