"""From decisions to a changed file: the only code that changes data.

Where two accepted patches speak of one cell the later decision wins; a dropped row takes no cell changes.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from demix_core.columns import to_datetime, to_numeric, to_text
from demix_core.decisions import PatchState
from demix_core.errors import RunError
from demix_core.notation import in_another_unit, read_number, write_number
from demix_core.store import write_file
from demix_core.tablefile import TableFile
from demix_core.types import DROP_VALUE, Action, ColumnKind, DecisionKind, Event, Schema

WEIGHT_COLUMN = "demix_weight"
COLUMNS = ("row_id", "column", "old", "new", "error_type", "action", "confidence", "reviewer", "time", "reason")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Changes:
    """cells: {(row id, column): new text}; dropped: row ids; weights: {row id: weight}; rows: the table of changes."""

    cells: dict[tuple[int, str], str]
    dropped: frozenset[int]
    weights: dict[int, float]
    rows: pd.DataFrame

    @property
    def key(self) -> str:
        """What is changed, as a hash: whatever was measured of other changes is out of date."""
        wanted = self.rows[["row_id", "column", "new", "action"]].astype(str)
        return hashlib.sha256(wanted.to_csv(index=False).encode()).hexdigest()


def plan(patches: pd.DataFrame, states: Mapping[int, PatchState], events: Sequence[Event] = ()) -> Changes:
    """What the accepted and edited patches change. events: where reviewer and time come from."""
    said = {e.seq: e for e in events}
    standing = {i: s for i, s in states.items() if s.kind in (DecisionKind.ACCEPT, DecisionKind.EDIT)}
    chosen = patches[patches["patch_id"].isin(list(standing))]
    lines: dict[tuple[int, str], dict[str, Any]] = {}
    order = sorted(chosen.to_dict("records"), key=lambda p: (standing[int(p["patch_id"])].seq, int(p["patch_id"])))
    for patch in order:
        state = standing[int(patch["patch_id"])]
        for line in _lines(patch, state, said.get(state.seq)):
            lines[(int(patch["row_id"]), f"{line['action']}\0{line['column']}")] = line
    dropped = frozenset(row for (row, _), line in lines.items() if line["action"] == Action.DROP)
    kept = [v for (row, _), v in lines.items() if v["action"] == Action.DROP or row not in dropped]
    rows = pd.DataFrame(_one_per_cell(kept), columns=list(COLUMNS)).sort_values(["row_id", "column"], ignore_index=True)
    cells, weights = {}, {}
    for change in rows.to_dict("records"):
        if change["action"] == Action.REWEIGHT:
            weights[int(change["row_id"])] = float(change["new"])
        elif change["action"] != Action.DROP:
            cells[(int(change["row_id"]), str(change["column"]))] = str(change["new"])
    return Changes(cells, dropped, weights, rows)


def expected_gain(patches: pd.DataFrame, states: Mapping[int, PatchState]) -> tuple[float | None, int]:
    """(expected fall of the mean validation loss, standing decisions that nothing is known of, such as own values).

    The sum of the accepted patches' gains (influence is additive to first order); None where none is known.
    """
    gains = dict(zip(patches["patch_id"], patches["gain"], strict=True))
    standing = {i: s for i, s in states.items() if s.kind in (DecisionKind.ACCEPT, DecisionKind.EDIT)}
    known = [gains[i] for i, s in standing.items() if s.kind is DecisionKind.ACCEPT and np.isfinite(gains[i])]
    return (float(np.sum(known)) if known else None), len(standing) - len(known)


def repaired(frame: pd.DataFrame, changes: Changes) -> tuple[pd.DataFrame, np.ndarray | None]:
    """(the rows after the changes, weights float [n] or None where no row has one). frame: texts, indexed by row id.

    Changes of rows that are not in the frame are left out.
    """
    out = frame.copy()
    for column in {c for _, c in changes.cells}:
        new = {row: text for (row, name), text in changes.cells.items() if name == column and row in out.index}
        if new:
            out.loc[list(new), column] = list(new.values())
    out = out[~out.index.isin(list(changes.dropped))]
    weights = np.array([changes.weights.get(int(i), 1.0) for i in out.index])
    return out, weights if (weights != 1).any() else None


def own_value(schema: Schema, column: str | None, typed: str) -> tuple[str, str]:
    """(a person's own value as the run holds it, why it can't stand in a sentence, '' where it can).

    column: None for a weight. A number may be typed as its column writes it ('$1,200'), or in another unit ('154 lb').
    """
    value = _plain_number(schema, column, typed) if column is not None else typed
    return value, _refusal(schema, column, value)


def _plain_number(schema: Schema, column: str, typed: str) -> str:
    notation = next((c.notation for c in schema.columns if c.name == column), None)
    if notation is None:
        return typed
    other = in_another_unit(typed, notation)
    if other is not None:
        return f"{other[0]:.6f}".rstrip("0").rstrip(".")
    return read_number(typed, notation) or typed


def _refusal(schema: Schema, column: str | None, value: str) -> str:
    """A class must be one of the known ones, a number a number, a time a time; a feature's cell may be empty."""
    if column is None:
        weight = to_numeric(pd.Series([value], dtype=object))[0]
        return "" if weight >= 0 else f"'{value}' is no weight; give a number that is not negative."
    if column == schema.target and schema.classes:
        if value.strip() in schema.classes:
            return ""
        return f"'{value}' is no known label of '{column}'; choose among {', '.join(schema.classes[:8])}."
    kind, one = schema.kind(column), pd.Series([value], dtype=object)
    if not value.strip() and column != schema.target:
        return ""
    if kind is ColumnKind.NUMERIC and np.isnan(to_numeric(one)[0]):
        return f"'{value}' is no number, and '{column}' holds numbers; give one, with a decimal point."
    if kind is ColumnKind.DATETIME and np.isnan(to_datetime(one)[0]):
        return f"'{value}' is no time, and '{column}' holds times; give one, written as the others are."
    return ""


def as_in_file(changes: Changes, table: TableFile, schema: Schema) -> Changes:
    """The changes in the words of the file: numbers as their column writes them, old cells as they stand there."""
    notations = {c.name: c.notation for c in schema.columns if c.notation is not None}
    lines = changes.rows.to_dict("records")
    for line in lines:
        notation, row = notations.get(line["column"]), int(line["row_id"])
        if notation is not None and row < len(table.frame):
            there = str(table.frame[line["column"]].iat[row])
            line["new"] = write_number(str(line["new"]), notation)
            if (read_number(there, notation) or there).strip() == str(line["old"]).strip():
                line["old"] = there
    cells = {
        (row, name): write_number(text, notations[name]) if name in notations else text
        for (row, name), text in changes.cells.items()
    }
    return replace(changes, cells=cells, rows=pd.DataFrame(lines, columns=list(COLUMNS)))


def write(table: TableFile, changes: Changes, out: Path, with_weights: bool = False) -> None:
    """Writes the cleaned table. RunError: a cell is no longer what the patch saw; nothing is written then."""
    for line in changes.rows.to_dict("records"):
        if (int(line["row_id"]), line["column"]) in changes.cells:
            _check_old(table, int(line["row_id"]), str(line["column"]), str(line["old"]))
    extra = None
    if with_weights:
        extra = {WEIGHT_COLUMN: [str(changes.weights.get(i, 1.0)) for i in range(len(table.frame))]}
    table.rewrite(out, changes.cells, changes.dropped, extra)


def write_changes_csv(changes: Changes, out: Path) -> None:
    """The table of changes as CSV that no spreadsheet takes for formulas."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for line in changes.rows.itertuples(index=False):
        writer.writerow([safe(str(value)) for value in line])
    write_file(Path(out), lambda temporary: temporary.write_bytes(buffer.getvalue().encode("utf-8")), durable=True)


def safe(text: str) -> str:
    """The text with ' in front where a spreadsheet would run it; plain numbers stay."""
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") and not NUMBER.fullmatch(text) else text


def _line(patch: Mapping[Any, Any], state: PatchState, event: Event | None) -> dict[str, object]:
    edited = state.kind is DecisionKind.EDIT
    drop = state.value == DROP_VALUE if edited else patch["action"] == Action.DROP
    reason = (event.reason if event else "") or patch["reason"]
    return {
        "row_id": int(str(patch["row_id"])), "column": "" if drop or pd.isna(patch["column"]) else str(patch["column"]),
        "old": "" if drop else patch["old"], "new": "" if drop else state.value if edited else patch["new"],
        "error_type": str(patch["error_type"]), "action": str(Action.DROP if drop else patch["action"]),
        "confidence": patch["confidence"], "reviewer": event.reviewer if event else "",
        "time": event.time if event else "", "reason": reason,
    }  # fmt: skip


def _lines(patch: Mapping[Any, Any], state: PatchState, event: Event | None) -> list[dict[str, object]]:
    """What one patch changes: a cell, a weight or a row; both cells of a swap, unless a person gave another value."""
    line = _line(patch, state, event)
    if patch["action"] != Action.SWAP or state.kind is DecisionKind.EDIT:
        return [line]
    return [line, line | {"column": str(patch["partner"]), "old": patch["new"], "new": patch["old"]}]


def _one_per_cell(lines: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    last: dict[tuple[object, object, bool], dict[str, object]] = {}
    for line in lines:  # oldest decision first, so the later one stays
        key = (line["row_id"], line["column"], line["action"] == Action.REWEIGHT)
        last.pop(key, None)
        last[key] = line
    return list(last.values())


def _check_old(table: TableFile, row: int, column: str, old: str) -> None:
    shown: set[str] = set()
    if column in table.frame and 0 <= row < len(table.frame):
        series = table.frame[column]
        shown = {str(series.iloc[row]).strip(), *(str(to_text(s)[0]).strip() for s in (series.iloc[[row]],))}
        if pd.api.types.is_float_dtype(series):  # whole numbers of a column with nulls are shown without decimals
            shown.add(str(to_text(series)[row]).strip())
    if old.strip() not in shown:
        raise RunError(f"Row {row}, column '{column}' of {table.path.name} is not '{old}' any more; diagnose it again.")
