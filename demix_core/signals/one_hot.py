"""One-hot groups: columns of which exactly one is marked in each row ('soil_1' … 'soil_40'), and what breaks this.

Each row is thought to have one true category among the group's columns, whose marks are then flipped at a rate of each
column's own: a latent class model with one parameter per class and column, fitted by EM. So a row with two marks, or
none, tells which cell is likeliest wrong, by which columns are spoilt in general.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

FEWEST_COLUMNS = 3
SEVERAL = 0.02
"""The share of rows with several marks up to which a group is one whatever breaks it."""

LEAST_EXACT, MOST_MARKED = 0.6, 0.98
SELDOM = 0.01
"""Rows without a mark are wrong if they are rarer than this, or than rows with several."""

EXCLUSIVE = 0.005
"""Above SEVERAL: the share of rows with several marks once the MOST_SPOILT columns that clash most are left out."""

MOST_SPOILT, MOST_SPOILT_SHARE = 5, 0.34
EVEN = 0.5
"""Wrong cells are thought to be spread evenly over the columns, beside where they are, as if so many times as many."""

ROUNDS = 30
MOST_VALUES = 200
"""Among the first cells; a spoilt column has more than a mark and a blank."""

RAREST = 1e-4

NUMBERED = re.compile(r"^(?P<stem>.*?\D)\d+$")


@dataclass(frozen=True)
class OneHot:
    """Exactly one of these features is marked, or at most one. places: of them among all features; marks, blanks: the
    texts of a mark and of none, one each; share: float64 [k], how often each is the true one; flips: how often each
    cell is wrong; exactly: whether no mark at all is wrong.
    """

    exactly: bool
    places: np.ndarray
    marks: np.ndarray
    blanks: np.ndarray
    share: np.ndarray
    flips: np.ndarray

    def read(self, texts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(marked, strange: neither a mark nor none, bool [n, k]; readable bool [n]: all cells are either).

        texts: of all features, object [n]; missing cells are neither marked nor strange.
        """
        columns = [texts[j] for j in self.places]
        marked = np.stack([t == m for t, m in zip(columns, self.marks, strict=True)], 1)
        blank = np.stack([t == b for t, b in zip(columns, self.blanks, strict=True)], 1)
        missing = np.stack([t == "" for t in columns], 1)
        return marked, ~(marked | blank | missing), (marked | blank).all(1)

    def broken(self, marked: np.ndarray) -> np.ndarray:
        """bool [n]: rows that break the law."""
        marks = marked.sum(1)
        return np.asarray(marks != 1 if self.exactly else marks > 1)

    def wrong(self, marked: np.ndarray) -> np.ndarray:
        """float64 [n, k]: P(cell wrong) of rows by the model. marked: bool [n, k]."""
        true = _posterior(marked, self.share, self.flips)
        return np.where(marked, 1 - true, true)


def find_groups(names: Sequence[str], texts: Sequence[np.ndarray]) -> Iterator[OneHot]:
    """The groups among columns whose names differ at the end only, or that stand side by side and are hardly ever
    broken. texts: object [N] of every feature, '' missing.
    """
    pairs = [_pair(text) for text in texts]
    left = set()
    for places in _named_alike(names, pairs):
        group = _group(places, texts, pairs)
        if group is not None:
            left.update(places)
            yield group
    for places in _side_by_side(texts, [None if j in left else pair for j, pair in enumerate(pairs)]):
        group = _group(places, texts, pairs)
        if group is not None:
            yield group


Pair = tuple[str, str]
"""(mark, blank), as written in a column."""


def _named_alike(names: Sequence[str], pairs: Sequence[Pair | None]) -> list[list[int]]:
    """Columns of two values by the stem of their name."""
    stems: dict[str, list[int]] = {}
    for place, (name, pair) in enumerate(zip(names, pairs, strict=True)):
        stem = _stem(name)
        if stem and pair is not None:
            stems.setdefault(stem, []).append(place)
    return [places for places in stems.values() if len(places) >= FEWEST_COLUMNS]


def _side_by_side(texts: Sequence[np.ndarray], pairs: Sequence[Pair | None]) -> Iterator[list[int]]:
    """Neighbouring columns of two values with one mark in nearly every row; the longest from each column on."""
    start = 0
    while start < len(pairs):
        stop, best = start, start
        marks = np.zeros(len(texts[start]), np.int64)
        while stop < len(pairs) and (pair := pairs[stop]) is not None:
            marks += texts[stop] == pair[0]
            stop += 1
            if (marks > 1).mean() > SELDOM:
                break
            if (marks == 1).mean() >= 1 - SELDOM:
                best = stop
        if best - start >= FEWEST_COLUMNS:
            yield list(range(start, best))
        start = max(best, start + 1)


def _stem(name: str) -> str:
    """What a column's name shares with those of its group.

    >>> _stem("Soil_Type12"), _stem("color_dark red"), _stem("age")
    ('Soil_Type', 'color', '')
    """
    numbered = NUMBERED.match(name)
    if numbered:
        return numbered["stem"]
    stem, sign, _ = name.partition("_") if "_" in name else name.partition("=") if "=" in name else name.partition(".")
    return stem if sign else ""


def _pair(text: np.ndarray) -> Pair | None:
    """(mark, blank) of a column of two values; None for others."""
    if len(set(text[:1000].tolist())) > MOST_VALUES:
        return None
    values, counts = np.unique(text.astype(str), return_counts=True)
    two = sorted((str(v) for v in values[np.argsort(-counts, kind="stable")][:2]), key=str.casefold)
    return (two[1], two[0]) if tuple(v.casefold() for v in two) in MARKS else None


MARKS = (("0", "1"), ("0.0", "1.0"), ("false", "true"), ("no", "yes"), ("n", "y"), ("f", "t"))
"""(blank, mark) in lower case; both orders of the alphabet and of meaning are the same."""


def _group(places: Sequence[int], texts: Sequence[np.ndarray], pairs: Sequence[Pair | None]) -> OneHot | None:
    written = [pair for j in places if (pair := pairs[j]) is not None]
    marks, blanks = (np.array(of, object) for of in zip(*written, strict=True))
    columns = [(texts[j], m, b) for j, m, b in zip(places, marks, blanks, strict=True)]
    known = np.all([(t == m) | (t == b) for t, m, b in columns], 0)
    marked = np.stack([t == m for t, m, _ in columns], 1)[known]
    if len(marked) < len(known) / 2 or not _holds(marked):
        return None
    share, flips = _fit(marked)
    none, several = (marked.sum(1) == 0).mean(), (marked.sum(1) > 1).mean()
    return OneHot(bool(none <= max(several, SELDOM)), np.array(places), marks, blanks, share, flips)


def _holds(marked: np.ndarray) -> bool:
    """Whether at most one is marked, but for chance errors or a few spoilt columns. marked: bool [n, k]."""
    if marked.mean(0).max() > MOST_MARKED or (marked.sum(1) == 1).mean() < LEAST_EXACT:
        return False
    rest = marked.astype(np.float32)
    for left_out in range(1 + min(MOST_SPOILT, int(MOST_SPOILT_SHARE * marked.shape[1]))):
        if float((rest.sum(1) > 1).mean()) <= (SEVERAL if left_out == 0 else EXCLUSIVE):
            return True
        together = rest.T @ rest
        np.fill_diagonal(together, 0)
        rest = np.delete(rest, int(together.sum(0).argmax()), 1)
    return False


def _fit(marked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(share, flips) by EM on the distinct rows. Cost: O(rounds · distinct rows · k)."""
    rows, counts = np.unique(marked, axis=0, return_counts=True)
    k = marked.shape[1]
    share, flips = np.full(k, 1 / k), np.full(k, 0.02)
    for _ in range(ROUNDS):
        true = _posterior(rows, share, flips) * counts[:, None]
        share = (true.sum(0) + RAREST) / (true.sum() + k * RAREST)
        wrong = np.where(rows, counts[:, None] - true, true).sum(0)
        even = EVEN * wrong.sum() / k
        flips = np.clip((wrong + even) / (1 + EVEN) / counts.sum(), RAREST, 0.5)
    return share, flips


def _posterior(marked: np.ndarray, share: np.ndarray, flips: np.ndarray) -> np.ndarray:
    """float64 [n, k]: P(this column's category is the row's true one)."""
    odds = np.log((1 - flips) / flips)
    score = np.log(share) + np.where(marked, odds, -odds)  # of other columns every category pays the same
    score -= score.max(1, keepdims=True)
    true: np.ndarray = np.exp(score)
    return true / true.sum(1, keepdims=True)
