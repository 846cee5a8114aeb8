"""What a person corrects where nothing was suggested: a cell of any training row, or a row to leave out.

Where a suggestion speaks of that cell already, the correction is an edit of it; otherwise a patch of the person's own
goes into the decision log (decisions.own_patches) and is undone, measured and exported like any other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from demix_core.decisions import DecisionLog
from demix_core.errors import InputError
from demix_core.repairs.apply import own_value
from demix_core.types import DROP_VALUE, Action, ErrorType, Event, Schema

CELL = (Action.RELABEL, Action.IMPUTE, Action.SWAP)
"""What changes a cell."""


@dataclass(frozen=True)
class Table:
    """What a correction is checked against. rows: texts of the whole file, index row id; diagnosis, patches: as in the
    run folder, people's own patches among them.
    """

    schema: Schema
    rows: pd.DataFrame
    diagnosis: pd.DataFrame
    patches: pd.DataFrame


def correct(
    log: DecisionLog, table: Table, row_id: int, column: str, typed: str, who: str = "", reason: str = ""
) -> Event:
    """Writes a person's own value into one cell. typed: as its column writes it, or plainly.

    InputError: there is no such training row or column, the value can't stand there, or stands there already.
    """
    _check_row(table, row_id)
    if column not in table.rows:
        raise InputError(f"There is no column '{column}'; choose among {', '.join(map(str, table.rows.columns))}.")
    value, refused = own_value(table.schema, column, typed)
    if refused:
        raise InputError(refused)
    mine = table.patches[table.patches["row_id"] == row_id]
    old = str(table.rows.at[row_id, column])
    if value == old:
        raise InputError(
            f"'{column}' of row {row_id} holds '{old}' in your file already; give another value, or reject what is "
            "suggested."
        )
    there = mine[(mine["column"] == column) & mine["action"].isin(CELL)]
    if len(there):
        return log.edit(int(there["patch_id"].iloc[-1]), value, who, reason)
    label = column == table.schema.target
    patch = {
        "row_id": int(row_id), "column": column, "old": old, "new": value,
        "error_type": (ErrorType.LABEL if label else ErrorType.FEATURE).value,
        "action": (Action.RELABEL if label else Action.IMPUTE).value,
    }  # fmt: skip
    return log.correct(patch, who, reason)


def leave_out(log: DecisionLog, table: Table, row_id: int, who: str = "", reason: str = "") -> Event:
    """Leaves one row out of the cleaned table: an edit of its surest suggestion, else of the likeliest error type.

    InputError: there is no such training row.
    """
    _check_row(table, row_id)
    mine = table.patches[table.patches["row_id"] == row_id].sort_values("confidence")
    if len(mine):
        return log.edit(int(mine["patch_id"].iloc[-1]), DROP_VALUE, who, reason)
    row = table.diagnosis[table.diagnosis["row_id"] == row_id].iloc[0]
    likeliest = list(ErrorType)[int(np.argmax([row[k.probability_column] for k in ErrorType]))]
    patch = {
        "row_id": int(row_id), "column": "", "old": "", "new": "", "error_type": likeliest.value,
        "action": Action.DROP.value,
    }  # fmt: skip
    return log.correct(patch, who, reason)


def _check_row(table: Table, row_id: int) -> None:
    if row_id in set(table.diagnosis["row_id"]):
        return
    if row_id in table.rows.index:
        raise InputError(f"Row {row_id} is no training row: it is held out to measure by, and stays as it is.")
    raise InputError(f"There is no row {row_id}; rows count from 0 to {len(table.rows) - 1}.")
