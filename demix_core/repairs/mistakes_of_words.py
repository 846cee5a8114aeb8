"""Mistakes that words share: another spelling of a known value, a text read in the wrong encoding."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np
import pandas as pd

from demix_core.columns import to_text
from demix_core.mojibake import unscrambled
from demix_core.repairs.mistakes import LEAST_CELLS, Cells, Counted, Fix, other_spelling
from demix_core.spelling import MOST_DISTINCT
from demix_core.types import Column

RARE = 0.002
"""A category below this share of the rows may be a misspelling."""

COMMON_TIMES = 5
ALIKE = 0.8
"""Ratio of matching letters (difflib) from which two spellings are one."""


@dataclass(frozen=True)
class WordMistakes:
    """Of one column. known: what its cells hold, nothing where that is no vocabulary."""

    known: Counted

    @classmethod
    def learn(cls, cells: Cells) -> WordMistakes:
        """From all cells of a table."""
        return cls(Counted.of(cells.series) if cells.series.nunique() <= MOST_DISTINCT else Counted())

    def mend(self, series: pd.Series, column: Column, suspect: np.ndarray) -> Iterator[tuple[int, Fix]]:
        """(position, fix) of the suspect cells that have one of these mistakes."""
        texts, counts = to_text(series), self.known.vocabulary.counts
        spelled: dict[str, str | None] = {}
        for i in suspect:
            text = texts[i]
            if text not in spelled:
                spelled[text] = self._meant(text)
            known, read = spelled[text], unscrambled(text)
            if read is not None and (known is None or read in counts):
                words = f"'{text}' was read in another encoding; '{read}' is meant"
                yield int(i), Fix(f"{column.name}: read in another encoding", read, words)
            elif known is not None:
                yield int(i), other_spelling(column, text, known)

    def _meant(self, text: str) -> str | None:
        """By spelling, or looser: these cells are suspect in other ways, too."""
        counts = self.known.vocabulary.counts
        count, often = counts.get(text, 1), max(RARE * sum(self.known.counts), LEAST_CELLS)
        meant = self.known.vocabulary.meant(text, count)
        if meant is not None or not text or count > often:
            return meant
        return _known_spelling(text, [t for t, c in counts.items() if t and c > often and c >= COMMON_TIMES * count])


def _known_spelling(text: str, common: list[str]) -> str | None:
    """The one category that is alike; None for none, or for several equally alike."""
    plain = _plain(text)
    scored = sorted(((SequenceMatcher(None, plain, _plain(c)).ratio(), c) for c in common), reverse=True)
    if not scored or scored[0][0] < ALIKE or (len(scored) > 1 and scored[1][0] == scored[0][0]):
        return None
    return scored[0][1]


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().casefold()
