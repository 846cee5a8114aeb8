"""Stages with keys: what is fresh is skipped, what was interrupted is redone, and somebody can watch and stop.

A stage's key is the hash of its name, what it depends on, its parents' keys and CODE; it is fresh when the manifest
holds that key and its outputs are there. The manifest learns of a stage after its files are whole and forgets it
before they are touched again, so it never vouches for half-written or mixed results.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from demix_core.store import JobState, Manifest, Run, Status, now
from demix_core.types import Progress, ShouldStop, StageState, never_stop, no_progress

CODE = 2
"""Raised whenever the meaning of a stage's files changes; every stage is then redone."""

STATUS_EVERY = 0.2
"""Seconds between two status files."""

ASK_EVERY = 0.1
"""Seconds between two looks for the cancel file."""

Outputs = tuple[str, ...]
"""Names of files or folders inside the run folder."""


@dataclass(frozen=True)
class Stage:
    """One step. share: its part of the usual time of a whole job; run writes the outputs it returns."""

    name: str
    title: str
    share: float
    parents: tuple[str, ...]
    run: Callable[[Progress, ShouldStop], Outputs]


def stage_keys(stages: Sequence[Stage], depends: Mapping[str, Any]) -> dict[str, str]:
    """sha256 per stage name; depends: what each depends on besides its parents, JSON-able."""
    keys: dict[str, str] = {}
    for stage in stages:
        content = [stage.name, CODE, depends[stage.name], [keys[p] for p in stage.parents]]
        keys[stage.name] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return keys


def _downstream(stages: Sequence[Stage], name: str) -> set[str]:
    """The stage and all that depend on it."""
    touched = {name}
    for stage in stages:
        if touched.intersection(stage.parents):
            touched.add(stage.name)
    return touched


def is_fresh(run: Run, manifest: Manifest, name: str, key: str) -> bool:
    """Whether the stage's results are those that this key asks for."""
    known = manifest.stages.get(name)
    return known is not None and known.key == key and all((run / output).exists() for output in known.outputs)


class Reporter:
    """Writes status.json (at most every STATUS_EVERY seconds) and tells the caller; guesses the time left."""

    def __init__(self, run: Run, stages: Sequence[Stage], progress: Progress = no_progress) -> None:
        this = psutil.Process()
        self._run, self._stages, self._progress = run, tuple(stages), progress
        self._total = sum(s.share for s in stages)
        self._index, self._skipped, self._told = 0, 0.0, 0.0
        self._began = time.monotonic()
        self.status = Status(
            JobState.RUNNING, stage_count=len(stages), message="Starting", started=now(), pid=os.getpid(),
            pid_started=this.create_time(),
        )  # fmt: skip
        run.write_status(self.status)

    def enter(self, index: int, fresh: bool) -> None:
        """The next stage begins; fresh: its results are there already."""
        self._index = index
        if fresh:
            self._skipped += self._stages[index].share / self._total
        self.tell(1.0 if fresh else 0.0, self._stages[index].title, at_once=True)

    def tell(self, fraction: float, message: str, at_once: bool = False) -> None:
        """progress of the present stage; fraction in [0, 1]."""
        if not at_once and time.monotonic() - self._told < STATUS_EVERY:
            return
        self._told = time.monotonic()
        stage, before = self._stages[self._index], sum(s.share for s in self._stages[: self._index])
        overall = min(1.0, (before + stage.share * min(max(fraction, 0.0), 1.0)) / self._total)
        self.status = replace(
            self.status, stage=stage.name, stage_index=self._index, fraction=fraction, overall=overall,
            message=message, seconds_left=self._left(overall),
        )  # fmt: skip
        self._run.write_status(self.status)
        self._progress(overall, message)

    def _left(self, overall: float) -> float | None:
        """Seconds, from the pace of the work done since the start; None as long as that says little."""
        done = overall - self._skipped
        if done < 0.02:
            return None
        return round((time.monotonic() - self._began) * (1 - overall) / done, 1)

    def end(self, state: JobState, message: str, error: str | None = None) -> None:
        """The last word."""
        finished = state is JobState.DONE
        self.status = replace(
            self.status, state=state, message=message, error=error,
            overall=1.0 if finished else self.status.overall, seconds_left=0.0 if finished else None,
        )  # fmt: skip
        self._run.write_status(self.status)


class StopAsked:
    """A ShouldStop that looks for the cancel file now and then, and asks the caller each time."""

    def __init__(self, run: Run, outer: ShouldStop = never_stop) -> None:
        self._run, self._outer = run, outer
        self._looked, self._asked = -ASK_EVERY, False

    def __call__(self) -> bool:
        if not self._asked and time.monotonic() - self._looked >= ASK_EVERY:
            self._looked = time.monotonic()
            self._asked = self._run.cancel_requested()
        self._asked = self._asked or self._outer()
        return self._asked


class PeakMemory:
    """The largest resident memory of this process since the last reset, in MB (of 10^6 bytes).

    Linux keeps a high-water mark that can be reset; elsewhere the mark is that of the whole process.
    """

    def reset(self) -> None:
        """Starts anew."""
        clear = Path("/proc/self/clear_refs")
        if os.access(clear, os.W_OK):
            clear.write_text("5")

    def megabytes(self) -> float:
        """The mark."""
        status = Path("/proc/self/status")
        if status.exists():
            lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
            return int(lines["VmHWM"].split()[0]) * 1024 / 1e6
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def run_stages(
    run: Run, stages: Sequence[Stage], depends: Mapping[str, Any], reporter: Reporter, should_stop: ShouldStop
) -> Manifest:
    """Run what is not fresh, in order; returns the manifest as it stands at the end.

    Cancelled and errors of stages pass through; stages finished by then stay finished.
    """
    keys = stage_keys(stages, depends)
    memory = PeakMemory()
    for index, stage in enumerate(stages):
        manifest = run.manifest()
        fresh = is_fresh(run, manifest, stage.name, keys[stage.name])
        reporter.enter(index, fresh)
        if fresh:
            continue
        touched = _downstream(stages, stage.name)
        kept = {name: state for name, state in manifest.stages.items() if name not in touched}
        run.write_manifest(replace(manifest, stages=kept))
        memory.reset()
        began = time.monotonic()
        outputs = stage.run(reporter.tell, should_stop)
        state = StageState(
            stage.name, keys[stage.name], round(time.monotonic() - began, 3), round(memory.megabytes(), 1), outputs
        )
        run.write_manifest(replace(manifest, stages={**kept, stage.name: state}))
    return run.manifest()
