"""Which cells break a law that nearly all other rows keep: a functional dependency, a one-hot group, an equation, an
order of two columns?

The field calls them integrity constraints; they are found in the table itself, nobody has to state them.
What a law says is beyond what a network has to learn: a row that breaks one has a wrong cell. Which of its cells it is
is told by the other laws that the row breaks and keeps, by which values are strange where the law is broken, and in the
end by what the classifier thinks of each cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, permutations

import numpy as np
import pandas as pd

from demix_core.columns import datetime_format, to_datetime, to_numeric, to_text
from demix_core.datetimes import layout_of
from demix_core.signals.dependencies import Bond, Dependency, find_bonds
from demix_core.signals.equations import Equation, Numbers, find_equations
from demix_core.signals.one_hot import OneHot, find_groups
from demix_core.signals.orders import Order, Scale, Writing, find_orders
from demix_core.types import ColumnKind, Schema

SURE = 0.95
"""P(some cell is wrong) of a row that breaks a law."""

UNEXPLAINED, KEPT = -4.0, -3.0
"""Log-likelihood of a broken law that the wrong cell has no part in, and of a law that a wrong cell keeps by chance (of
an order it is measured)."""

MOST_WRONG = 3
"""Cells of one row that bonds may blame one after the other."""

LEAST = 0.03
"""P(wrong) of any cell that may be it, at least, and P(right): of planted errors eight in a hundred were another's."""

BLOCK = 50_000
MOST_BONDS = 200
"""Of a table whose columns nearly all tell each other; the first found are kept."""

NEARLY = 99.8
"""Percent of the rows that are called nearly all."""

MOST_EMPTY = 0.05
"""The share of the rows that may be empty for a law to say what they should hold."""

LEAST_BLAME = 0.01
TINY = 1e-6
NONE = -1


@dataclass(frozen=True)
class Laws:
    """What laws say of N rows. blame: float32 [N, F], P(this cell is wrong | the row breaks a law), 0 for rows that
    break none; broken: bool [N]; because: int16 [N, F], the law, index into said, NONE; meant: int32 [N, F], index into
    texts of what the cell should hold, NONE; said: each law in words; rows: int64, how many break each; texts: of
    meant.
    """

    blame: np.ndarray
    broken: np.ndarray
    because: np.ndarray
    meant: np.ndarray
    said: np.ndarray
    rows: np.ndarray
    texts: np.ndarray

    def words(self, row: int, place: int) -> str:
        """The law that may make this cell wrong, '' for none."""
        law = int(self.because[row, place])
        return "" if law == NONE else str(self.said[law])

    @classmethod
    def none(cls, rows: int, features: int) -> Laws:
        """Of a table without any law."""
        shape, no = (rows, features), np.zeros(0, str)
        return cls(
            np.zeros(shape, np.float32), np.zeros(rows, bool), np.full(shape, NONE, np.int16),
            np.full(shape, NONE, np.int32), no, np.zeros(0, np.int64), no,
        )  # fmt: skip


@dataclass(frozen=True)
class LawReference:
    """The laws of a run's table, for rows to come. names: of the features; seldom_empty: those of which few cells in
    the table are empty or unreadable, so that one that is may be an error.
    """

    names: tuple[str, ...]
    bonds: tuple[Bond, ...]
    groups: tuple[OneHot, ...]
    equations: tuple[Equation, ...] = ()
    orders: tuple[Order, ...] = ()
    seldom_empty: tuple[int, ...] = ()

    def place(self, frame: pd.DataFrame) -> Laws:
        """What they say of any rows. Memory: O(BLOCK · laws), beside what is returned."""
        bound = {j for law in self._of_numbers() for j in law.places}
        times = {j: w.form for o in self.orders for j, w in zip(o.places, o.writings, strict=True) if w.times}
        numbers = {j: _numbers(frame[self.names[j]], times.get(j)) for j in bound}
        table = _Table([to_text(frame[name]) for name in self.names], numbers)
        starts = range(0, max(len(frame), 1), BLOCK)
        blocks = [self._judge(table.block(start), min(BLOCK, len(frame) - start)) for start in starts]
        return _Found.joined(blocks).done(self._words())

    def _judge(self, table: _Table, rows: int) -> _Found:
        few: tuple[Pair, ...] = (*self.bonds, *self._of_numbers())
        found = _Found.empty(rows, len(self.names), len(few) + len(self.groups))
        for k, group in enumerate(self.groups):
            _judge_group(found, group, table.texts, len(few) + k)
        if few:
            _judge_pairs(found, few, table)
        for k, law in enumerate(few):
            for place in set(law.places) & set(self.seldom_empty):
                _fill(found, law, k, place, table)
        return found

    def _of_numbers(self) -> tuple[Equation | Order, ...]:
        return (*self.equations, *self.orders)

    def _words(self) -> list[str]:
        """Each law, in the order of its number."""
        return [
            *(_say_bond(b, self.names) for b in self.bonds),
            *(_say_numbers(law, self.names) for law in self._of_numbers()),
            *(_say_group(g, self.names) for g in self.groups),
        ]  # fmt: skip


LAW_PARTS = (Bond, Dependency, OneHot, Equation, Order, Writing)
Pair = Bond | Equation | Order
"""Laws that bind few columns."""


def find_laws(frame: pd.DataFrame, schema: Schema, seed: int) -> tuple[Laws, LawReference]:
    """The laws of a table and what they say of its rows."""
    names = tuple(c.name for c in schema.features)
    texts = [to_text(frame[name]) for name in names]
    groups = tuple(find_groups(names, texts))
    grouped = {int(j) for g in groups for j in g.places}
    alone = [np.full(len(frame), "", object) if j in grouped else t for j, t in enumerate(texts)]
    bonds = tuple(islice(find_bonds(alone, np.random.default_rng(seed)), MOST_BONDS))
    numbers = [
        Numbers.of(to_numeric(frame[c.name]), text) if c.kind is ColumnKind.NUMERIC and j not in grouped else None
        for j, (c, text) in enumerate(zip(schema.features, texts, strict=True))
    ]
    equations = tuple(islice(find_equations(numbers, np.random.default_rng(seed)), MOST_BONDS))
    scales = [
        _times(frame[c.name]) if c.kind is ColumnKind.DATETIME else _scale(n)
        for c, n in zip(schema.features, numbers, strict=True)
    ]
    known = {pair for e in equations for pair in permutations(e.places, 2)}
    orders = tuple(islice(find_orders(scales, known, np.random.default_rng(seed)), MOST_BONDS))
    seldom = tuple(j for j in range(len(names)) if _seldom_empty(texts[j], scales[j]))
    reference = LawReference(names, bonds, groups, equations, orders, seldom)
    return reference.place(frame), reference


def _numbers(series: pd.Series, form: str | None) -> np.ndarray:
    """float64 [n]: the numbers of a column; its times where there is a form, '' for native ones."""
    return to_numeric(series) if form is None else to_datetime(series, form or None)


def _seldom_empty(texts: np.ndarray, scale: Scale | None) -> bool:
    empty = texts == "" if scale is None else ~np.isfinite(scale.values)
    return bool(empty.sum() <= MOST_EMPTY * len(empty))


def _scale(numbers: Numbers | None) -> Scale | None:
    return None if numbers is None else Scale(numbers.values, Writing(numbers.decimals))


def _times(series: pd.Series) -> Scale:
    form = datetime_format(series) or ""
    seconds = _numbers(series, form)
    known = np.isfinite(seconds)
    found = layout_of(to_text(series).astype(str)[known], seconds[known], form) if form and known.any() else None
    layout, padded = found or ("", True)
    return Scale(seconds, Writing(0, True, form, layout, padded))


@dataclass(frozen=True)
class _Found:
    """Laws being put together; meant as texts."""

    blame: np.ndarray
    broken: np.ndarray
    because: np.ndarray
    meant: dict[tuple[int, int], str]
    rows: np.ndarray

    @classmethod
    def empty(cls, rows: int, features: int, laws: int) -> _Found:
        shape = (rows, features)
        none = np.full(shape, NONE, np.int16)
        return cls(np.zeros(shape, np.float32), np.zeros(rows, bool), none, {}, np.zeros(laws, np.int64))

    @classmethod
    def joined(cls, blocks: Sequence[_Found]) -> _Found:
        """Of all rows, block after block."""
        starts = np.cumsum([0, *(len(b.broken) for b in blocks)]).tolist()
        meant = {(start + i, j): t for start, b in zip(starts, blocks, strict=False) for (i, j), t in b.meant.items()}
        blame, broken, because = (
            np.concatenate([getattr(b, n) for b in blocks]) for n in ("blame", "broken", "because")
        )
        return cls(blame, broken, because, meant, np.sum([b.rows for b in blocks], 0))

    def done(self, said: Sequence[str]) -> Laws:
        texts = sorted(set(self.meant.values()))
        index = {text: i for i, text in enumerate(texts)}
        meant = np.full(self.blame.shape, NONE, np.int32)
        for at, text in self.meant.items():
            meant[at] = index[text]
        blame = np.where(self.blame > 0, self.blame.clip(LEAST, 1 - LEAST), 0)
        return Laws(blame, self.broken, self.because, meant, np.array(said, str), self.rows, np.array(texts, str))


def _judge_group(found: _Found, group: OneHot, texts: Sequence[np.ndarray], law: int) -> None:
    marked, strange, readable = group.read(texts)
    rows = np.flatnonzero((readable & group.broken(marked)) | strange.any(1))
    if not len(rows):
        return
    found.rows[law] = len(rows)
    clear = ~strange[rows].any(1, keepdims=True)
    wrong = np.where(clear, group.wrong(marked[rows]), strange[rows])
    found.broken[rows] = True
    for i, j in np.argwhere(wrong > LEAST_BLAME):
        row, place = int(rows[i]), int(group.places[j])
        found.blame[row, place], found.because[row, place] = wrong[i, j], law
        blank = marked[row, j] or (strange[row, j] and marked[row].any())
        found.meant[row, place] = str(group.blanks[j] if blank else group.marks[j])


def _judge_pairs(found: _Found, laws: Sequence[Pair], table: _Table) -> None:
    """Laws that bind few columns: who is to blame is told by all of them together."""
    judged = [_judge(law, table) for law in laws]
    broken = np.stack([one.broken for one in judged], 1)
    found.rows[: len(laws)] = broken.sum(0)
    rows = np.flatnonzero(broken.any(1))
    if len(rows):
        found.broken[rows] = True
        _blame_cells(found, judged, broken[rows], rows, len(table.texts))
    for k, (law, one) in enumerate(zip(laws, judged, strict=True)):
        for place in law.places:
            _mean(found, law, k, place, np.flatnonzero(one.broken), table)


def _blame_cells(found: _Found, judged: Sequence[_Judged], left: np.ndarray, rows: np.ndarray, features: int) -> None:
    """left: bool [rows, laws], the broken ones; changed."""
    for _ in range(MOST_WRONG):
        blame = _blame(judged, left, rows, features)
        some = left.any(1)
        before = found.blame[rows[some]]
        found.blame[rows[some]] = before + (1 - before) * blame[some]
        worst = blame.argmax(1)
        for k, one in enumerate(judged):
            left[:, k] &= ~np.isin(worst, one.places)


@dataclass(frozen=True)
class _Table:
    """texts: object [n] of every feature; numbers: float64 [n] of those that equations and orders need."""

    texts: Sequence[np.ndarray]
    numbers: dict[int, np.ndarray]

    def block(self, start: int) -> _Table:
        """BLOCK rows of it."""
        some = slice(start, start + BLOCK)
        return _Table([t[some] for t in self.texts], {j: v[some] for j, v in self.numbers.items()})


@dataclass(frozen=True)
class _Judged:
    """Of one law: kept, broken: bool [n]; places: the features it binds; likely: of each, log-likelihood [n] that its
    cell is the wrong one where the law is broken; by_chance: that a wrong cell keeps it.
    """

    kept: np.ndarray
    broken: np.ndarray
    places: tuple[int, ...]
    likely: tuple[np.ndarray, ...]
    by_chance: float = KEPT


def _judge(law: Pair, table: _Table) -> _Judged:
    if not isinstance(law, Bond):
        kept, broken = law.judge([table.numbers[j] for j in law.places])
        alike = np.full(len(kept), -np.log(len(law.places)))
        by_chance = law.by_chance if isinstance(law, Order) else KEPT
        return _Judged(kept, broken, law.places, (alike,) * len(law.places), by_chance)
    kept, broken, second = law.judge(table.texts[law.first], table.texts[law.second])
    likely = np.log(1 - second + TINY), np.log(second + TINY)
    return _Judged(kept, broken, law.places, likely)


def _blame(judged: Sequence[_Judged], left: np.ndarray, rows: np.ndarray, features: int) -> np.ndarray:
    """float64 [n, F]: P(this is the wrong cell) if one cell is. left: bool [n, laws], broken ones not yet explained."""
    score, touched = np.zeros((len(rows), features)), np.zeros((len(rows), features), bool)
    for k, one in enumerate(judged):
        others = np.setdiff1d(np.arange(features), one.places)
        score[:, others] += UNEXPLAINED * left[:, k, None]
        for place, likely in zip(one.places, one.likely, strict=True):
            score[:, place] += one.by_chance * one.kept[rows] + likely[rows] * left[:, k]
            touched[:, place] |= left[:, k]
    score = np.where(touched, score, -np.inf)
    score -= np.maximum(score.max(1, keepdims=True), -1e30)
    weight = np.exp(score)
    total = weight.sum(1, keepdims=True)
    return np.asarray(np.divide(weight, total, out=np.zeros_like(weight), where=total > 0))


def _mean(found: _Found, law: Pair, k: int, place: int, rows: np.ndarray, table: _Table) -> None:
    """What the cells of feature `place` should hold by one law; the other cells must be likelier right."""
    rows = rows[found.blame[rows, place] > LEAST_BLAME]
    found.because[rows, place] = np.where(found.because[rows, place] == NONE, k, found.because[rows, place])
    others, meant = [j for j in law.places if j != place], _told(law, place, rows, table)
    first = found.blame[rows, place] >= found.blame[rows][:, others].max(1)
    for row, text, mine in zip(rows.tolist(), meant, first, strict=True):
        if text and mine and (row, place) not in found.meant:
            found.meant[row, place] = str(text)
            found.because[row, place] = k


def _told(law: Pair, place: int, rows: np.ndarray, table: _Table) -> list[str]:
    """What a law says that feature `place` holds in these rows, '' for unknown."""
    if not isinstance(law, Bond):
        return law.meant(place, [table.numbers[j][rows] for j in law.places])
    other = next(j for j in law.places if j != place)
    return [str(text) for text in law.meant(place, table.texts[other][rows])]


def _fill(found: _Found, law: Pair, k: int, place: int, table: _Table) -> None:
    """What cells that are empty, or can't be read, should hold by one law."""
    empty = table.texts[place] == "" if isinstance(law, Bond) else ~np.isfinite(table.numbers[place])
    rows = np.flatnonzero(empty)
    for row, text in zip(rows.tolist(), _told(law, place, rows, table), strict=True):
        if text and (row, place) not in found.meant:
            found.meant[row, place] = text
            found.because[row, place] = k


def _say_bond(bond: Bond, names: Sequence[str]) -> str:
    law = min(bond.laws, key=lambda one: one.broken)
    return f"{names[law.by]} tells {names[law.of]} {_in_most(1 - law.broken)}"


def _say_numbers(law: Equation | Order, names: Sequence[str]) -> str:
    return f"{law.words(names)} {_in_most(law.holds)}{law.usually() if isinstance(law, Order) else ''}"


def _in_most(share: float) -> str:
    kept = round(100 * share, 1)
    return f"in {'nearly all' if kept >= NEARLY else f'{kept:g} % of the'} rows"


def _say_group(group: OneHot, names: Sequence[str]) -> str:
    first, last = names[group.places[0]], names[group.places[-1]]
    how = "exactly" if group.exactly else "at most"
    return f"{how} one of the {len(group.places)} columns {first} … {last} is marked in other rows"
