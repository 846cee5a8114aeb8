"""Repairs the effect of a shortcut: more weight for the rows that go against it, so that the model can't lean on it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from demix_core.repairs.base import NEVER, REPAIRS, Declined, Evidence, Proposal, Rule
from demix_core.signals.shortcuts import RuleGroup
from demix_core.types import Action, ErrorType

STRENGTH = 4.0
"""A row that surely goes against a shortcut, and is surely labelled right, gets 1 + STRENGTH times the weight."""

GROUPS, MOST_WEIGHT = 4, 20.0
"""Groups of a rule: with and without condition and target; the largest weight that balancing them may ask for."""


@REPAIRS.register("reweight")
class Reweight:
    """More weight for a row against a shortcut, which the reason names: 1 + STRENGTH · P(SC) · (1 − P(LE)).

    A wrong label goes against every shortcut too, and more weight would amplify it (Liu et al. 2021 on JTT): hence the
    second factor. Where the target is a number, weights cost more than they bring, so none is recommended.
    """

    error_type = ErrorType.SPURIOUS
    action = Action.REWEIGHT

    margin, margin_of_numbers = 0.0, NEVER

    @staticmethod
    def propose(evidence: Evidence, rows: np.ndarray) -> Iterator[list[Proposal] | Declined]:
        """One proposal a row: its weight; the alternative is the one that balances the groups of the rule."""
        label, _, spurious = evidence.probabilities[rows].astype(float).T
        for row, weight in zip(rows, 1 + STRENGTH * spurious * (1 - label), strict=True):
            new, balanced = f"{weight:.2f}", balanced_weight(evidence, int(row))
            others = ((balanced, math.nan),) if balanced not in ("", new) else ()
            yield [Proposal(None, "1", new, 1.0, shortcut_reason(evidence, int(row)), others)]


def balanced_weight(evidence: Evidence, row: int) -> str:
    """The weight at which the rule's four groups, with and without condition and target, weigh alike; '' for no rule.

    Balancing groups is a strong and simple way to raise the accuracy of the worst one (Idrissi et al. 2022). At most
    MOST_WEIGHT, as a handful of rows must not decide everything.
    """
    index = int(evidence.against[row])
    if index < 0:
        return ""
    mine = _mine(evidence, row, evidence.groups[index])[0]
    return f"{min(len(evidence.frame) / (GROUPS * max(mine, 1)), MOST_WEIGHT):.2f}"


def shortcut_reason(evidence: Evidence, row: int) -> str:
    """Which rule the row goes against, how many rows do, how the model fares on them, and what more weight does."""
    index = int(evidence.against[row])
    effect = "more weight keeps the model from leaning on it."
    if index < 0:
        return f"The row looks like an exception to a shortcut, none of which is strong enough to name; {effect}"
    rule, group = evidence.rules[index], evidence.groups[index]
    holds = (
        f"Shortcut '{rule.condition} → {rule.target}' holds in {group.hit:.0%} of {group.meets:,} rows "
        f"({rule.target} in {group.elsewhere:.0%} of the others)"
    )
    return f"{holds}; {_how_against(evidence, row, rule, group)}; {effect}"


def _mine(evidence: Evidence, row: int, group: RuleGroup) -> tuple[int, float]:
    """(rows, the model's error on them) that go against the row's rule as this one does."""
    stray = evidence.sides[row, int(evidence.against[row])] > 0
    return (group.strays, group.stray_error) if stray else (group.exceptions, group.error)


def _how_against(evidence: Evidence, row: int, rule: Rule, group: RuleGroup) -> str:
    """Against 'condition → target' is either side without the other."""
    stray = evidence.sides[row, int(evidence.against[row])] > 0
    count, error = _mine(evidence, row, group)
    how = f"have {rule.target} without the condition" if stray else "break it"
    there, elsewhere = (_error(evidence, value) for value in (error, group.other_error))
    return f"this row is one of {count:,} that {how}, model error there {there} (elsewhere {elsewhere})"


def _error(evidence: Evidence, value: float) -> str:
    """Of classes the share of wrong predictions, of numbers the mean absolute error."""
    if math.isnan(value):
        return "unknown"
    return f"{value:.0%}" if evidence.classes else f"{value:.4g}"
