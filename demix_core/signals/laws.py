"""Which cells break a law that nearly all other rows keep: one column told by another, one of several marked?

What a law says is beyond what a network has to learn: a row that breaks one has a wrong cell. Which of its cells it is
is told by the other laws that the row breaks and keeps, by which values are strange where the law is broken, and in the
end by what the classifier thinks of each cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from demix_core.columns import to_text
from demix_core.signals.one_of import OneOf, find_groups
from demix_core.signals.told import Bond, Told, find_bonds
from demix_core.types import Schema

SURE = 0.95
"""P(some cell is wrong) of a row that breaks a law."""

UNEXPLAINED, KEPT = -4.0, -3.0
"""Log-likelihood of a broken law that the wrong cell has no part in, and of a law that a wrong cell keeps by chance."""

MOST_WRONG = 3
"""Cells of one row that bonds may blame one after the other."""

LEAST = 0.03
"""P(wrong) of any cell that may be it, at least, and P(right): of planted errors eight in a hundred were another's."""

NEARLY = 99.8
"""Percent of the rows that are called nearly all."""

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
    """The laws of a run's table, for rows to come. names: of the features."""

    names: tuple[str, ...]
    bonds: tuple[Bond, ...]
    groups: tuple[OneOf, ...]

    def place(self, frame: pd.DataFrame) -> Laws:
        """What they say of any rows."""
        texts = [to_text(frame[name]) for name in self.names]
        found = _Found.empty(len(frame), len(self.names), len(self.bonds) + len(self.groups))
        for k, group in enumerate(self.groups):
            _judge_group(found, group, texts, len(self.bonds) + k)
        if self.bonds:
            _judge_bonds(found, self.bonds, texts)
        said = [_say_bond(b, self.names) for b in self.bonds] + [_say_group(g, self.names) for g in self.groups]
        return found.done(said)


LAW_PARTS = (Bond, Told, OneOf)


def find_laws(frame: pd.DataFrame, schema: Schema, seed: int) -> tuple[Laws, LawReference]:
    """The laws of a table and what they say of its rows."""
    names = tuple(c.name for c in schema.features)
    texts = [to_text(frame[name]) for name in names]
    groups = tuple(find_groups(names, texts))
    grouped = {int(j) for g in groups for j in g.places}
    alone = [np.full(len(frame), "", object) if j in grouped else t for j, t in enumerate(texts)]
    bonds = tuple(find_bonds(alone, np.random.default_rng(seed)))
    reference = LawReference(names, bonds, groups)
    return reference.place(frame), reference


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
        return cls(np.zeros(shape), np.zeros(rows, bool), np.full(shape, NONE, np.int16), {}, np.zeros(laws, np.int64))

    def done(self, said: Sequence[str]) -> Laws:
        texts = sorted(set(self.meant.values()))
        index = {text: i for i, text in enumerate(texts)}
        meant = np.full(self.blame.shape, NONE, np.int32)
        for at, text in self.meant.items():
            meant[at] = index[text]
        blame = np.where(self.blame > 0, self.blame.clip(LEAST, 1 - LEAST), 0)
        return Laws(
            blame.astype(np.float32),
            self.broken,
            self.because,
            meant,
            np.array(said, str),
            self.rows,
            np.array(texts, str),
        )


def _judge_group(found: _Found, group: OneOf, texts: Sequence[np.ndarray], law: int) -> None:
    marked, strange, readable = group.read(texts)
    rows = np.flatnonzero((readable & group.broken(marked)) | strange.any(1))
    if not len(rows):
        return
    found.rows[law] = len(rows)
    clear = ~strange[rows].any(1, keepdims=True)
    wrong = np.where(clear, group.wrong(marked[rows]), strange[rows])
    found.broken[rows] = True
    for i, j in np.argwhere(wrong > 0.01):
        row, place = int(rows[i]), int(group.places[j])
        found.blame[row, place], found.because[row, place] = wrong[i, j], law
        blank = marked[row, j] or (strange[row, j] and marked[row].any())
        found.meant[row, place] = str(group.blanks[j] if blank else group.marks[j])


def _judge_bonds(found: _Found, bonds: Sequence[Bond], texts: Sequence[np.ndarray]) -> None:
    judged = [b.judge(texts[b.first], texts[b.second]) for b in bonds]
    kept, broken, second = (np.stack(of, 1) for of in zip(*judged, strict=True))
    rows = np.flatnonzero(broken.any(1))
    if not len(rows):
        return
    found.rows[: len(bonds)] = broken.sum(0)
    kept, broken, second = kept[rows], broken[rows], second[rows]
    found.broken[rows] = True
    features = len(texts)
    ends = np.zeros((2, len(bonds), features))
    for b, bond in enumerate(bonds):
        ends[0, b, bond.first] = ends[1, b, bond.second] = 1
    left = broken.copy()
    for _ in range(MOST_WRONG):
        blame = _blame(left, kept, second, ends)
        some = left.any(1)
        before = found.blame[rows[some]]
        found.blame[rows[some]] = before + (1 - before) * blame[some]
        worst = blame.argmax(1)
        left &= ~((ends[0] + ends[1])[:, worst].T > 0)
    for b, bond in enumerate(bonds):
        for place, other in ((bond.first, bond.second), (bond.second, bond.first)):
            here = rows[broken[:, b]]
            _mean(found, bond, place, other, here, texts, b)


def _mean(
    found: _Found, bond: Bond, place: int, other: int, rows: np.ndarray, texts: Sequence[np.ndarray], law: int
) -> None:
    """What the cells of feature `place` should hold by one bond; the other cell must be the likelier right one."""
    rows = rows[found.blame[rows, place] > 0.01]
    found.because[rows, place] = np.where(found.because[rows, place] == NONE, law, found.because[rows, place])
    for row, text in zip(rows, bond.meant(place, texts[other][rows]), strict=True):
        if text and (found.blame[row, other] <= found.blame[row, place]) and (row, place) not in found.meant:
            found.meant[int(row), place] = str(text)
            found.because[row, place] = law


def _blame(broken: np.ndarray, kept: np.ndarray, second: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """float64 [n, F]: P(this is the wrong cell) if one cell is. broken, kept: bool [n, B]; second: float [n, B]."""
    touches = ends[0] + ends[1]
    count = broken @ touches
    score = UNEXPLAINED * (broken.sum(1, keepdims=True) - count) + KEPT * (kept @ touches)
    score += (broken * np.log(second + 1e-6)) @ ends[1] + (broken * np.log(1 - second + 1e-6)) @ ends[0]
    score = np.where(count > 0, score, -np.inf)
    score -= np.maximum(score.max(1, keepdims=True), -1e30)
    weight = np.exp(score)
    total = weight.sum(1, keepdims=True)
    return np.asarray(np.divide(weight, total, out=np.zeros_like(weight), where=total > 0))


def _say_bond(bond: Bond, names: Sequence[str]) -> str:
    law = min(bond.laws, key=lambda one: one.broken)
    kept = round(100 * (1 - law.broken), 1)
    return f"{names[law.by]} tells {names[law.of]} in {'nearly all' if kept >= NEARLY else f'{kept:g} % of the'} rows"


def _say_group(group: OneOf, names: Sequence[str]) -> str:
    first, last = names[group.places[0]], names[group.places[-1]]
    how = "exactly" if group.exactly else "at most"
    return f"{how} one of the {len(group.places)} columns {first} … {last} is marked in other rows"
