"""Two runs beside each other: what a round of decisions changed in what is flagged.

Rows are matched by their id, their position in the file; where the later file leaves some of them out, those are named,
and the rest move up.
"""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
import pandas as pd

from demix_core.errors import InputError
from demix_core.repairs.apply import plan
from demix_core.store import Run
from demix_core.types import ErrorType

SHOWN = 50


def compare_runs(before: Run, after: Run) -> dict[str, Any]:
    """Per error type: rows flagged before and no longer, still, and newly; the median change of probability.

    The file of `after` is that of `before`, or what its decisions make of it. InputError: the runs predict different
    things, have no training row in common, or rows are missing that no decision drops.
    """
    if before.schema().target != after.schema().target:
        raise InputError(
            f"'{before.path}' predicts '{before.schema().target}' and '{after.path}' '{after.schema().target}'; "
            "compare runs with the same target."
        )
    first, second = before.diagnosis().set_index("row_id"), after.diagnosis().set_index("row_id")
    dropped = _dropped(before, after)
    moved = {old: new for new, old in enumerate(i for i in range(len(before.rows())) if i not in dropped)}
    first = first[[i in moved for i in first.index]].rename(index=moved)
    common = first.index.intersection(second.index)
    if not len(common):
        raise InputError(f"'{before.path}' and '{after.path}' have no training row in common.")
    a, b = first.loc[common], second.loc[common]
    return {
        "before": str(before.path), "after": str(after.path), "rows": len(common), "dropped": len(dropped),
        "types": {kind.value: _of_type(a, b, kind) for kind in ErrorType},
        "any": _counts(*(s[[k.value for k in ErrorType]].any(axis=1) for s in (a, b))),
    }  # fmt: skip


def _dropped(before: Run, after: Run) -> frozenset[int]:
    """Ids of the rows that the file of `after` leaves out, so that later rows moved up."""
    rows, left = len(before.rows()), len(after.rows())
    if rows == left:
        return frozenset()
    with closing(before.decisions()) as log:
        dropped = plan(before.patches(), log.replay()).dropped
    if rows - len(dropped) != left:
        raise InputError(
            f"'{before.path}' has {rows:,} rows of which its decisions drop {len(dropped):,}, and '{after.path}' has "
            f"{left:,}; compare runs of the same table, or of the table cleaned by the decisions as they stand."
        )
    return dropped


def _of_type(a: pd.DataFrame, b: pd.DataFrame, kind: ErrorType) -> dict[str, Any]:
    change = (b[kind.probability_column] - a[kind.probability_column]).to_numpy(np.float64)
    was, is_now = a[kind.value].astype(bool), b[kind.value].astype(bool)
    newly = b.index[~was & is_now]
    surest = b.loc[newly, kind.probability_column].sort_values(ascending=False, kind="stable").index[:SHOWN]
    return {
        **_counts(was, is_now), "median_change": float(np.median(change)),
        "median_change_of_flagged": float(np.median(change[was])) if was.any() else 0.0,
        "new_rows": [int(i) for i in surest],
    }  # fmt: skip


def _counts(was: pd.Series, is_now: pd.Series) -> dict[str, int]:
    return {
        "no_longer": int((was & ~is_now).sum()), "still": int((was & is_now).sum()), "newly": int((~was & is_now).sum())
    }  # fmt: skip
