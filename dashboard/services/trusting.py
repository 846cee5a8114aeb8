"""What the reviewed rows of a run say of a threshold; the samples to review, and the thresholds that a person keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from dashboard.services.results import book, log
from dashboard.services.runs import run_path, start_again
from demix_core import jobs, lessons
from demix_core.lessons import Lessons
from demix_core.settings import Settings
from demix_core.store import Run, Status
from demix_core.trust import draws, evidence, limits
from demix_core.trust import planted as planting
from demix_core.trust.evidence import Look, Share, Suspects
from demix_core.trust.planted import Rehearsed
from demix_core.types import ErrorType, Event


def _stamp(run: Run, name: str) -> int:
    path = run / name
    return path.stat().st_mtime_ns if path.exists() else 0


def suspects(name: str) -> dict[ErrorType, Suspects]:
    """What was suggested, drawn and judged, per type."""
    events = log(name).events()
    folder = str(run_path(name).resolve())
    return _suspects(folder, name, book(name).version, _stamp(Run(folder), draws.FILE), len(events), events)


@st.cache_resource(max_entries=2, show_spinner=False)
def _suspects(
    folder: str, name: str, version: int, stamp: int, count: int, _events: list[Event]
) -> dict[ErrorType, Suspects]:
    loaded, drawn = book(name), draws.read_draws(Run(folder))
    return {k: evidence.suspects(k, loaded.diagnosis, loaded.patches, _events, drawn) for k in ErrorType}


def look(name: str, kind: ErrorType, at: float | None = None) -> Look:
    """One type at a threshold, or at the one in force."""
    run = Run(run_path(name))
    made, yours = limits.diagnosed(run)[kind], limits.read_limits(run).get(kind)
    threshold = at if at is not None else made if yours is None else yours
    return Look(evidence.assess(suspects(name)[kind], threshold), made, yours)


def move_threshold(name: str, kind: ErrorType, threshold: float | None) -> None:
    """Keeps the person's threshold of a type in the run; None: the diagnosis' own again."""
    limits.write_limit(Run(run_path(name)), kind, threshold)


def sample(name: str, kind: ErrorType, count: int) -> list[int]:
    """Rows to review, in this order: what is left of earlier draws, else `count` fresh ones."""
    waiting = evidence.to_review(suspects(name)[kind])
    if waiting:
        return waiting
    seed = int(Run(run_path(name)).manifest().settings.get("seed", 0))
    return list(evidence.draw_sample(Run(run_path(name)), kind, count, None, seed).rows)


def waiting(name: str, kind: ErrorType) -> int:
    """How many drawn rows are still to be reviewed."""
    return len(evidence.to_review(suspects(name)[kind]))


def above_thresholds(name: str) -> np.ndarray:
    """bool [P]: suggestions that the person's thresholds leave in the queue."""
    folder = run_path(name).resolve()
    loaded = book(name)
    return _above(str(folder), name, loaded.version, loaded.own, _stamp(Run(folder), limits.FILE))


@st.cache_resource(max_entries=4, show_spinner=False)
def _above(folder: str, name: str, version: int, own: tuple[int, ...], stamp: int) -> np.ndarray:
    loaded = book(name)
    return limits.passing(loaded.diagnosis, loaded.patches, limits.read_limits(Run(Path(folder))))


@dataclass(frozen=True)
class Taught:
    """lessons: per type; after: float64 [P], the confidence of each suggestion as verdicts teach; newly: rows that were
    not flagged and look wrong by now, see lessons.newly_likely.
    """

    lessons: dict[ErrorType, Lessons]
    after: np.ndarray
    newly: pd.DataFrame

    @property
    def verdicts(self) -> int:
        """How many rows were judged."""
        return sum(lesson.right + lesson.wrong for lesson in self.lessons.values())


def may_teach(name: str) -> bool:
    """Whether the run keeps what verdicts teach from, and something was decided one by one."""
    return (run_path(name) / lessons.DESCRIBED).exists() and bool(judged(name))


def judged(name: str) -> int:
    """How many suggestions were decided one by one."""
    return len(evidence.judged_patches(log(name).events()))


def taught(name: str) -> Taught | None:
    """What the verdicts so far teach; None where there are none, or nothing to teach from."""
    if not may_teach(name):
        return None
    loaded = book(name)
    return _taught(name, str(run_path(name).resolve()), loaded.version, loaded.own, len(log(name).events()))


@st.cache_resource(max_entries=2, show_spinner=False)
def _taught(name: str, folder: str, version: int, own: tuple[int, ...], count: int) -> Taught:
    loaded = book(name)
    described = lessons.read_described(Run(Path(folder)))
    found = lessons.lessons_of(loaded.diagnosis, described, suspects(name))
    after = lessons.taught(found, loaded.diagnosis, loaded.patches)
    return Taught(found, after, lessons.newly_likely(loaded.diagnosis, found, loaded.patches))


def evidenced(name: str, positions: Sequence[int]) -> tuple[Share, int]:
    """(share of right rows among those of these suggestions that nobody judged, rows of the sample that say so)."""
    loaded = book(name)
    chosen = loaded.patches.iloc[positions]
    questions = []
    for kind, found in suspects(name).items():
        rows = chosen.loc[(chosen["error_type"] == kind.value).to_numpy(), "row_id"]
        if len(rows):
            questions.append((found, np.isin(found.pool.row_ids, rows)))
    return evidence.left(questions), evidence.sampled_rows(questions)[0]


def planted(name: str, kind: ErrorType, at: float) -> Rehearsed | None:
    """What a threshold finds of planted errors; None before any were planted."""
    run = Run(run_path(name))
    path = planting.result(run)
    found = _planted(str(path), path.stat().st_mtime_ns) if path.is_file() else None
    return None if found is None else planting.assess(found, book(name).diagnosis, kind, at)


@st.cache_resource(max_entries=2, show_spinner=False)
def _planted(path: str, stamp: int) -> pd.DataFrame:
    return pd.read_parquet(path)


def rehearse(name: str) -> None:
    """Starts the job that plants errors into copies of the table."""
    jobs.start_rehearsal(Run(run_path(name)))


def rehearsing(name: str) -> Status | None:
    """How it is doing, a dead worker noticed; None before the first."""
    return jobs.state(Run(run_path(name)).rehearsal)


def stop_rehearsing(name: str) -> None:
    """Stops it; an earlier result stays."""
    jobs.cancel(Run(run_path(name)).rehearsal)


def suggest_from(name: str, kind: ErrorType, threshold: float) -> None:
    """Starts the job that makes the suggestions again, from a lower threshold of one type on."""
    given = Settings.from_dict(Run(run_path(name)).manifest().settings)
    thresholds = given.diagnose.thresholds | {kind.value: threshold}
    move_threshold(name, kind, None)
    start_again(name, replace(given, diagnose=replace(given.diagnose, thresholds=thresholds)))
