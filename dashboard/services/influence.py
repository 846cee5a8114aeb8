"""Influence of groups of training rows on slices of the validation rows: measured once as a job, then asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import streamlit as st

from dashboard.services.results import book, explainer
from dashboard.services.runs import run_path
from demix_core import jobs
from demix_core.store import Run, Status
from demix_core.types import Progress

if TYPE_CHECKING:
    from demix_core.blame.measure import Slice
    from demix_core.blame.view import Blame, View
else:
    Blame = Slice = View = Any


def blame(name: str) -> Blame | None:
    """What answers for the run; None as long as its slices are not measured."""
    from demix_core.blame import measure  # brings torch: only when a person asks

    run = Run(run_path(name))
    if measure.load(run) is None:
        return None
    return _blame(name, str(measure.folder(run).resolve()), book(name).version)


@st.cache_resource(max_entries=2, show_spinner=False)
def _blame(name: str, folder: str, version: int) -> Blame:
    from demix_core.blame import measure, view

    means = measure.load(Run(run_path(name)))
    assert means is not None
    return view.Blame(explainer(name), means)


def view(name: str, found: Blame, groups: str, slices: str) -> View:
    """Groups × slices, clustered."""
    return _view(name, book(name).version, groups, slices, found)


@st.cache_resource(max_entries=8, show_spinner=False)
def _view(name: str, version: int, groups: str, slices: str, _found: Blame) -> View:
    return _found.view(groups, slices)


def touched(name: str, found: Blame, row_ids: np.ndarray, top: int, progress: Progress) -> pd.DataFrame:
    """Validation rows that these training rows harm or help most."""
    return _touched(name, book(name).version, row_ids, top, found, progress)


@st.cache_data(max_entries=8, show_spinner=False)
def _touched(
    name: str, version: int, row_ids: np.ndarray, top: int, _found: Blame, _progress: Progress
) -> pd.DataFrame:
    return _found.touched_rows(row_ids, top, _progress)


def measure_slices(name: str) -> None:
    """Starts the job."""
    jobs.start_blame(Run(run_path(name)))


def measuring_slices(name: str) -> Status | None:
    """How the job is doing, a dead worker noticed; None before the first."""
    return jobs.state(Run(run_path(name)).blame)


def stop_slices(name: str) -> None:
    """Stops the job; nothing half-done stays."""
    jobs.cancel(Run(run_path(name)).blame)
