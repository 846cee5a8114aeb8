"""The thresholds that a person moved (thresholds.json): the review hides suggestions below them, nothing is lost."""

from __future__ import annotations

import numpy as np
import pandas as pd

from demix_core.decisions import are_own
from demix_core.errors import InputError, RunError
from demix_core.store import Run, write_json
from demix_core.types import ErrorType

FILE = "thresholds.json"


def read_limits(run: Run) -> dict[ErrorType, float]:
    """Of the types whose threshold was moved. RunError: the file is damaged."""
    if not (run / FILE).exists():
        return {}
    try:
        return {ErrorType(name): float(value) for name, value in run.json(FILE).items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise RunError(f"'{FILE}' in the run folder '{run.path}' is damaged; delete it to start from the "
                       "diagnosis' thresholds.") from error  # fmt: skip


def write_limit(run: Run, kind: ErrorType, threshold: float | None) -> None:
    """Durably; None: the diagnosis' own again. InputError: outside [0, 1]."""
    if threshold is not None and not 0 <= threshold <= 1:
        raise InputError(f"A threshold must lie between 0 and 1, not {threshold:g}.")
    limits = {k: v for k, v in read_limits(run).items() if k is not kind}
    if threshold is not None:
        limits[kind] = float(threshold)
    write_json(run / FILE, {k.value: v for k, v in limits.items()}, durable=True)


def diagnosed(run: Run) -> dict[ErrorType, float]:
    """The thresholds that the suggestions were made with."""
    return {kind: float(run.summary()["thresholds"].get(kind.value, 1.0)) for kind in ErrorType}


def in_force(run: Run) -> dict[ErrorType, float]:
    """The person's threshold of each type where one was moved, else the diagnosis' own."""
    return diagnosed(run) | read_limits(run)


def passing(diagnosis: pd.DataFrame, patches: pd.DataFrame, limits: dict[ErrorType, float]) -> np.ndarray:
    """bool [P]: the suggestions whose row reaches the person's threshold of their type, and all corrections."""
    keep = np.ones(len(patches), bool)
    kinds = patches["error_type"].to_numpy(str)
    for kind, limit in limits.items():
        mine = (kinds == kind.value) & ~are_own(patches)
        score = diagnosis.set_index("row_id")[kind.probability_column]
        keep[mine] = score.reindex(patches["row_id"].to_numpy()[mine]).to_numpy() >= limit
    return keep
