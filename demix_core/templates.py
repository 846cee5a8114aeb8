"""The template that the codes of a column share ('AB-03756': two letters, a dash, digits), and cells that break it.

Only columns that nearly all keep to one have a template, and only if digits are part of it: names and sentences are
written in many ways. A few texts that many rows hold ('unknown') are values of their own, however they are written.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd

from demix_core.types import Column, ColumnKind

K = TypeVar("K")

REGULAR, REGULAR_WIDTH = 0.98, 0.99
"""The share of the rows that must keep to the kinds of signs and their order, and to their number as well."""

FEWEST_ROWS, FEWEST_TEXTS = 100, 20
OFTEN = 5
"""Rows that hold the same text, from which it is one of the column's own."""

LEADING_ZEROS, FEWEST_ZEROS = 0.01, 5
"""The share of the rows of a column of numbers that begin with a 0, and different texts of them, from which they are
codes."""

MOST_SHORT, SHORTEST_CODE = 0.3, 3
"""Of these at most this share may have lost their zeros; the others have one length, not below that."""

FREQUENT = 0.05
"""The share of the rows from which a way of writing is one that a cell may have been meant in."""

SAMPLE = 2000
"""Texts that are looked at first."""

DIGITS, LETTERS = re.compile(r"\d+"), re.compile(r"[^\W\d_]+")
KINDS = "9a"


@dataclass(frozen=True)
class Template:
    """signs: kinds of signs, one of each run, in their order; length: that texts have, 0 for any; ways: the frequent
    ways of writing, sign for sign; case: 'upper' or 'lower' where all letters are, '' for any; zeros: whether it is of
    numbers that begin with zeros, so that shorter ones have lost theirs.
    """

    signs: str
    length: int
    ways: tuple[str, ...]
    case: str = ""
    zeros: bool = False

    def breaks(self, text: str) -> bool:
        """Whether a text, of few rows, is written otherwise."""
        plain = text.strip()
        if not plain:
            return False
        if self.zeros:
            return plain.isdecimal() and len(plain) < self.length
        return _runs(plain) != self.signs or len(plain) < self.length or self._case_differs(plain)

    def _case_differs(self, text: str) -> bool:
        return bool(self.case) and text != getattr(text, self.case)()

    def mended(self, text: str) -> str | None:
        """As it was meant, where letters and digits are those of one of the frequent ways; None for unknown.

        >>> Template("a-9", 0, ("aa-999",), "upper").mended("ab375")
        'AB-375'
        """
        plain = text.strip()
        if self.zeros:
            return plain.zfill(self.length) if plain.isdecimal() else None
        letters = [c for c in plain if _kinds(c) in KINDS]
        alike = [way for way in self.ways if _alone(way) == _alone(_kinds(plain))]
        if len(alike) != 1:
            return None
        rest = iter(letters)
        made = "".join(next(rest) if kind in KINDS else kind for kind in alike[0])
        return getattr(made, self.case)() if self.case else made


def find_template(
    texts: np.ndarray, column: Column, counts: np.ndarray | None = None
) -> tuple[Template | None, dict[str, int]]:
    """(the template of a column, rows that hold each text); without a template no counts.

    texts: object [N] of str; counts: int [N], rows that hold each of them, None where each is a row.
    """
    if not _may_be_codes(texts[:: max(1, len(texts) // SAMPLE)], column):
        return None, {}
    if counts is None:
        rows, texts = pd.factorize(texts)
        counts = np.bincount(rows)
    known = dict(zip(texts.tolist(), counts.tolist(), strict=True))
    template = _column_template(known, column)
    return template, known if template is not None else {}


def off_template(texts: np.ndarray, column: Column) -> np.ndarray:
    """bool [N]: cells that are written unlike nearly all others of a column of codes. texts: object [N] of str."""
    template, counts = find_template(texts, column)
    odd = odd_texts(counts, template)
    return np.array([text in odd for text in texts], bool) if odd else np.zeros(len(texts), bool)


def _column_template(counts: Mapping[str, int], column: Column) -> Template | None:
    """The template of a column of the table; times and marks of yes and no have none."""
    if column.kind in (ColumnKind.DATETIME, ColumnKind.BOOLEAN) or column.notation is not None:
        return None
    return template_of(counts, column.kind is ColumnKind.NUMERIC)


def _may_be_codes(some: np.ndarray, column: Column) -> bool:
    """Whether it is worth a look at all: digits in nearly all texts, or numbers that begin with a 0."""
    if column.kind is ColumnKind.NUMERIC:
        return any(text[:1] == "0" and text.isdecimal() and len(text) > 1 for text in some)
    told = [text for text in some if text.strip()]
    return sum(any(c.isdecimal() for c in text) for text in told) >= (REGULAR - FREQUENT) * max(len(told), 1)


def template_of(counts: Mapping[str, int], numbers: bool = False) -> Template | None:
    """The template of a column; None where it has none. counts: rows that hold each text; numbers: it holds such."""
    known = {text.strip(): count for text, count in counts.items() if text.strip()}
    if len(known) < FEWEST_TEXTS or sum(known.values()) < FEWEST_ROWS:
        return None
    if numbers:
        return _of_numbers(known)
    first = dict(list(known.items())[:: max(1, len(known) // SAMPLE)])
    if _most(first, _runs)[1] < REGULAR - FREQUENT:
        return None
    written = {text: _kinds(text) for text in known}
    runs = {way: _runs(way) for way in set(written.values())}
    signs, share = _most(known, lambda text: runs[written[text]])
    if share < REGULAR or "9" not in signs:
        return None
    kept = {text: count for text, count in known.items() if runs[written[text]] == signs}
    length, same = _most(kept, len)
    ways = tuple(way for way, part in _shares(kept, written.__getitem__).items() if part >= FREQUENT)
    return Template(signs, length if same >= REGULAR_WIDTH else 0, ways, _case(kept))


def _of_numbers(known: Mapping[str, int]) -> Template | None:
    zeros = {t: n for t, n in known.items() if t[0] == "0" and t.isdecimal() and t.strip("0")}
    if len(zeros) < FEWEST_ZEROS or sum(zeros.values()) < LEADING_ZEROS * sum(known.values()):
        return None
    length, share = _most(known, lambda text: len(text) if text.isdecimal() else 0)
    if share < 1 - MOST_SHORT or length < SHORTEST_CODE:
        return None
    return Template("9", length, ("9" * length,), zeros=True)


def odd_texts(counts: Mapping[str, int], template: Template | None) -> set[str]:
    """The texts of few rows that break it."""
    if template is None:
        return set()
    return {text for text, count in counts.items() if count < OFTEN and template.breaks(text)}


def _kinds(text: str) -> str:
    """The kind of every sign: 9 for a digit, a for a letter, others as they are.

    >>> _kinds("AB-037")
    'aa-999'
    """
    return LETTERS.sub(lambda run: "a" * len(run[0]), DIGITS.sub(lambda run: "9" * len(run[0]), text))


def _runs(text: str) -> str:
    """The kinds of signs, one of each run.

    >>> _runs("AB-03756"), _runs("ann7@mail.org")
    ('a-9', 'a9@a.a')
    """
    return LETTERS.sub("a", DIGITS.sub("9", text))


def _alone(kinds: str) -> str:
    """Digits and letters alone."""
    return "".join(kind for kind in kinds if kind in KINDS)


def _case(texts: Iterable[str]) -> str:
    every = [text for text in texts if text.upper() != text.lower()]
    for case in ("upper", "lower"):
        if every and sum(text == getattr(text, case)() for text in every) >= REGULAR * len(every):
            return case
    return ""


def _shares(counts: Mapping[str, int], kind: Callable[[str], K]) -> dict[K, float]:
    """{kind: share of the rows}, most frequent first."""
    found: dict[K, float] = defaultdict(float)
    for text, count in counts.items():
        found[kind(text)] += count
    rows = sum(found.values())
    return {one: n / rows for one, n in sorted(found.items(), key=lambda item: -item[1])}


def _most(counts: Mapping[str, int], kind: Callable[[str], K]) -> tuple[K, float]:
    """The most frequent kind and its share."""
    return next(iter(_shares(counts, kind).items()))
