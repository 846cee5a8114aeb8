"""Shortcut rules drawn at random over one or two columns of any table."""

from __future__ import annotations

import numpy as np
import pandas as pd

from demix_core.columns import to_numeric, to_text
from demix_core.corruption.base import Condition, Rule, category_columns, numeric_columns
from demix_core.types import Schema, Task

FEWEST, MOST = 0.03, 0.6
"""The share of rows for which a rule's conditions may hold."""

TRIES = 60


def random_rule(frame: pd.DataFrame, schema: Schema, rng: np.random.Generator) -> Rule:
    """A rule whose conditions hold for 3–60 % of the rows, if sixty tries find one (else the last tried)."""
    target = _random_target(frame, schema, rng)
    pool = numeric_columns(schema) + category_columns(schema)
    conditions: tuple[Condition, ...] = ()
    for _ in range(TRIES):
        chosen = rng.choice(pool, min(len(pool), int(rng.integers(1, 3))), replace=False)
        conditions = tuple(_random_condition(frame, schema, str(c), rng) for c in chosen)
        share = np.logical_and.reduce([c.holds(frame) for c in conditions]).mean()
        if FEWEST < share < MOST:
            break
    return Rule(conditions, target)


def _random_target(frame: pd.DataFrame, schema: Schema, rng: np.random.Generator) -> Condition:
    if schema.task is Task.CLASSIFICATION:
        return Condition(schema.target, values=(str(rng.choice(np.unique(to_text(frame[schema.target]).astype(str)))),))
    return _interval(frame, schema.target, rng, width=(0.1, 0.4))


def _random_condition(frame: pd.DataFrame, schema: Schema, column: str, rng: np.random.Generator) -> Condition:
    if column in numeric_columns(schema):
        return _interval(frame, column, rng, width=(0.05, 0.7))
    values = np.unique(to_text(frame[column]).astype(str))
    count = int(rng.integers(1, max(2, len(values) // 3 + 1)))
    return Condition(column, values=tuple(rng.choice(values, count, replace=False).tolist()))


def _interval(frame: pd.DataFrame, column: str, rng: np.random.Generator, width: tuple[float, float]) -> Condition:
    share = rng.uniform(*width)
    start = rng.uniform(0, 1 - share)
    low, high = np.nanquantile(to_numeric(frame[column]), [start, start + share])
    return Condition(column, low=float(low), high=float(high))
