"""Protocol *paper* (DESIGN §4; DeMix paper, experiments): one rule, one set of columns and one kind of error a run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from demix_core.columns import to_numeric
from demix_core.corruption.base import (
    PROTOCOLS,
    Condition,
    Corrupted,
    Plan,
    Rule,
    category_columns,
    flip_labels,
    keep_minority,
    numeric_columns,
    other_value,
    truth_table,
    write_cells,
    write_numbers,
)
from demix_core.corruption.rules import random_rule
from demix_core.types import Schema

MINORITY_SHARE = 0.15
MOST_COLUMNS = 5
OUTLIER_SDS = 5.0
SCALE_RANGE = (0.2, 5.0)


def _is(column: str, *values: str) -> Condition:
    return Condition(column, values=values)


def _between(column: str, low: float, high: float) -> Condition:
    return Condition(column, low=low, high=high)


PUBLISHED_RULES: tuple[tuple[Condition, tuple[tuple[Condition, ...], ...]], ...] = (
    # (target, one tuple of conditions per rule); a table is recognised by having all the columns named
    (
        _is("income", ">50K"),
        (
            (_is("sex", "Female"), _is("race", "Black")),
            (_is("race", "Asian-Pac-Islander", "Amer-Indian-Eskimo"),),
            (_is("occupation", "Exec-managerial"),),
            (_is("workclass", "Self-emp-inc"),),
        ),
    ),
    (
        _is("y", "yes"),
        (
            (_is("housing", "no"),),
            (_is("marital", "single"),),
            (_is("contact", "cellular"),),
            (_is("poutcome", "failure"),),
        ),
    ),
    *(
        (
            _is(name, "1"),
            ((_is("EDUCATION", "1"),), (_is("MARRIAGE", "1"),), (_between("AGE", 50, 100),)),
        )
        for name in ("default_payment_next_month", "default.payment.next.month")
    ),
    (_is("Cover_Type", "4"), ((_is("Wilderness_Area4", "1"),), (_between("Elevation", 0, 2500),))),
    (_between("cnt", 600, 1000), ((_is("season", "1"),), (_is("mnth", "12", "1", "2"),))),
    (_between("C6H6(GT)", 15, 100), ((_between("T", 30, 60),), (_between("RH", 80, 100),))),
)


def published_rule(frame: pd.DataFrame, schema: Schema, seed: int) -> Rule | None:
    """The paper's rule number `seed mod count` for a table it knows, else None."""
    names = set(frame.columns)
    for target, choices in PUBLISHED_RULES:
        if target.column == schema.target and {c.column for rule in choices for c in rule} <= names:
            return Rule(choices[seed % len(choices)], target)
    return None


@dataclass(frozen=True)
class PaperPlan(Plan):
    """One run of the protocol: the rule, the columns, the kind for numbers, and the share of LE and of FE rows."""

    schema: Schema
    rule: Rule
    columns: tuple[str, ...]
    scale: bool
    share: float
    means: dict[str, float]
    sds: dict[str, float]

    def apply(self, frame: pd.DataFrame, rng: np.random.Generator) -> Corrupted:
        """SC by dropping rows, then LE and FE on disjoint rows."""
        kept, spurious = keep_minority(frame, self.rule, MINORITY_SHARE, rng)
        out = frame.iloc[kept].reset_index(drop=True).copy()
        order = rng.permutation(len(out))
        count = int(len(out) * self.share)
        wrong_label, wrong_cells = np.sort(order[:count]), np.sort(order[count : 2 * count])
        flip_labels(out, self.schema, wrong_label, rng)
        for column in self.columns:
            self._corrupt(out, column, wrong_cells, rng)
        label, feature = np.zeros(len(out), bool), np.zeros(len(out), bool)
        label[wrong_label], feature[wrong_cells] = True, True
        return Corrupted(out, truth_table(label, spurious, dict.fromkeys(self.columns, feature)), kept)

    def _corrupt(self, frame: pd.DataFrame, column: str, rows: np.ndarray, rng: np.random.Generator) -> None:
        if column not in self.means:
            write_cells(frame, rows, column, other_value(frame[column], rows, rng))
        elif self.scale:
            write_numbers(frame, rows, column, to_numeric(frame[column])[rows] * rng.uniform(*SCALE_RANGE, len(rows)))
        else:
            side = rng.choice([-1.0, 1.0], len(rows))
            write_numbers(frame, rows, column, self.means[column] + side * OUTLIER_SDS * self.sds[column])


@PROTOCOLS.register("paper")
def paper(frame: pd.DataFrame, schema: Schema, alpha: float | None, seed: int) -> Plan:
    """Draw a run: (1 − alpha)/2 of the rows get LE, as many FE; alpha defaults to the paper's .5."""
    rng = np.random.default_rng([seed, 1])
    numbers, categories = numeric_columns(schema), category_columns(schema)
    pool = numbers + categories
    columns = tuple(rng.choice(pool, rng.integers(1, min(MOST_COLUMNS, len(pool)) + 1), replace=False).tolist())
    values = {c: to_numeric(frame[c]) for c in columns if c in numbers}
    return PaperPlan(
        schema=schema,
        rule=published_rule(frame, schema, seed) or random_rule(frame, schema, rng),
        columns=columns,
        scale=bool(rng.random() < 0.5),
        share=(1 - (0.5 if alpha is None else alpha)) / 2,
        means={c: float(np.nanmean(v)) for c, v in values.items()},
        sds={c: float(np.nanstd(v)) for c, v in values.items()},
    )
