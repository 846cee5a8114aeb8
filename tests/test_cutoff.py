"""How many rows of a table to flag: what is foreseen, how far log-odds are moved, and that a checkpoint keeps it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.metrics import f1_score

from demix_core.classifiers.calibrate import (
    calibrated,
    cross_fitted,
    folds_of,
    learn_cell_cutoff,
    probabilities,
    raw_logits,
)
from demix_core.classifiers.corpus import load_example
from demix_core.classifiers.cutoff import GRID, cutoff_shift, f1_curve, learn_cutoff, meta_features
from demix_core.classifiers.forest import Forest
from demix_core.classifiers.gathered import Corpus, gather, make_shape
from demix_core.classifiers.network import CUTOFF_TYPE as K
from demix_core.classifiers.network import Dec, load_checkpoint, save_checkpoint
from demix_core.classifiers.thresholds import expected_f1_threshold, shifted
from tests.test_classifiers import planted_corpus
from tests.test_own_share import told as told_of


def table(share: float, seed: int, n: int = 2_000) -> tuple[np.ndarray, np.ndarray]:
    """(p [n, 3], wrong [n]): a table whose probabilities are right where a tenth of the rows is wrong."""
    p, wrong = told_of(share, 2.8, n, seed)
    p = np.stack([np.full(n, 0.1)] * K + [p] + [np.full(n, 0.1)] * (2 - K), 1)
    return p, wrong


@pytest.fixture(scope="module")
def forest() -> Forest:
    """What 120 tables teach, with errors in .5 to 30 % of the rows."""
    shares = np.exp(np.random.default_rng(0).uniform(np.log(0.005), np.log(0.3), 120))
    tables = [table(share, seed) for seed, share in enumerate(shares)]
    return learn_cutoff([meta_features(p, K) for p, _ in tables], [f1_curve(p[:, K], wrong) for p, wrong in tables])


def test_f1_at_every_threshold_is_scikit_learns() -> None:
    p, wrong = table(0.1, 1, 400)
    expected = [f1_score(wrong, p[:, K] >= expit(t), zero_division=0) for t in GRID]
    np.testing.assert_allclose(f1_curve(p[:, K], wrong), expected)


@pytest.mark.parametrize("share", [0.005, 0.02, 0.3])
def test_few_errors_are_over_called_no_more_and_many_are_found_as_before(forest: Forest, share: float) -> None:
    gain, off = [], []
    for seed in range(1_000, 1_010):
        p, wrong = table(share, seed)
        moved = shifted(p, np.eye(3)[K] * cutoff_shift(forest, p, K))
        np.testing.assert_allclose(np.delete(moved, K, 1), np.delete(p, K, 1))
        before, after = (f1_score(wrong, q >= expected_f1_threshold(q)) for q in (p[:, K], moved[:, K]))
        gain.append(after - before)
        off.append(abs(moved[:, K].mean() - wrong.mean()) - abs(p[:, K].mean() - wrong.mean()))
    assert np.mean(gain) > (0.05 if share < 0.01 else -0.02)
    assert np.mean(off) < (0 if share < 0.01 else 0.03)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 400), st.floats(0.2, 4))
def test_the_flags_are_those_above_the_threshold_foreseen(seed: int, n: int, spread: float) -> None:
    """Whatever the probabilities: a forest that foresees 1 at one threshold and 0 at all others."""
    rng = np.random.default_rng(seed)
    p = expit(rng.normal(0, spread, (n, 3)))
    best = GRID[rng.integers(len(GRID))]
    shift = cutoff_shift(only(best, len(meta_features(p, K))), p, K)
    moved = shifted(p, np.eye(3)[K] * shift)[:, K]
    wanted = max(1, int((p[:, K] >= expit(best)).sum()))
    assert int((moved >= expected_f1_threshold(moved)).sum()) == pytest.approx(wanted, abs=max(1, 0.02 * n))


def only(best: float, numbers: int) -> Forest:
    """Two trees of one question each: above `best` less a bit 1, above `best` and a bit −1."""
    forest = Forest(1, 2, 1)
    forest.column[:] = numbers
    forest.limit[0, :, 0] = torch.tensor([best - 0.1, best + 0.1])
    forest.leaf[0] = torch.tensor([[0.0, 1.0], [0.0, -1.0]])
    return forest


def test_no_rows_are_not_moved(forest: Forest) -> None:
    assert cutoff_shift(forest, np.zeros((0, 3)), K) == 0.0


@pytest.fixture
def planted(tmp_path: Path) -> tuple[Dec, Corpus, list[Path]]:
    """Three tables, and a classifier that nobody trained but is sure of itself."""
    tables = planted_corpus(tmp_path, 150)
    torch.manual_seed(0)
    dec = Dec(make_shape(load_example(tables[0]), ())).eval()
    corpus = gather(tables, dec.shape)
    spread = raw_logits(dec, corpus).std(0)
    dec.calibration[:] = torch.from_numpy(np.stack([1 / spread, np.full(3, -1.5)], 1))
    return dec, corpus, tables


def test_a_checkpoint_keeps_what_was_learnt_and_does_without(planted, tmp_path: Path) -> None:
    dec, corpus, _ = planted
    plain = probabilities(dec, corpus)
    learn_cell_cutoff(dec, corpus, [calibrated(dec, corpus, view)[0] for view in (0, 1)])
    adjusted = probabilities(dec, corpus)
    others = [k for k in range(3) if k != K]
    np.testing.assert_allclose(adjusted[:, others], plain[:, others])
    assert not np.allclose(adjusted[:, K], plain[:, K])
    save_checkpoint(dec, tmp_path / "c.safetensors")
    np.testing.assert_array_equal(probabilities(load_checkpoint(tmp_path / "c.safetensors"), corpus), adjusted)
    dec.drop_cutoff()
    np.testing.assert_array_equal(probabilities(dec, corpus), plain)


def test_what_is_believed_of_unseen_tables_was_learnt_from_others(planted) -> None:
    dec, corpus, tables = planted
    plain, told = zip(*(calibrated(dec, corpus, view) for view in (0, 1)), strict=True)
    folds = np.arange(len(tables)) % 2
    p = cross_fitted(dec, corpus, plain, told[0], folds)
    for fold in (0, 1):
        learn_cell_cutoff(dec, corpus, plain, np.flatnonzero(folds != fold))
        here = folds[corpus.table] == fold
        np.testing.assert_array_equal(p[here], probabilities(dec, corpus)[here])


def test_tasks_of_one_table_stay_in_one_fold(monkeypatch) -> None:
    monkeypatch.setattr("demix_core.classifiers.calibrate.origin_of", lambda path: f"{path.parent.name}, {path.name}")
    folds = folds_of([Path(f"{table}/{task}") for task in range(3) for table in "abcd"])
    assert (folds.reshape(3, 4) == folds[:4]).all() and folds.sum() == 6


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("p", [0.0, 1e-12, 0.5, 1.0])
def test_a_table_whose_rows_all_look_the_same_gives_numbers(forest: Forest, p: float) -> None:
    assert np.isfinite(cutoff_shift(forest, np.full((50, 3), p), K))
    assert np.isfinite(meta_features(np.full((50, 3), p, np.float32), K)).all()
