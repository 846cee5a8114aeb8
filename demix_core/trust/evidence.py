"""What the reviewed rows say of a threshold: precision, what it keeps, and how many rows are wrong, with intervals.

The unit is a row with a suggestion of one error type: *right* when somebody accepted or edited one of its suggestions,
*wrong* when all of them were rejected; only decisions made one by one count, for who accepts a thousand at once has not
looked at them. Rows that were judged are known. The rest is estimated from rows that were drawn at random among those
not judged by then (draws.py), so that it does not matter how people chose the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from demix_core.decisions import are_own, live
from demix_core.errors import InputError
from demix_core.store import Run
from demix_core.trust.draws import (
    BANDS,
    Draw,
    Pool,
    add_draw,
    bands,
    detection_key,
    equal_cuts,
    plan_draw,
    read_draws,
)
from demix_core.trust.intervals import ALPHA, Stratum, stratified
from demix_core.trust.limits import diagnosed, read_limits
from demix_core.types import DecisionKind, ErrorType, Event

STEPS = 10
"""Thresholds at which the band for all thresholds is reckoned; between them right rows are counted at the worst."""

OPEN, WRONG, RIGHT = -1, 0, 1


@dataclass(frozen=True)
class Share:
    """A share in [0, 1] with its interval; value is None where nothing was seen (then low to high is what must be)."""

    value: float | None
    low: float
    high: float


@dataclass(frozen=True)
class Evidence:
    """One type at one threshold. flagged: rows from it on; suggested: those of them with a suggestion: of these the
    rest speaks.

    reviewed, right: rows judged one by one; sampled, sampled_right: those of them that were drawn and count as sample;
    precision: share of right ones; everywhere: an interval that holds at all thresholds at once; left: share of right
    ones among the rows not judged yet; kept: share of all right ones of this diagnosis that lie from the threshold on;
    found: share of the table's rows that are right ones of this diagnosis (below it nothing is known).
    basis: 'sampled'; 'chosen', a hint from rows that people picked, as if these were like the others of their score;
    'complete', every row is judged; 'none'.
    """

    error_type: ErrorType
    threshold: float
    flagged: int
    suggested: int
    reviewed: int
    right: int
    sampled: int
    sampled_right: int
    basis: str
    precision: Share
    everywhere: Share
    left: Share
    kept: Share
    found: Share

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "error_type": self.error_type.value}


@dataclass(frozen=True)
class Suspects:
    """All that is known of one type. scores float [N]: probability of each training row; pool: the rows with a
    suggestion, by row id; draws: oldest first."""

    error_type: ErrorType
    scores: np.ndarray
    pool: Pool
    draws: tuple[Draw, ...] = ()

    @cached_property
    def band(self) -> np.ndarray:
        """int [U]: within a band every draw took rows at random."""
        return bands(self.pool.scores, tuple(set[float]().union(*(d.cuts for d in self.draws))))

    @cached_property
    def places(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Of each draw the positions of its rows, in their order, and of those that were known before."""
        return [(self._places(d.rows), self._places(d.known)) for d in self.draws]

    def _places(self, rows: Sequence[int]) -> np.ndarray:
        ids = np.array(rows, np.int64)
        at = np.searchsorted(self.pool.row_ids, ids)
        there = at < len(self.pool.row_ids)
        there[there] = self.pool.row_ids[at[there]] == ids[there]
        return at[there]


# ---- what was judged ---------------------------------------------------------------------------------------------


def judged_patches(events: Sequence[Event]) -> dict[int, bool]:
    """patch id -> whether its newest standing decision made one by one took it (accept, edit) or not (reject).

    A decision with a query was made by a filter, even if only one suggestion passed it.
    """
    found: dict[int, bool] = {}
    for event in live(events):
        single = len(event.patch_ids) == 1 and not event.query
        if single and event.kind in (DecisionKind.ACCEPT, DecisionKind.EDIT, DecisionKind.REJECT):
            found[event.patch_ids[0]] = event.kind is not DecisionKind.REJECT
    return found


def suspects(
    kind: ErrorType, diagnosis: pd.DataFrame, patches: pd.DataFrame, events: Sequence[Event], draws: Sequence[Draw]
) -> Suspects:
    """Of one type, from the tables of a run, its decision log and its draws."""
    mine = patches[(patches["error_type"] == kind.value) & ~are_own(patches)]
    rows, row_of = np.unique(mine["row_id"].to_numpy(np.int64), return_inverse=True)
    verdict = np.full(len(mine), OPEN, np.int8)
    judged = judged_patches(events)
    known = np.flatnonzero(np.isin(mine["patch_id"].to_numpy(np.int64), list(judged)))
    verdict[known] = [judged[int(p)] for p in mine["patch_id"].iloc[known]]
    best, worst = np.full(len(rows), OPEN, np.int8), np.full(len(rows), RIGHT, np.int8)
    np.maximum.at(best, row_of, verdict)
    np.minimum.at(worst, row_of, verdict)
    score = pd.Series(diagnosis[kind.probability_column].to_numpy(float), index=diagnosis["row_id"])
    mine_drawn = tuple(d for d in draws if d.error_type is kind)
    drawn = np.isin(rows, [r for d in mine_drawn for r in d.rows])
    state = np.where(best == RIGHT, RIGHT, worst).astype(np.int8)  # right: one is; wrong: all are
    pool = Pool(rows, score.reindex(rows).to_numpy(float), state, drawn)
    return Suspects(kind, score.to_numpy(), pool, mine_drawn)


def read_suspects(run: Run) -> dict[ErrorType, Suspects]:
    """Of every type of a finished run."""
    diagnosis, patches, draws = run.diagnosis(), run.patches(), read_draws(run)
    events: list[Event] = []
    if (run / "decisions.sqlite").exists():  # looking makes no log
        with closing(run.decisions()) as log:
            events = log.events()
    return {kind: suspects(kind, diagnosis, patches, events, draws) for kind in ErrorType}


# ---- the sample within a band ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Seen:
    """One band, for the rows asked about: frame, rows that the sample was drawn from; low, high: right ones of the
    sample with the open ones counted as wrong, as right; beside: right ones known outside the frame; unknown: rows
    outside it that are not judged."""

    frame: int
    drawn: int
    low: int
    high: int
    beside: int
    unknown: int


def _seen(found: Suspects, asked: np.ndarray) -> list[_Seen]:
    """Per band, lowest first. asked: bool [U], the rows that the question is about."""
    return [_seen_in(found.pool, asked & (found.band == b), found.places) for b in np.unique(found.band[asked])]


def _seen_in(pool: Pool, inside: np.ndarray, lists: list[tuple[np.ndarray, np.ndarray]]) -> _Seen:
    """The newest draws between which nobody chose rows of the band; they are one random sample of what was left."""
    for first, last in _chains(inside, lists):
        frame = inside.copy()
        frame[lists[first][1]] = False
        for rows, _ in lists[:first]:
            frame[rows] = False
        order = np.concatenate([rows[inside[rows]] for rows, _ in lists[first : last + 1]])
        used = order[: _count_used(pool.judged[order])]
        if len(used):
            break
    else:
        frame, used = inside & (pool.judged == OPEN), np.array([], int)
    beside = inside & ~frame
    verdict = pool.judged[used]
    return _Seen(
        int(frame.sum()), len(used), int((verdict == RIGHT).sum()), int((verdict != WRONG).sum()),
        int((beside & (pool.judged == RIGHT)).sum()), int((beside & (pool.judged == OPEN)).sum()),
    )  # fmt: skip


def _chains(inside: np.ndarray, lists: list[tuple[np.ndarray, np.ndarray]]) -> Iterator[tuple[int, int]]:
    """(first, last) draw of each run of draws between which the rows chosen by people stayed the same; newest first."""
    chosen: list[frozenset[int]] = []
    earlier: set[int] = set()
    for rows, known in lists:
        chosen.append(frozenset(int(i) for i in known if inside[i]) - earlier)
        earlier |= set(rows.tolist())
    last = len(lists) - 1
    while last >= 0:
        first = last
        while first > 0 and chosen[first - 1] == chosen[last]:
            first -= 1
        yield first, last
        last = first - 1


def _count_used(verdict: np.ndarray) -> int:
    """How much of a sample in random order counts: up to where judged rows outnumber the skipped ones most.

    >>> _count_used(np.array([1, 0, -1, 1, -1, -1]))
    2
    """
    lead = np.where(verdict == OPEN, -1, 1).cumsum()
    return int(lead.argmax()) + 1 if len(lead) and lead.max() > 0 else 0


# ---- estimates ---------------------------------------------------------------------------------------------------

Question = tuple[Suspects, np.ndarray]
"""Some of the suggested rows of one type, as bool [U]."""


def known_rows(questions: Sequence[Question]) -> tuple[int, int]:
    """(least, most) right rows among those asked about, from the judged ones alone."""
    least = sum(int((asked & (s.pool.judged == RIGHT)).sum()) for s, asked in questions)
    wrong = sum(int((asked & (s.pool.judged == WRONG)).sum()) for s, asked in questions)
    return least, sum(int(asked.sum()) for _, asked in questions) - wrong


def right_rows(questions: Sequence[Question], alpha: float = ALPHA) -> Share:
    """How many of the rows asked about are right (rows, not a share): what is known, plus the rest from the samples."""
    least, most = known_rows(questions)
    if least == most:
        return Share(float(least), least, most)
    seen = [s for found, asked in questions for s in _seen(found, asked)]
    frame, beside, unknown = (sum(getattr(s, name) for s in seen) for name in ("frame", "beside", "unknown"))
    below, low, _ = stratified([Stratum(s.frame, s.drawn, s.low) for s in seen], alpha)
    above, _, high = stratified([Stratum(s.frame, s.drawn, s.high) for s in seen], alpha)
    if np.isnan(below):
        return Share(None, least, most)
    share = (below + above) / 2
    total = float(np.clip(frame * share + beside + unknown * share, least, most))
    bounds = (max(frame * low + beside, least), min(frame * high + beside + unknown, most))
    return Share(total, min(bounds[0], total), max(bounds[1], total))


def precision(questions: Sequence[Question], alpha: float = ALPHA) -> Share:
    """The share of right rows among those asked about."""
    return _share(right_rows(questions, alpha), sum(int(asked.sum()) for _, asked in questions))


def left(questions: Sequence[Question], alpha: float = ALPHA) -> Share:
    """The share of right rows among those asked about that are not judged yet."""
    total, (least, most) = right_rows(questions, alpha), known_rows(questions)
    rest = Share(None if total.value is None else total.value - least, total.low - least, total.high - least)
    return _share(rest, most - least)


def sampled_rows(questions: Sequence[Question]) -> tuple[int, int]:
    """(rows that count as a sample, right ones) among those asked about."""
    seen = [s for found, asked in questions for s in _seen(found, asked)]
    return sum(s.drawn - s.high + s.low for s in seen), sum(s.low for s in seen)


def to_review(found: Suspects) -> list[int]:
    """Row ids that were drawn and are not judged yet, in the order to review."""
    still = set(found.pool.row_ids[found.pool.drawn & (found.pool.judged == OPEN)].tolist())
    return [r for d in found.draws for r in d.rows if r in still]


def assess(found: Suspects, threshold: float, alpha: float = ALPHA) -> Evidence:
    """Everything that the reviewed rows say of one threshold."""
    pool, above = found.pool, found.pool.scores >= threshold
    asked, everything = [(found, above)], [(found, np.ones(len(pool.scores), bool))]
    judged = above & (pool.judged != OPEN)
    right = int((judged & (pool.judged == RIGHT)).sum())
    sampled, sampled_right = sampled_rows(asked)
    share = precision(asked, alpha)
    basis = _basis(asked, share, bool(judged.any()))
    taken, lost = right_rows(asked, alpha / 2), right_rows([(found, ~above)], alpha / 2)
    return Evidence(
        found.error_type, float(threshold), int((found.scores >= threshold).sum()), int(above.sum()),
        int(judged.sum()), right, sampled, sampled_right, basis,
        _hint(pool, above, alpha) if basis == "chosen" else share, everywhere(found, threshold, alpha),
        left(asked, alpha), _kept(taken, lost), _share(right_rows(everything, alpha), len(found.scores)),
    )  # fmt: skip


def _basis(asked: Sequence[Question], share: Share, judged: bool) -> str:
    least, most = known_rows(asked)
    if least == most:
        return "complete" if judged else "none"
    return "sampled" if share.value is not None else "chosen" if judged else "none"


def _share(rows: Share, of: int) -> Share:
    if not of:
        return Share(None, 0.0, 1.0)
    value, low, high = (None if v is None else float(np.clip(v / of, 0, 1)) for v in (rows.value, rows.low, rows.high))
    assert low is not None and high is not None
    return Share(value, low, high)


def _hint(pool: Pool, asked: np.ndarray, alpha: float) -> Share:
    """As if the judged rows were drawn at random among those of about the same score."""
    band = bands(pool.scores, equal_cuts(pool.scores[asked], BANDS))
    known = asked & (pool.judged != OPEN)
    strata = []
    for b in np.unique(band[asked]):
        inside, seen = asked & (band == b), known & (band == b)
        strata.append(Stratum(int(inside.sum()), int(seen.sum()), int(pool.judged[seen].sum())))
    return Share(*stratified(strata, alpha))


def _kept(taken: Share, lost: Share) -> Share:
    """taken / (taken + lost), each bound at its worst; both at half the error, so that the whole holds."""
    known = taken.value is not None and lost.value is not None and taken.value + lost.value > 0
    value = taken.value / (taken.value + lost.value) if known else None  # type: ignore[operator]
    low = taken.low / (taken.low + lost.high) if taken.low + lost.high > 0 else 0.0
    high = taken.high / (taken.high + lost.low) if taken.high + lost.low > 0 else 1.0
    return Share(value, low, high)


def everywhere(found: Suspects, threshold: float, alpha: float = ALPHA) -> Share:
    """Precision with an interval that holds at all thresholds at once, for a threshold chosen after looking.

    Bonferroni over a grid of thresholds that does not depend on what people said. The number of right rows from a
    threshold on only falls as it rises, and by one row at a time, so bounds on the grid bound it everywhere.
    """
    scores = found.pool.scores
    asked = scores >= threshold
    n = int(asked.sum())
    low, high = (float(v) for v in known_rows([(found, asked)]))
    grid = sorted({float(scores.min()), *equal_cuts(scores, STEPS)}) if len(scores) else []
    for cut in grid:
        inside = scores >= cut
        bound, size = right_rows([(found, inside)], alpha / len(grid)), int(inside.sum())
        low = max(low, bound.low if cut >= threshold else bound.low - (size - n))
        high = min(high, bound.high if cut <= threshold else bound.high + (n - size))
    point = right_rows([(found, asked)], alpha)  # the grid may know more, but what holds for more is never shorter
    return _share(Share(point.value, min(low, point.low), max(high, point.high)), n)


# ---- a run -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """One type of a run at one threshold. diagnosed: the threshold that its suggestions were made with; yours: the one
    that the person keeps, None where it was never moved."""

    evidence: Evidence
    diagnosed: float
    yours: float | None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**self.evidence.to_dict(), "diagnosed_at": self.diagnosed, "yours": self.yours}


def look(run: Run, kinds: Sequence[ErrorType], at: float | None = None) -> list[Look]:
    """What the reviewed rows of a run say, at one threshold or at those in force. InputError: at outside [0, 1]."""
    if at is not None and not 0 <= at <= 1:
        raise InputError(f"A threshold must lie between 0 and 1, not {at:g}.")
    every, limits, made = read_suspects(run), read_limits(run), diagnosed(run)
    return [Look(assess(every[k], limits.get(k, made[k]) if at is None else at), made[k], limits.get(k)) for k in kinds]


def draw_sample(run: Run, kind: ErrorType, count: int, at: float | None = None, seed: int = 0) -> Draw:
    """Draws the next rows to review and remembers them in the run. InputError: nothing is left to draw."""
    found = read_suspects(run)[kind]
    threshold = read_limits(run).get(kind, diagnosed(run)[kind]) if at is None else at
    draw = plan_draw(kind, found.pool, found.draws, threshold, count, seed, detection_key(run))
    add_draw(run, draw)
    return draw
