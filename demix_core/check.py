"""`evaluate`: what do the decisions do to the model? A job of its own on a finished run; the same for the Check page.

Trains the run's model on the table as it was and as it would be, with several seeds and the same budget, and without
each kind of change and each batch of decisions in turn. Its state lies in the run's check/ folder, like a run's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from demix_core.errors import InputError
from demix_core.evaluation.arms import Arm, Trainer, truth
from demix_core.evaluation.compare import Difference, difference
from demix_core.evaluation.metrics import METRICS, Measured
from demix_core.evaluation.ruler import suspects
from demix_core.evaluation.slices import group_edges, groups_of, slice_changes
from demix_core.exporting import accepted
from demix_core.jobs import only_worker
from demix_core.pipeline import last_word
from demix_core.repairs.apply import Changes, expected_gain, plan, repaired
from demix_core.settings import Settings
from demix_core.stages import Reporter, Stage, StopAsked
from demix_core.store import UPDATE, Run, now, write_json
from demix_core.types import (
    DecisionKind,
    ErrorType,
    Event,
    Progress,
    Schema,
    ShouldStop,
    Task,
    never_stop,
    no_progress,
)
from demix_core.work import Work, cell_texts

RESULT = "evaluation.json"
VALIDATION, TEST = "validation", "test"
MOST_BATCHES = 6
"""Batches of decisions whose contribution is measured, the largest ones."""

LEAST_BATCH = 5
"""Patches below which a batch is too small to be measured alone."""

SEEDS = (2, 20)
SHOWN_SUSPECTS, SHOWN_SLICES = 100, 12


@dataclass(frozen=True)
class Part:
    """Some of the standing decisions. kind: 'type' or 'batch'; name: error type, or number of the event."""

    kind: str
    name: str
    patches: frozenset[int]


@dataclass(frozen=True)
class Job:
    """Everything one evaluation needs. parts: what is left out in turn."""

    schema: Schema
    frame: pd.DataFrame
    trainer: Trainer
    groups: Mapping[str, np.ndarray]
    truths: Mapping[str, np.ndarray]
    seeds: tuple[int, ...]

    def arm(self, name: str, changes: Changes) -> Arm:
        """The training rows after these changes. InputError: none would be left."""
        rows, weights = repaired(self.frame, changes)
        if not len(rows):
            raise InputError("The decisions drop every training row; take some of them back.")
        return Arm(name, rows, weights)

    def measured(self, part: str, predictions: Sequence[np.ndarray], kept: np.ndarray | None = None) -> list[Measured]:
        """One per seed; kept: only these rows."""
        at = slice(None) if kept is None else kept
        return [Measured(p[at], self.truths[part][at], self.groups[part][at]) for p in predictions]


def evaluate(
    run: Run,
    seeds: int = 5,
    accept: str | None = None,
    min_confidence: float | None = None,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> dict[str, Any]:
    """Train before and after, compare, write check/evaluation.json and return it.

    The same decisions are measured once: later calls find the result in check/results/. accept, min_confidence: as in
    exporting.export; without accept the run's own decisions count. Cost: seeds × (2 + parts) trainings. InputError:
    nothing to evaluate, or an option out of range. Cancelled: asked to stop.
    """
    if not SEEDS[0] <= seeds <= SEEDS[1]:
        raise InputError(f"'seeds' must lie between {SEEDS[0]} and {SEEDS[1]}, not {seeds}.")
    parent = run.manifest().parent
    if parent is not None and parent.how == UPDATE:
        raise InputError("These rows were diagnosed with what another run learned; add them to its table to measure.")
    states, events = _standing(run, accept, min_confidence)
    patches = run.patches()
    changes = plan(patches, states, events)
    if changes.rows.empty:
        raise InputError("Nothing is accepted yet, so there is nothing to compare; accept some suggestions first.")
    place, known = run.check, run.evaluation(changes.key, seeds)
    stage = Stage("evaluate", "Training before and after", 1.0, (), lambda *_: ())
    with only_worker(place):
        place.clear_cancel()
        reporter = Reporter(place, (stage,), progress)
        with last_word(reporter):
            reporter.enter(0, False)
            stop = StopAsked(place, should_stop)
            found = place.json(known.relative_to(place.path).as_posix()) if known.is_file() else None
            result = found or _evaluate(run, seeds, patches, states, events, reporter.tell, stop)
            write_json(known, result)
            write_json(place / RESULT, result)
    return result


def _standing(run: Run, accept: str | None, min_confidence: float | None) -> tuple[dict[int, Any], list[Event]]:
    """({patch id: state}, events) of the run's own log, or of a bulk decision that is not written down."""
    if accept is None:
        log = run.decisions()
        try:
            return log.replay(), log.events()
        finally:
            log.close()
    from demix_core.decisions import PatchState

    ids = accepted(run, accept, min_confidence)
    return {i: PatchState(DecisionKind.ACCEPT, None, 0) for i in ids}, []


def _evaluate(
    run: Run,
    seeds: int,
    patches: pd.DataFrame,
    states: dict[int, Any],
    events: list[Event],
    progress: Progress,
    should_stop: ShouldStop,
) -> dict[str, Any]:
    settings = Settings.from_dict(run.manifest().settings)
    work = Work(run, settings)
    job = _job(work, tuple(settings.seed + i for i in range(seeds)))
    changes, parts = plan(patches, states, events), _parts(patches, states, events)
    arms = [Arm("Before", job.frame), job.arm("After", changes)]
    sets = list(dict.fromkeys(part.patches for part in parts))  # a type may be a batch: trained once
    for number, left_out in enumerate(sets, 1):
        rest = {i: s for i, s in states.items() if i not in left_out}
        arms.append(job.arm(f"Without part {number} of {len(sets)}", plan(patches, rest, events)))
    before, after, *without = _train(job, arms, progress, should_stop)
    progress(0.96, "Comparing")
    result: dict[str, Any] = {
        "made": now(), "key": changes.key, "seeds": list(job.seeds), "model": settings.fit.model,
        "rows": {"before": len(arms[0].frame), "after": len(arms[1].frame)},
        "changes": {"cells": len(changes.cells), "dropped": len(changes.dropped), "weights": len(changes.weights)},
        "estimate": dict(zip(("gain", "unknown"), expected_gain(patches, states), strict=True)),
        "parts": {name: _measure(job, name, before[name], after[name]) for name in job.truths},
        "contributions": [_contribution(job, p, without[sets.index(p.patches)], after) for p in parts],
    }  # fmt: skip
    result["ruler"] = _ruler(job, work, before, after)
    return result


def _train(job: Job, arms: Sequence[Arm], progress: Progress, should_stop: ShouldStop) -> list[dict[str, Any]]:
    """Predictions of every arm."""
    predicted = []
    for i, arm in enumerate(arms):

        def tell(fraction: float, message: str, i: int = i) -> None:
            progress(0.95 * (i + fraction) / len(arms), message)

        predicted.append(job.trainer.predictions(arm, job.seeds, tell, should_stop))
    return predicted


def _job(work: Work, seeds: tuple[int, ...]) -> Job:
    dataset, schema = work.dataset, work.schema
    measured = {VALIDATION: cell_texts(dataset.validation)}
    if dataset.test_frame is not None:
        measured[TEST] = cell_texts(dataset.test_frame)
    frame = cell_texts(dataset.train)
    rules = work.signals.shortcut
    column = rules[0].columns[0] if rules else None
    edges = group_edges(frame, schema, column)
    return Job(
        schema=schema,
        frame=frame,
        trainer=Trainer(schema, work.settings.fit, measured[VALIDATION], measured),
        groups={name: groups_of(rows, schema, column, edges) for name, rows in measured.items()},
        truths={name: truth(rows, schema) for name, rows in measured.items()},
        seeds=seeds,
    )


def _parts(patches: pd.DataFrame, states: Mapping[int, Any], events: Sequence[Event]) -> list[Part]:
    """Error types, if several, and the largest batches of decisions, if several."""
    standing = {i: s for i, s in states.items() if s.kind in (DecisionKind.ACCEPT, DecisionKind.EDIT)}
    kinds = dict(zip(patches["patch_id"], patches["error_type"], strict=True))
    by_type = {k.value: frozenset(i for i in standing if kinds[i] == k.value) for k in ErrorType}
    types = [Part("type", name, ids) for name, ids in by_type.items() if ids]
    by_event = {e.seq: frozenset(i for i, s in standing.items() if s.seq == e.seq) for e in events}
    large = sorted((len(ids), seq) for seq, ids in by_event.items() if len(ids) >= LEAST_BATCH)[::-1][:MOST_BATCHES]
    batches = [Part("batch", str(seq), by_event[seq]) for _, seq in large if len(by_event[seq]) < len(standing)]
    return (types if len(types) > 1 else []) + batches


def _measure(job: Job, part: str, before: list[np.ndarray], after: list[np.ndarray]) -> dict[str, Any]:
    sides = job.measured(part, before), job.measured(part, after)
    good = [np.stack([_good(job.schema, p, job.truths[part]) for p in side]) for side in (before, after)]
    slices = slice_changes(job.trainer.measured[part], job.schema, *good)
    return {
        "rows": len(job.truths[part]), "metrics": _differences(job, sides),
        "slices": [asdict(s) for s in slices[:SHOWN_SLICES]],
    }  # fmt: skip


def _good(schema: Schema, p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How good each prediction is, more is better: probability of the truth, or −|error|. float [n]."""
    return -np.abs(p[:, 0] - y) if schema.task is Task.REGRESSION else p[np.arange(len(y)), y].astype(float)


def _differences(job: Job, sides: tuple[list[Measured], list[Measured]]) -> list[dict[str, Any]]:
    found = (difference(m, *sides, seed=job.seeds[0]) for m in METRICS[job.schema.task])
    return [_described(d) for d in found if d is not None]


def _described(d: Difference) -> dict[str, Any]:
    seeds = {"seeds_before": list(d.seeds_before), "seeds_after": list(d.seeds_after)}  # as JSON gives them back
    return asdict(d) | seeds | {"delta": d.delta, "better": d.better}


def _contribution(job: Job, part: Part, without: dict[str, list[np.ndarray]], after: dict[str, Any]) -> dict[str, Any]:
    """What the part adds to the rest: from training without it to training with all, on the best ruler there is."""
    ruler = TEST if TEST in job.truths else VALIDATION
    sides = job.measured(ruler, without[ruler]), job.measured(ruler, after[ruler])
    return {
        "kind": part.kind, "name": part.name, "patches": len(part.patches), "ruler": ruler,
        "metrics": _differences(job, sides),
    }  # fmt: skip


def _ruler(job: Job, work: Work, before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Suspect validation rows by all models together, and the comparison without them."""
    y, frame = job.truths[VALIDATION], job.trainer.measured[VALIDATION]
    p = np.mean([*before[VALIDATION], *after[VALIDATION]], 0)
    found = suspects(p, y, len(job.schema.classes))
    kept = np.setdiff1d(np.arange(len(y)), [s.place for s in found])
    sides = job.measured(VALIDATION, before[VALIDATION], kept), job.measured(VALIDATION, after[VALIDATION], kept)
    target = job.schema.target
    shown = [
        {
            "row": int(frame.index[s.place]), "given": str(frame[target].iloc[s.place]),
            "likely": job.schema.classes[int(s.likely)] if job.schema.classes else f"{s.likely:.6g}",
            "certainty": s.certainty,
        }
        for s in found[:SHOWN_SUSPECTS]
    ]  # fmt: skip
    enough = len(kept) >= 2 and (not job.schema.classes or len(np.unique(y[kept])) > 1)
    return {"suspects": len(found), "shown": shown, "metrics": _differences(job, sides) if enough else []}
