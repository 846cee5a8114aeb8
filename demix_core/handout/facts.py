"""What the handout tells, read from the run folder without changing it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from demix_core.columns import labels, to_numeric
from demix_core.decisions import PatchState
from demix_core.repairs.apply import Changes, expected_gain, plan
from demix_core.signals.shortcuts import RuleGroup, Shortcut, rule_groups
from demix_core.store import Manifest, Run
from demix_core.trust.evidence import Evidence, look
from demix_core.types import DecisionKind, ErrorType, Event, Schema

SEEDS = 5
"""Trainings of the evaluation that the screen asks for."""


@dataclass(frozen=True)
class Rule:
    """A shortcut with whom it splits the rows into, and how many of the flagged rows go against it."""

    shortcut: Shortcut
    group: RuleGroup
    flagged: int


@dataclass(frozen=True)
class Facts:
    """Everything of a run that the handout shows. rows: raw cells of the training rows, by row id, in the order of

    diagnosis; states, events: the review so far; evidence: what reviewed rows say of each type; evaluation: the newest
    measurement, None before the first; current: whether it speaks of the decisions as they stand; gain: what influence
    expects of them, None if unknown.
    """

    manifest: Manifest
    summary: Mapping[str, Any]
    schema: Schema
    rows: pd.DataFrame
    diagnosis: pd.DataFrame
    patches: pd.DataFrame
    states: Mapping[int, PatchState]
    events: tuple[Event, ...]
    changes: Changes
    evidence: Mapping[ErrorType, Evidence]
    rules: tuple[Rule, ...]
    evaluation: Mapping[str, Any] | None
    current: bool
    gain: float | None

    @property
    def name(self) -> str:
        """Of the person's file."""
        return str(self.manifest.inputs["train"]["name"])

    @property
    def flags(self) -> np.ndarray:
        """bool [N, 3] in the order of ErrorType."""
        return self.diagnosis[[k.value for k in ErrorType]].to_numpy(bool)

    def of_type(self, kind: ErrorType) -> pd.DataFrame:
        """The suggestions of one type."""
        return self.patches[self.patches["error_type"] == kind.value]

    def decided(self, patches: pd.DataFrame) -> dict[DecisionKind, int]:
        """How many of these suggestions were accepted, edited and rejected."""
        kinds = [self.states[int(i)].kind for i in patches["patch_id"] if int(i) in self.states]
        return {k: kinds.count(k) for k in (DecisionKind.ACCEPT, DecisionKind.EDIT, DecisionKind.REJECT)}


def gather(run: Run) -> Facts:
    """Read a finished run. RunError: it is not finished, or a file is missing or damaged."""
    summary, schema, patches, diagnosis = run.summary(), run.schema(), run.patches(), run.diagnosis()
    rows = run.rows().loc[diagnosis["row_id"]]
    states, events = _review(run)
    changes = plan(patches, states, events)
    evaluation = _evaluation(run, changes)
    return Facts(
        manifest=run.manifest(),
        summary=summary,
        schema=schema,
        rows=rows,
        diagnosis=diagnosis,
        patches=patches,
        states=states,
        events=tuple(events),
        changes=changes,
        evidence={one.evidence.error_type: one.evidence for one in look(run, tuple(ErrorType))},
        rules=_rules(run, schema, rows, diagnosis),
        evaluation=evaluation,
        current=evaluation is not None and evaluation["key"] == changes.key,
        gain=expected_gain(patches, states)[0],
    )


def _review(run: Run) -> tuple[dict[int, PatchState], list[Event]]:
    """What was decided; a log is not made where there is none."""
    if not (run / "decisions.sqlite").exists():
        return {}, []
    with closing(run.decisions()) as log:
        return log.replay(), log.events()


def _evaluation(run: Run, changes: Changes) -> dict[str, Any] | None:
    for path in (run.evaluation(changes.key, SEEDS), run.check / "evaluation.json"):
        if path.is_file():
            return dict(run.json(path.relative_to(run.path).as_posix()))
    return None


def _rules(run: Run, schema: Schema, rows: pd.DataFrame, diagnosis: pd.DataFrame) -> tuple[Rule, ...]:
    """The named shortcuts of the run; none where its signals were not kept."""
    if not (run / "signals").is_dir():
        return ()
    described = [Shortcut(**{**r, "columns": tuple(r["columns"])}) for r in run.json("signals/shortcuts-rules.json")]
    sides, shares = run.array("signals/shortcuts-sides.npy"), run.array("signals/shortcuts-shares.npy")
    groups = rule_groups(sides, shares, model_errors(run, schema, rows))
    flagged = diagnosis[ErrorType.SPURIOUS.value].to_numpy(bool)
    counts = [int((flagged & (sides[:, r] != 0)).sum()) for r in range(len(described))]
    return tuple(Rule(*one) for one in zip(described, groups, counts, strict=True))


def model_errors(run: Run, schema: Schema, rows: pd.DataFrame) -> np.ndarray:
    """float [N], the task model's error on each training row: 1 for a wrong class; numbers: |error| in target units."""
    predicted = run.array("detection/predictions.npy")
    if schema.classes:
        given = np.array([schema.classes.index(t) if t in schema.classes else -1 for t in labels(rows[schema.target])])
        return (predicted.argmax(1) != given).astype(float)
    encoder = run.json("encoder.json")
    mean, sd = encoder["target_mean"], encoder["target_std"]
    return np.abs(predicted[:, 0] * sd + mean - to_numeric(rows[schema.target]))


def alternatives(text: str) -> list[tuple[str, float]]:
    """Of a suggestion, from its JSON; NaN for an unknown probability."""
    return [(str(value), math.nan if p is None else float(p)) for value, p in json.loads(text)]
