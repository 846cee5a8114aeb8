"""What a finished run holds, what was decided on it, and the evidence of one row."""

from __future__ import annotations

import importlib
import sys
import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import review
from dashboard.review import Book
from dashboard.services.runs import is_done, run_path
from demix_core import corrections, decisions
from demix_core.decisions import DecisionLog, live
from demix_core.errors import RunError
from demix_core.evidence import Distribution
from demix_core.store import Run
from demix_core.types import DecisionKind, ErrorType, Event

if TYPE_CHECKING:
    from demix_core.explain import Explainer, Explanation, Training
else:
    Explainer = Explanation = Training = Any

EXPLAINING = "demix_core.explain"

SHORT_TURNS = 2e-4
"""Seconds that a thread may keep the interpreter while another waits (usual: 5e-3)."""

REVIEWER = "dashboard"
"""Who decides where nobody is named."""


_Event = TypeVar("_Event", Event, Event | None)
_seen = threading.local()
"""The books that one script (a thread of its own) has read: a correction that somebody makes meanwhile waits for the
next script, so that positions of suggestions stay what they are from the first line to the last.
"""


def look_anew() -> None:
    """Corrections made since the last look come into the books. At the start of a script, and after one's own acts."""
    _seen.books = {}


def book(name: str) -> Book:
    """What the review reads, loaded once per version of the run, with the corrections of people's own."""
    folder = str(run_path(name).resolve())
    stamp = (Run.open(folder) / "patches.parquet").stat().st_mtime_ns
    if not hasattr(_seen, "books"):
        look_anew()
    if (folder, stamp) not in _seen.books:
        own = decisions.own_patches(log(name).events())
        ids = tuple(int(i) for i in own["patch_id"])
        _seen.books[folder, stamp] = _corrected(name, folder, stamp, ids, own) if ids else _book(name, folder, stamp)
    return cast(Book, _seen.books[folder, stamp])


@st.cache_resource(max_entries=2, show_spinner=False)
def _book(name: str, folder: str, stamp: int) -> Book:
    run = Run(folder)
    version = zlib.crc32(f"{folder}{stamp}".encode()) & 0x3FFFFFFF
    return Book(name, version, run.schema(), run.rows(), run.diagnosis(), run.suggested())


@st.cache_resource(max_entries=2, show_spinner=False)
def _corrected(name: str, folder: str, stamp: int, ids: tuple[int, ...], _own: pd.DataFrame) -> Book:
    return _book(name, folder, stamp).corrected(_own)


def projection(name: str, method: str) -> tuple[np.ndarray, np.ndarray]:
    """x, y float32 [N] of the map, in the order of the diagnosis."""
    loaded = book(name)
    return _projection(str(run_path(name).resolve()), loaded.version, method, loaded.row_ids)


@st.cache_resource(max_entries=4, show_spinner=False)
def _projection(folder: str, version: int, method: str, _row_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found = Run(folder).projection(method)
    if found is None:
        raise RunError(f"This run holds no {method} map; diagnose the table again with it.")
    placed = found.set_index("row_id").loc[_row_ids]
    return placed["x"].to_numpy(np.float32), placed["y"].to_numpy(np.float32)


def projections(name: str) -> list[str]:
    """The maps that the run holds."""
    found = set(Run(run_path(name)).projections())
    return [m for m in ("umap", "tsne", "pca") if m in found]


def projection_facts(name: str, method: str) -> dict[str, Any] | None:
    """How a map was drawn, as in summary.json; None for a run of an earlier version."""
    return Run(run_path(name)).projection_facts(method)


def thresholds(name: str) -> dict[ErrorType, float]:
    """The probability above which each type was called."""
    found = Run(run_path(name)).summary().get("thresholds", {})
    return {t: float(found[t.value]) for t in ErrorType if isinstance(found.get(t.value), int | float)}


# ---- decisions ---------------------------------------------------------------------------------------------------


def log(name: str) -> DecisionLog:
    """The run's decision log."""
    return _log(str(run_path(name).resolve()))


@st.cache_resource(max_entries=8, show_spinner=False, on_release=DecisionLog.close)
def _log(folder: str) -> DecisionLog:
    return Run(folder).decisions()


def codes(name: str) -> np.ndarray:
    """uint8 [P]: what stands decided, see review.state_codes."""
    return review.state_codes(book(name), log(name).replay())


def deciders(name: str) -> dict[int, str]:
    """Who made the standing decision of each decided suggestion."""
    return decisions.deciders(log(name).events())


def accept(name: str, patch_ids: Sequence[int], query: str = "", who: str = REVIEWER, reason: str = "") -> Event:
    """Accepts; returns when it is on disk. who: the person at the screen."""
    return log(name).accept(list(patch_ids), who, reason, query)


def reject(name: str, patch_ids: Sequence[int], query: str = "", who: str = REVIEWER, reason: str = "") -> Event:
    """Rejects; returns when it is on disk."""
    return log(name).reject(list(patch_ids), who, reason, query)


def edit(name: str, patch_id: int, value: str, who: str = REVIEWER, reason: str = "") -> Event:
    """Takes the person's own value, or types.DROP_VALUE."""
    return log(name).edit(patch_id, value, who, reason)


def note(name: str, patch_id: int, text: str, who: str = REVIEWER) -> Event:
    """A remark on a suggestion; decides nothing."""
    return log(name).note([patch_id], who, text)


def together(
    name: str, verb: str, patch_ids: Sequence[int], query: str, since: int, who: str = REVIEWER
) -> Event | None:
    """Accepts or rejects many, but those that others have decided after event `since`; None where none is left."""
    return log(name).together(DecisionKind(verb), patch_ids, who, since, query=query)


def correct(name: str, row_id: int, column: str, typed: str, who: str = REVIEWER) -> Event:
    """Writes a person's own value into any cell; InputError: it can't stand there, in a sentence."""
    return _own(name, lambda table: corrections.correct(log(name), table, row_id, column, typed, who))


def leave_out(name: str, row_id: int, who: str = REVIEWER) -> Event:
    """Leaves any row out."""
    return _own(name, lambda table: corrections.leave_out(log(name), table, row_id, who))


def _own(name: str, act: Callable[[corrections.Table], Event]) -> Event:
    loaded = book(name)
    return _seen_anew(act(corrections.Table(loaded.schema, loaded.rows, loaded.diagnosis, loaded.patches)))


def _seen_anew(event: _Event) -> _Event:
    """The event of an act that may have brought a correction or taken one away: the books are looked up again."""
    look_anew()
    return event


def undo(name: str, who: str = REVIEWER, second: bool = False) -> Event | None:
    """Takes back the newest decision (second: second opinion) of this person."""
    return _seen_anew(log(name).undo(who, second))


def redo(name: str, who: str = REVIEWER, second: bool = False) -> Event | None:
    """Takes back the newest undo of this person."""
    return _seen_anew(log(name).redo(who, second))


def revert(name: str, seq: int, who: str = REVIEWER) -> Event:
    """Takes back any one event, whoever made it, and keeps the later ones."""
    return _seen_anew(log(name).revert(seq, who))


def newest(name: str) -> int:
    """The number of the newest event, 0 for none."""
    return log(name).newest()


def decided_by(log_: DecisionLog, patch_id: int, before: int | None = None) -> Event | None:
    """The decision that stands for a suggestion, or that stood before event number `before`."""
    return decisions.stood(log_.events(), patch_id, before)


def events(name: str) -> list[Event]:
    """The history, oldest first."""
    return log(name).events()


def patch_of(book_: Book, patch_id: int) -> Mapping[str, Any]:
    """A patch by its id, also one of a person's own that was taken back. RunError: nobody ever made it."""
    at = book_.patch_at.get(patch_id)
    if at is not None:
        return {str(k): v for k, v in book_.patches.iloc[at].items()}
    for event in log(book_.name).events():
        if event.kind is DecisionKind.CORRECT and patch_id in event.patch_ids:
            return {**decisions.own_patch(event), "partner": ""}
    raise RunError(f"The decisions speak of a suggestion {patch_id} that this run has not; take them up anew.")


def standing(name: str) -> set[int]:
    """The numbers of the events that nothing has taken back."""
    return {event.seq for event in live(log(name).events())}


def any_decision(name: str | None) -> bool:
    """Whether the review of a run has begun."""
    return name is not None and is_done(name) and bool(log(name).replay())


# ---- evidence of one row -----------------------------------------------------------------------------------------


def explain(name: str, row_id: int) -> Explanation:
    """All that is known of one training row."""
    return _explain(str(run_path(name).resolve()), book(name).version, row_id)


@st.cache_data(max_entries=64, show_spinner=False)
def _explain(folder: str, version: int, row_id: int) -> Explanation:
    return _explainer(folder, version).row(row_id)


def explainer(name: str) -> Explainer:
    """What knows all of the run's rows."""
    return _explainer(str(run_path(name).resolve()), book(name).version)


@st.cache_resource(max_entries=2, show_spinner="Loading the model", show_time=True)
def _explainer(folder: str, version: int) -> Explainer:
    from demix_core.explain import Explainer  # brings torch: only when a person asks why

    return Explainer(Run(folder))


def load_ahead() -> None:
    """Loads what explains a row (torch: seconds) in the background, once, while a person looks at the first screen."""
    if EXPLAINING not in sys.modules and not any(t.name == EXPLAINING for t in threading.enumerate()):
        threading.Thread(target=_load_aside, name=EXPLAINING, daemon=True).start()


def _load_aside() -> None:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(SHORT_TURNS)  # so that the scripts of people who click meanwhile need not wait for a turn
    try:
        importlib.import_module(EXPLAINING)
    finally:
        sys.setswitchinterval(usual)


def distribution(name: str, column: str) -> Distribution:
    """One column's cells in the training rows; without the model, so that it is there at once."""
    return _distribution(name, book(name).version, column)


@st.cache_resource(max_entries=64, show_spinner=False)
def _distribution(name: str, version: int, column: str) -> Distribution:
    loaded = book(name)
    about = next(c for c in loaded.schema.columns if c.name == column)
    return Distribution.of(about, loaded.rows[column].loc[loaded.row_ids])


def validation_rows(name: str, places: Sequence[int]) -> pd.DataFrame:
    """Validation rows by their position in the profile; index: their row number."""
    return _validation(str(run_path(name).resolve()), book(name).version).iloc[list(places)]


@st.cache_resource(max_entries=2, show_spinner=False)
def _validation(folder: str, version: int) -> pd.DataFrame:
    return Run(folder).validation()
