"""Repairs wrong cells: the value that the row's other cells suggest, for the most suspect cell and its like."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from demix_core.mojibake import LOST
from demix_core.repairs.base import REPAIRS, Declined, Evidence, Learned, Proposal
from demix_core.repairs.conditional import Guess, learn_guesser
from demix_core.repairs.mistakes import CROWD, Fix
from demix_core.repairs.patterns import apply_shared, learn_shared
from demix_core.repairs.swaps import Swap, find_swaps
from demix_core.signals.cells import CellModel
from demix_core.signals.laws import NONE, Laws
from demix_core.signals.oddities import Oddities
from demix_core.types import Action, Column, ColumnKind, ErrorType
from demix_core.workers import one_thread

FLOOR = 0.25
"""Probability of being wrong below which a further cell is not suspect."""

MOST = 5
SHARE = 0.5
"""A further cell is suspect when it is at least this share as probably wrong as the top one."""

NEGATIVE = re.compile(r"-\d+(\.\d+)?")
TIMES_LIMIT = 1000
TAIL = 1.5
"""Widths beyond the bulk from where on nothing is learned of what cells usually are: 2.7 sd of a normal."""

FEW_COPIES = 2
"""Rows with the same number, at most, for it to be odd by itself."""

FAR, CROWDED, ODD_FORM, MANY = 1.0, 1.5, 3.0, 5
"""From where on a cell's distance, crowd, form and the number of rows with its value are worth a word."""


def suspect_cells(wrong: np.ndarray) -> list[int]:
    """Positions of the suspect cells of one row, most probably wrong first; wrong: float [F] in [0, 1].

    The top cell, and up to MOST − 1 others.

    >>> suspect_cells(np.array([0.02, 0.9, 0.5, 0.3]))
    [1, 2]
    """
    order = [int(j) for j in np.argsort(-wrong, kind="stable")[:MOST]]
    top = wrong[order[0]] if order else 0.0
    return [j for i, j in enumerate(order) if i == 0 or wrong[j] >= max(FLOOR, SHARE * top)]


def asked_cells(wrong: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """bool [N, F]: the suspect cells of these rows; wrong: float [N, F]."""
    asked = np.zeros(wrong.shape, bool)
    for row in rows:
        asked[row, suspect_cells(wrong[row])] = True
    return asked


@one_thread()
def learn(evidence: Evidence, rows: np.ndarray) -> Learned:
    """What the cells of a table teach, when these rows are the ones to be mended."""
    asked, frame, schema, wrong = asked_cells(evidence.wrong, rows), evidence.frame, evidence.schema, evidence.wrong
    far, doubt = evidence.oddities.distance >= TAIL, evidence.probability(ErrorType.FEATURE)
    guesser = learn_guesser(frame, schema, wrong, asked, far, doubt)
    expected = {at: guess.text for at, guess in guesser.guess(frame, schema, wrong, asked).items()}
    return Learned(guesser, learn_shared(frame, schema, np.where(asked, wrong, 0), evidence.oddities, expected))


@REPAIRS.register("impute")
class Impute:
    """The suggested value of the suspect cells.

    Only odd numbers and shared mistakes are recommended unseen: rare categories, codes and gaps are too often as they
    should be (development tables: of sure suspects three in four numbers were wrong, one in five categories).
    """

    error_type = ErrorType.FEATURE
    action = Action.IMPUTE

    margin, margin_of_numbers = 0.9, 0.9

    @staticmethod
    def propose(evidence: Evidence, rows: np.ndarray) -> Iterator[list[Proposal] | Declined]:
        """One proposal per suspect cell with another value to offer: a shared mistake undone, else a likely value."""
        asked, frame, schema = asked_cells(evidence.wrong, rows), evidence.frame, evidence.schema
        learned = evidence.learned or learn(evidence, rows)
        guesses = learned.guesser.guess(frame, schema, evidence.wrong, asked)
        fixes = apply_shared(learned.shared, frame, schema, np.where(asked, evidence.wrong, 0))
        fixes |= _by_laws(evidence, asked)
        swaps = {} if evidence.to_come else find_swaps(frame, schema, evidence.wrong, rows)  # several rows must agree
        for row in rows:
            swap = swaps.get(int(row))
            rest = [j for j in suspect_cells(evidence.wrong[row]) if swap is None or j not in (swap.first, swap.second)]
            found = [
                _proposal(evidence, int(row), j, fixes.get((int(row), j)), guesses.get((int(row), j))) for j in rest
            ]
            offered = [swap_proposal(evidence, int(row), swap)] if swap is not None else []
            offered += [p for p in found if p is not None]
            yield offered or Declined("The suspect cells have no likelier value to offer.")


def _by_laws(evidence: Evidence, asked: np.ndarray) -> dict[tuple[int, int], Fix]:
    """{(position of the row, place of the feature): fix} of the asked cells that a law says what to hold."""
    laws = evidence.laws
    if laws is None:
        return {}
    found = {}
    for row, place in np.argwhere(asked & (laws.meant != NONE) & (evidence.wrong >= FLOOR)):
        name, new = evidence.schema.features[place].name, str(laws.texts[laws.meant[row, place]])
        said, how = laws.words(int(row), int(place)), "against" if laws.broken[row] else "by"
        found[int(row), int(place)] = Fix(f"{name} {how} the law: {said}", new, f"{said}, so that it should be {new}")
    return found


def swap_proposal(evidence: Evidence, row: int, swap: Swap) -> Proposal:
    """Both cells, each into the other's column."""
    first, second = (evidence.schema.features[j].name for j in (swap.first, swap.second))
    old, new = evidence.cell(row, first), evidence.cell(row, second)
    reason = (
        f"{first} = {old or 'empty'} and {second} = {new or 'empty'} look as if they had changed places: swapped, both "
        f"fit their columns and the rest of the row; the same in {swap.rows:,} rows."
    )
    pattern = f"{first} and {second} changed places"
    return Proposal(first, old, new, swap.probability, reason, (), pattern, unseen=True, partner=second)


def _proposal(evidence: Evidence, row: int, place: int, fix: Fix | None, guess: Guess | None) -> Proposal | None:
    """None where there is nothing to offer. What is garbled or stands for unknown may be emptied where nobody can tell
    what it was, or should be: a number can be guessed, a day can't.
    """
    column = evidence.schema.features[place]
    old = evidence.cell(row, column.name)
    guess = guess or Guess(str(evidence.cells.suggestion[row, place]))
    no_day = fix is not None and fix.new == "" and column.kind is ColumnKind.DATETIME
    new = (fix.new if fix else "") or ("" if no_day else guess.text)  # rows to come have values, so fill placeholders
    view = view_cell(evidence.cells, evidence.oddities, row, place, evidence.laws)
    if new == old or (new == "" and not ((view.garbled or fix is not None) and old.strip())):
        return None
    negative = float(evidence.oddities.negative[row, place])
    turned = [(old.strip()[1:], np.nan)] if negative and NEGATIVE.fullmatch(old.strip()) else []
    likely = dict([(guess.text, guess.probability), *turned, *guess.others, ("", np.nan)])
    others = tuple((text, p) for text, p in likely.items() if text not in (new, old))
    in_error = float(evidence.probability(ErrorType.FEATURE)[row])
    certainty = float(evidence.wrong[row, place]) / max(in_error, 1e-6)  # P(this cell | the row has a wrong cell)
    reason = cell_reason(column, old, guess, view, fix)
    safe = fix is not None or (column.kind is ColumnKind.NUMERIC and _replaceable(old, view))
    safe = safe and new != ""
    rule = max(float(evidence.oddities.garbled[row, place]), negative) if fix is not None else 0.0
    return Proposal(column.name, old, new, certainty, reason, others, fix.pattern if fix else "", safe, at_least=rule)


def _replaceable(old: str, view: CellView) -> bool:
    """Whether a number may be replaced unseen; not a text that holds one ('circa 1200?'): a person reads more of it."""
    tells = view.garbled and any(c.isdigit() for c in old)
    return old.strip() != "" and not tells and _odd_alone(view)


def _odd_alone(view: CellView) -> bool:
    """A number that hardly any row shares, or a far one that too many do; codes that repeat as usual are neither."""
    return view.copies <= FEW_COPIES or (view.distance >= FAR and view.crowd >= CROWD)


@dataclass(frozen=True)
class CellView:
    """What is odd about one cell. surprise: nats above the expected; distance, crowd, form as in Oddities;

    copies: rows that hold just this value; low, high: the bulk of the column's numbers, NaN for other kinds; garbled:
    whether it is no number, or time, in a column of such, or another spelling of a frequent value; law: the one that
    the cell may break, in words, '' for none.
    """

    surprise: float
    distance: float
    crowd: float
    form: float
    copies: int
    low: float
    high: float
    garbled: bool = False
    law: str = ""


def view_cell(cells: CellModel, odd: Oddities, row: int, place: int, laws: Laws | None = None) -> CellView:
    """Of the row at this position, the cell of the place-th feature."""
    return CellView(
        surprise=float(cells.surprise[row, place]),
        distance=float(odd.distance[row, place]),
        crowd=float(odd.crowd[row, place]),
        form=float(odd.form[row, place]),
        copies=round(float(odd.share[row, place]) * len(odd.share)),
        low=float(odd.low[place]),
        high=float(odd.high[place]),
        garbled=bool(odd.garbled[row, place] > 0),
        law="" if laws is None else laws.words(row, place),
    )


def cell_reason(column: Column, old: str, guess: Guess, view: CellView, fix: Fix | None = None) -> str:
    """What is odd about one cell and what would be likely instead, in a sentence."""
    suggested = _suggested(column, guess)
    likelier = f"; the other cells suggest {suggested}" if guess.text else ""
    if not old.strip():
        return (
            f"{column.name} is empty{likelier}." if fix is None else f"{column.name} is empty: {fix.words}{likelier}."
        )
    shown = f"{column.name} = {old}" if column.kind is ColumnKind.NUMERIC else f"{column.name} = '{old}'"
    said = [fix.words] if fix is not None else _oddities(column.kind, view, old)
    if said:
        return f"{shown}: {'; '.join(said)}{likelier}."
    return f"{shown} is {times(view.surprise)} beside the other cells, which suggest {suggested}."


def _suggested(column: Column, guess: Guess) -> str:
    """'about 38 (80 %: 25 to 51)', ''clerk' (probability 0.64)'."""
    if column.kind in (ColumnKind.NUMERIC, ColumnKind.DATETIME):
        return f"about {guess.text}" + (f" (80 %: {guess.low} to {guess.high})" if guess.low else "")
    return f"'{guess.text}'" + (f" (probability {guess.probability:.2f})" if guess.probability > 0 else "")


def _oddities(kind: ColumnKind, view: CellView, old: str) -> list[str]:
    said = []
    if LOST in old:
        return ["letters of it were lost when it was read"]
    if view.garbled and kind is ColumnKind.DATETIME:
        return ["it is no time"]
    if view.garbled and kind is ColumnKind.NUMERIC and not old.strip().isdigit():
        return ["it is no number in a column of numbers"]
    if view.law:
        said.append(view.law)
    if view.distance >= FAR:
        said.append(f"half of all rows lie between {_end(kind, view.low)} and {_end(kind, view.high)}")
    if view.crowd >= CROWDED and view.copies >= MANY:
        said.append(f"{view.copies:,} rows hold exactly this value, far more than values like it")
    if view.form >= ODD_FORM or view.garbled:
        said.append("it is written unlike the other cells of its column")
    return said


def _end(kind: ColumnKind, value: float) -> str:
    if kind is ColumnKind.DATETIME:
        return datetime.fromtimestamp(value, UTC).date().isoformat()
    return f"{value:.6g}"


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
