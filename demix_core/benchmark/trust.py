"""`bench trust`: how often the evidenced precision's interval holds the truth, on tables the classifier never saw.

Real detections with planted errors (broad protocol, 1 and 5 % of the rows wrong): the six benchmark tables, and
synthetic tables from seeds that training never used; for larger shares, right rows of those with 5 % are left out at
random. A reviewer who knows the truth judges rows in three ways: *sampled*, those that were drawn; *mixed*, first the
surest ten by choice, then those that were drawn; *greedy*, the surest first, none drawn: then the interval is only the
hint that the screen calls it. The rows suggested reach down to half of the diagnosis' threshold, as if it had been run
with a lower one, so that samples go below it as well.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from demix_core.benchmark._tables import BENCHMARKS, load
from demix_core.classifiers.detect import detect
from demix_core.classifiers.planted import make_case
from demix_core.corruption import lifelike, synthetic
from demix_core.planting import split_and_plant
from demix_core.settings import Settings
from demix_core.trust.draws import Pool, plan_draw
from demix_core.trust.evidence import OPEN, Suspects, assess
from demix_core.types import ErrorType, Schema
from demix_core.workers import in_order

SEED = 2026
SHARES = (0.01, 0.05, 0.10, 0.25)
PLANTED = (0.01, 0.05)
"""Of rows with wrong labels, and of rows with wrong cells; shortcuts have a share of their own."""

SIZES = (10, 30, 60, 120)
WAYS = ("sampled", "mixed", "greedy")
CHOSEN = 10
REVIEWS = 200
"""Simulated reviews of each way and share of errors, a quarter of each size."""

ROWS = 6000
SYNTHETIC = 6
STRICTER = (0.5, 0.75)
"""Beside the diagnosis' own threshold: quantiles of the probabilities above it."""

FEWEST = 20
"""Suggested rows above the threshold that a table must have to be reviewed."""


@dataclass(frozen=True)
class World:
    """One type of one diagnosed table with its truth. p float [N]; wrong bool [N]; threshold: the diagnosis'."""

    table: str
    share: float
    error_type: ErrorType
    p: np.ndarray
    wrong: np.ndarray
    threshold: float


def run(*, quick: bool = False, seed: int = SEED) -> dict[str, Any]:
    """Coverage and width of 95 % intervals (quick: two tables, 40 reviews of each kind)."""
    names = [*BENCHMARKS, *(f"synthetic {i}" for i in range(SYNTHETIC))]
    names = ["bank", "synthetic 0"] if quick else names
    planted = list(in_order(worlds_of, [(n, s, seed) for s in PLANTED for n in names]))
    reviews = pd.DataFrame(list(_reviews(planted, 40 if quick else REVIEWS, seed)))
    return report(reviews) | {"seed": seed, "tables": names, "diagnosed": len(planted)}


def report(reviews: pd.DataFrame) -> dict[str, Any]:
    """All figures, from one line per simulated review and threshold."""
    parts = {"table": "errors", "by_size": "reviewed", "by_type": "type", "by_threshold": "at"}
    grouped = {name: _lines(reviews.groupby(["way", by], sort=False)) for name, by in parts.items()}
    every = _lines(reviews.groupby(["way"], sort=False))
    return {"name": "trust", "reviews": int(reviews["review"].nunique()), **grouped, "all": every}


def _lines(groups: Any) -> list[dict[str, Any]]:
    lines = []
    for names, of in groups:
        line = dict(zip(groups.keys, names, strict=True))
        line |= {
            "reviews": int(of["review"].nunique()),
            "held": round(float(of["held"].mean()), 3),
            "width": round(float(of["width"].mean()), 3),
            "too high": round(float(of["too high"].mean()), 3),
            "all at once": round(float(of.groupby("review")["everywhere"].all().mean()), 3),
            "its width": round(float(of["everywhere width"].mean()), 3),
        }
        lines.append(line)
    return lines


# ---- diagnosed tables --------------------------------------------------------------------------------------------


def worlds_of(job: tuple[str, float, int]) -> list[World]:
    """One table with planted errors, diagnosed: a world for each type that has enough suggestions."""
    name, share, seed = job
    warnings.simplefilter("ignore")
    frame, schema = _table(name, seed)
    parts = split_and_plant(frame, schema, "broad", 1 - 2 * share, seed)
    settings = Settings(seed=seed)
    found = detect(make_case(parts.train.frame, parts.validation.frame, schema, settings), settings)
    truth = parts.train.truth[[k.value for k in ErrorType]].to_numpy(bool)
    made = [
        World(name, share, kind, found.probabilities[:, k].astype(float), truth[:, k], found.thresholds[kind])
        for k, kind in enumerate(ErrorType)
    ]
    return [w for w in made if (w.p >= w.threshold).sum() >= FEWEST]


def _table(name: str, seed: int) -> tuple[pd.DataFrame, Schema]:
    if name in BENCHMARKS:
        frame, schema = load(name)
        return frame.sample(min(ROWS, len(frame)), random_state=seed).reset_index(drop=True), schema
    number = int(name.split()[1])
    draw = (synthetic.draw_table, lifelike.draw_table)[number % 2]
    return draw(ROWS, np.random.default_rng([seed, number]), number % 3 == 2)


# ---- simulated reviews -------------------------------------------------------------------------------------------


def _reviews(planted: list[World], count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Every way and share: `count` reviews, each of a world drawn at random, around one of three thresholds."""
    rng = np.random.default_rng([seed, 3])
    for number, (way, share, i) in enumerate((w, s, i) for w in WAYS for s in SHARES for i in range(count)):
        size = SIZES[i % len(SIZES)]
        there = [w for w in planted if w.share == min(share, max(PLANTED))]
        world = thinned(there[rng.integers(len(there))], share, rng)
        for line in review(world, way, size, rng):
            yield {"review": number, "way": way, "errors": share, "reviewed": size, "type": world.error_type.short,
                   "table": world.table} | line  # fmt: skip


def thinned(world: World, share: float, rng: np.random.Generator) -> World:
    """The same with right rows left out at random, so that `share` of the rows are wrong; as it is if more are."""
    wrong, right = np.flatnonzero(world.wrong), np.flatnonzero(~world.wrong)
    wanted = round(len(wrong) * (1 - share) / share)
    if share <= max(PLANTED) or wanted >= len(right):
        return world
    rows = np.sort(np.r_[wrong, rng.choice(right, wanted, replace=False)])
    return replace(world, p=world.p[rows], wrong=world.wrong[rows])


def review(world: World, way: str, size: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """One review of `size` rows, and what it says at each threshold; the draw is around one of them."""
    thresholds = thresholds_of(world)
    found = judge(world, way, size, thresholds[int(rng.integers(len(thresholds)))], rng)
    truth = world.wrong[found.pool.row_ids]
    for place, threshold in enumerate(thresholds):
        above = found.pool.scores >= threshold
        right, said = float(truth[above].mean()), assess(found, threshold)
        band = said.everywhere
        yield {
            "at": ("own", "stricter", "strictest")[place], "held": _holds(said.precision, right),
            "width": said.precision.high - said.precision.low, "too high": said.precision.low > right + 1e-9,
            "everywhere": _holds(band, right), "everywhere width": band.high - band.low,
        }  # fmt: skip


def _holds(share: Any, truth: float) -> bool:
    return bool(share.low - 1e-9 <= truth <= share.high + 1e-9)


def thresholds_of(world: World) -> list[float]:
    """The diagnosis' own, and stricter ones."""
    above = world.p[world.p >= world.threshold]
    return [world.threshold, *(float(np.quantile(above, q)) for q in STRICTER)]


def judge(world: World, way: str, size: int, threshold: float, rng: np.random.Generator) -> Suspects:
    """What is known after a review of `size` rows; those drawn come half by half, as two presses of the button."""
    rows = np.flatnonzero(world.p >= world.threshold / 2)
    judged = np.full(len(rows), OPEN, np.int8)
    found = Suspects(world.error_type, world.p, Pool(rows, world.p[rows], judged, np.zeros(len(rows), bool)))
    if way != "sampled":
        surest = np.argsort(-world.p[rows], kind="stable")[: size if way == "greedy" else CHOSEN]
        judged[surest] = world.wrong[rows[surest]]
    for part in () if way == "greedy" else (size // 2, size - size // 2):
        if not ((judged == OPEN) & ~found.pool.drawn).any():
            break
        draw = plan_draw(world.error_type, found.pool, found.draws, threshold, part, int(rng.integers(2**31)), "")
        drawn = found.pool.drawn | np.isin(rows, draw.rows)
        judged[np.isin(rows, draw.rows)] = world.wrong[rows[np.isin(rows, draw.rows)]]
        found = replace(found, pool=Pool(rows, world.p[rows], judged, drawn), draws=(*found.draws, draw))
    return found
