"""The contract of a repair: from what is known of a flagged row to a suggested change, or a reason to suggest none.

To add a repair, write one file in this folder:

    @REPAIRS.register("name")
    class Name:
        error_type = ErrorType.LABEL
        action = Action.RELABEL

        margin, margin_of_numbers = 0.7, 0.5

        @staticmethod
        def propose(evidence: Evidence, rows: np.ndarray) -> Iterator[list[Proposal] | Declined]: ...

A proposer never changes data; apply.py alone does. Dropping a row needs no proposer: every patch can be edited to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import pandas as pd

from demix_core.registry import Family
from demix_core.repairs.conditional import GUESSER_PARTS, Guesser
from demix_core.repairs.patterns import SHARED_PARTS, Shared
from demix_core.repairs.targets import TargetGuesser
from demix_core.signals.cells import CellModel
from demix_core.signals.laws import Laws
from demix_core.signals.oddities import Oddities
from demix_core.signals.shortcuts import RuleGroup
from demix_core.types import Action, ErrorType, Patch, Schema, Task
from demix_core.workers import one_thread


class Rule(Protocol):
    """A shortcut in words: condition ↔ target; strength: phi coefficient in (0, 1]."""

    @property
    def condition(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def strength(self) -> float: ...


@dataclass(frozen=True)
class Learned:
    """What the repairs learned of a table: how to guess cells, the mistakes that many share, how to guess a number that
    is the target (None: where that is a class, or too few rows are beyond doubt)."""

    guesser: Guesser
    shared: tuple[Shared, ...]
    target: TargetGuesser | None = None


LEARNED_PARTS = (*GUESSER_PARTS, *SHARED_PARTS, TargetGuesser)


@dataclass(frozen=True)
class Evidence:
    """What proposers may look at; all arrays in the order of frame, the N training rows (raw cells as texts).

    probabilities: float32 [N, 3] in the order of ErrorType. given: int64 [N] class ids, or float [N] targets.
    model, out_of_fold: float32 [N, K] class probabilities; regression: [N, 1] predictions in target units, with
    residual_scale their spread. wrong: float32 [N, F], P(cell wrong); cells, oddities: what is known of each cell.
    against: int [N], index into rules or −1; target_text: class id or value -> text as in the file; sides: int8 [N, R],
    on which side of each rule a row is (see ShortcutSignals); groups: whom each rule splits the rows into.
    learned: what was learned of cells before, None: it is learned of these rows; to_come: not the table's own rows;
    laws: what the table's laws say of each cell, None for nothing.
    """

    frame: pd.DataFrame
    schema: Schema
    probabilities: np.ndarray
    given: np.ndarray
    model: np.ndarray
    out_of_fold: np.ndarray
    residual_scale: float
    wrong: np.ndarray
    cells: CellModel
    oddities: Oddities
    against: np.ndarray
    rules: tuple[Rule, ...]
    target_text: Callable[[float], str]
    sides: np.ndarray
    groups: tuple[RuleGroup, ...]
    learned: Learned | None = None
    to_come: bool = False
    laws: Laws | None = None

    def cell(self, row: int, column: str) -> str:
        """The text of one cell; row: position in frame."""
        if column not in self._texts:  # a cell of a column of pandas is slow to come by
            self._texts[column] = self.frame[column].to_numpy(object)
        return str(self._texts[column][row])

    @cached_property
    def _texts(self) -> dict[str, np.ndarray]:
        return {}

    def probability(self, kind: ErrorType) -> np.ndarray:
        """float32 [N], of one error type."""
        return np.asarray(self.probabilities[:, list(ErrorType).index(kind)])

    def likely(self) -> np.ndarray:
        """The mean of the model's and the out-of-fold predictions, float [N, K] (regression: [N, 1])."""
        return (self.model.astype(np.float64) + self.out_of_fold) / 2

    @property
    def classes(self) -> bool:
        """Whether the target is a class."""
        return self.schema.task is Task.CLASSIFICATION


@dataclass(frozen=True)
class Proposal:
    """A patch before it has a number. certainty: in [0, 1], how sure the new value is, given that the row is wrong.

    alternatives: (text, probability or NaN) of other values, likeliest first; pattern: the same text for all cells of
    one shared mistake, '' for none; unseen: whether a sure one may be accepted without looking; partner: the column
    whose cell, `new`, changes places with this one, '' where nothing is swapped; at_least: how sure a rule is of it,
    whatever the classifier thinks of the row, 0 for no such rule.
    """

    column: str | None
    old: str
    new: str
    certainty: float
    reason: str
    alternatives: tuple[tuple[str, float], ...] = ()
    pattern: str = ""
    unseen: bool = True
    partner: str = ""
    at_least: float = 0.0


@dataclass(frozen=True)
class Declined:
    """Nothing to suggest, and why, in a sentence. Not a failure."""

    reason: str


NEVER = math.inf
"""A margin that nothing reaches: always for a person to decide."""


class Proposer(Protocol):
    """One way to repair one type of error.

    margin: confidence from which accepting unseen is recommended; margin_of_numbers: the same where the target is one.
    """

    error_type: ErrorType
    action: Action
    margin: float
    margin_of_numbers: float

    @staticmethod
    def propose(evidence: Evidence, rows: np.ndarray) -> Iterator[list[Proposal] | Declined]:
        """Changes for the rows at these positions, one answer per row in their order."""
        ...


REPAIRS: Family[type[Proposer]] = Family("repair", "demix_core.repairs")


@dataclass(frozen=True)
class Suggestions:
    """patches: numbered 0..P−1 by row, then type; declined: (row id, type, reason) of flagged rows without one."""

    patches: tuple[Patch, ...]
    declined: tuple[tuple[int, ErrorType, str], ...]


@one_thread()
def suggest(evidence: Evidence, flags: np.ndarray) -> Suggestions:
    """Ask every proposer about the rows flagged for its type. flags: bool [N, 3] in the order of ErrorType.

    A patch's confidence is P(the row has this error) × P(the new value is right, if it has), or what a rule says that
    asks no classifier: the chance that accepting it is right. Recommended: confident enough for its repair's margin, so
    that rows that may be right are left alone.
    """
    proposers = {repair.error_type: repair for _, repair in REPAIRS.items()}
    numbers = evidence.schema.task is Task.REGRESSION
    margins = {kind: r.margin_of_numbers if numbers else r.margin for kind, r in proposers.items()}
    found: dict[tuple[int, int], list[Proposal] | Declined] = {}
    for k, kind in enumerate(ErrorType):
        rows = np.flatnonzero(flags[:, k])
        answers = proposers[kind].propose(evidence, rows) if kind in proposers else (_NO_REPAIR for _ in rows)
        found |= {(int(row), k): answer for row, answer in zip(rows, answers, strict=True)}
    patches: list[Patch] = []
    declined: list[tuple[int, ErrorType, str]] = []
    for row, k in sorted(found):
        kind, answer, row_id = tuple(ErrorType)[k], found[row, k], int(evidence.frame.index[row])
        if isinstance(answer, Declined):
            declined.append((row_id, kind, answer.reason))
            continue
        for p in answer:
            thought = float(evidence.probabilities[row, k]) * min(max(p.certainty, 0.0), 1.0)
            sure = round(max(thought, p.at_least), 6)
            action = Action.SWAP if p.partner else proposers[kind].action
            patch = Patch(
                len(patches), row_id, kind, action, p.column, p.old, p.new, sure, p.reason,
                recommended=p.unseen and sure >= margins[kind], alternatives=p.alternatives, pattern=p.pattern,
                partner=p.partner,
            )  # fmt: skip
            patches.append(patch)
    return Suggestions(tuple(patches), tuple(declined))


_NO_REPAIR = Declined("No repair for this type.")
