"""kill -9 at any moment: a job resumes to the same results, and no confirmed decision is lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pandas as pd
import psutil
import pytest

from demix_core import jobs
from demix_core.decisions import DecisionLog
from demix_core.store import JobState, Run
from demix_core.types import DecisionKind
from tests import tiny

ROOT = Path(__file__).resolve().parents[1]
KILLS = 24
DECISION_KILLS = 8

TEMPLATE = """
import os, sys
from pathlib import Path
import torch
from demix_core import work
from demix_core.pipeline import diagnose
from tests import tiny
work.project = tiny.flat_map
torch.set_num_threads(1)
torch.optim.AdamW([torch.zeros(1, requires_grad=True)], fused=True).step()  # loads what torch loads at its first step
print("ready", flush=True)
for line in sys.stdin:
    table, out, dec = line.split()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        diagnose(Path(table), Path(out), tiny.settings(Path(dec)))
        os._exit(0)
    print(pid, flush=True)
    os.waitpid(pid, 0)
    print("over", flush=True)
"""
"""Has everything imported and forks a worker per line: a job then starts in milliseconds instead of seconds."""

REVIEWER = """
import sys
from demix_core.decisions import DecisionLog
log = DecisionLog(sys.argv[1])
for i in range(100_000):
    event = log.reject([i], "me") if i % 3 else log.accept([i, i + 1], "me")
    print(event.seq, i, flush=True)
"""


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[[Path, Path, Path], tuple[int, Callable[[], None]]]]:
    """start(table, out, dec) -> (pid of a worker that has begun, wait for its end)."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    template = subprocess.Popen(
        [sys.executable, "-c", TEMPLATE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
    )
    assert template.stdout.readline() == "ready\n"

    def begin(table: Path, out: Path, dec: Path) -> tuple[int, Callable[[], None]]:
        template.stdin.write(f"{table} {out} {dec}\n")
        template.stdin.flush()
        pid = int(template.stdout.readline())

        def wait() -> None:
            assert template.stdout.readline() == "over\n"

        return pid, wait

    yield begin
    template.kill()
    template.communicate()


def results(run: Run) -> list[pd.DataFrame]:
    return [run.diagnosis(), run.patches(), run.projection("tsne"), run.validation(), run.rows()]


def check_what_is_left(run: Run) -> None:
    """Nothing that the manifest vouches for is missing or half-written, and the person is told the way out."""
    status = jobs.state(run)
    assert status is None or status.state in (JobState.FAILED, JobState.DONE)
    if status is not None and status.state is JobState.FAILED:
        assert "start again, it resumes" in status.error
    if not (run / "manifest.json").exists():
        return
    for stage in run.manifest().stages.values():
        for output in stage.outputs:
            assert (run / output).exists()
            reader = {".parquet": run.table, ".npy": run.array, ".json": run.json}.get(Path(output).suffix)
            if reader is not None:
                reader(output)


def stages_of(run: Run) -> int:
    """How many stages the run has finished."""
    return len(run.manifest().stages) if (run / "manifest.json").exists() else 0


def wait_for_stages(run: Run, count: int, patience: float) -> None:
    """Until the run has finished so many stages, or patience (seconds) runs out."""
    until = time.monotonic() + patience
    while stages_of(run) < count and time.monotonic() < until:
        time.sleep(0.005)


def test_job_killed_at_random_moments_resumes_to_the_same_results(start, tmp_path: Path) -> None:
    table, dec = tiny.table(tmp_path / "t.csv", n=400), tiny.classifier(tmp_path / "dec.safetensors")
    start(table, tmp_path / "first", dec)[1]()
    began = time.monotonic()
    start(table, tmp_path / "whole", dec)[1]()
    usual = time.monotonic() - began
    whole = Run(tmp_path / "whole")
    assert whole.status().state is JobState.DONE
    chance, killed, completed = random.Random(0), 0, 0
    stages_seen: set[int] = set()
    while killed < KILLS:
        run = Run(tmp_path / f"run{completed}")
        pid, wait = start(table, run.path, dec)
        if killed % 6 in (1, 2, 3):  # some kills soon after a stage's end, so that all stages are hit on any machine
            wait_for_stages(run, killed % 6, patience=5 * usual)
            time.sleep(chance.uniform(0.0, 0.1 * usual))
        else:
            time.sleep(chance.uniform(0.0, 0.7 * usual))
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        wait()
        check_what_is_left(run)
        stages = stages_of(run)
        if (run / "status.json").exists() and run.status().state is JobState.DONE:
            completed += 1
        else:
            killed += 1
            stages_seen.add(stages)
        if killed % 6 == 0:
            start(table, run.path, dec)[1]()
            assert run.status().state is JobState.DONE
            assert all(a.equals(b) for a, b in zip(results(run), results(whole), strict=True))
            assert not list(run.path.glob("**/.*.tmp"))
            completed += 1
    assert len(stages_seen) >= 3, "the kills fell into different stages"


def test_job_started_as_the_dashboard_does_survives_its_death(tmp_path: Path) -> None:
    """The whole way once: own process, kill -9, noticed, started again, done."""
    table, dec = tiny.table(tmp_path / "t.csv"), tiny.classifier(tmp_path / "dec.safetensors")
    run = jobs.start(table, tmp_path / "run", tiny.settings(dec))
    deadline = time.monotonic() + 120
    while "fit" not in (run.manifest().stages if (run / "manifest.json").exists() else {}):
        assert time.monotonic() < deadline and jobs.alive(run), (run / "worker.log").read_text()
        time.sleep(0.02)
    os.kill(run.status().pid, signal.SIGKILL)
    while jobs.alive(run):
        time.sleep(0.02)
    assert jobs.state(run).state is JobState.FAILED
    finished = run.manifest().stages
    jobs.start(table, run.path, tiny.settings(dec))
    while jobs.state(run).state.active:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert jobs.state(run).state is JobState.DONE, (run / "worker.log").read_text()
    assert all(run.manifest().stages[name] == state for name, state in finished.items()), "finished stages were kept"


def test_no_confirmed_decision_is_lost_by_kill_9(tmp_path: Path) -> None:
    path, chance = tmp_path / "decisions.sqlite", random.Random(1)
    confirmed: dict[int, int] = {}
    for _ in range(DECISION_KILLS):
        reviewer = subprocess.Popen(
            [sys.executable, "-c", REVIEWER, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        lines = [reviewer.stdout.readline()]
        time.sleep(chance.uniform(0.0, 0.3))
        psutil.Process(reviewer.pid).kill()
        lines += reviewer.communicate()[0].splitlines(keepends=True)
        confirmed |= {int(a): int(b) for a, b in (line.split() for line in lines if line.endswith("\n"))}
        with closing(DecisionLog(path)) as log:
            events = {event.seq: event for event in log.events()}
        assert confirmed.keys() <= events.keys()
        for seq, i in confirmed.items():
            kind = DecisionKind.REJECT if i % 3 else DecisionKind.ACCEPT
            assert events[seq].kind is kind and events[seq].patch_ids[0] == i
        assert len(events) - len(confirmed) <= DECISION_KILLS, "at most the one that was under way each time"
    assert len(confirmed) >= DECISION_KILLS
