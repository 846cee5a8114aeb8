"""The next round: the cleaned table diagnosed again, and both rounds beside each other."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.services.results import book
from dashboard.services.runs import is_done, run_names, run_path
from demix_core import jobs, rounds
from demix_core.rounds import Origin
from demix_core.store import Run
from demix_core.types import ErrorType


def next_round(name: str) -> str:
    """Starts the diagnosis of the table that the decisions make of this run's; the name of the new run."""
    before = Run.open(run_path(name))
    wanted, taken = rounds.next_name(name), set(run_names())
    while wanted in taken:
        wanted = rounds.next_name(wanted)
    out = before.path.with_name(wanted)
    start = rounds.next_round(before, out)
    jobs.start(start.train, out, start.settings, start.validation, start.test, start.weights)
    return wanted


def origin(name: str) -> Origin | None:
    """Where a run comes from; None for a first round."""
    return rounds.origin(Run(run_path(name)))


def compared(name: str) -> dict[str, Any] | None:
    """A later round beside the one before it, as rounds.compare_runs; None where that one is not there any more."""
    found = origin(name)
    if found is None or not _known(found.before):
        return None
    folders = [run_path(n).resolve() for n in (found.before, name)]
    stamps = tuple((folder / "diagnosis.parquet").stat().st_mtime_ns for folder in folders)
    return _compared(str(folders[0]), str(folders[1]), stamps)


@st.cache_data(max_entries=8, show_spinner=False)
def _compared(before: str, after: str, stamps: tuple[int, ...]) -> dict[str, Any]:
    return rounds.compare_runs(Run.open(before), Run.open(after))


def chain(name: str) -> list[str]:
    """The rounds that lead to this run, the first one first, itself last."""
    found = [name]
    while (come := origin(found[0])) is not None and come.before not in found and _known(come.before):
        found.insert(0, come.before)
    return found


def following(name: str) -> list[str]:
    """The rounds that were started from this run, by name."""
    return sorted(other for other in run_names() if (come := origin(other)) is not None and come.before == name)


def flagged(name: str) -> tuple[int, dict[ErrorType, int]]:
    """(training rows, rows flagged per type) of a run."""
    diagnosis = book(name).diagnosis
    return len(diagnosis), {kind: int(diagnosis[kind.value].sum()) for kind in ErrorType}


def _known(name: str) -> bool:
    return name in run_names() and is_done(name)
