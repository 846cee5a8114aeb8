"""Processes with one core each."""

from __future__ import annotations

import os

import torch

from demix_core.workers import in_order, one_core_each


def _seen(job: int) -> list[tuple[int, str, int]]:
    return [(job, os.environ["OMP_NUM_THREADS"], torch.get_num_threads())] * job


def test_everything_found_comes_in_the_order_of_the_jobs_and_each_process_has_one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    assert list(in_order(_seen, [2, 0, 1])) == [(2, "1", 1), (2, "1", 1), (1, "1", 1)]
    assert os.environ["OMP_NUM_THREADS"] == "7" and "MKL_NUM_THREADS" not in os.environ


def test_the_environment_comes_back_after_a_failure(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    try:
        with one_core_each(1):
            raise RuntimeError
    except RuntimeError:
        pass
    assert os.environ["OMP_NUM_THREADS"] == "7"
