"""What the review keeps beside its decisions: saved views of the queue, and selections that a link names."""

from __future__ import annotations

import numpy as np

from dashboard.services.runs import run_path
from demix_core import views
from demix_core.store import Run
from demix_core.views import View


def saved_views(name: str) -> dict[str, View]:
    """The run's saved views by name."""
    return views.saved_views(Run(run_path(name)))


def save_view(name: str, title: str, view: View) -> str:
    """Keeps a view; its name as it was kept. RunError: the name can't be used."""
    return views.save_view(Run(run_path(name)), title, view)


def delete_view(name: str, title: str) -> None:
    """Forgets a view."""
    views.delete_view(Run(run_path(name)), title)


def keep_selection(name: str, row_ids: np.ndarray) -> str:
    """Keeps selected rows; the key for a link."""
    return views.keep_selection(Run(run_path(name)), row_ids)


def kept_selection(name: str, key: str) -> np.ndarray | None:
    """The rows of such a key; None when they are not kept any more."""
    return views.selection(Run(run_path(name)), key)
