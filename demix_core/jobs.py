"""A diagnosis in a process of its own: start, watch, stop it, notice its death. The run folder is the only link."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil

from demix_core.errors import RunError
from demix_core.settings import Settings
from demix_core.store import JobState, Run, Status, now, storing, write_json

GRACE = 3.0
"""Seconds a worker has to stop by itself after a cancel before it is ended."""

_children: list[subprocess.Popen[bytes]] = []
"""What this process started: asked now and then, so that ended workers do not linger as zombies."""

DIED = "The worker died; start again, it resumes from the last finished stage."


def start(
    train: Path,
    out: Path,
    settings: Settings,
    validation: Path | None = None,
    test: Path | None = None,
    weights: Path | None = None,
    predictions: Path | None = None,
) -> Run:
    """Start `demix_core diagnose` for this run folder in a session of its own and return at once.

    RunError: a job is already at work on this folder. StorageError: the folder can't be written.
    """
    run = Run(out)
    _make_ready(run)
    write_json(run / "request.json", settings.to_dict())
    command = ["diagnose", str(Path(train).resolve()), "--out", str(run.path.resolve())]
    command += ["--settings", str((run / "request.json").resolve())]
    others = {"validation": validation, "test": test, "weights": weights, "predictions": predictions}
    for role, path in others.items():
        if path is not None:
            command += [f"--{role}", str(Path(path).resolve())]
    _launch(run, command)
    return run


def start_blame(run: Run) -> None:
    """Start `demix_core blame` on this run in a session of its own; its state lies in run.blame.

    RunError: one is at work already. StorageError: the folder can't be written.
    """
    _make_ready(run.blame)
    _launch(run.blame, ["blame", str(run.path.resolve())])


def start_evaluation(run: Run, seeds: int) -> None:
    """Start `demix_core evaluate` on this run in a session of its own; its state lies in run.check.

    RunError: an evaluation is at work already. StorageError: the folder can't be written.
    """
    _make_ready(run.check)
    _launch(run.check, ["evaluate", str(run.path.resolve()), "--seeds", str(seeds)])


def start_drift(run: Run, batch: Path | None = None) -> None:
    """Start `demix_core drift` on this run in a session of its own; its state lies in run.drift.

    RunError: a comparison is at work already. StorageError: the folder can't be written.
    """
    _make_ready(run.drift)
    _launch(run.drift, ["drift", str(run.path.resolve()), *([str(batch.resolve())] if batch is not None else [])])


def start_rehearsal(run: Run) -> None:
    """Start `demix_core rehearse` on this run in a session of its own; its state lies in run.rehearsal.

    RunError: one is at work already. StorageError: the folder can't be written.
    """
    _make_ready(run.rehearsal)
    _launch(run.rehearsal, ["rehearse", str(run.path.resolve())])


def _make_ready(place: Run) -> None:
    """The folder is there, nobody is at it, and no old wish to stop is left."""
    with storing(place.path):
        place.path.mkdir(parents=True, exist_ok=True)
    if alive(place):
        raise RunError(f"A job is already at work on '{place.path}'; wait for it or cancel it.")
    place.clear_cancel()


def _launch(place: Run, command: list[str]) -> None:
    """Starts the worker; until it speaks, the status is ours."""
    this = psutil.Process()
    queued = Status(JobState.QUEUED, message="Starting", started=now(), pid=this.pid, pid_started=this.create_time())
    place.write_status(queued)
    worker = psutil.Process(_spawn([sys.executable, "-m", "demix_core", *command], place).pid)
    said = place.status()
    if said is not None and said.pid == this.pid:  # the worker has not spoken yet
        place.write_status(replace(queued, pid=worker.pid, pid_started=worker.create_time()))


def _spawn(command: list[str], run: Run) -> subprocess.Popen[bytes]:
    """The worker, away from the terminal and the caller's files; what it says goes to worker.log."""
    with storing(run / "worker.log"), (run / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=Path(__file__).resolve().parents[1],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _children.append(process)
    return process


def state(run: Run) -> Status | None:
    """The status with the worker's life taken into account; None when no job was ever started here.

    A worker that is gone without a last word leaves 'failed' (or 'cancelled' where it was asked to stop).
    """
    _children[:] = [child for child in _children if child.poll() is None]
    status = run.status()
    if status is None or not status.state.active or worker_lives(status):
        return status
    latest = run.status() or status  # it may have ended between the two looks
    if not latest.state.active:
        return latest
    if run.cancel_requested():
        return run.write_status(replace(latest, state=JobState.CANCELLED, message="Cancelled", seconds_left=None))
    return run.write_status(replace(latest, state=JobState.FAILED, message=DIED, seconds_left=None, error=DIED))


def alive(run: Run) -> bool:
    """Whether a worker is at this folder."""
    status = run.status()
    return status is not None and status.state.active and worker_lives(status)


def worker_lives(status: Status) -> bool:
    """Whether the very process that wrote the status still runs (its pid may have been given to another)."""
    try:
        process = psutil.Process(status.pid)
        same = abs(process.create_time() - status.pid_started) < 1.0
        return same and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, ValueError):
        return False


def cancel(run: Run, grace: float = GRACE) -> Status | None:
    """Ask the worker to stop, wait for at most `grace` seconds, then end it; finished stages stay."""
    status = run.status()
    if status is None or not status.state.active:
        return status
    run.request_cancel()
    until = time.monotonic() + grace
    while time.monotonic() < until and alive(run):
        time.sleep(0.05)
    status = run.status() or status
    if status.state.active and worker_lives(status):
        _end(status)
    return state(run)


def _end(status: Status) -> None:
    """Kill the worker (with its children where it leads a session of its own) and wait until it is gone."""
    try:
        process = psutil.Process(status.pid)
        if os.getpgid(status.pid) == status.pid:
            os.killpg(status.pid, signal.SIGKILL)
        else:
            process.kill()
        psutil.wait_procs([process], timeout=5)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return


@contextmanager
def only_worker(run: Run) -> Iterator[None]:
    """Held by the worker while it works; the system lets go of it when the process ends, however it ends.

    RunError: another process holds it.
    """
    with storing(run / "lock"):
        run.path.mkdir(parents=True, exist_ok=True)
        handle = (run / "lock").open("a+")
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            handle.seek(0)
            holder = handle.read().strip() or "unknown"
            raise RunError(
                f"A job (process {holder}) is already at work on '{run.path}'; wait for it or cancel it."
            ) from error
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield
