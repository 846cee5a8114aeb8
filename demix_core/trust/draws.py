"""Which rows were drawn at random for review, and which to draw next; kept in the run folder (samples.json).

A draw takes rows at random within bands of the probability, so that what people say of them speaks for the rest of the
band, whatever else they decided by choice. Its rows are in random order: who stops early has still seen a random part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from demix_core.errors import InputError, RunError
from demix_core.store import Run, now, write_json
from demix_core.types import ErrorType

FILE = "samples.json"
BANDS, BAND_ROWS = 5, 8
"""The most bands of equal size that a first draw cuts, and the fewest rows of one."""

BELOW = 0.2
"""The part of a draw that goes below the threshold: what would be lost there, and whether to lower it."""

PRIOR_ROWS = 2.0
"""How many rows the classifier's probability counts for when the spread within a band is guessed."""

LEAST_SPREAD = 0.1
"""No band is taken for surer than this share of rows against its majority: probabilities may be far off."""


@dataclass(frozen=True)
class Draw:
    """rows: row ids in the order to review; known: rows judged one by one before; cuts: ends of bands it drew within.

    key: of the detection that the probabilities come from; threshold: around which it was drawn.
    """

    error_type: ErrorType
    rows: tuple[int, ...]
    known: tuple[int, ...]
    cuts: tuple[float, ...]
    threshold: float
    seed: int
    time: str
    key: str


def detection_key(run: Run) -> str:
    """Of the stage that made the probabilities; '' where the manifest knows none."""
    stage = run.manifest().stages.get("detect")
    return stage.key if stage else ""


def read_draws(run: Run, kind: ErrorType | None = None) -> list[Draw]:
    """All draws from the present probabilities, oldest first. RunError: the file is damaged."""
    if not (run / FILE).exists():
        return []
    key = detection_key(run)
    try:
        found = [_draw(line) for line in run.json(FILE)["draws"]]
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"'{FILE}' in the run folder '{run.path}' is damaged; delete it to draw again.") from error
    return [d for d in found if d.key == key and kind in (None, d.error_type)]


def _draw(line: dict[str, Any]) -> Draw:
    lists = {name: tuple(line[name]) for name in ("rows", "known", "cuts")}
    return Draw(**{**line, **lists, "error_type": ErrorType(line["error_type"])})


def add_draw(run: Run, draw: Draw) -> None:
    """Durably; draws from other probabilities are forgotten."""
    write_json(run / FILE, {"draws": [asdict(d) for d in [*read_draws(run), draw]]}, durable=True)


def bands(scores: np.ndarray, cuts: Sequence[float]) -> np.ndarray:
    """int [U]: the band of each score; band i is [cut i − 1, cut i)."""
    return np.searchsorted(np.unique(cuts), scores, side="right")


def equal_cuts(scores: np.ndarray, count: int) -> tuple[float, ...]:
    """Lower ends of up to `count` bands with about as many rows each, the lowest left out."""
    inner = np.quantile(scores, np.arange(1, count) / count, method="higher") if len(scores) else []
    return tuple(float(c) for c in np.unique(inner) if c > scores.min())


@dataclass(frozen=True)
class Pool:
    """The suggested rows of one type as a draw sees them: row_ids int64 [U], scores float [U];

    judged int8 [U]: 1 right, 0 wrong, −1 not judged one by one; drawn bool [U]: in an earlier draw.
    """

    row_ids: np.ndarray
    scores: np.ndarray
    judged: np.ndarray
    drawn: np.ndarray


def plan_draw(kind: ErrorType, pool: Pool, earlier: Sequence[Draw], threshold: float, count: int, seed: int,
              key: str) -> Draw:  # fmt: skip
    """The next `count` rows to review (fewer when no more are left), most of them above the threshold.

    Neyman's allocation: a band gets rows in proportion to its size times its spread, what was drawn from it before
    counted in. InputError: count below 1, or nothing is left to draw.
    """
    if count < 1:
        raise InputError(f"A sample needs at least one row, not {count}.")
    free = (pool.judged < 0) & ~pool.drawn
    if not free.any():
        raise InputError(f"Every suggested row of type '{kind.short}' is reviewed or drawn already.")
    cuts = set[float]().union(*(d.cuts for d in earlier)) or set(_first_cuts(pool.scores))
    inside = pool.scores.min(initial=1.0) < threshold <= pool.scores.max(initial=0.0)
    ends = tuple(sorted(cuts | ({threshold} if inside else set())))
    band, above = bands(pool.scores, ends), pool.scores >= threshold
    rng = np.random.default_rng([seed, len(earlier), list(ErrorType).index(kind)])
    below = min(round(BELOW * count), int((free & ~above).sum()))
    below = max(below, count - int((free & above).sum()))
    chosen: list[int] = []
    for part, budget in ((above, count - below), (~above, below)):
        for b, n in _allocate(pool, band, free & part, budget).items():
            chosen += rng.choice(np.flatnonzero(free & part & (band == b)), n, replace=False).tolist()
    rows = tuple(int(r) for r in pool.row_ids[rng.permutation(chosen)])
    known = tuple(int(r) for r in pool.row_ids[pool.judged >= 0])
    return Draw(kind, rows, known, ends, float(threshold), seed, now(), key)


def _first_cuts(scores: np.ndarray) -> tuple[float, ...]:
    return equal_cuts(scores, max(1, min(BANDS, len(scores) // BAND_ROWS)))


def _allocate(pool: Pool, band: np.ndarray, free: np.ndarray, budget: int) -> dict[int, int]:
    """How many of the free rows of each band; as many as the budget or the rows allow."""
    names = np.unique(band[free])
    room = np.array([(free & (band == b)).sum() for b in names], int)
    before = np.array([(pool.drawn & (band == b)).sum() for b in names], int)
    wanted = np.array([(band == b).sum() * _spread(pool, band == b) for b in names])
    given = np.zeros(len(names), int)
    for _ in range(min(budget, int(room.sum()))):  # each row where it is missed most
        need = np.where(given < room, wanted / (before + given + 1), -1.0)
        given[need.argmax()] += 1
    return {int(b): int(n) for b, n in zip(names, given, strict=True) if n}


def _spread(pool: Pool, inside: np.ndarray) -> float:
    """Standard deviation of right and wrong in a band, from its sample and the classifier's probabilities."""
    judged = pool.judged[inside & pool.drawn & (pool.judged >= 0)]
    share = (judged.sum() + PRIOR_ROWS * pool.scores[inside].mean()) / (len(judged) + PRIOR_ROWS)
    share = float(np.clip(share, LEAST_SPREAD, 1 - LEAST_SPREAD))
    return float(np.sqrt(share * (1 - share)))
