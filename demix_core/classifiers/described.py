"""Every row of a table as whole numbers of a byte, so that it can be kept in the run: what verdicts on rows teach from.

The features that the classifier reads, how wrong it thinks each cell, and what the signals say of each cell, column by
column: what the classifier itself can't tell apart, for on another table column 3 is another column.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from demix_core.classifiers.cell_features import NAMES
from demix_core.classifiers.lessons import CLIP, LEVELS
from demix_core.classifiers.thresholds import logits

SIGNALS = ("surprise", "lift", "distance", "crowd", "pair_lowest")
"""What is kept of each cell beside how wrong it looks."""

LEAST_SPREAD = 0.3
"""Of a number, in standard deviations, where its middle half lies closer together."""

_AT = [NAMES.index(name) for name in SIGNALS]


def describe(features: np.ndarray, own: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """int8 [N, D], D = F′ + 6·F: standardised by median and middle half, clipped at ±CLIP, in steps of 1/LEVELS.

    features: float32 [N, F′], as the classifier reads them; own: float32 [N, F, ≥ OWN], of cells; wrong: float32
    [N, F], P(cell wrong) before the table's columns have had their say. Cost: O(N·D log N).
    """
    parts = list(_parts(features, own, wrong))
    found, start = np.empty((len(features), sum(p.shape[1] for p in parts)), np.int8), 0
    for part in parts:
        found[:, start : start + part.shape[1]] = _whole(part)
        start += part.shape[1]
    return found


def _parts(features: np.ndarray, own: np.ndarray, wrong: np.ndarray) -> Iterator[np.ndarray]:
    yield features
    yield logits(wrong)
    for q in _AT:
        yield own[:, :, q]


def _whole(values: np.ndarray) -> np.ndarray:
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75], axis=0)
    scale = np.maximum(high - low, LEAST_SPREAD * values.std(0)) + 1e-6
    return np.asarray((np.clip((values - middle) / scale, -CLIP, CLIP) * LEVELS).round(), np.int8)
