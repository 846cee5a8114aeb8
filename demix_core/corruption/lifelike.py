"""Synthetic tables with the habits of real ones: half of the DEC's training data; the other half is in synthetic.py.

The same idea of a random graph of noisy random functions, seen through columns of mixed kinds as real tables have
them: counts, amounts heaped on round values, zeros and defaults, skewed and heavy tails, few or hundreds of categories,
recoded copies of other columns, totals, dates, gaps. What is odd in them and no error (a default, a missing value)
teaches the DEC not to accuse it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from demix_core.types import Column, ColumnKind, Schema, Task

TARGET = "target"
FEWEST_COLUMNS, MOST_COLUMNS = 4, 30

Array = np.ndarray
Function = Callable[[Array], Array]

FUNCTIONS: tuple[Function, ...] = (
    np.tanh,
    lambda v: np.maximum(v, 0),
    np.sin,
    lambda v: v,
    lambda v: v,
    np.abs,
    np.square,
    lambda v: np.sign(v) * np.sqrt(np.abs(v)),
    lambda v: np.exp(-np.square(v)),
    lambda v: (v > 0).astype(float),
    lambda v: np.floor(2 * v) / 2,
)


def draw_table(rows: int, rng: np.random.Generator, regression: bool) -> tuple[pd.DataFrame, Schema]:
    """A table of `rows` rows, 4–30 features of mixed kinds and a target; classes are strings, two to ten of them."""
    nodes = _causal_nodes(rows, rng)
    wanted = round(float(np.exp(rng.uniform(np.log(FEWEST_COLUMNS), np.log(MOST_COLUMNS)))))
    count = min(nodes.shape[1] - 1, wanted)
    order = rng.permutation(nodes.shape[1])
    columns: dict[str, Array] = {}
    described: list[Column] = []
    for j in range(count):
        copied = j > 1 and rng.random() < COPIES
        source = nodes[:, order[rng.integers(j)]] if copied else nodes[:, order[j]]
        columns[f"x{j}"], kind = _observe(_standard(source), rng)
        described.append(Column(f"x{j}", kind))
    _add_total(columns, described, rng)
    columns[TARGET], classes = _target(_signal(nodes, order, count, rng), regression, rng)
    task = Task.REGRESSION if regression else Task.CLASSIFICATION
    kind = ColumnKind.NUMERIC if regression else ColumnKind.CATEGORICAL
    schema = Schema((*described, Column(TARGET, kind)), TARGET, task, classes)
    return pd.DataFrame(columns), schema


COPIES = 0.08
"""The share of columns that show a variable that another column shows already: recodes, roundings, bins."""


# ---- the graph ---------------------------------------------------------------------------------------------------


def _causal_nodes(rows: int, rng: np.random.Generator) -> Array:
    """float [rows, P]: all variables of the graph that vary; some graphs have groups of rows, some a course of time."""
    layer = np.stack([_root(rows, rng) for _ in range(rng.integers(4, 14))], 1)
    if rng.random() < 0.3:
        centres = rng.normal(size=(int(rng.integers(2, 9)), layer.shape[1])) * rng.uniform(0.8, 2)
        layer = layer * 0.6 + centres[_zipf(rows, len(centres), rng)]
    if rng.random() < 0.15:
        time = np.sort(rng.random(rows))
        layer[:, 0] = time * 3 - 1.5
        layer[:, 1] = np.sin(2 * np.pi * time * rng.integers(1, 20)) + 0.3 * rng.normal(size=rows)
    nodes = [layer]
    for _ in range(rng.integers(1, 6)):
        nodes.append(_next_layer(np.concatenate(nodes[-2:], 1), rng))
    every = np.concatenate(nodes, 1)
    return every[:, every.std(0) > 0.05]


def _root(rows: int, rng: np.random.Generator) -> Array:
    draw = rng.integers(6)
    if draw == 0:
        return rng.uniform(-1.7, 1.7, rows)
    if draw == 1:
        return _standard(rng.exponential(size=rows))
    if draw == 2:
        return _standard(rng.standard_t(3, rows))
    if draw == 3:
        return np.where(rng.random(rows) < rng.uniform(0.2, 0.8), rng.normal(-1, 0.5, rows), rng.normal(1, 0.5, rows))
    return rng.normal(size=rows)


def _next_layer(before: Array, rng: np.random.Generator) -> Array:
    """Each variable: a random function of a few earlier ones, or the product, or a small tree of two; plus noise."""
    rows, found = len(before), []
    for _ in range(rng.integers(4, 16)):
        parents = rng.permutation(before.shape[1])[: rng.integers(1, 5)]
        draw = rng.random()
        if draw < 0.12 and len(parents) > 1:
            value = before[:, parents[0]] * before[:, parents[1]]
        elif draw < 0.3 and len(parents) > 1:
            value = _tree(before[:, parents[0]], before[:, parents[1]], rng)
        else:
            mixed = before[:, parents] @ rng.normal(size=len(parents)) + rng.normal() * 0.5
            value = FUNCTIONS[rng.integers(len(FUNCTIONS))](mixed)
        noise = rng.standard_t(4, rows) if rng.random() < 0.2 else rng.normal(size=rows)
        spread = np.exp(0.5 * before[:, parents[0]].clip(-2, 2)) if rng.random() < 0.15 else 1.0
        found.append(value + noise * spread * rng.uniform(0.02, 0.6) * (value.std() + 0.1))
    return np.clip(np.stack(found, 1), -12, 12)


def _tree(a: Array, b: Array, rng: np.random.Generator) -> Array:
    """A table of random values over a few cuts of two variables."""
    codes = [np.digitize(v, np.quantile(v, np.sort(rng.random(rng.integers(1, 4))))) for v in (a, b)]
    return np.asarray(rng.normal(size=(4, 4))[codes[0], codes[1]])


def _standard(v: Array) -> Array:
    return np.asarray((v - v.mean()) / (v.std() + 1e-9))


def _zipf(rows: int, count: int, rng: np.random.Generator) -> Array:
    """Group ids, a few large groups and many small ones."""
    share = 1 / np.arange(1, count + 1) ** rng.uniform(0, 1.5)
    return rng.choice(count, rows, p=share / share.sum())


def _signal(nodes: Array, order: Array, count: int, rng: np.random.Generator) -> Array:
    """What decides the target: a variable of its own, or a sum of some that are seen; some of it is never seen."""
    if rng.random() < 0.6:
        value = _standard(nodes[:, order[count]])
    else:
        used = order[rng.permutation(count)[: rng.integers(1, 6)]]
        parts = [FUNCTIONS[rng.integers(len(FUNCTIONS))](_standard(nodes[:, k])) for k in used]
        value = _standard(np.stack(parts, 1) @ rng.normal(size=len(used)))
    return value + rng.normal(size=len(nodes)) * rng.uniform(0.03, 0.9)


# ---- the columns -------------------------------------------------------------------------------------------------


def _observe(v: Array, rng: np.random.Generator) -> tuple[Array, ColumnKind]:
    """One variable as a column of a table."""
    draw = rng.random()
    if draw < 0.33:
        return _categories(v, rng)
    if draw < 0.37:
        start = pd.Timestamp("2015-01-01") + pd.Timedelta(days=int(rng.integers(2000)))
        days = (v - v.min()) * rng.uniform(10, 400)
        return (start + pd.to_timedelta(days.astype(int), unit="D")).strftime("%Y-%m-%d").to_numpy(
            object
        ), ColumnKind.DATETIME
    numbers = NUMBERS[rng.integers(len(NUMBERS))](v, rng)
    if rng.random() < 0.12:
        numbers = _with_default(numbers, rng)
    if rng.random() < 0.15:
        gap = rng.uniform(0.005, 0.25)
        missing = rng.random(len(v)) < (gap if rng.random() < 0.5 else gap * 2 / (1 + np.exp(-2 * v)))
        numbers = np.where(missing, np.nan, numbers)
    return numbers, ColumnKind.NUMERIC


def _categories(v: Array, rng: np.random.Generator) -> tuple[Array, ColumnKind]:
    """Two to hundreds of categories, in the order of the variable or out of it, some drawn at random, some unknown."""
    draw = rng.random()
    if draw < 0.3:
        codes = (v > np.quantile(v, rng.uniform(0.05, 0.95))).astype(int)
    elif draw < 0.85:
        codes = np.digitize(v, np.quantile(v, np.sort(rng.random(int(rng.integers(1, 14))))))
    else:
        count = int(rng.integers(15, 150))
        codes = (np.argsort(np.argsort(v + rng.normal(size=len(v)) * 0.3)) * count // len(v)).astype(int)
        codes = np.minimum(codes, _zipf(len(v), count, rng) + int(rng.integers(0, count)))
    size = int(codes.max()) + 1
    mixed = np.where(rng.random(len(v)) < rng.uniform(0, 0.2), _zipf(len(v), size, rng), codes)
    names = np.array([f"v{k}" for k in rng.permutation(size + 40)[:size]], object)
    texts = names[mixed]
    if rng.random() < 0.15:
        texts = np.where(rng.random(len(v)) < rng.uniform(0.005, 0.2), rng.choice(["unknown", "", "other"]), texts)
    return texts.astype(object), ColumnKind.BOOLEAN if size == 2 and rng.random() < 0.3 else ColumnKind.CATEGORICAL


def _count(v: Array, rng: np.random.Generator) -> Array:
    return np.asarray(np.round(v * rng.uniform(1, 20) + rng.uniform(0, 60)))


def _small_count(v: Array, rng: np.random.Generator) -> Array:
    return rng.poisson(np.exp(np.clip(v * rng.uniform(0.3, 1), -4, 3) + rng.uniform(-1.5, 1.5))).astype(float)


def _amount(v: Array, rng: np.random.Generator) -> Array:
    """Skewed, sometimes heaped on round values."""
    amount = np.exp(v * rng.uniform(0.3, 1.5)) * rng.choice([1, 30, 1000, 2e4])
    if rng.random() < 0.4:
        step = 10.0 ** np.floor(np.log10(np.median(amount) / rng.choice([5, 20, 100])))
        heaped = np.round(amount / step) * step
        amount = np.where(rng.random(len(v)) < rng.uniform(0.3, 1), heaped, amount)
    return np.asarray(np.round(amount, int(rng.choice([0, 2]))))


def _often_zero(v: Array, rng: np.random.Generator) -> Array:
    return np.where(v > np.quantile(v, rng.uniform(0.3, 0.96)), _amount(v, rng), 0.0)


def _score(v: Array, rng: np.random.Generator) -> Array:
    """Bounded: a grade, a percentage."""
    top = float(rng.choice([5, 10, 100]))
    return np.asarray(
        np.round(top / (1 + np.exp(-v * rng.uniform(0.5, 2))), 0 if top < 100 else int(rng.integers(0, 2)))
    )


def _measure(v: Array, rng: np.random.Generator) -> Array:
    return np.asarray(np.round(v * rng.choice([0.01, 0.1, 1, 50]) + rng.normal() * 5, int(rng.integers(1, 6))))


def _year(v: Array, rng: np.random.Generator) -> Array:
    return np.asarray(np.round(v * rng.uniform(2, 15)) + rng.integers(1950, 2020))


NUMBERS = (_count, _count, _small_count, _amount, _amount, _often_zero, _score, _measure, _measure, _measure, _year)


def _with_default(numbers: Array, rng: np.random.Generator) -> Array:
    """A value of its own for rows to which the column does not apply: no error, however odd it looks."""
    value = rng.choice([-1.0, 0.0, 99.0, 999.0, float(np.round(numbers.max()))])
    return np.where(rng.random(len(numbers)) < rng.uniform(0.05, 0.8), value, numbers)


def _add_total(columns: dict[str, Array], described: list[Column], rng: np.random.Generator) -> None:
    """Now and then a column is the sum of two others."""
    numbers = [c.name for c in described if c.kind is ColumnKind.NUMERIC]
    if len(numbers) > 3 and rng.random() < 0.1:
        a, b, c = rng.choice(numbers, 3, replace=False)
        columns[c] = np.round(columns[a] + columns[b], 4)


def _target(signal: Array, regression: bool, rng: np.random.Generator) -> tuple[Array, tuple[str, ...]]:
    if regression:
        shape = rng.random()
        value = (
            np.exp(signal * rng.uniform(0.3, 1)) if shape < 0.45 else np.maximum(signal, -1) if shape < 0.6 else signal
        )
        return np.round(value * rng.choice([1, 10, 200, 5000]) + rng.uniform(0, 5), int(rng.integers(0, 4))), ()
    count = int(rng.choice([2, 2, 2, 2, 2, 3, 4, 7, 10]))
    while True:
        cuts = np.quantile(signal, np.sort(rng.random(count - 1) * 0.94 + 0.03))
        codes = np.digitize(signal, cuts)
        if np.bincount(codes, minlength=count).min() >= max(8, 0.01 * len(signal)):
            break
    names = rng.permutation(count)
    labels = np.array([f"y{names[c]}" for c in codes], object)
    return labels, tuple(sorted(set(labels)))
