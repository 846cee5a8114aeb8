"""Repairs the effect of a shortcut: more weight for the rows that go against it, so that the model can't lean on it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from demix_core.repairs.base import REPAIRS, Declined, Evidence, Proposal, Rule
from demix_core.types import Action, ErrorType

STRENGTH = 4.0
"""A row that surely goes against a shortcut, and is surely labelled right, gets 1 + STRENGTH times the weight."""


@REPAIRS.register("reweight")
class Reweight:
    """More weight for a row against a shortcut, which the reason names: 1 + STRENGTH · P(SC) · (1 − P(LE)).

    A wrong label goes against every shortcut too, and more weight would amplify it (Liu et al. 2021 on JTT): hence the
    second factor.
    """

    error_type = ErrorType.SPURIOUS
    action = Action.REWEIGHT

    margin = 0.0

    @staticmethod
    def propose(evidence: Evidence, rows: np.ndarray) -> Iterator[list[Proposal] | Declined]:
        """One proposal a row: its weight."""
        label, _, spurious = evidence.probabilities[rows].astype(float).T
        for row, weight in zip(rows, 1 + STRENGTH * spurious * (1 - label), strict=True):
            yield [Proposal(None, "1", f"{weight:.2f}", 1.0, shortcut_reason(evidence, int(row)))]


def shortcut_reason(evidence: Evidence, row: int) -> str:
    """Which rule the row goes against, and what more weight does."""
    index = int(evidence.against[row])
    effect = "more weight keeps the model from leaning on it."
    if index < 0:
        return f"The row looks like an exception to a shortcut, none of which is strong enough to name; {effect}"
    rule = evidence.rules[index]
    return (
        f"Most rows follow the shortcut '{rule.condition} ↔ {rule.target}' (strength {rule.strength:.2f}); "
        f"this row {_how_against(evidence, row, rule)}; {effect}"
    )


def _how_against(evidence: Evidence, row: int, rule: Rule) -> str:
    """Against 'condition ↔ target' is either side without the other."""
    given = evidence.cell(row, evidence.schema.target)
    if not evidence.classes:
        return "goes against it"
    if given.strip() == rule.target:
        return f"is '{given}' without meeting the condition"
    return f"meets the condition and is '{given}' all the same"
