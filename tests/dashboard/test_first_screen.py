"""The first screen waits for nothing that it does not show: heavy libraries come later, in the background."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dashboard.services import results

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    "address, components, deciding, garbage, guide, services, texts, together, widgets, inspector, mapping, trusting"
)
HEAVY = {"torch", "sklearn", "umap", "numba", "scipy.stats", "scipy.optimize"}


def test_no_page_brings_the_heavy_libraries() -> None:
    """Seconds before anything is seen, if one import at the top of one module brings them."""
    code = f"from dashboard import {PAGES}\nimport sys\nprint(*[m for m in {sorted(HEAVY)} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_what_explains_a_row_is_loaded_once_and_leaves_the_turns_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, go_on, turns = [], threading.Event(), sys.getswitchinterval()

    def load(name: str) -> None:
        asked.append(name)
        go_on.wait(5)

    monkeypatch.setattr(results.importlib, "import_module", load)
    monkeypatch.delitem(sys.modules, results.EXPLAINING, raising=False)
    results.load_ahead()
    results.load_ahead()
    loader = next(t for t in threading.enumerate() if t.name == results.EXPLAINING)
    go_on.set()
    loader.join(5)
    assert asked == [results.EXPLAINING] and sys.getswitchinterval() == pytest.approx(turns)
    monkeypatch.setitem(sys.modules, results.EXPLAINING, results)
    results.load_ahead()
    assert len(asked) == 1
