"""What the decisions on a run teach of its open suggestions; decides those that are sure by then, if asked to.

Verdicts are decisions made one by one, as for thresholds (trust/evidence.py): a row with a suggestion of a type is
right when one of them was accepted or edited, wrong when all were rejected. What the diagnosis wrote stays as it is.
Corrections of rows that were not flagged teach nothing: of those that a person looks at only the wrong ones leave one,
and a single one, as unlikely as its row was, made 150 suggestions of the shipped example sure.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from demix_core.classifiers.lessons import SPREADS, Line, corrected, foretold, learn
from demix_core.classifiers.thresholds import LIKELY, logits, shifted
from demix_core.decisions import are_own
from demix_core.errors import InputError, RunError
from demix_core.store import DESCRIBED, Run
from demix_core.trust.evidence import OPEN, RIGHT, Suspects, judged_patches, read_suspects
from demix_core.types import DecisionKind, ErrorType, Event

SURE, UNLIKELY = 0.9, 0.1
"""Probabilities from and up to which open suggestions are counted as settled."""

MISSING = (
    "The run '{run}' keeps nothing for verdicts to teach from: it is of an earlier version. Diagnose its table again, "
    "into a new folder."
)
UNJUDGED = "Nothing was decided one by one on the run '{run}' yet: review some rows first."


@dataclass(frozen=True)
class Lessons:
    """Of one type. before: float64 [N], probabilities of the N training rows as diagnosed; verdicts: float64 [N], 1 for
    a row that has the error, 0 for one that has not, NaN for one that nobody judged; described: int8 [N, D].
    """

    error_type: ErrorType
    before: np.ndarray
    verdicts: np.ndarray
    described: np.ndarray

    @property
    def right(self) -> int:
        """Rows judged to have the error."""
        return int((self.verdicts == 1).sum())

    @property
    def wrong(self) -> int:
        """Rows judged not to."""
        return int((self.verdicts == 0).sum())

    @cached_property
    def line(self) -> Line | None:
        """What is learnt; None without verdicts."""
        return learn(self.described, self.before, self.verdicts, SPREADS[self.error_type])

    @cached_property
    def after(self) -> np.ndarray:
        """float64 [N]: probabilities as the verdicts teach."""
        return corrected(self.line, self.described, self.before)

    @cached_property
    def foretold(self) -> tuple[float, float] | None:
        """How well verdicts are foretold before and by the other ones, see classifiers.lessons.foretold."""
        return foretold(self.described, self.before, self.verdicts, SPREADS[self.error_type])


def lessons_of(
    diagnosis: pd.DataFrame, described: np.ndarray, suspects: Mapping[ErrorType, Suspects]
) -> dict[ErrorType, Lessons]:
    """Per type. diagnosis: the run's, N rows; described: int8 [N, D], of the same rows."""
    place = pd.Index(diagnosis["row_id"])
    found = {}
    for kind, suspect in suspects.items():
        verdicts, pool = np.full(len(diagnosis), np.nan), suspect.pool
        known = pool.judged != OPEN
        verdicts[place.get_indexer(pd.Index(pool.row_ids[known]))] = pool.judged[known] == RIGHT
        before = diagnosis[kind.probability_column].to_numpy(float)
        found[kind] = Lessons(kind, before, verdicts, described)
    return found


def read_described(run: Run) -> np.ndarray:
    """int8 [N, D], left on disk until needed. RunError: the run keeps none."""
    if not (run / DESCRIBED).exists():
        raise RunError(MISSING.format(run=run.path))
    return np.load(run / DESCRIBED, mmap_mode="r", allow_pickle=False)


def read_lessons(run: Run) -> dict[ErrorType, Lessons]:
    """Of a finished run. RunError: the run keeps nothing to teach from."""
    return lessons_of(run.diagnosis(), read_described(run), read_suspects(run))


def taught(lessons: Mapping[ErrorType, Lessons], diagnosis: pd.DataFrame, patches: pd.DataFrame) -> np.ndarray:
    """float64 [P]: the confidence of each suggestion, its log-odds moved as those of its row and type are."""
    rows = pd.Index(diagnosis["row_id"]).get_indexer(pd.Index(patches["row_id"]))
    shift, kinds = np.zeros(len(patches)), patches["error_type"].to_numpy(str)
    for kind, lesson in lessons.items():
        mine = kinds == kind.value
        shift[mine] = (logits(lesson.after) - logits(lesson.before))[rows[mine]]
    return np.asarray(shifted(patches["confidence"].to_numpy(float), shift))


def open_suggestions(run: Run, lessons: Mapping[ErrorType, Lessons]) -> pd.DataFrame:
    """The patches that nobody has decided, likeliest first, with one more column: after, as taught says."""
    patches = run.patches()
    with closing(run.decisions()) as log:
        decided = set(log.replay())
    left = patches.assign(after=taught(lessons, run.diagnosis(), patches))[~patches["patch_id"].isin(decided)]
    return left.sort_values(["after", "row_id"], ascending=[False, True])


def hear(run: Run, described: np.ndarray | None, p: np.ndarray) -> tuple[np.ndarray, int]:
    """(probabilities float32 [n, 3] of rows to come once the run's verdicts are heard, how many these are).

    described: int8 [n, D], as the run's rows are; p: [n, 3]. RunError: the run keeps nothing to teach from. InputError:
    nothing was decided one by one.
    """
    lessons = read_lessons(run)
    count = sum(one.right + one.wrong for one in lessons.values())
    if described is None:
        raise RunError(MISSING.format(run=run.path))
    if not count:
        raise InputError(UNJUDGED.format(run=run.path))
    heard = [corrected(lesson.line, described, p[:, k]) for k, lesson in enumerate(lessons.values())]
    return np.stack(heard, 1).astype(np.float32), count


def newly_likely(diagnosis: pd.DataFrame, lessons: Mapping[ErrorType, Lessons], patches: pd.DataFrame) -> pd.DataFrame:
    """Rows that the diagnosis did not flag and that are likelier wrong than not by now: row_id, error_type, after.

    There are no suggestions for them, and among the patches are no corrections of them; likeliest first. None of a type
    without verdicts.
    """
    alone = ~diagnosis["row_id"].isin(patches.loc[are_own(patches), "row_id"]).to_numpy()
    found = []
    for kind, lesson in lessons.items():
        if lesson.right + lesson.wrong:
            some = np.flatnonzero(alone & ~diagnosis[kind.value].to_numpy(bool) & (lesson.after >= LIKELY))
            rows = diagnosis["row_id"].to_numpy()[some]
            found.append(pd.DataFrame({"row_id": rows, "error_type": kind.value, "after": lesson.after[some]}))
    every = pd.concat(found) if found else pd.DataFrame({"row_id": [], "error_type": [], "after": []})
    return every.sort_values("after", ascending=False, ignore_index=True)


def decide(
    run: Run, suggestions: pd.DataFrame, accept_from: float | None, reject_to: float | None, who: str
) -> list[Event]:
    """Accepts the open suggestions of at least one probability, rejects those of at most the other: two bulk decisions.

    suggestions: of open_suggestions. InputError: there is no verdict to go by, or the two overlap.
    """
    if accept_from is None and reject_to is None:
        return []
    if accept_from is not None and reject_to is not None and reject_to >= accept_from:
        raise InputError("--reject-to must be below --accept-from: a suggestion can't be both.")
    with closing(run.decisions()) as log:
        since = log.newest()  # what others decide from here on is theirs
        if not judged_patches(log.events()):
            raise InputError(UNJUDGED.format(run=run.path))
        still = suggestions[~suggestions["patch_id"].isin(list(log.replay()))]
        chosen = [
            (DecisionKind.ACCEPT, accept_from, still["after"] >= (accept_from or 0)),
            (DecisionKind.REJECT, reject_to, still["after"] <= (reject_to or 0)),
        ]
        made = [
            log.together(kind, still.loc[some, "patch_id"].tolist(), who, since, query=said(kind, limit))
            for kind, limit, some in chosen
            if limit is not None and some.any()
        ]
    return [event for event in made if event is not None]


def said(kind: DecisionKind, limit: float) -> str:
    """The query of such a bulk decision."""
    return f"{'at least' if kind is DecisionKind.ACCEPT else 'at most'} {limit:.0%} likely, as verdicts teach"
