"""A map drawn in a process of its own while repairs are suggested: with two cores neither waits for the other.

The process is started before the embedding is there and imports its libraries meanwhile. It reads the embedding from
the run folder, writes nothing there, and ends with whoever started it, for its standard input closes then.
"""

from __future__ import annotations

import io
import json
import os
import select
import subprocess
import sys
import threading
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import numpy as np

from demix_core.errors import Cancelled
from demix_core.projection import FIT_ROWS, project
from demix_core.types import ShouldStop, never_stop

FEWEST_ROWS = 5_000
"""Below, a map takes hardly longer than a process takes to start."""

LIBRARIES = {"umap": "umap", "tsne": "openTSNE"}
"""What takes seconds to import, by method."""

ASK_EVERY = 0.1
"""Seconds between two questions whether to stop."""


def pays(rows: int, method: str) -> bool:
    """Whether a second process saves time: two cores, a method that takes long, and rows that are all fitted to."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores > 1 and method in LIBRARIES and FEWEST_ROWS <= rows <= FIT_ROWS


class Ahead:
    """The process: `draw` tells it what to do, `places` waits for what it did, `end` ends it whatever it does."""

    def __init__(self, method: str) -> None:
        self._asked = False
        self._process = subprocess.Popen(
            [sys.executable, "-m", "demix_core.ahead", method],
            cwd=Path(__file__).resolve().parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def draw(self, embedding: Path, seed: int) -> None:
        """Begin; embedding: an .npy file, float32 [N, E]."""
        assert self._process.stdin is not None
        job = json.dumps({"embedding": str(embedding.resolve()), "seed": seed})
        try:
            self._process.stdin.write(f"{job}\n".encode())
            self._process.stdin.flush()
            self._asked = True
        except BrokenPipeError:
            self.end()

    def places(self, should_stop: ShouldStop = never_stop) -> np.ndarray | None:
        """float32 [N, 2] as `project` gives them; None where nothing was asked or the process failed. Cancelled."""
        if not self._asked:
            return None
        assert self._process.stdout is not None
        try:
            while not select.select([self._process.stdout], [], [], ASK_EVERY)[0]:
                if should_stop():
                    raise Cancelled("Drawing the map was cancelled.")
            said = self._process.stdout.read()
            done = self._process.wait() == 0
        finally:
            self.end()
        return np.load(io.BytesIO(said), allow_pickle=False) if done else None

    def end(self) -> None:
        """Kills the process if it still lives."""
        self._asked = False
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(BrokenPipeError):  # a request that nobody read
                if pipe is not None:
                    pipe.close()


def _serve(method: str) -> None:
    """What the process does: one line in, the places out as an .npy."""
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    import_module(LIBRARIES[method])
    with os.fdopen(0, "rb", buffering=0, closefd=False) as pipe:
        line = pipe.readline()
    if not line:
        return
    threading.Thread(target=_end_with_starter, daemon=True).start()
    job = json.loads(line)
    places = project(np.load(job["embedding"], allow_pickle=False), method, job["seed"])
    whole = io.BytesIO()  # numpy asks a file for its position, which a pipe has not
    np.save(whole, places, allow_pickle=False)
    with answer:
        answer.write(whole.getvalue())


def _end_with_starter() -> None:
    """The input's end means that nobody waits any more."""
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    _serve(sys.argv[1])
