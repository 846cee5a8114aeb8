"""Every row of a table as whole numbers of a byte, so that it can be kept in the run: what verdicts on rows teach from.

The features that the classifier reads, how wrong it thinks each cell, and what the signals say of each cell, column by
column: what the classifier itself can't tell apart, for on another table column 3 is another column.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from demix_core.classifiers.cell_features import NAMES
from demix_core.classifiers.lessons import BLOCK, CLIP, LEVELS
from demix_core.classifiers.thresholds import logits

SIGNALS = ("surprise", "lift", "distance", "crowd", "pair_lowest")
"""What is kept of each cell beside how wrong it looks."""

LEAST_SPREAD = 0.3
"""Of a number, in standard deviations, where its middle half lies closer together."""

SAMPLE = 20_000
"""Rows that medians and spreads are taken from, about."""

_AT = [NAMES.index(name) for name in SIGNALS]


@dataclass(frozen=True)
class Scale:
    """Of a table's D numbers: middle float32 [D], their medians; spread float32 [D], where their middle half lies."""

    middle: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray, own: np.ndarray, wrong: np.ndarray) -> Scale:
        """Arguments as for describe, of all rows of a table; of a large one some tell. Cost: O(SAMPLE·D log SAMPLE)."""
        some = slice(None, None, max(1, len(features) // SAMPLE))
        both = [_middle_and_spread(part) for part in _parts(features[some], own[some], wrong[some])]
        middle, spread = (np.concatenate(of).astype(np.float32) for of in zip(*both, strict=True))
        return cls(middle, spread)


def describe(scale: Scale, features: np.ndarray, own: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """int8 [n, D], D = F′ + 6·F: standardised, clipped at ±CLIP, in steps of 1/LEVELS.

    features: float32 [n, F′], as the classifier reads them; own: float32 [n, F, ≥ OWN], of cells; wrong: float32
    [n, F], P(cell wrong) before the table's columns have had their say.
    """
    found = np.empty((len(features), len(scale.middle)), np.int8)
    for at in range(0, len(features), BLOCK):
        rows = slice(at, at + BLOCK)
        x = np.concatenate(list(_parts(features[rows], own[rows], wrong[rows])), 1)
        found[rows] = (np.clip((x - scale.middle) / scale.spread, -CLIP, CLIP) * LEVELS).round()
    return found


def _parts(features: np.ndarray, own: np.ndarray, wrong: np.ndarray) -> Iterator[np.ndarray]:
    yield features
    yield logits(wrong)
    for q in _AT:
        yield own[:, :, q]


def _middle_and_spread(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75], axis=0)
    return middle, np.maximum(high - low, LEAST_SPREAD * values.std(0)) + 1e-6
