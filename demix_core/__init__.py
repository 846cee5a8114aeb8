"""DeMix: find which rows of a training table are wrong, say what is wrong with each, and repair them with a person.

>>> import demix_core
>>> run = demix_core.Run.open("assets/example/run")  # what `demix_core.diagnose(...)` returns
>>> list(run.summary()["counts"])
['label_error', 'feature_error', 'spurious']
>>> demix_core.Diagnosis(run)  # draws itself in a notebook: counts, rows with reasons, profiles, the map
Diagnosis('assets/example/run')

The public names below are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

# OpenMP's threads wait for each other by spinning: where another program has a core, boosted trees take ten times as
# long. It counts if it is set before a library that has such threads is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from demix_core.decisions import DecisionLog
    from demix_core.diagnosis import Diagnosis
    from demix_core.errors import DemixError
    from demix_core.explain import Explainer
    from demix_core.exporting import export
    from demix_core.handout.page import write_report
    from demix_core.pipeline import diagnose
    from demix_core.planting import plant
    from demix_core.settings import Settings
    from demix_core.store import Run
    from demix_core.tablefile import TableFile
    from demix_core.types import ErrorType, Patch, Schema

__version__ = "0.1.0"

__all__ = [
    "DecisionLog", "DemixError", "Diagnosis", "ErrorType", "Explainer", "Patch", "Run", "Schema", "Settings",
    "TableFile", "diagnose", "export", "plant", "write_report",
]  # fmt: skip

_HOMES = {
    "DecisionLog": "decisions", "DemixError": "errors", "Diagnosis": "diagnosis", "ErrorType": "types",
    "Explainer": "explain", "Patch": "types", "Run": "store", "Schema": "types", "Settings": "settings",
    "TableFile": "tablefile", "diagnose": "pipeline", "export": "exporting", "plant": "planting",
    "write_report": "handout.page",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'demix_core' has no attribute '{name}'")
    return getattr(importlib.import_module(f"demix_core.{_HOMES[name]}"), name)
