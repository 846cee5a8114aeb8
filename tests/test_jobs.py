"""A job in its own process: its death is noticed, its cancel heard, and two never work on one folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from demix_core import jobs
from demix_core.errors import RunError
from demix_core.settings import Settings
from demix_core.store import JobState, Run, Status, now

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)",
]
OBEDIENT = [
    sys.executable, "-c",
    "import sys, time, pathlib\nf = pathlib.Path(sys.argv[1])\n"
    "while not (f / 'cancel').exists(): time.sleep(.02)\n(f / 'bye').touch()",
]  # fmt: skip


@pytest.fixture
def worker(tmp_path: Path):
    """Starts a process that stands for a worker of the run in tmp_path, and ends it afterwards."""
    started: list[subprocess.Popen[bytes]] = []

    def start(command: list[str], state: JobState = JobState.RUNNING) -> tuple[Run, subprocess.Popen[bytes]]:
        process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE)
        started.append(process)
        born = psutil.Process(process.pid).create_time()
        run = Run(tmp_path)
        run.write_status(Status(state, "fit", 1, 6, 0.5, 0.3, started=now(), pid=process.pid, pid_started=born))
        return run, process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_no_status_means_no_job(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert jobs.state(run) is None and not jobs.alive(run) and jobs.cancel(run) is None


def test_a_worker_that_was_killed_is_told_with_the_way_out(worker) -> None:
    run, process = worker(SLEEP)
    assert jobs.state(run).state is JobState.RUNNING and jobs.alive(run)
    process.send_signal(signal.SIGKILL)
    process.wait()
    status = jobs.state(run)
    assert status.state is JobState.FAILED and "start again, it resumes" in status.error
    assert run.status() == status, "and everybody else reads the same"
    assert not jobs.alive(run)


def test_a_zombie_is_dead(worker) -> None:
    run, process = worker(SLEEP)
    os.kill(process.pid, signal.SIGKILL)
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert jobs.state(run).state is JobState.FAILED


def test_a_pid_that_another_process_got_is_not_the_worker(tmp_path: Path) -> None:
    run = Run(tmp_path)
    born = psutil.Process().create_time()
    run.write_status(Status(JobState.RUNNING, pid=os.getpid(), pid_started=born - 100))
    assert jobs.state(run).state is JobState.FAILED


@pytest.mark.parametrize("state", [JobState.DONE, JobState.FAILED, JobState.CANCELLED])
def test_the_last_word_of_an_ended_job_stands(tmp_path: Path, state: JobState) -> None:
    run = Run(tmp_path)
    told = run.write_status(Status(state, pid=2**22 + 1, pid_started=1.0))
    assert jobs.state(run) == told
    assert jobs.cancel(run) == told and not run.cancel_requested()


def test_cancel_lets_an_obedient_worker_end_by_itself(worker, tmp_path: Path) -> None:
    run, process = worker([*OBEDIENT, str(tmp_path)])
    status = jobs.cancel(run, grace=10)
    assert status.state is JobState.CANCELLED
    process.wait()
    assert (tmp_path / "bye").exists(), "it ended by itself"


def test_cancel_ends_a_stubborn_worker_after_the_grace(worker) -> None:
    run, process = worker(STUBBORN)
    process.stdout.readline()
    status = jobs.cancel(run, grace=0.2)
    assert status.state is JobState.CANCELLED
    assert not psutil.pid_exists(process.pid)


def test_only_one_worker_per_folder(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with jobs.only_worker(run):
        with pytest.raises(RunError, match=f"process {os.getpid()}.*already at work"), jobs.only_worker(run):
            pass
    with jobs.only_worker(run):
        assert (tmp_path / "lock").read_text() == str(os.getpid())


def test_the_lock_of_a_killed_worker_is_free(tmp_path: Path) -> None:
    code = (
        "import sys, time; from demix_core import jobs; from demix_core.store import Run\n"
        f"with jobs.only_worker(Run({str(tmp_path)!r})): print(1, flush=True); time.sleep(60)"
    )
    root = Path(__file__).resolve().parents[1]
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=root)
    process.stdout.readline()
    run = Run(tmp_path)
    with pytest.raises(RunError), jobs.only_worker(run):
        pass
    process.kill()
    process.communicate()
    with jobs.only_worker(run):
        pass


def test_start_refuses_a_folder_at_work_and_queues_otherwise(
    worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, process = worker(SLEEP)
    with pytest.raises(RunError, match="already at work"):
        jobs.start(tmp_path / "t.csv", tmp_path, Settings())
    process.kill()
    process.wait()
    run.request_cancel()
    commands: list[list[str]] = []
    monkeypatch.setattr(
        jobs, "_spawn", lambda command, run: (commands.append(command), worker(SLEEP, JobState.QUEUED)[1])[1]
    )
    started = jobs.start(tmp_path / "t.csv", tmp_path, Settings(seed=3), weights=tmp_path / "w.safetensors")
    status = jobs.state(started)
    assert status.state is JobState.QUEUED and jobs.alive(started)
    assert not started.cancel_requested(), "an old wish to stop is forgotten"
    assert commands[0][1:5] == ["-m", "demix_core", "diagnose", str(tmp_path / "t.csv")]
    assert commands[0][-2:] == ["--weights", str(tmp_path / "w.safetensors")]
    assert Settings.from_dict(started.json("request.json")) == Settings(seed=3)
