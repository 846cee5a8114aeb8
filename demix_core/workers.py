"""Processes side by side, one core each: libraries that would take every core for themselves would slow each other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import chain
from multiprocessing import get_context
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

WORKERS = 2
_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

Job = TypeVar("Job")
Found = TypeVar("Found")


@contextmanager
def one_core_each(workers: int = WORKERS) -> Iterator[ProcessPoolExecutor]:
    """A pool of fresh processes, in which every library has one thread."""
    before = {variable: os.environ.get(variable) for variable in _VARIABLES}
    os.environ.update(dict.fromkeys(_VARIABLES, "1"))  # read when a library is loaded: the processes inherit them
    try:
        with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
            yield pool
    finally:
        for variable, value in before.items():
            if value is None:
                del os.environ[variable]
            else:
                os.environ[variable] = value


def in_order(work: Callable[[Job], Sequence[Found]], jobs: Iterable[Job], workers: int = WORKERS) -> Iterator[Found]:
    """All that `work` finds in each job, in the order of the jobs."""
    with one_core_each(workers) as pool:
        yield from chain.from_iterable(pool.map(work, jobs))


@contextmanager
def one_thread() -> Iterator[None]:
    """OpenMP's threads are one: for boosted trees, whose parallel parts are thousands and tiny.

    Two threads that sleep in between take 1.6 times (24,000 rows) to 4 times (8,000) as long as one; two that spin a
    fifth less than one on an idle machine and ten times as long beside another program.
    """
    with threadpool_limits(1, user_api="openmp"):
        yield
