"""Mistakes that many cells of a column share: one explanation, and a repair that undoes it instead of guessing.

Looked for among the suspect cells of a column only, by what it holds: numbers, times or words; and in every column,
codes that break the template which the others share. Another kind of column is added to KINDS.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from demix_core.columns import to_text
from demix_core.datetimes import Times
from demix_core.repairs.mistakes import Cells, Counted, Fix
from demix_core.repairs.mistakes_of_numbers import NumberMistakes, Scaled
from demix_core.repairs.mistakes_of_times import TimeMistakes
from demix_core.repairs.mistakes_of_words import WordMistakes
from demix_core.signals.oddities import Oddities
from demix_core.templates import Template, find_template
from demix_core.types import Column, ColumnKind, Schema

SUSPECT = 0.5
"""P(cell wrong) from which a cell counts."""

Mistakes = NumberMistakes | TimeMistakes | WordMistakes
KINDS: dict[ColumnKind, type[Mistakes]] = {ColumnKind.NUMERIC: NumberMistakes, ColumnKind.DATETIME: TimeMistakes}
"""By what a column holds; all others hold words."""


@dataclass(frozen=True)
class Shared:
    """What is known of one column's shared mistakes. place: of the feature; template: that a column of codes shares."""

    place: int
    mistakes: Mistakes
    template: Template | None = None


SHARED_PARTS = (Shared, NumberMistakes, Scaled, TimeMistakes, Times, WordMistakes, Counted, Template)
"""The classes that it is made of, for records."""


def find_patterns(
    frame: pd.DataFrame,
    schema: Schema,
    wrong: np.ndarray,
    odd: Oddities,
    expected: Mapping[tuple[int, int], str] | None = None,
) -> dict[tuple[int, int], Fix]:
    """{(position of the row, place of the feature): fix}. frame: texts; wrong: float [N, F].

    expected: likely texts of suspect cells; a unit counts only where it is also the usual ratio to what is expected.
    """
    return apply_shared(learn_shared(frame, schema, wrong, odd, expected), frame, schema, wrong)


def learn_shared(
    frame: pd.DataFrame,
    schema: Schema,
    wrong: np.ndarray,
    odd: Oddities,
    expected: Mapping[tuple[int, int], str] | None = None,
) -> tuple[Shared, ...]:
    """The shared mistakes of a table; arguments as find_patterns."""
    found: list[Shared] = []
    for place, column in enumerate(schema.features):
        suspect = np.flatnonzero(wrong[:, place] >= SUSPECT)
        likely = {i: text for (i, j), text in (expected or {}).items() if j == place}
        cells = Cells(frame[column.name], column, suspect, odd, place, likely)
        template, _ = find_template(to_text(cells.series), column)
        found.append(Shared(place, KINDS.get(column.kind, WordMistakes).learn(cells), template))
    return tuple(found)


def apply_shared(
    shared: Sequence[Shared], frame: pd.DataFrame, schema: Schema, wrong: np.ndarray
) -> dict[tuple[int, int], Fix]:
    """{(position of the row, place of the feature): fix} of the suspect cells of these rows, or of rows to come."""
    found: dict[tuple[int, int], Fix] = {}
    for one in shared:
        column = schema.features[one.place]
        suspect = np.flatnonzero(wrong[:, one.place] >= SUSPECT)
        if len(suspect):
            series = frame[column.name]
            found |= {(row, one.place): fix for row, fix in one.mistakes.mend(series, column, suspect)}
            found |= {(row, one.place): fix for row, fix in _as_template(one.template, series, column, suspect)}
    return found


def _as_template(
    template: Template | None, series: pd.Series, column: Column, suspect: np.ndarray
) -> Iterator[tuple[int, Fix]]:
    if template is None:
        return
    for i, text in zip(suspect, to_text(series.iloc[suspect]), strict=True):
        new = template.mended(text) if template.breaks(text) else None
        if new is not None:
            how = f"'{text}' has lost its leading zeros" if template.zeros else f"'{text}' is written unlike the others"
            pattern = "leading zeros lost" if template.zeros else "codes written otherwise"
            yield int(i), Fix(f"{column.name}: {pattern}", new, f"{how}; '{new}' is meant")
