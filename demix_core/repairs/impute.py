"""Repairs wrong cells: the value that the row's other cells suggest, for the most surprising cell and its like."""

from __future__ import annotations

import math

import numpy as np

from demix_core.repairs.base import REPAIRS, Declined, Evidence, Proposal
from demix_core.types import Action, ColumnKind, ErrorType

FLOOR = 1.0
"""Nats above the expected (e times less likely) below which a further cell is not suspect."""

MOST = 3
SHARE = 0.5
"""A further cell is suspect when it is at least this share as surprising as the top one."""

TIMES_LIMIT = 1000


def suspect_cells(surprise: np.ndarray) -> list[int]:
    """Positions of the suspect cells of one row, most surprising first; surprise: float [F], NaN for never.

    The top cell if it is surprising at all, and up to MOST − 1 others.

    >>> suspect_cells(np.array([0.2, 6.0, 4.0, 2.0]))
    [1, 2]
    """
    known = np.nan_to_num(surprise, nan=-np.inf)
    order = [int(j) for j in np.argsort(-known, kind="stable")[:MOST]]
    if not order or known[order[0]] <= 0:
        return []
    top = known[order[0]]
    return [j for i, j in enumerate(order) if i == 0 or known[j] >= max(FLOOR, SHARE * top)]


@REPAIRS.register("impute")
class Impute:
    """The suggested value of the suspect cells."""

    error_type = ErrorType.FEATURE
    action = Action.IMPUTE

    @staticmethod
    def propose(evidence: Evidence, row: int) -> list[Proposal] | Declined:
        """One proposal per suspect cell that has another value to offer."""
        surprise = evidence.surprise[row]
        suspects = suspect_cells(surprise)
        if not suspects:
            return Declined("No single cell stands out; look at the row as a whole.")
        found = [_proposal(evidence, row, j, float(surprise[j])) for j in suspects]
        offered = [p for p in found if p is not None]
        return offered or Declined("The suspect cells have no likelier value to offer.")


def _proposal(evidence: Evidence, row: int, place: int, surprise: float) -> Proposal | None:
    column = evidence.schema.features[place]
    old, new = evidence.cell(row, column.name), str(evidence.suggestion[row, place])
    if new in ("", old):
        return None
    # A cell e^s times less likely than expected is wrong with odds that grow as e^s; at s = 0 nothing speaks for it.
    certainty = -math.expm1(-max(surprise, 0.0))
    return Proposal(column.name, old, new, certainty, cell_reason(column.name, column.kind, old, new, surprise))


def cell_reason(name: str, kind: ColumnKind, old: str, new: str, surprise: float) -> str:
    """What is odd about one cell, in a sentence; surprise in nats above the expected."""
    suggested = f"about {new}" if kind in (ColumnKind.NUMERIC, ColumnKind.DATETIME) else f"'{new}'"
    if not old.strip():
        return f"{name} is empty, {times(surprise)}; the other cells suggest {suggested}."
    shown = old if kind is ColumnKind.NUMERIC else f"'{old}'"
    return f"{name} = {shown} is {times(surprise)} beside the other cells, which suggest {suggested}."


def times(surprise: float) -> str:
    """nats -> words.

    >>> times(2.31), times(50.0), times(0.1)
    ('10 times less likely than usual', 'over 1,000 times less likely than usual', 'a little unusual')
    """
    factor = math.exp(min(surprise, 20.0))
    if factor >= TIMES_LIMIT:
        return f"over {TIMES_LIMIT:,} times less likely than usual"
    if factor < 1.5:
        return "a little unusual"
    return f"{float(f'{factor:.2g}'):g} times less likely than usual"
