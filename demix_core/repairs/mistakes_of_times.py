"""Mistakes that times share: a day that stands for unknown, times written unlike the others of their column."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from demix_core.columns import to_text
from demix_core.datetimes import Times, meant, times_of
from demix_core.repairs.mistakes import Cells, Fix, placeholders
from demix_core.types import Column


@dataclass(frozen=True)
class TimeMistakes:
    """Of one column. unknown: texts that stand for unknown, with the words for it; times: how it writes them, where
    some are written otherwise."""

    unknown: tuple[tuple[str, str], ...]
    times: Times | None

    @classmethod
    def learn(cls, cells: Cells) -> TimeMistakes:
        """From the suspect cells of a table, and the others."""
        unknown = placeholders(to_text(cells.series), cells, cells.suspect)
        return cls(tuple((str(text), words) for text, words in unknown), times_of(cells.series))

    def mend(self, series: pd.Series, column: Column, suspect: np.ndarray) -> Iterator[tuple[int, Fix]]:
        """(position, fix) of the suspect cells that have one of these mistakes."""
        texts, unknown = to_text(series.iloc[suspect]), dict(self.unknown)
        known = meant([str(t) for t in pd.unique(texts)], self.times) if self.times is not None else {}
        for i, text in zip(suspect, texts, strict=True):
            if text in unknown:
                yield int(i), Fix(f"{column.name}: {text} stands for unknown", "", unknown[text])
            elif text in known:
                words = f"'{text}' is written unlike the other times"
                yield int(i), Fix(f"{column.name}: times written otherwise", known[text], words)
