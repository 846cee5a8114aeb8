"""What the decisions do to the model: the estimate at once, the measurement as a job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dashboard.services.results import log
from dashboard.services.runs import run_path
from demix_core import jobs
from demix_core.repairs.apply import expected_gain, plan
from demix_core.store import Run, Status

SEEDS = 5
RESULT = "evaluation.json"


@dataclass(frozen=True)
class Expected:
    """gain: expected fall of the validation loss, None where nothing is known; unknown: decisions without an estimate;
    changed: how many cells, rows and weights the decisions change; key: of these changes.
    """

    gain: float | None
    unknown: int
    changed: int
    key: str


def expected(name: str) -> Expected:
    """From influence, without training."""
    run = Run.open(run_path(name))
    patches, states = run.patches(), log(name).replay()
    changes = plan(patches, states)
    gain, unknown = expected_gain(patches, states)
    return Expected(gain, unknown, len(changes.rows), changes.key)


def measured(name: str, key: str) -> dict[str, Any] | None:
    """The evaluation of these changes, else the newest one, whatever it speaks of; None before the first."""
    run = Run(run_path(name))
    for path in (run.evaluation(key, SEEDS), run.check / RESULT):
        if path.is_file():
            return dict(run.json(path.relative_to(run.path).as_posix()))
    return None


def measure(name: str) -> None:
    """Starts the evaluation of the decisions as they stand."""
    jobs.start_evaluation(Run(run_path(name)), SEEDS)


def measuring(name: str) -> Status | None:
    """How the evaluation is doing, a dead worker noticed; None before the first."""
    return jobs.state(Run(run_path(name)).check)


def stop_measuring(name: str) -> None:
    """Stops it; the last result stays."""
    jobs.cancel(Run(run_path(name)).check)


def recommended(name: str) -> list[int]:
    """Patches that are sure enough to be accepted unseen and not decided yet."""
    patches, decided = Run.open(run_path(name)).patches(), set(log(name).replay())
    ids = patches.loc[patches["recommended"], "patch_id"].to_numpy(np.int64)
    return [int(i) for i in ids if int(i) not in decided]


def of_type(name: str, error_type: str) -> list[int]:
    """Standing decisions that change something, of one error type."""
    patches, states = Run.open(run_path(name)).patches(), log(name).replay()
    kinds = dict(zip(patches["patch_id"], patches["error_type"], strict=True))
    return [i for i, state in states.items() if state.kind != "reject" and kinds[i] == error_type]


def is_checked(name: str | None) -> bool:
    """Whether the run holds a measurement."""
    return name is not None and (run_path(name) / "check" / RESULT).is_file()
