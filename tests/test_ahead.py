"""A map drawn beside the suggestions: the same map, and no process outlives its use or its starter."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from demix_core import ahead, work
from demix_core.ahead import Ahead, pays
from demix_core.errors import Cancelled
from demix_core.pipeline import diagnose
from demix_core.projection import FIT_ROWS, project
from tests import tiny

ROOT = Path(__file__).resolve().parents[1]
STARTER = """
import sys, time
from pathlib import Path
from demix_core.ahead import Ahead
beside = Ahead("umap")
beside.draw(Path(sys.argv[1]), 3)
print(beside._process.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def embedding(tmp_path: Path) -> Path:
    """300 rows on disk."""
    np.save(tmp_path / "embedding.npy", np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32))
    return tmp_path / "embedding.npy"


def soon(happens: Callable[[], bool], seconds: float = 60) -> bool:
    """Whether it happens within the time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if happens():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("method", ["umap", "tsne"])
def test_the_places_are_those_of_project(embedding: Path, method: str) -> None:
    beside = Ahead(method)
    beside.draw(embedding, 3)
    places = beside.places()
    assert places is not None
    np.testing.assert_allclose(places, project(np.load(embedding), method, 3), atol=1e-5)
    assert beside._process.returncode is not None


def test_what_was_not_asked_or_fails_gives_nothing(tmp_path: Path) -> None:
    beside = Ahead("umap")
    assert beside.places() is None
    beside.end()
    beside = Ahead("umap")
    beside.draw(tmp_path / "missing.npy", 3)
    assert beside.places() is None
    beside = Ahead("umap")
    beside._process.kill()
    beside._process.wait()
    beside.draw(tmp_path / "missing.npy", 3)
    assert beside.places() is None


def test_stopped_while_it_draws(embedding: Path) -> None:
    beside = Ahead("umap")
    beside.draw(embedding, 3)
    with pytest.raises(Cancelled):
        beside.places(lambda: True)
    assert beside._process.returncode is not None


@pytest.mark.parametrize("asked", [True, False])
def test_it_ends_when_its_starter_is_killed(embedding: Path, asked: bool) -> None:
    code = STARTER if asked else STARTER.replace("beside.draw(Path(sys.argv[1]), 3)\n", "")
    starter = subprocess.Popen(
        [sys.executable, "-c", code, str(embedding)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    starter.stdout.close()
    assert soon(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_it_pays_for_many_rows_and_slow_maps_on_two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    assert pays(ahead.FEWEST_ROWS, "umap") and pays(FIT_ROWS, "tsne")
    assert not pays(ahead.FEWEST_ROWS - 1, "umap") and not pays(FIT_ROWS + 1, "umap") and not pays(50_000, "pca")
    monkeypatch.setattr(ahead.os, "sched_getaffinity", lambda _: {0}, raising=False)
    assert not pays(50_000, "umap")


def test_a_diagnosis_uses_it_and_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, settings = tiny.table(tmp_path / "people.csv"), tiny.settings(tiny.classifier(tmp_path / "dec.safetensors"))
    here = diagnose(table, tmp_path / "here", settings)
    monkeypatch.setattr(work, "pays", lambda rows, method: True)
    drawn: list[np.ndarray] = []

    def never(embedding: np.ndarray, method: str, *args: object) -> np.ndarray:
        assert method == "pca"
        drawn.append(embedding)
        return project(embedding, method, 0)

    monkeypatch.setattr(work, "project", never)
    there = diagnose(table, tmp_path / "there", settings)
    assert len(drawn) == 1
    places = [run.diagnosis()[["x", "y"]].to_numpy() for run in (here, there)]
    np.testing.assert_allclose(*places, atol=1e-4)


def test_a_diagnosis_that_is_cancelled_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, settings = tiny.table(tmp_path / "people.csv"), tiny.settings(tiny.classifier(tmp_path / "dec.safetensors"))
    monkeypatch.setattr(work, "pays", lambda rows, method: True)
    made: list[Ahead] = []
    monkeypatch.setattr(work, "Ahead", lambda method: made.append(Ahead(method)) or made[0])

    def stop() -> bool:
        return bool(made) and made[0]._asked

    with pytest.raises(Cancelled):
        diagnose(table, tmp_path / "run", settings, should_stop=stop)
    assert made[0]._process.returncode is not None
