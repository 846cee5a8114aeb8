"""Repairs a wrong label: the class, or value, that rows like this one have."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from demix_core.repairs.base import REPAIRS, Declined, Evidence, Proposal
from demix_core.types import Action, ErrorType

ALTERNATIVES, LEAST_PROBABILITY = 4, 0.02
"""Other classes are offered as far as they have this probability, at most one less than this many."""

Z80 = 1.2816
"""Standard deviations of an 80 % interval."""

AMONG = 3
"""The reason says so when the given class is not among this many most likely ones."""


@REPAIRS.register("relabel")
class Relabel:
    """The most likely other class by the mean of model and out-of-fold learner; regression: that learner's value."""

    error_type = ErrorType.LABEL
    action = Action.RELABEL

    margin, margin_of_numbers = 0.6, 0.2

    @staticmethod
    def propose(evidence: Evidence, rows: np.ndarray) -> Iterator[list[Proposal] | Declined]:
        """One proposal a row, never the given label."""
        for row in rows:
            yield _other_class(evidence, int(row)) if evidence.classes else _other_value(evidence, int(row))


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
    return [Proposal(evidence.schema.target, old, new, certainty, reason, alternatives)]


def _class_reason(p: np.ndarray, given: int, best: int, old: str, new: str) -> str:
    if p[best] <= p[given]:
        return (
            f"The label '{old}' behaves like a wrong one; the most likely other class is '{new}' with probability "
            f"{p[best]:.2f} ('{old}': {p[given]:.2f})."
        )
    rank = int((p > p[given]).sum())
    tail = f" '{old}' is not among the {AMONG} most likely classes." if rank >= AMONG else ""
    return f"Given '{old}', but rows like this one are '{new}' with probability {p[best]:.2f}.{tail}"


def _other_value(evidence: Evidence, row: int) -> list[Proposal] | Declined:
    value = float(evidence.out_of_fold[row, 0])
    old, new = evidence.cell(row, evidence.schema.target), evidence.target_text(value)
    if not math.isfinite(value) or new == old:
        return Declined("The value that rows like this one have is the given one.")
    scale = max(evidence.residual_scale, 1e-12)
    apart = abs(float(evidence.given[row]) - value)
    certainty = math.erf(apart / scale / math.sqrt(2))  # P(an ordinary residual is smaller than this one)
    low, high = (evidence.target_text(value + side * Z80 * scale) for side in (-1, 1))
    reason = f"Given {old}, but rows like this one have about {new} (80 %: {low} to {high})."
    other = evidence.target_text(float(evidence.model[row, 0]))
    alternatives = ((other, math.nan),) if other not in (old, new) else ()
    return [Proposal(evidence.schema.target, old, new, certainty, reason, alternatives)]
