"""Decisions carried to other suggestions: made anew in the run, in another run of the table, or in the next round.

A suggestion is the same where it says the same of the same cell. What was decided of one that is not made any more is
kept where a person stated what is right there: as an edit of what is suggested for that cell now, else as a correction.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from demix_core.agreement import renumber
from demix_core.corrections import CELL
from demix_core.decisions import OWN_FROM, as_own, own_patch, replay
from demix_core.errors import RunError
from demix_core.store import Run, patch_table
from demix_core.types import DROP_VALUE, Action, DecisionKind, Event

SAME = ("row_id", "error_type", "action", "column", "partner", "old", "new")
"""What makes a suggestion the same as another."""
REJECTED = "rejected.parquet"
"""In a later round's folder: what was rejected in the round before."""
BEFORE = "rejected in the round before"
"""The query of such a decision."""

Said = tuple[Any, ...]
"""A suggestion as its SAME fields."""


def fingerprint(patches: pd.DataFrame) -> int:
    """Which suggestions these are, 1 … 2³¹ − 1: what is suggested, under which numbers."""
    text = patches.astype(str).to_csv(index=False, lineterminator="\n")
    return zlib.crc32(text.encode()) % (2**31 - 1) + 1


def said_by(patches: pd.DataFrame) -> dict[int, Said]:
    """What each suggestion says, by its id."""
    columns = [patches["patch_id"], *(patches[name] for name in SAME)]
    return {
        int(i): (int(row), *("" if pd.isna(t) else str(t) for t in texts))
        for i, row, *texts in zip(*columns, strict=True)
    }


def said_of(patches: pd.DataFrame, events: Sequence[Event]) -> dict[str, list[Any]]:
    """What the suggestions say that events speak of, for the header of an export."""
    spoken = {i for e in events for i in e.patch_ids}
    return {str(i): list(said) for i, said in said_by(patches).items() if i in spoken}


def carry(
    events: Sequence[Event], before: Mapping[int, Said], after: pd.DataFrame, rows: Collection[int]
) -> list[Event]:
    """The events in terms of other suggestions; their numbers and times stay, those that come to nothing are left out.

    before: what the suggestions said that the events speak of; after: those that are made now; rows: the training rows.
    """
    moved = _Moved(before, after, rows)
    states = replay(events)
    standing = {(i, state.seq) for i, state in states.items()}
    free = after[~after["patch_id"].isin([moved.numbers_for(state.kind).get(i) for i, state in states.items()])]
    kept: dict[int, Event] = {}
    for e in events:
        if e.reverts is not None:
            was = kept.get(e.reverts)
            now = replace(e, patch_ids=was.patch_ids) if was else None
        elif e.kind is DecisionKind.CORRECT:
            now = e if own_patch(e)["row_id"] in moved.rows else None
        else:
            now = moved.event(e)
            if now is None and len(e.patch_ids) == 1 and (e.patch_ids[0], e.seq) in standing:
                now = moved.restated(e, free)
        if now is not None:
            kept[e.seq] = now
    return list(kept.values())


def _refused(said: Said) -> Said:
    """What a rejection refuses: of a weight, that there is one at all. Weights move with every change of the table."""
    return (*said[:-1], "") if said[SAME.index("action")] == Action.REWEIGHT else said


class _Moved:
    """Where suggestions went. numbers: new id by old id; own patches keep theirs."""

    def __init__(self, before: Mapping[int, Said], after: pd.DataFrame, rows: Collection[int]) -> None:
        by_words = {said: i for i, said in said_by(after).items()}
        refused = {_refused(said): i for said, i in by_words.items()}
        self.before, self.after, self.rows = before, after, set(rows)
        self.numbers = {i: by_words[said] for i, said in before.items() if said in by_words}
        self.refused = {i: refused[_refused(said)] for i, said in before.items() if _refused(said) in refused}

    def numbers_for(self, kind: DecisionKind) -> dict[int, int]:
        """New id by old id, of what is the same to such a decision."""
        return self.refused if kind is DecisionKind.REJECT else self.numbers

    def event(self, e: Event) -> Event | None:
        """A decision, note or second opinion on what is suggested still; None where nothing of it is."""
        numbers = self.numbers_for(e.kind)
        ids = [numbers.get(i, i if i >= OWN_FROM else None) for i in e.patch_ids]
        left = tuple(i for i in ids if i is not None)
        return replace(e, patch_ids=left) if left else None

    def restated(self, e: Event, free: pd.DataFrame) -> Event | None:
        """What a person said is right there, of one suggestion that is not made any more; None where nobody did.

        free: the suggestions now that nothing stands decided of.
        """
        decides = e.kind in (DecisionKind.ACCEPT, DecisionKind.EDIT) and not e.query
        if not decides or e.patch_ids[0] not in self.before:
            return None
        row, error_type, action, column, _, old, new = self.before[e.patch_ids[0]]
        value = e.value if e.kind is DecisionKind.EDIT else DROP_VALUE if action == Action.DROP else new
        if row not in self.rows or (action == Action.SWAP and e.kind is DecisionKind.ACCEPT):
            return None
        mine = free[free["row_id"] == row]
        if value == DROP_VALUE:
            return _correction(e, row_id=row, error_type=error_type, action=Action.DROP, column="", old="", new="")
        if action == Action.REWEIGHT:
            mine = mine[mine["action"] == Action.REWEIGHT]
        else:
            mine = mine[(mine["column"] == column) & mine["action"].isin(CELL)]
        if len(mine):
            return replace(e, kind=DecisionKind.EDIT, patch_ids=(int(mine["patch_id"].iloc[-1]),), value=value)
        if action == Action.REWEIGHT:  # a correction is of a cell
            return None
        action = Action.IMPUTE if action == Action.SWAP else action
        return _correction(e, row_id=row, error_type=error_type, action=action, column=column, old=old, new=value)


def _correction(e: Event, **patch: Any) -> Event:
    patch_id, value = as_own(patch)
    return replace(e, kind=DecisionKind.CORRECT, patch_ids=(patch_id,), value=value)


# ---- in a run ----------------------------------------------------------------------------------------------------


def into(run: Run) -> Callable[[list[Event], Mapping[str, Any]], list[Event]]:
    """For DecisionLog.import_jsonl: decisions of another run of the same table become those of this one."""
    after, rows = run.suggested(), [int(i) for i in run.diagnosis()["row_id"]]

    def carried(events: list[Event], suggestions: Mapping[str, Any]) -> list[Event]:
        try:
            before = {int(i): (int(said[0]), *map(str, said[1:])) for i, said in suggestions.items()}
            if any(len(said) != len(SAME) for said in before.values()):
                raise ValueError
        except (ValueError, TypeError, IndexError) as error:
            raise RunError("The suggestions that these decisions speak of can't be read; export them again.") from error
        return carry(events, before, after, rows)

    return carried


def renew_decisions(
    run: Run, patches: pd.DataFrame, rows: Collection[int] = (), table: pd.DataFrame | None = None
) -> None:
    """Before other suggestions are written: the log speaks of those from now on, and a copy of it as it was is kept
    (decisions.1.sqlite, …). What is decided by now is carried along where the suggestions so far were made for the same
    table; else the review begins anew. May be killed at any moment and called again.

    patches: what is suggested from now on; rows: ids of the training rows; table: texts of the file by row id, None:
    another one than before.
    """
    path = run / "decisions.sqlite"
    if not path.exists():
        return
    before = run.suggested() if (run / "patches.parquet").exists() else patch_table([])
    if before.astype(str).equals(patches.astype(str)):
        return
    aside, about = _aside(run), fingerprint(patches)
    try:
        with closing(run.decisions()) as log:
            was = log.about()
            if was == about:  # done already, and killed before the suggestions were written
                return
            known = said_by(before) if was in (0, fingerprint(before)) and made_for(before, table) else {}
            log.copy_to(aside)
            renumber(run, _Moved(known, patches, rows).refused, about)
            log.restate(lambda events: carry(events, known, patches, rows) if known else [], about)
    except RunError:  # no log at all, or a damaged one: out of the way, as it is
        for suffix in ("-wal", "-shm", ""):
            if (run / f"decisions.sqlite{suffix}").exists():
                (run / f"decisions.sqlite{suffix}").replace(f"{aside}{suffix}")


def _aside(run: Run) -> Path:
    """Where the next copy of the log goes."""
    taken = [p.name.split(".")[1] for p in run.path.glob("decisions.*.sqlite")]
    return run / f"decisions.{1 + max((int(n) for n in taken if n.isdigit()), default=0)}.sqlite"


def made_for(patches: pd.DataFrame, table: pd.DataFrame | None) -> bool:
    """Whether every cell that suggestions change stands in this table as they say; no where they change none."""
    if table is None or not patches["row_id"].isin(table.index).all():
        return False
    cells = patches[patches["action"].isin(CELL)]
    return not cells.empty and all(
        column in table and str(table.at[row, column]) == old
        for row, column, old in zip(cells["row_id"], cells["column"], cells["old"], strict=True)
    )


# ---- from round to round -----------------------------------------------------------------------------------------


def rejections(run: Run, moved: Mapping[int, int]) -> pd.DataFrame:
    """What stands rejected, for the next round: SAME and reviewer. moved: new row id by old id, of rows that stay."""
    with closing(run.decisions()) as log:
        events = log.events()
    words, by = said_by(run.suggested()), {e.seq: e.reviewer for e in events}
    lines = [
        (moved[words[i][0]], *words[i][1:], by[state.seq])
        for i, state in sorted(replay(events).items())
        if state.kind is DecisionKind.REJECT and i in words and words[i][0] in moved
    ]
    return pd.DataFrame(lines, columns=[*SAME, "reviewer"]).astype({"row_id": np.int64})


def reject_again(run: Run, patches: pd.DataFrame) -> None:
    """Where a later round suggests what was rejected in the round before, it stands rejected, as a decision made by a
    filter: it teaches nothing, and one press takes it back. Nothing happens to what was spoken of in this round.
    """
    if not (run / REJECTED).is_file():
        return
    known = {_refused(said): i for i, said in said_by(patches).items()}
    table = run.table(REJECTED)
    lines = zip(table["reviewer"], zip(*(table[name] for name in SAME), strict=True), strict=True)
    with closing(run.decisions()) as log:
        spoken = {i for e in log.events() for i in e.patch_ids}
        ids: dict[str, list[int]] = {}
        for who, said in lines:
            if (i := known.get(_refused((int(said[0]), *said[1:])))) is not None and i not in spoken:
                ids.setdefault(str(who), []).append(i)
        for who, mine in ids.items():
            log.reject(mine, who, query=BEFORE)
