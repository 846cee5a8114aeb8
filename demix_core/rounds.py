"""The next round: the table that the decisions make of a run's, diagnosed again, and both runs beside each other.

Rows are matched by their id, their position in the file; where the later file leaves some of them out, those are named,
and the rest move up. The later run remembers where it comes from, so that decisions made since change nothing in that.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from demix_core.carrying import REJECTED, rejections
from demix_core.errors import InputError
from demix_core.exporting import export
from demix_core.repairs.apply import Changes, plan
from demix_core.settings import Settings
from demix_core.store import HELD_OUT, Run, storing, write_json, write_table
from demix_core.types import ErrorType

SHOWN = 50
ORIGIN = "round.json"


@dataclass(frozen=True)
class Origin:
    """Where a later round comes from. before: name of that run's folder, which lies beside; dropped: ids of its rows
    that were left out; cells: how many cells were changed; weighted: how many accepted weights the table can't carry.
    """

    before: str
    dropped: tuple[int, ...]
    cells: int
    weighted: int


@dataclass(frozen=True)
class Start:
    """What the next round is diagnosed from: the table, the other files, the settings.

    predictions_left_out: the earlier round had predictions of the person's own model; they were of the table as it was.
    """

    train: Path
    settings: Settings
    validation: Path | None
    test: Path | None
    weights: Path | None
    predictions_left_out: bool


def next_round(before: Run, out: Path) -> Start:
    """Write the cleaned table into `before` and the origin into the run folder `out`, which lies beside it.

    Same settings, same validation, test and weights files, same rows held out; what was rejected stays rejected where
    it is suggested again (carrying.reject_again). InputError: nothing that changes the table is accepted.
    StorageError: it can't be written.
    """
    with closing(before.decisions()) as log:
        chosen = plan(before.patches(), log.replay())
    origin = _origin(before, chosen)
    if not origin.cells and not origin.dropped:
        raise InputError(
            f"Nothing that changes the table is accepted in '{before.path}' yet, so a second round would find the same."
        )
    manifest = before.manifest()
    files = {role: before.input_path(role) for role in manifest.inputs}
    given = Path(manifest.inputs["train"]["name"])
    table = before.path / "export" / f"{given.stem.removesuffix('-cleaned')}-cleaned{given.suffix}"
    with storing(table.parent):
        table.parent.mkdir(exist_ok=True)
    export(before, table)
    with storing(out):
        out.mkdir(parents=True, exist_ok=True)
    write_json(out / ORIGIN, asdict(origin))
    write_table(out / REJECTED, rejections(before, _moved(before, origin.dropped)))
    _keep_split(before, out, origin.dropped)
    validation, test, weights = (files.get(role) for role in ("validation", "test", "weights"))
    settings = Settings.from_dict(manifest.settings)
    return Start(table, settings, validation, test, weights, "predictions" in files)


def _origin(before: Run, chosen: Changes) -> Origin:
    return Origin(before.path.resolve().name, tuple(sorted(chosen.dropped)), len(chosen.cells), len(chosen.weights))


def _keep_split(before: Run, out: Path, dropped: tuple[int, ...]) -> None:
    """The later round holds out the same rows: other labels would draw another split, and less could be compared."""
    split = before.split()
    held = split.loc[split["part"] == "validation", "row_id"].to_numpy(np.int64)
    if len(held):
        left = held[~np.isin(held, dropped)]
        moved = left - np.searchsorted(np.array(dropped, np.int64), left)
        write_table(out / HELD_OUT, pd.DataFrame({"row_id": moved}))


def next_name(before: str) -> str:
    """What the next round is called.

    >>> next_name("bank"), next_name("bank-round-2")
    ('bank-round-2', 'bank-round-3')
    """
    stem, _, number = before.rpartition("-round-")
    return f"{stem}-round-{int(number) + 1}" if stem and number.isdigit() else f"{before}-round-2"


def origin(run: Run) -> Origin | None:
    """Where a run comes from; None for a first round."""
    if not (run / ORIGIN).is_file():
        return None
    found = run.json(ORIGIN)
    return Origin(**{**found, "dropped": tuple(found["dropped"])})


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
    moved = _moved(before, dropped)
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
    known = origin(after)
    if known is not None and known.before == before.path.resolve().name:
        return frozenset(known.dropped)
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


def _moved(before: Run, dropped: Collection[int]) -> dict[int, int]:
    """Where rows move up to as others are dropped: new id by old id."""
    return {old: new for new, old in enumerate(i for i in range(len(before.rows())) if i not in dropped)}


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
