"""What a threshold finds of errors that were planted into copies of the table (rehearsal.py): counts over the copies.

The copies have the table's own errors, too, so a flag on a row without a planted error may be right: the share of right
flags lies between two counts.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from demix_core.store import Run
from demix_core.trust.draws import detection_key
from demix_core.types import ErrorType


@dataclass(frozen=True)
class Rehearsed:
    """One error type at one threshold, over all copies.

    planted: rows with a planted error; found: the share of them that the threshold finds, NaN without any, and least
    and most of the single copies; flagged: rows from the threshold on; right: the share of those that planted errors
    are in, at least (every other flag counted as wrong) and at most (leaving out the rows that the run itself suspects
    from this threshold on), NaN without any.
    """

    error_type: ErrorType
    threshold: float
    copies: int
    planted: int
    found: float
    found_range: tuple[float, float]
    flagged: int
    right: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """For JSON: what can't be told is None."""
        made = {**asdict(self), "error_type": self.error_type.value}
        return {k: _telling(v) for k, v in made.items()}


def _telling(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_telling(v) for v in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def result(run: Run) -> Path:
    """The file of what was found with the present probabilities; another diagnosis has another."""
    return run.rehearsal / f"planted-{detection_key(run)[:12]}.parquet"


def read(run: Run) -> pd.DataFrame | None:
    """What was found with the present probabilities; None before the first time."""
    path = result(run)
    return pd.read_parquet(path) if path.is_file() else None


def assess(found: pd.DataFrame, diagnosis: pd.DataFrame, kind: ErrorType, threshold: float) -> Rehearsed:
    """What a threshold finds. found: as of `rehearse`; diagnosis: the run's own."""
    planted, score = found[kind.value].to_numpy(bool), found[kind.probability_column].to_numpy()
    own = diagnosis.set_index("row_id")[kind.probability_column].reindex(found["row_id"]).to_numpy()
    flagged = score >= threshold
    alone = flagged & ~planted & (own < threshold)  # nobody suspects it but here
    caught = int((flagged & planted).sum())
    of_copies = [float(flagged[planted & (found["copy"] == c)].mean()) for c in np.unique(found["copy"][planted])]
    return Rehearsed(
        kind, float(threshold), found["copy"].nunique(), int(planted.sum()), _ratio(caught, int(planted.sum())),
        (min(of_copies, default=np.nan), max(of_copies, default=np.nan)), int(flagged.sum()),
        (_ratio(caught, int(flagged.sum())), _ratio(caught, caught + int(alone.sum()))),
    )  # fmt: skip


def _ratio(part: int, of: int) -> float:
    return part / of if of else float("nan")
