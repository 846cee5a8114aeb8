"""Repairs the effect of a shortcut: more weight for the rows that go against it, so that the model can't lean on it."""

from __future__ import annotations

from demix_core.repairs.base import REPAIRS, Declined, Evidence, Proposal, Rule
from demix_core.types import Action, ErrorType

WEIGHT = "2"
"""The suggested weight; an edit can set another."""


@REPAIRS.register("reweight")
class Reweight:
    """Weight 2 for a row against a shortcut, which the reason names."""

    error_type = ErrorType.SPURIOUS
    action = Action.REWEIGHT

    @staticmethod
    def propose(evidence: Evidence, row: int) -> list[Proposal] | Declined:
        """One proposal: the row's weight, from 1 to 2."""
        return [Proposal(None, "1", WEIGHT, 1.0, shortcut_reason(evidence, row))]


def shortcut_reason(evidence: Evidence, row: int) -> str:
    """Which rule the row goes against, and what more weight does."""
    index = int(evidence.against[row])
    effect = f"weight {WEIGHT} keeps the model from leaning on it."
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
