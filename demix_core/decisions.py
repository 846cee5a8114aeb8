"""The append-only log of what people decided; the state of a review is the replay of its live events.

An event is on disk (WAL, synchronous=FULL) before its method returns. An event is live unless a live event reverts
it, so any event can be taken back without losing later ones. Several people, tabs and processes may write at once.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError, OperationalError

from demix_core.errors import RunError, StorageError
from demix_core.store import patch_table, write_file
from demix_core.types import Action, DecisionKind, ErrorType, Event

FORMAT = "demix-decisions"
VERSION = 1
BUSY_SECONDS = 30
STANDS = (DecisionKind.ACCEPT, DecisionKind.EDIT, DecisionKind.REJECT)
"""The kinds that say what becomes of a patch."""
DECIDES = (*STANDS, DecisionKind.CORRECT)
"""Those, and the one that brings its patch along."""
OWN_FROM = 2**40
"""Ids of patches that people made themselves begin here. They are drawn at random, so that logs can be put together."""
OWN_FIELDS = {"row_id": int, "error_type": str, "action": str, "column": str, "old": str, "new": str}
"""What an event of the kind CORRECT says of its patch."""
BY_HAND = "Corrected by hand."

_META = sa.MetaData()
_EVENTS = sa.Table(
    "events", _META,
    sa.Column("seq", sa.Integer, primary_key=True), sa.Column("time", sa.Text, nullable=False),
    sa.Column("reviewer", sa.Text, nullable=False), sa.Column("kind", sa.Text, nullable=False),
    sa.Column("patch_ids", sa.Text, nullable=False), sa.Column("value", sa.Text),
    sa.Column("reason", sa.Text, nullable=False), sa.Column("query", sa.Text, nullable=False),
    sa.Column("reverts", sa.Integer),
)  # fmt: skip


@dataclass(frozen=True)
class PatchState:
    """What stands for one patch: ACCEPT, EDIT (with its value) or REJECT, and the event that says so."""

    kind: DecisionKind
    value: str | None
    seq: int


class DecisionLog:
    """The log in one SQLite file. StorageError: it can't be written; RunError: it is damaged or an event is unknown."""

    def __init__(self, url_or_path: str | Path) -> None:
        text = str(url_or_path)
        url = text if "://" in text else f"sqlite:///{text}"
        self._engine = sa.create_engine(url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})
        self._read_lock = threading.Lock()
        self._seen: list[Event] = []
        self._about = 0
        self._replayed: tuple[int, dict[int, PatchState]] = (0, {})
        sa.event.listen(self._engine, "connect", _prepare)
        try:
            with self._engine.connect() as connection:
                connection.execute(sa.schema.CreateTable(_EVENTS, if_not_exists=True))
                connection.commit()
        except DatabaseError as error:
            raise _failure(text, error) from error

    def close(self) -> None:
        """Lets go of the file."""
        self._engine.dispose()

    def accept(self, ids: Iterable[int], reviewer: str = "", reason: str = "", query: str = "") -> Event:
        """Accepts patches as suggested; query: the filter that chose them, for a bulk decision."""
        return self._add(DecisionKind.ACCEPT, ids, reviewer, reason=reason, query=query)

    def reject(self, ids: Iterable[int], reviewer: str = "", reason: str = "", query: str = "") -> Event:
        """Rejects patches."""
        return self._add(DecisionKind.REJECT, ids, reviewer, reason=reason, query=query)

    def edit(self, patch_id: int, value: str, reviewer: str = "", reason: str = "") -> Event:
        """Takes the person's own value for the patch's cell, or types.DROP_VALUE to drop the row."""
        return self._add(DecisionKind.EDIT, (patch_id,), reviewer, value=value, reason=reason)

    def correct(self, patch: Mapping[str, Any], reviewer: str = "", reason: str = "") -> Event:
        """Accepts a patch of the person's own, which comes along. patch: OWN_FIELDS; corrections.py checks it first."""
        patch_id, value = as_own(patch)
        return self._add(DecisionKind.CORRECT, (patch_id,), reviewer, value=value, reason=reason)

    def note(self, ids: Iterable[int], reviewer: str = "", reason: str = "") -> Event:
        """A remark; changes no state."""
        return self._add(DecisionKind.NOTE, ids, reviewer, reason=reason)

    def together(self, kind: DecisionKind, ids: Iterable[int], reviewer: str, since: int, reason: str = "",
                 query: str = "") -> Event | None:  # fmt: skip
        """Accepts or rejects many as one event, but those that others have decided after event number `since`.

        since: the newest event that the person had on the screen. None, and no event, where nothing is left.
        """
        wanted = [int(i) for i in ids]

        def left(events: list[Event]) -> dict[str, Any] | None:
            taken = others(events, reviewer, since)
            rest = [i for i in wanted if i not in taken]
            return _row(kind, rest, reviewer, None, reason, query) if rest else None

        return self._append(left)

    def second(self, kind: DecisionKind, patch_id: int, reviewer: str, value: str | None = None,
               reason: str = "") -> Event:  # fmt: skip
        """A second reviewer's opinion of one patch: ACCEPT, EDIT (with a value) or REJECT; changes no state."""
        return self._add(DecisionKind(f"second_{kind}"), (patch_id,), reviewer, value=value, reason=reason)

    def revert(self, seq: int, reviewer: str = "", reason: str = "") -> Event:
        """Takes back one live event and keeps the later ones. RunError: there is no such live event."""
        event = self._append(lambda events: _reverting(events, seq, reviewer, reason))
        assert event is not None
        return event

    def undo(self, reviewer: str = "", second: bool = False) -> Event | None:
        """Reverts this reviewer's newest live decision (second: second opinion); None when there is none."""

        def newest(events: list[Event]) -> dict[str, Any] | None:
            found = [e.seq for e in live(events) if _of(e, reviewer, second)]
            return _reverting(events, found[-1], reviewer, "undo") if found else None

        return self._append(newest)

    def redo(self, reviewer: str = "", second: bool = False) -> Event | None:
        """Takes back this reviewer's newest revert that no decision of theirs has followed; None when there is none."""

        def newest(events: list[Event]) -> dict[str, Any] | None:
            last = max((e.seq for e in events if _of(e, reviewer, second)), default=0)
            decisions = {e.seq for e in events if e.reverts is None and e.kind.second is second}
            mine = [e for e in live(events) if e.seq > last and e.reviewer == reviewer and e.reverts in decisions]
            return _reverting(events, mine[-1].seq, reviewer, "redo") if mine else None

        return self._append(newest)

    def newest(self) -> int:
        """The number of the newest event, 0 for none: whoever keeps it sees at once that somebody has written."""
        try:
            with self._engine.connect() as connection:
                return int(connection.execute(sa.select(sa.func.max(_EVENTS.c.seq))).scalar() or 0)
        except DatabaseError as error:
            raise _failure(str(self._engine.url.database), error) from error

    def events(self) -> list[Event]:
        """The whole history, oldest first. Events never change, so only those since the last look are read, unless all
        were restated meanwhile.
        """
        with self._read_lock:
            try:
                with self._engine.connect() as connection:
                    connection.exec_driver_sql("BEGIN")  # one moment for both
                    about = _read_about(connection)
                    if about != self._about:
                        self._about, self._seen = about, []
                    self._seen += _read(connection, self._seen[-1].seq if self._seen else 0)
            except DatabaseError as error:
                raise _failure(str(self._engine.url.database), error) from error
            return list(self._seen)

    def replay(self) -> dict[int, PatchState]:
        """What stands for each patch that was decided."""
        events = self.events()
        newest = events[-1].seq if events else 0
        if newest != self._replayed[0]:
            self._replayed = (newest, replay(events))
        return dict(self._replayed[1])

    # ---- suggestions made anew --------------------------------------------------------------------------------
    def about(self) -> int:
        """The suggestions that the events speak of, as restate was told; 0: those they were first made for."""
        try:
            with self._engine.connect() as connection:
                return _read_about(connection)
        except DatabaseError as error:
            raise _failure(str(self._engine.url.database), error) from error

    def copy_to(self, path: Path) -> None:
        """The log as it is, as a file of its own. StorageError: it can't be written, or is there already."""
        try:
            with self._engine.connect() as connection:
                connection.exec_driver_sql("VACUUM INTO ?", (str(path),))
        except OperationalError as error:
            raise _failure(str(path), error) from error

    def restate(self, choose: Callable[[list[Event]], Sequence[Event]], about: int) -> None:
        """Puts choose(events) in the place of all events, in one step, whoever else has the log open; their numbers go
        on from the last one. about: what they speak of from now on; nothing happens where the log says so already.
        """
        try:
            with self._engine.connect() as connection:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                if _read_about(connection) == about:
                    return
                events = _read(connection)
                connection.execute(_EVENTS.delete())
                _insert_all(connection, choose(events), first=events[-1].seq + 1 if events else None)
                connection.exec_driver_sql(f"PRAGMA user_version = {int(about)}")
                connection.commit()
        except OperationalError as error:
            raise _failure(str(self._engine.url.database), error) from error

    def export_jsonl(self, path: Path, input_hash: str, suggestions: Mapping[str, Any] | None = None) -> None:
        """Writes a header line with the hash of the input table, then one line per event. Atomic.

        suggestions: what those that are spoken of say (carrying.said_of), for a run that numbers them otherwise.
        """
        header = {"format": FORMAT, "version": VERSION, "input_sha256": input_hash, "suggestions": suggestions or {}}
        lines = [json.dumps(d, ensure_ascii=False) for d in (header, *map(asdict, self.events()))]
        write_file(Path(path), lambda temporary: temporary.write_text("\n".join(lines) + "\n", "utf-8"), durable=True)

    def import_jsonl(
        self, path: Path, input_hash: str,
        carry: Callable[[list[Event], Mapping[str, Any]], Sequence[Event]] | None = None,
    ) -> int:  # fmt: skip
        """Appends the events of an export, all or none; returns their number. RunError: another input, or damaged.

        carry(events, suggestions of the header): what they come to in this log's run; None: they are taken as they are.
        """
        name = Path(path).name
        try:
            header, *rows = [json.loads(t) for t in Path(path).read_text("utf-8").split("\n") if t.strip()]
            if header["format"] != FORMAT or header["version"] != VERSION:
                raise RunError(f"{name} is no decision file of this version; export it again.")
            events = [Event(**{**r, "kind": DecisionKind(r["kind"]), "patch_ids": tuple(r["patch_ids"])}) for r in rows]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise RunError(f"{name} can't be read as decisions; export them again.") from error
        if header["input_sha256"] != input_hash:
            raise RunError(f"{name} was made for another table than this run's; use the decisions of the same input.")
        for event in events:
            if event.kind is DecisionKind.CORRECT:
                own_patch(event)  # damaged ones are found before anything is written
        said = header.get("suggestions") or {}
        carried = carry(events, said) if carry is not None and said else events
        self._append_all(carried)
        return len(carried)

    def _append_all(self, events: Sequence[Event]) -> None:
        with self._engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            _insert_all(connection, events)
            connection.commit()

    def _add(self, kind: DecisionKind, ids: Iterable[int], reviewer: str, value: str | None = None,
             reason: str = "", query: str = "") -> Event:  # fmt: skip
        row = _row(kind, ids, reviewer, value, reason, query)
        try:
            with self._engine.connect() as connection:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                seq = _insert(connection, row)
                connection.commit()
        except OperationalError as error:
            raise _failure(str(self._engine.url.database), error) from error
        return _event({**row, "seq": seq})

    def _append(self, choose: Any) -> Event | None:
        """choose(events) -> row or None, under the write lock so that two writers can't take back the same event."""
        try:
            with self._engine.connect() as connection:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                row = choose(_read(connection))
                if row is None:
                    return None
                seq = _insert(connection, row)
                connection.commit()
        except OperationalError as error:
            raise _failure(str(self._engine.url.database), error) from error
        return _event({**row, "seq": seq})


def live(events: Sequence[Event]) -> list[Event]:
    """The events that no live event reverts, oldest first."""
    dead: set[int] = set()
    for e in reversed(events):
        if e.reverts is not None and e.seq not in dead:
            dead.add(e.reverts)
    return [e for e in events if e.seq not in dead]


def replay(events: Sequence[Event]) -> dict[int, PatchState]:
    """The newest live accept, edit or reject of each patch; none of a correction that was taken back itself."""
    states: dict[int, PatchState] = {}
    for e in live(events):
        if e.kind is DecisionKind.CORRECT:
            states[e.patch_ids[0]] = PatchState(DecisionKind.ACCEPT, None, e.seq)
        elif e.kind in STANDS:
            known = [i for i in e.patch_ids if i < OWN_FROM or i in states]
            states.update(dict.fromkeys(known, PatchState(e.kind, e.value, e.seq)))
    return states


# ---- patches that people made themselves ------------------------------------------------------------------------


def as_own(patch: Mapping[str, Any]) -> tuple[int, str]:
    """A new id, and the value of the event that brings such a patch along: OWN_FIELDS as JSON; own_patch reads it."""
    return OWN_FROM + secrets.randbelow(2**31), json.dumps(
        {name: patch[name] for name in OWN_FIELDS}, ensure_ascii=False
    )


def own_patch(event: Event) -> dict[str, Any]:
    """The patch that an event of the kind CORRECT brings along, as a row of patches. RunError: it is damaged."""
    try:
        said = json.loads(event.value or "")
        patch = {name: kind(said[name]) for name, kind in OWN_FIELDS.items()}
        patch |= {"error_type": ErrorType(patch["error_type"]).value, "action": Action(patch["action"]).value}
        (patch_id,) = event.patch_ids
    except (ValueError, TypeError, KeyError) as error:
        raise RunError(f"Decision {event.seq} is damaged: it says no correction; take the decisions anew.") from error
    if patch_id < OWN_FROM:
        raise RunError(f"Decision {event.seq} is damaged: it would correct a suggestion; take the decisions anew.")
    column = None if patch["action"] == Action.DROP else patch["column"]
    reason = event.reason or BY_HAND
    return {**patch, "column": column, "patch_id": patch_id, "confidence": 1.0, "reason": reason, "gain": float("nan")}


def own_patches(events: Sequence[Event]) -> pd.DataFrame:
    """The patches of people's own that stand, as the table of patches; oldest first, a log read in twice once."""
    made = {e.patch_ids: own_patch(e) for e in live(events) if e.kind is DecisionKind.CORRECT}
    return patch_table(list(made.values()))


def with_own(suggested: pd.DataFrame, events: Sequence[Event]) -> pd.DataFrame:
    """The suggested patches, and after them people's own."""
    return joined(suggested, own_patches(events))


def joined(suggested: pd.DataFrame, own: pd.DataFrame) -> pd.DataFrame:
    """One table of both, own patches last."""
    if own.empty:
        return suggested
    both = pd.concat([suggested, own], ignore_index=True)
    column = both["column"].astype(object)
    return both.assign(column=column.where(column.notna(), None))


def are_own(patches: pd.DataFrame) -> np.ndarray:
    """bool [P]: which of the patches people made themselves."""
    return patches["patch_id"].to_numpy() >= OWN_FROM


def deciders(events: Sequence[Event]) -> dict[int, str]:
    """Who made the standing decision of each patch that was decided."""
    by = {e.seq: e.reviewer for e in events}
    return {patch_id: by[state.seq] for patch_id, state in replay(events).items()}


def _of(event: Event, reviewer: str, second: bool) -> bool:
    """Whether the event is a decision (or a second opinion) of this reviewer's own."""
    return event.reverts is None and event.reviewer == reviewer and event.kind.second is second


def others(events: Sequence[Event], reviewer: str, since: int = 0) -> dict[int, Event]:
    """The standing decisions of other people made after event number `since`, by patch."""
    said = {e.seq: e for e in events if e.seq > since and e.reviewer != reviewer}
    if not said:
        return {}
    return {i: said[state.seq] for i, state in replay(events).items() if state.seq in said}


def stood(events: Sequence[Event], patch_id: int, before: int | None = None) -> Event | None:
    """The decision that stands for one patch, or that stood before event number `before`; None for none."""
    for e in reversed(live(events)):
        if e.kind in DECIDES and (before is None or e.seq < before) and patch_id in e.patch_ids:
            return e
    return None


def _insert(connection: sa.Connection, row: dict[str, Any]) -> int:
    """The sequence number of the new event."""
    key = connection.execute(_EVENTS.insert().values(**row)).inserted_primary_key
    assert key is not None
    return int(key[0])


def _insert_all(connection: sa.Connection, events: Sequence[Event], first: int | None = None) -> None:
    """Events with numbers of their own, which what they take back goes by. first: the new number of the first one."""
    new: dict[int | None, int | None] = {None: None}
    for i, e in enumerate(events):
        row = _row(e.kind, e.patch_ids, e.reviewer, e.value, e.reason, e.query, new.get(e.reverts), e.time)
        new[e.seq] = _insert(connection, row if first is None else row | {"seq": first + i})


def _reverting(events: Sequence[Event], seq: int, reviewer: str, reason: str) -> dict[str, Any]:
    found = next((e for e in live(events) if e.seq == seq), None)
    if found is None:
        raise RunError(f"There is no standing decision {seq} to take back; look at the history.")
    return _row(DecisionKind.REVERT, found.patch_ids, reviewer, None, reason, "", seq)


def _row(kind: DecisionKind, ids: Iterable[int], reviewer: str, value: str | None, reason: str, query: str,
         reverts: int | None = None, time: str = "") -> dict[str, Any]:  # fmt: skip
    return {
        "time": time or datetime.now(UTC).isoformat(timespec="milliseconds"), "reviewer": reviewer, "kind": str(kind),
        "patch_ids": json.dumps([int(i) for i in ids]), "value": value, "reason": reason, "query": query,
        "reverts": reverts,
    }  # fmt: skip


def _read(connection: sa.Connection, after: int = 0) -> list[Event]:
    wanted = _EVENTS.select().where(_EVENTS.c.seq > after).order_by(_EVENTS.c.seq)
    return [_event(dict(row)) for row in connection.execute(wanted).mappings()]


def _read_about(connection: sa.Connection) -> int:
    return int(connection.exec_driver_sql("PRAGMA user_version").scalar() or 0)


def _event(row: dict[str, Any]) -> Event:
    return Event(**{**row, "kind": DecisionKind(row["kind"]), "patch_ids": tuple(json.loads(row["patch_ids"]))})


def _prepare(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


def _failure(path: str, error: DatabaseError) -> RunError | StorageError:
    if isinstance(error, OperationalError):
        return StorageError(
            f"'{path}' can't be written ({error.orig}); free some space and decide again: nothing was lost."
        )
    return RunError(f"'{path}' is no decision log; move it away to start the review again.")
