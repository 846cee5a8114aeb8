"""Tables drawn from random structural causal models: training data for the DEC that nobody owns.

The idea of TabPFN's prior (Hollmann et al. 2023): layers of noisy random functions, seen through columns of
mixed kinds. Measured to transfer to real tables as well as real tables do (DESIGN §7).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from demix_core.types import Column, ColumnKind, Schema, Task

TARGET = "target"

FUNCTIONS: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
    np.tanh,
    lambda v: np.maximum(v, 0),
    np.sin,
    lambda v: v,
    np.abs,
    np.square,
)


def draw_table(rows: int, rng: np.random.Generator, regression: bool) -> tuple[pd.DataFrame, Schema]:
    """A table of `rows` rows, 4–25 features of mixed kinds and a target; classes are strings, two to seven of them."""
    nodes = _causal_nodes(rows, rng)
    count = int(min(nodes.shape[1] - 1, rng.integers(4, 26)))
    order = rng.permutation(nodes.shape[1])
    columns: dict[str, np.ndarray] = {}
    described: list[Column] = []
    for j in range(count):
        name = f"x{j}"
        columns[name], kind = _observe(_standard(nodes[:, order[j]]), rng)
        described.append(Column(name, kind))
    signal = _standard(nodes[:, order[count]])
    signal = signal + rng.normal(size=rows) * rng.uniform(0.05, 0.8)
    columns[TARGET], classes = _target(signal, regression, rng)
    task = Task.REGRESSION if regression else Task.CLASSIFICATION
    kind = ColumnKind.NUMERIC if regression else ColumnKind.CATEGORICAL
    schema = Schema((*described, Column(TARGET, kind)), TARGET, task, classes)
    return pd.DataFrame(columns), schema


def _causal_nodes(rows: int, rng: np.random.Generator) -> np.ndarray:
    """float [rows, P]: all variables of the graph that vary; group structure in a third of the graphs."""
    width = int(rng.integers(4, 12))
    layer = rng.normal(size=(rows, width))
    if rng.random() < 0.33:
        centres = rng.normal(size=(int(rng.integers(2, 8)), width)) * 1.5
        layer = layer * 0.6 + centres[rng.integers(0, len(centres), rows)]
    nodes = [layer]
    for _ in range(rng.integers(1, 4)):
        hidden = int(rng.integers(8, 24))
        weights = rng.normal(size=(layer.shape[1], hidden)) * (rng.random((layer.shape[1], hidden)) < 0.4) / np.sqrt(2)
        layer = layer @ weights + rng.normal(size=(rows, hidden)) * rng.uniform(0.05, 0.6)
        layer = np.stack([FUNCTIONS[rng.integers(len(FUNCTIONS))](layer[:, k]) for k in range(hidden)], 1)
        layer = np.clip(layer, -8, 8)
        nodes.append(layer)
    every = np.concatenate(nodes, 1)
    return every[:, every.std(0) > 0.05]


def _standard(v: np.ndarray) -> np.ndarray:
    return (v - v.mean()) / (v.std() + 1e-9)


def _observe(v: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ColumnKind]:
    """One variable as a column of a table: categories, counts, amounts with zeros, skewed or plain numbers."""
    draw = rng.random()
    if draw < 0.35:
        cuts = np.quantile(v, np.sort(rng.random(int(rng.integers(1, 12)))))
        names = rng.permutation(40)
        codes = np.digitize(v, cuts)
        mixed = np.where(rng.random(len(v)) < rng.uniform(0, 0.15), rng.integers(0, len(cuts) + 1, len(v)), codes)
        return np.array([f"v{names[c]}" for c in mixed], object), ColumnKind.CATEGORICAL
    if draw < 0.5:
        return np.round(v * rng.uniform(1, 20) + rng.uniform(0, 50)), ColumnKind.NUMERIC
    if draw < 0.65:
        return np.round(np.exp(v * rng.uniform(0.5, 1.5)) * rng.choice([1, 100, 1e4]), 2), ColumnKind.NUMERIC
    if draw < 0.75:
        amount = np.round(np.exp(v) * 100)
        return np.where(v > np.quantile(v, rng.uniform(0.4, 0.95)), amount, 0.0), ColumnKind.NUMERIC
    out = np.round(v * rng.choice([0.01, 1, 50]) + rng.normal() * 5, 4)
    if rng.random() < 0.15:
        out = np.where(rng.random(len(v)) < rng.uniform(0.01, 0.2), np.nan, out)
    return out, ColumnKind.NUMERIC


def _target(signal: np.ndarray, regression: bool, rng: np.random.Generator) -> tuple[np.ndarray, tuple[str, ...]]:
    if regression:
        shape = rng.random()
        value = np.exp(signal * 0.7) if shape < 0.4 else np.maximum(signal, -1) if shape < 0.6 else signal
        return np.round(value * rng.choice([1, 10, 200]) + rng.uniform(0, 5), 3), ()
    count = int(rng.choice([2, 2, 2, 2, 3, 4, 7]))
    while True:
        cuts = np.quantile(signal, np.sort(rng.random(count - 1) * 0.9 + 0.05))
        codes = np.digitize(signal, cuts)
        if np.bincount(codes, minlength=count).min() >= max(8, 0.01 * len(signal)):
            break
    names = rng.permutation(count)
    labels = np.array([f"y{names[c]}" for c in codes], object)
    return labels, tuple(sorted(set(labels)))
