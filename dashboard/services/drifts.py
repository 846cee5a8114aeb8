"""A new batch beside the training rows: the comparison as a job, and its result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dashboard.services.runs import run_path
from demix_core import jobs
from demix_core.store import Run, Status

RESULT = "drift.json"


def drifted(name: str) -> dict[str, Any] | None:
    """The newest comparison; None before the first."""
    place = Run(run_path(name)).drift
    return dict(place.json(RESULT)) if (place / RESULT).is_file() else None


def compare_batch(name: str, batch: str | None) -> None:
    """Starts the comparison of a file, or of the run's validation rows."""
    jobs.start_drift(Run(run_path(name)), Path(batch) if batch else None)


def comparing(name: str) -> Status | None:
    """How it is doing, a dead worker noticed; None before the first."""
    return jobs.state(Run(run_path(name)).drift)


def stop_comparing(name: str) -> None:
    """Stops it; the last result stays."""
    jobs.cancel(Run(run_path(name)).drift)
