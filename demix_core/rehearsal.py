"""`rehearse`: errors planted into copies of the table, and how many of them a threshold of this run would find.

Reviewed rows tell how many of the suggestions are right; how many errors are missed nobody can see. Planted errors are
known, so the share that is found can be counted. They are errors of our making at shares of our making: a measure of
the detector on this table, no count of the table's own errors. What a threshold finds of them counts
`trust/planted.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from demix_core.classifiers.planted import by_the_others, plant_copies
from demix_core.classifiers.thresholds import shift_to_share, shifted
from demix_core.errors import InputError
from demix_core.jobs import only_worker
from demix_core.pipeline import last_word
from demix_core.settings import Settings
from demix_core.stages import Reporter, Stage, StopAsked
from demix_core.store import UPDATE, Run, write_table
from demix_core.trust.planted import result
from demix_core.types import ErrorType, Progress, ShouldStop, never_stop, no_progress
from demix_core.work import Work


def rehearse(run: Run, progress: Progress = no_progress, should_stop: ShouldStop = never_stop) -> pd.DataFrame:
    """Plant errors into copies of the run's table and look for them as the run did; keeps it in the run.

    Returns a row per row of each copy: copy, row_id, the three probabilities, and what was planted (as in
    diagnosis.parquet). Cost: planted.COPIES times fit, signals and detection of at most planted.MOST_ROWS rows.
    InputError: the run was made of another one's model. RunError: somebody is at it. Cancelled: asked to stop.
    """
    parent = run.manifest().parent
    if parent is not None and parent.how == UPDATE:
        raise InputError(f"'{run.path}' was diagnosed with what the run '{parent.run}' had learned; try that one.")
    place, stage = run.rehearsal, Stage("rehearse", "Looking for planted errors", 1.0, (), lambda *_: ())
    with only_worker(place):
        place.clear_cancel()
        reporter = Reporter(place, (stage,), progress)
        with last_word(reporter):
            reporter.enter(0, False)
            found = _rehearse(run, reporter.tell, StopAsked(place, should_stop))
            write_table(result(run), found)
    return found


def _rehearse(run: Run, progress: Progress, should_stop: ShouldStop) -> pd.DataFrame:
    settings = Settings.from_dict(run.manifest().settings)
    work = Work(run, settings)
    copies = plant_copies(work.case, work.dataset.validation, settings, progress, should_stop)
    said = [c.p for c in copies]
    if settings.diagnose.calibrate:
        said = by_the_others(copies, work.detection.probabilities, settings)
    ids = work.dataset.train_ids
    tables = [_table(ids[c.kept], _shifted(p, work), c.planted) for c, p in zip(copies, said, strict=True)]
    return pd.concat([t.assign(copy=np.int8(k)) for k, t in enumerate(tables)], ignore_index=True)


def _shifted(p: np.ndarray, work: Work) -> np.ndarray:
    """As the run's own probabilities were moved where somebody said how many errors to expect."""
    diagnose = work.settings.diagnose
    if not diagnose.expected_error_share:
        return p
    if diagnose.calibrate:
        return shift_to_share(p, diagnose.expected_error_share)
    return shifted(p, work.standing.shift)


def _table(row_ids: np.ndarray, p: np.ndarray, planted: np.ndarray) -> pd.DataFrame:
    columns: dict[str, Any] = {"row_id": row_ids.astype(np.int64)}
    for k, kind in enumerate(ErrorType):
        columns[kind.probability_column] = p[:, k].astype(np.float32)
        columns[kind.value] = planted[:, k]
    return pd.DataFrame(columns)
