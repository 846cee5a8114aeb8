"""What a cell would be, judging by the other cells of its row: boosted trees per column, asked only where it matters.

Trained on rows without suspect cells that look clean altogether: where a row's errors come together, its other cells
are wrong as well, and trees would learn to foretell one error from the next. Suspect cells count as missing, and the
label is left out, so that a repair tells a later model nothing of the label. Numbers: errors often come to the same
columns of a row, so half of the rows learnt from get the gaps of rows that will be asked about (trees that never saw
a gap make nothing of one); two learners and the median are blended by held rows.
Cost: one fit (numbers: two) on at most FIT_ROWS rows per column with suspect cells.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from demix_core.columns import labels, to_numeric
from demix_core.repairs.mistakes_of_numbers import decimals_of
from demix_core.signals.out_of_fold import Columns
from demix_core.signals.trees import Trees, blend, some_value, trees_of
from demix_core.types import ColumnKind, Schema

SUSPECT = 0.5
DOUBT = 0.2
"""P(the row has a wrong cell) from which it teaches nothing, while enough other rows are there."""

FIT_ROWS, ENOUGH_ROWS, LEAST_ROWS = 6000, 150, 40
ITERATIONS = 40
MOST_CATEGORIES = 30
"""Categories that are predicted, the most frequent ones."""

ALTERNATIVES = 3
LEAST_PROBABILITY = 0.02
HELD = 0.2
"""Share of the rows that the interval and the blend are measured on."""

GAPPED = 0.5
"""Share of the rows learnt from that get the gaps of an asked row; the others say what whole rows tell."""

WEIGHTS = tuple((u / 5, v / 5) for u in range(6) for v in range(6 - u))
"""Blends that are tried: weights of the two learners, the rest is the median's."""

INTERVAL = (0.1, 0.9)
FEW_VALUES = 40
"""A number with at most this many values takes one of them."""


@dataclass(frozen=True)
class Guess:
    """The likeliest text, how likely it is (categories; NaN for numbers), others with their probabilities, and for
    numbers an 80 % interval ('' for categories)."""

    text: str
    probability: float = np.nan
    others: tuple[tuple[str, float], ...] = ()
    low: str = ""
    high: str = ""


@dataclass(frozen=True)
class ColumnGuesser:
    """The trees of one column. place: of the feature; classes: its categories, none for numbers.

    For numbers: low, high: ends of the 80 % interval around a prediction; decimals: as written; known: its values.
    """

    place: int
    trees: Trees
    classes: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    decimals: int = 0
    known: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def guesses(self, x: np.ndarray, texts: np.ndarray) -> Iterator[Guess | None]:
        """One per row; None where no other category is at all likely. x: float [m, F − 1]; texts: the cells."""
        predicted = self.trees.predict(x)
        if not self.classes:
            for value in predicted[:, 0]:
                yield Guess(self._text(value), low=self._text(value + self.low), high=self._text(value + self.high))
            return
        for text, p in zip(texts, predicted, strict=True):
            order = [k for k in np.argsort(-p)[: ALTERNATIVES + 1] if p[k] >= LEAST_PROBABILITY]
            ranked = [(self.classes[k], float(p[k])) for k in order if self.classes[k] != text]
            yield Guess(*ranked[0], tuple(ranked[1:])) if ranked else None

    def _text(self, value: float) -> str:
        value = float(np.clip(value, self.known[0], self.known[-1]))
        if len(self.known) <= FEW_VALUES:
            value = float(self.known[np.abs(self.known - value).argmin()])
        return f"{value:.{self.decimals}f}"


@dataclass(frozen=True)
class Guesser:
    """What was learned of a table: how cells become numbers, and trees for columns that had suspect cells."""

    columns: Columns
    guessers: tuple[ColumnGuesser, ...]

    def guess(
        self, frame: pd.DataFrame, schema: Schema, wrong: np.ndarray, asked: np.ndarray
    ) -> dict[tuple[int, int], Guess]:
        """{(position of the row, place of the feature): guess} of the asked cells, bool [n, F]. frame: texts."""
        hidden = np.where((wrong >= SUSPECT) | asked, np.nan, self.columns.matrix(frame, schema))
        found: dict[tuple[int, int], Guess] = {}
        for one in self.guessers:
            rows = np.flatnonzero(asked[:, one.place])
            if len(rows):
                texts = labels(frame[schema.features[one.place].name].iloc[rows])
                made = one.guesses(np.delete(hidden[rows], one.place, 1), texts)
                found |= {(int(i), one.place): g for i, g in zip(rows, made, strict=True) if g is not None}
        return found


GUESSER_PARTS = (Guesser, ColumnGuesser, Columns, Trees)


def guess_cells(
    frame: pd.DataFrame,
    schema: Schema,
    wrong: np.ndarray,
    asked: np.ndarray,
    far: np.ndarray | None = None,
    doubt: np.ndarray | None = None,
    seed: int = 0,
) -> dict[tuple[int, int], Guess]:
    """{(position of the row, place of the feature): guess} of the asked cells, bool [N, F]. frame: texts.

    far: bool [N, F], cells so far from the bulk that nothing is learned from them, nor are they ever suggested.
    doubt: float [N], P(the row has a wrong cell).
    """
    return learn_guesser(frame, schema, wrong, asked, far, doubt, seed).guess(frame, schema, wrong, asked)


def learn_guesser(
    frame: pd.DataFrame,
    schema: Schema,
    wrong: np.ndarray,
    asked: np.ndarray,
    far: np.ndarray | None = None,
    doubt: np.ndarray | None = None,
    seed: int = 0,
) -> Guesser:
    """What guess_cells learns of a table; arguments as there."""
    columns = Columns.of(frame, schema)
    bad = wrong >= SUSPECT
    calm = ~bad.any(1) & ~asked.any(1)
    doubt = np.zeros(len(frame)) if doubt is None else doubt
    hidden = np.where(bad | asked, np.nan, columns.matrix(frame, schema))
    made: list[ColumnGuesser] = []
    rng = np.random.default_rng(seed)
    for place in np.flatnonzero(asked.any(0)):
        column = schema.features[place]
        series = frame[column.name]
        fine = ~bad[:, place] & ~asked[:, place] & (labels(series) != "")
        fine &= True if far is None else ~far[:, place]
        fit = _least_doubted(fine & calm if (fine & calm).sum() >= LEAST_ROWS else fine, doubt)
        if len(fit) < LEAST_ROWS or hidden.shape[1] < 2:
            continue
        fit = rng.permutation(fit)[:FIT_ROWS]
        others = np.delete(hidden, place, 1)
        learn = _numbers if column.kind is ColumnKind.NUMERIC else _categories
        if column.kind in (ColumnKind.NUMERIC, ColumnKind.CATEGORICAL, ColumnKind.BOOLEAN):
            rows = np.flatnonzero(asked[:, place])
            learned = learn(series, others, fit, rows, seed, int(place))
            made += [learned] if learned is not None else []
    return Guesser(columns, tuple(made))


def _least_doubted(rows: np.ndarray, doubt: np.ndarray) -> np.ndarray:
    """int [n]: of these rows, bool [N], those below DOUBT, or the ENOUGH_ROWS least doubted."""
    some = np.flatnonzero(rows)
    enough = max(int((doubt[some] < DOUBT).sum()), ENOUGH_ROWS)
    return np.sort(some[np.argsort(doubt[some], kind="stable")[:enough]])


def _gapped(x: np.ndarray, asked: np.ndarray, share: float, seed: int) -> np.ndarray:
    """The rows with the gaps of others on top, for a share of them. x: float [n, F]; asked: [m, F], whose gaps."""
    rng = np.random.default_rng(seed)
    gaps = np.isnan(asked[rng.integers(len(asked), size=len(x))]) & (rng.random(len(x)) < share)[:, None]
    return np.where(gaps, np.nan, x)


def _numbers(
    series: pd.Series, x: np.ndarray, fit: np.ndarray, rows: np.ndarray, seed: int, place: int
) -> ColumnGuesser | None:
    y = to_numeric(series)
    fit = fit[np.isfinite(y[fit])]
    if len(fit) < LEAST_ROWS:
        return None
    held, learned = np.split(fit, [int(HELD * len(fit))])
    cells, middle = some_value(_gapped(x[learned], x[rows], GAPPED, seed)), float(np.median(y[learned]))
    parts = [trees_of(_number_model(loss, seed).fit(cells, y[learned])) for loss in ("absolute_error", "squared_error")]
    asked_alike = _gapped(x[held], x[rows], 1.0, seed)
    off = [p.predict(asked_alike)[:, 0] - middle for p in parts]
    left = [y[held] - middle - u * off[0] - v * off[1] for u, v in WEIGHTS]
    best = int(np.argmin([np.abs(e).mean() for e in left]))
    low, high = np.quantile(left[best], INTERVAL)
    return ColumnGuesser(
        place, blend(parts, WEIGHTS[best], middle), low=float(low), high=float(high),
        decimals=decimals_of(series, rows), known=np.unique(y[fit]),
    )  # fmt: skip


def _number_model(loss: str, seed: int) -> HistGradientBoostingRegressor:
    """Absolute errors bear wrong cells among those learnt from, squared ones see more of the ends of a long tail."""
    return HistGradientBoostingRegressor(
        loss=loss, max_iter=ITERATIONS, learning_rate=0.15, early_stopping=False, random_state=seed
    )


def _categories(
    series: pd.Series, x: np.ndarray, fit: np.ndarray, rows: np.ndarray, seed: int, place: int
) -> ColumnGuesser | None:
    texts = labels(series)
    kept = pd.Series(texts[fit]).value_counts().index[:MOST_CATEGORIES]
    fit = fit[np.isin(texts[fit], kept)]
    if len(kept) < 2:
        return None
    rounds = max(10, ITERATIONS // max(1, len(kept) // 3))
    model = HistGradientBoostingClassifier(
        max_iter=rounds, learning_rate=0.15, early_stopping=False, random_state=seed
    ).fit(some_value(x[fit]), texts[fit])
    return ColumnGuesser(place, trees_of(model), tuple(map(str, model.classes_)))
