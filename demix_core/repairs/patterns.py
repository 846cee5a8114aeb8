"""Mistakes that many cells of a column share: one explanation, and a repair that undoes it instead of guessing.

Looked for among the suspect cells of a column only: a placeholder (one far value, over and over), a wrong unit or sign
(times a power of ten, or −1, the cells lie where the others do), a year of two digits, another spelling of a known
category, a number written with its unit or in another one, a code that breaks its column's template, a text read in the
wrong encoding.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from demix_core.columns import is_missing, to_numeric, to_text
from demix_core.datetimes import Times, meant, times_of
from demix_core.mojibake import unscrambled
from demix_core.notation import DECIMAL_COMMA, in_another_unit, read_number, signed_number
from demix_core.signals.oddities import Oddities
from demix_core.signs import out_of_sign, signs_of
from demix_core.spelling import MOST_DISTINCT, Vocabulary
from demix_core.templates import Template, find_template
from demix_core.types import Column, ColumnKind, Schema
from demix_core.units import named

SUSPECT = 0.5
"""P(cell wrong) from which a cell counts."""

LEAST_CELLS = 5
LEAST_SHARE = 0.5
"""A unit or sign must explain this share of the suspect numbers outside the bulk."""

FAR = 1.0
CROWD = 0.5
"""A placeholder lies this many widths beyond the bulk and is this much (log) more frequent than values near it."""

FACTORS = (1e-3, 1e-2, 1e-1, 1e1, 1e2, 1e3)
"""Cells are these times what they should be."""

YEARS = (1500, 2100)
ARE_YEARS, YEAR_SHARE = 0.98, 0.95
"""The share of a column's other cells that lie between YEARS; of the years near those that two digits may stand for,
the share near the likeliest one: by '07' 2007 is meant where next to none are near 1907.
"""

YEARS_NEAR = 2

NEAR = 1.5
"""The usual ratio of cells to what is expected may be off the factor by this much."""

WRITTEN = 1e-6
"""Relative error of a number that was written, scaled and read again."""

RARE = 0.002
"""A category below this share of the rows may be a misspelling."""

COMMON_TIMES = 5
ALIKE = 0.8
"""Ratio of matching letters (difflib) from which two spellings are one."""


@dataclass(frozen=True)
class Fix:
    """What to do about one cell. pattern: the same text for all cells of one mistake; new: text, "" for unknown."""

    pattern: str
    new: str
    words: str


def find_patterns(
    frame: pd.DataFrame,
    schema: Schema,
    wrong: np.ndarray,
    odd: Oddities,
    expected: Mapping[tuple[int, int], str] | None = None,
) -> dict[tuple[int, int], Fix]:
    """{(position of the row, place of the feature): fix}. frame: texts; wrong: float [N, F].

    expected: likely texts of suspect cells; a unit counts only where it is also the usual ratio to what is expected.
    """
    return apply_shared(learn_shared(frame, schema, wrong, odd, expected), frame, schema, wrong)


@dataclass(frozen=True)
class Shared:
    """What is known of one column's shared mistakes.

    placeholders: numbers that stand for unknown, with the words for it, unknown: times that do; low, high: where
    numbers usually lie; factor: cells are this many times what they should be (0: no such mistake), when they lie
    outside low to high and inside it once mended, written with `decimals`, told by `what` and `words`;
    reach_of_signs: up to which negative ones have lost their sign; years: whether the numbers are years, some of two
    digits; texts, counts: what the column's cells hold (of numbers: where some are none, or such years); times: how a
    column of times writes them, where some are written otherwise; template: that a column of codes shares.
    """

    place: int
    placeholders: tuple[tuple[float, str], ...] = ()
    factor: float = 0.0
    low: float = 0.0
    high: float = 0.0
    decimals: int = 0
    what: str = ""
    words: str = ""
    texts: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    times: Times | None = None
    template: Template | None = None
    reach_of_signs: float = 0.0
    unknown: tuple[tuple[str, str], ...] = ()
    years: bool = False

    def with_texts(self, series: pd.Series) -> Shared:
        """With the distinct texts of the column, most frequent first."""
        counts = pd.Series(to_text(series), dtype=object).value_counts()
        return replace(self, texts=tuple(str(t) for t in counts.index), counts=tuple(int(c) for c in counts))

    def vocabulary(self) -> Vocabulary:
        """Of these texts."""
        return Vocabulary(dict(zip(self.texts, self.counts, strict=True)))

    @cached_property
    def reach(self) -> tuple[float, float]:
        """The least and the largest number among these texts; (inf, −inf) where none is one."""
        numbers = to_numeric(pd.Series(self.texts, dtype=object))
        known = numbers[np.isfinite(numbers)]
        return float(known.min(initial=np.inf)), float(known.max(initial=-np.inf))

    def written(self, value: float) -> str:
        """A number with as many decimals as those among these texts."""
        decimals = max((len(t.partition(".")[2]) for t in self.texts if t.replace(".", "", 1).isdigit()), default=0)
        return f"{value:.{decimals}f}"


def learn_shared(
    frame: pd.DataFrame,
    schema: Schema,
    wrong: np.ndarray,
    odd: Oddities,
    expected: Mapping[tuple[int, int], str] | None = None,
) -> tuple[Shared, ...]:
    """The shared mistakes of a table; arguments as find_patterns."""
    found: list[Shared] = []
    for place, column in enumerate(schema.features):
        suspect = np.flatnonzero(wrong[:, place] >= SUSPECT)
        if column.kind is ColumnKind.NUMERIC:
            likely = {i: text for (i, j), text in (expected or {}).items() if j == place}
            found.append(_of_numbers(frame[column.name], suspect, odd, place, likely))
        elif column.kind is ColumnKind.DATETIME:
            found.append(_of_times(frame[column.name], suspect, odd, place))
        elif frame[column.name].nunique() <= MOST_DISTINCT:
            found.append(Shared(place).with_texts(frame[column.name]))
        else:
            found.append(Shared(place))
    texts = {one.place: to_text(frame[schema.features[one.place].name]) for one in found}
    templates = {place: find_template(cells, schema.features[place])[0] for place, cells in texts.items()}
    return tuple(replace(one, template=templates[one.place]) for one in found)


def apply_shared(
    shared: Sequence[Shared], frame: pd.DataFrame, schema: Schema, wrong: np.ndarray
) -> dict[tuple[int, int], Fix]:
    """{(position of the row, place of the feature): fix} of the suspect cells of these rows, or of rows to come."""
    found: dict[tuple[int, int], Fix] = {}
    for one in shared:
        column = schema.features[one.place]
        suspect = np.flatnonzero(wrong[:, one.place] >= SUSPECT)
        if len(suspect):
            mend = MENDERS.get(column.kind, _mended_words)
            found |= {(row, one.place): fix for row, fix in mend(one, frame[column.name], column, suspect)}
            found |= {(row, one.place): fix for row, fix in _as_template(one, frame[column.name], column, suspect)}
    return found


def _as_template(one: Shared, series: pd.Series, column: Column, suspect: np.ndarray) -> Iterator[tuple[int, Fix]]:
    template = one.template
    if template is None:
        return
    for i, text in zip(suspect, to_text(series.iloc[suspect]), strict=True):
        new = template.mended(text) if template.breaks(text) else None
        if new is not None:
            how = f"'{text}' has lost its leading zeros" if template.zeros else f"'{text}' is written unlike the others"
            pattern = "leading zeros lost" if template.zeros else "codes written otherwise"
            yield int(i), Fix(f"{column.name}: {pattern}", new, f"{how}; '{new}' is meant")


def _mended_numbers(one: Shared, series: pd.Series, column: Column, suspect: np.ndarray) -> Iterator[tuple[int, Fix]]:
    numbers, stands, texts = to_numeric(series), dict(one.placeholders), to_text(series)
    vocabulary = one.vocabulary()
    for i in suspect:
        value = float(numbers[i])
        if np.isnan(value):
            fix = _read(texts[i], one, vocabulary, column) if texts[i] else None
            if fix is not None:
                yield int(i), fix
        elif value in stands:
            yield int(i), Fix(f"{column.name}: {value:g} stands for unknown", "", stands[value])
        elif one.years and (year := _whole_year(texts[i], vocabulary.counts)):
            yield (
                int(i),
                Fix(f"{column.name}: years of two digits", year, f"'{texts[i]}' is the end of a year; {year} is meant"),
            )
        elif out_of_sign(numbers[i], one.reach_of_signs):
            new = f"{-value:.{one.decimals}f}"
            yield int(i), Fix(f"{column.name}: signs lost", new, f"{texts[i]} has the wrong sign; {new} is meant")
        elif one.factor and value != 0 and not one.low <= value <= one.high:
            mended = value / one.factor
            if one.low <= mended <= one.high and _writable(mended, one.decimals):
                yield int(i), Fix(f"{column.name}: cells that {one.what}", f"{mended:.{one.decimals}f}", one.words)


def _mended_times(one: Shared, series: pd.Series, column: Column, suspect: np.ndarray) -> Iterator[tuple[int, Fix]]:
    texts = to_text(series.iloc[suspect])
    known = meant([str(t) for t in pd.unique(texts)], one.times) if one.times is not None else {}
    stands = dict(one.unknown)
    for i, text in zip(suspect, texts, strict=True):
        if text in stands:
            yield int(i), Fix(f"{column.name}: {text} stands for unknown", "", stands[text])
        if text in known:
            words = f"'{text}' is written unlike the other times"
            yield int(i), Fix(f"{column.name}: times written otherwise", known[text], words)


def _other_spelling(column: Column, text: str, known: str) -> Fix:
    return Fix(f"{column.name}: spelled unlike '{known}'", known, f"'{text}' looks like '{known}'")


def _read(text: str, one: Shared, vocabulary: Vocabulary, column: Column) -> Fix | None:
    """The number that a cell which is none was meant to be: a frequent one mistyped, or one that is written otherwise.

    It lies between the plain numbers; '5%' beside 0.04 and 0.06 is not 5.
    """
    low, high = one.reach
    other = in_another_unit(text, column.notation) if column.notation is not None else None
    if other is not None:
        number, unit = one.written(other[0]), column.notation.after if column.notation is not None else ""
        fix = Fix(f"{column.name}: numbers in {other[1]}", number, f"{text} is {number}{unit}")
        return fix if low <= other[0] <= high else None
    known = vocabulary.meant(text, vocabulary.counts.get(text, 1))
    for how, number in _written_otherwise(text, column).items():
        if known is None and number and low <= float(number) <= high:
            return Fix(f"{column.name}: numbers with {how}", number, f"'{text}' is no number, but {number} is meant")
    known = known or _only_number_like(text, vocabulary.counts)
    return None if known is None else _other_spelling(column, text, known)


def _written_otherwise(text: str, column: Column) -> dict[str, str]:
    """{in what a text that is no plain number differs from one: the number it would be}; "" where it is none.

    A sign that is not the column's own makes it another number.

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


def _of_numbers(series: pd.Series, suspect: np.ndarray, odd: Oddities, place: int, likely: Mapping[int, str]) -> Shared:
    width = max(float(odd.high[place] - odd.low[place]), 1e-12)
    shared = Shared(place, low=float(odd.low[place]) - width, high=float(odd.high[place]) + width)
    numbers = to_numeric(series)
    years = _are_years(np.delete(numbers, suspect)) and bool((numbers[suspect] < 100).any())
    if years or (np.isnan(numbers[suspect]) & ~is_missing(series.iloc[suspect])).any():
        shared = replace(shared, years=years).with_texts(series)
    suspect = suspect[np.isfinite(numbers[suspect])]
    placeholders = {
        float(value): f"{count:,} suspect cells hold exactly {value:g}, as if it stood for 'unknown'"
        for value, count in _placeholders(numbers, suspect, odd, place)
    }
    rest = np.array([i for i in suspect if numbers[i] not in placeholders], int)
    signs = signs_of(numbers)
    reach = signs.reach if signs.lost else 0.0
    rest = rest[~out_of_sign(numbers[rest], reach)]
    shared = replace(shared, placeholders=tuple(placeholders.items()), decimals=decimals_of(series, rest))
    shared = replace(shared, reach_of_signs=reach)
    return _of_units(shared, numbers, rest, likely)


def _of_times(series: pd.Series, suspect: np.ndarray, odd: Oddities, place: int) -> Shared:
    texts, unknown = to_text(series), []
    for text, count in _placeholders(texts, suspect, odd, place):
        unknown.append((str(text), f"{count:,} suspect cells hold exactly '{text}', as if it stood for 'unknown'"))
    return Shared(place, times=times_of(series), unknown=tuple(unknown))


def _placeholders(cells: np.ndarray, suspect: np.ndarray, odd: Oddities, place: int) -> Iterator[tuple[Any, int]]:
    """(value, count) of far values that many suspect cells of a column hold, and few others."""
    values, counts = np.unique(cells[suspect], return_counts=True)
    apart = (odd.distance[:, place] >= FAR) & (odd.crowd[:, place] >= CROWD)
    for value, count in zip(values, counts, strict=True):
        rows = suspect[cells[suspect] == value]
        if count >= LEAST_CELLS and apart[rows].all() and count >= LEAST_SHARE * (cells == value).sum():
            yield value, int(count)


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
        for year in (
            range(int(known) - YEARS_NEAR, int(known) + YEARS_NEAR + 1) if re.fullmatch(r"\d{4}", known) else ()
        ):
            if year % 100 == int(text):
                near[year] += count
    best = max(near, key=near.__getitem__, default=0)
    return str(best) if best and near[best] >= YEAR_SHARE * sum(near.values()) else None


def _of_units(shared: Shared, numbers: np.ndarray, suspect: np.ndarray, likely: Mapping[int, str]) -> Shared:
    low, high, decimals = shared.low, shared.high, shared.decimals
    outside = suspect[(numbers[suspect] < low) | (numbers[suspect] > high)]
    if len(outside) < LEAST_CELLS:
        return shared
    mended = {f: numbers[outside] / f for f in FACTORS}
    inside = {f: (v >= low) & (v <= high) & (numbers[outside] != 0) & _writable(v, decimals) for f, v in mended.items()}
    best = max(FACTORS, key=lambda f: int(inside[f].sum()))
    hits = int(inside[best].sum())
    if hits < max(LEAST_CELLS, LEAST_SHARE * len(outside)):
        return shared
    if not _usual_ratio(numbers, outside[inside[best]], best, likely):
        return shared
    what = f"are {best:g} times what they should be"
    return replace(shared, factor=best, what=what, words=f"{hits:,} suspect cells {what}, as in another unit")


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


def decimals_of(series: pd.Series, suspect: np.ndarray) -> int:
    """Decimals of the cells that are not suspect."""
    texts = series.drop(series.index[suspect]).head(1000).astype(str)
    found = [re.search(r"\.(\d+)\s*$", t) for t in texts]
    return max((len(m.group(1)) for m in found if m), default=0)


def _mended_words(one: Shared, series: pd.Series, column: Column, suspect: np.ndarray) -> Iterator[tuple[int, Fix]]:
    texts, vocabulary = to_text(series), one.vocabulary()
    often = max(RARE * sum(one.counts), LEAST_CELLS)
    common = [(t, c) for t, c in vocabulary.counts.items() if t and c > often]
    spelled: dict[str, str | None] = {}
    for i in suspect:
        text, count = texts[i], vocabulary.counts.get(texts[i], 1)
        if text not in spelled:
            spelled[text] = vocabulary.meant(text, count)
            if spelled[text] is None and text and count <= often:  # looser: these cells are suspect in other ways, too
                spelled[text] = _known_spelling(text, [t for t, c in common if c >= COMMON_TIMES * count])
        known, read = spelled[text], unscrambled(text)
        if read is not None and (known is None or read in vocabulary.counts):
            words = f"'{text}' was read in another encoding; '{read}' is meant"
            yield int(i), Fix(f"{column.name}: read in another encoding", read, words)
        elif known is not None:
            yield int(i), _other_spelling(column, text, known)


MENDERS = {ColumnKind.NUMERIC: _mended_numbers, ColumnKind.DATETIME: _mended_times}
"""How cells are mended; of all other kinds as words."""


def _known_spelling(text: str, common: list[str]) -> str | None:
    """The one category that is alike; None for none, or for several equally alike."""
    plain = _plain(text)
    scored = sorted(((SequenceMatcher(None, plain, _plain(c)).ratio(), c) for c in common), reverse=True)
    if not scored or scored[0][0] < ALIKE or (len(scored) > 1 and scored[1][0] == scored[0][0]):
        return None
    return scored[0][1]


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().casefold()
