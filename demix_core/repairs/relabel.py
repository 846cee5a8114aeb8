"""Repairs a wrong label: the class, or value, that rows like this one have."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from demix_core.columns import labels
from demix_core.repairs.base import REPAIRS, Declined, Evidence, Proposal
from demix_core.repairs.targets import TargetGuesser, learn_target
from demix_core.spelling import Vocabulary
from demix_core.types import Action, ErrorType
from demix_core.workers import one_thread

ALTERNATIVES, LEAST_PROBABILITY = 4, 0.02
"""Other classes are offered as far as they have this probability, at most one less than this many."""

Z80 = 1.2816
"""Standard deviations of an 80 % interval."""

AMONG = 3
"""The reason says so when the given class is not among this many most likely ones."""


@REPAIRS.register("relabel")
class Relabel:
    """The most likely other class by the mean of model and out-of-fold learner; regression: see targets.

    Recommended where that class is also likelier than the given one. Development tables at this margin: 85 % of the
    relabels right with a quarter of the labels wrong, 68 % with a twentieth (at .6: 78 and 58 %).
    Numbers: leaving the row out would help about as much (development tables, see ARCHITECTURE), but loses its cells.
    """

    error_type = ErrorType.LABEL
    action = Action.RELABEL

    margin, margin_of_numbers = 0.8, 0.2

    @staticmethod
    def propose(evidence: Evidence, rows: np.ndarray) -> Iterator[list[Proposal] | Declined]:
        """One proposal a row, never the given label."""
        if evidence.classes:
            spellings = _spellings(evidence)
            for row in rows:
                meant = spellings.get(evidence.cell(int(row), evidence.schema.target).strip())
                yield _other_class(evidence, int(row)) if meant is None else _other_spelling(evidence, int(row), meant)
            return
        if len(rows):
            guesser = evidence.learned.target if evidence.learned else learn(evidence, rows)
            likely = _values(evidence, rows, guesser)
            yield from (_other_value(evidence, int(row), value) for row, value in zip(rows, likely, strict=True))


@dataclass(frozen=True)
class Value:
    """What a numeric target would be, the spread of its residuals and an 80 % interval, in target units."""

    value: float
    scale: float
    low: float
    high: float


@one_thread()
def learn(evidence: Evidence, rows: np.ndarray) -> TargetGuesser | None:
    """How to guess the target of these rows, the ones to be mended; None for classes and for too few rows."""
    if evidence.classes:
        return None
    doubt = evidence.probability(ErrorType.LABEL)
    return learn_target(evidence.frame, evidence.schema, evidence.given, doubt, evidence.wrong, rows)


def _values(evidence: Evidence, rows: np.ndarray, guesser: TargetGuesser | None) -> Iterator[Value]:
    """Per row; by the out-of-fold learner where there is no better one."""
    if guesser is None:
        half = Z80 * evidence.residual_scale
        for value in evidence.out_of_fold[rows, 0].astype(float):
            yield Value(value, evidence.residual_scale, value - half, value + half)
        return
    for value in guesser.guess(evidence.frame.iloc[rows], evidence.schema, evidence.wrong[rows]):
        yield Value(float(value), guesser.scale, value + guesser.low, value + guesser.high)


def _other_class(evidence: Evidence, row: int) -> list[Proposal] | Declined:
    p = (evidence.model[row].astype(np.float64) + evidence.out_of_fold[row]) / 2
    given = int(evidence.given[row])
    others = p.copy()
    others[given] = -1.0
    best = int(others.argmax())
    if others[best] <= 0:
        return Declined("No other class is at all likely for this row.")
    old, new = evidence.cell(row, evidence.schema.target), evidence.target_text(best)
    certainty = float(p[best] / max(1 - p[given], p[best]))  # P(best | the given class is wrong)
    order = [int(k) for k in np.argsort(-others)[1:ALTERNATIVES] if others[k] >= LEAST_PROBABILITY]
    alternatives = tuple((evidence.target_text(k), float(p[k])) for k in order)
    reason = _class_reason(p, given, best, old, new)
    unseen = bool(p[best] > p[given])
    return [Proposal(evidence.schema.target, old, new, certainty, reason, alternatives, unseen=unseen)]


def _spellings(evidence: Evidence) -> dict[str, str]:
    """{label: what is meant} of the labels that are another spelling of a frequent one."""
    if not evidence.oddities.label.any():
        return {}
    return Vocabulary.of(labels(evidence.frame[evidence.schema.target])).misspellings()


def _other_spelling(evidence: Evidence, row: int, meant: str) -> list[Proposal]:
    given, p = int(evidence.given[row]), evidence.likely()[row]
    order = [k for k in np.argsort(-p) if k != given and p[k] >= LEAST_PROBABILITY][:ALTERNATIVES]
    others = [(evidence.target_text(int(k)), float(p[k])) for k in order]
    old = evidence.cell(row, evidence.schema.target)
    alternatives = tuple(one for one in others if one[0] != meant)[: ALTERNATIVES - 1]
    reason = f"The label '{old}' looks like another spelling of '{meant}'."
    pattern = f"{evidence.schema.target}: spelled unlike '{meant}'"
    rule = float(evidence.oddities.label[row])
    return [Proposal(evidence.schema.target, old, meant, 1.0, reason, alternatives, pattern, at_least=rule)]


def _class_reason(p: np.ndarray, given: int, best: int, old: str, new: str) -> str:
    if p[best] <= p[given]:
        return (
            f"The label '{old}' behaves like a wrong one; the most likely other class is '{new}' with probability "
            f"{p[best]:.2f} ('{old}': {p[given]:.2f})."
        )
    rank = int((p > p[given]).sum())
    tail = f" '{old}' is not among the {AMONG} most likely classes." if rank >= AMONG else ""
    return f"Given '{old}', but rows like this one are '{new}' with probability {p[best]:.2f}.{tail}"


def _other_value(evidence: Evidence, row: int, likely: Value) -> list[Proposal] | Declined:
    old, new = evidence.cell(row, evidence.schema.target), evidence.target_text(likely.value)
    if not math.isfinite(likely.value) or new == old:
        return Declined("The value that rows like this one have is the given one.")
    apart = abs(float(evidence.given[row]) - likely.value)
    certainty = math.erf(apart / max(likely.scale, 1e-12) / math.sqrt(2))  # P(an ordinary residual is smaller)
    low, high = evidence.target_text(likely.low), evidence.target_text(likely.high)
    reason = f"Given {old}, but rows like this one have about {new} (80 %: {low} to {high})."
    other = evidence.target_text(float(evidence.model[row, 0]))
    alternatives = ((other, math.nan),) if other not in (old, new) else ()
    return [Proposal(evidence.schema.target, old, new, certainty, reason, alternatives)]
