"""How many errors a table has, by its own word: the likeliest share, how far it is believed, and who learns that."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.metrics import f1_score

from demix_core.classifiers import calibrate, public_tables
from demix_core.classifiers import train as training
from demix_core.classifiers.calibrate import learn_own_share, probabilities
from demix_core.classifiers.corpus import load_example
from demix_core.classifiers.gathered import gather, make_shape
from demix_core.classifiers.network import Dec, load_checkpoint, save_checkpoint
from demix_core.classifiers.thresholds import USUAL_SHARE as USUAL
from demix_core.classifiers.thresholds import expected_f1_threshold, log_odds, own_share, own_shift, shifted
from demix_core.classifiers.train import TrainSettings
from demix_core.types import ErrorType
from tests.test_classifiers import planted_corpus


def told(share: float, apart: float, n: int = 20_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(p, truth) of a table with this share of errors, p calibrated for USUAL; apart: of both means, in sd."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < share
    score = rng.normal(0, 1, n) + apart * truth
    return expit(apart * score - apart**2 / 2 + log_odds(USUAL)), truth


@pytest.mark.parametrize("share", [0.01, 0.05, 0.1, 0.3])
def test_the_share_is_found_that_the_probabilities_hide(share: float) -> None:
    p, truth = told(share, 2.5)
    found = own_share(p, USUAL)
    assert found == pytest.approx(truth.mean(), rel=0.2)
    assert abs(found - truth.mean()) <= abs(p.mean() - truth.mean()) + 0.002


@pytest.mark.parametrize("share", [0.02, 0.2])
def test_it_is_the_likeliest_share(share: float) -> None:
    """Brute force: ln of Π (share·r + 1 − share), r the likelihood ratios."""
    p, _ = told(share, 1.5, n=2_000)
    ratio = np.exp(np.log(p / (1 - p)) - log_odds(USUAL))
    grid = np.linspace(0.001, 0.6, 2_000)
    likelihood = [np.log(s * ratio + 1 - s).sum() for s in grid]
    assert own_share(p, USUAL) == pytest.approx(grid[int(np.argmax(likelihood))], abs=0.002)


def test_it_stays_within_bounds() -> None:
    assert 0 < own_share(np.full(50, 1e-9), USUAL) < 0.001
    assert 0.9 < own_share(np.full(50, 1 - 1e-9), USUAL) < 1
    assert np.isfinite(own_shift(np.zeros(50), USUAL, 0.5)) and np.isfinite(own_shift(np.ones(50), USUAL, 0.5))
    assert own_shift(np.zeros(0), USUAL, 0.5) == 0 == own_shift(np.full(9, 0.3), USUAL, 0.0)


def test_few_errors_are_flagged_less_and_f1_gains() -> None:
    p, truth = told(0.01, 2.5)
    moved = shifted(p, own_shift(p, USUAL, 1.0))
    before, after = (f1_score(truth, q >= expected_f1_threshold(q)) for q in (p, moved))
    assert moved.mean() < p.mean() and after > before + 0.03


def test_each_type_is_moved_by_its_own() -> None:
    p = np.random.default_rng(0).random((40, 3))
    moved = shifted(p, np.array([1.0, 0.0, -1.0]))
    np.testing.assert_allclose(moved[:, 1], p[:, 1])
    assert (moved[:, 0] > p[:, 0]).all() and (moved[:, 2] < p[:, 2]).all()
    assert shifted(p, np.zeros(3)) is p


@pytest.fixture
def tables(tmp_path: Path) -> list[Path]:
    """Examples whose errors can be told, on disk."""
    return planted_corpus(tmp_path, 150)


def untrained(tables: list[Path]) -> Dec:
    torch.manual_seed(0)
    return Dec(make_shape(load_example(tables[0]), ())).eval()


def test_the_weight_of_the_best_f1_over_tables_is_learnt(tables: list[Path]) -> None:
    dec = untrained(tables)
    corpus = gather(tables, dec.shape)
    plain = probabilities(dec, corpus)
    learn_own_share(dec, corpus, plain)

    def reached(k: int, weight: float) -> float:
        found = []
        for t in range(len(tables)):
            p, y = plain[corpus.table == t, k], corpus.truth[corpus.table == t, k] > 0.5
            q = shifted(p, own_shift(p, USUAL, weight))
            found += [f1_score(y, q >= expected_f1_threshold(q))] if y.any() else []
        return float(np.mean(found))

    assert dec.share[:, 0].tolist() == pytest.approx([USUAL] * 3)
    for k, kind in enumerate(ErrorType):
        if kind not in calibrate.OWN_SHARE_TYPES:
            assert dec.share[k, 1] == 0
            continue
        best = max(calibrate.WEIGHTS, key=lambda w: reached(k, w))
        assert reached(k, float(dec.share[k, 1])) == pytest.approx(reached(k, best))


def test_calibrating_again_changes_nothing_else_and_is_on_the_card(tables, tmp_path: Path, monkeypatch) -> None:
    dec, asked = untrained(tables), []
    save_checkpoint(dec, tmp_path / "old.safetensors")
    (tmp_path / "old.json").write_text(json.dumps({"what": "old", "command": "x", "sha256": "0"}))

    def drawn(*given: object) -> list[Path]:
        asked.append(given[-1])
        return tables

    monkeypatch.setattr(training, "build_corpus", drawn)
    chosen = TrainSettings(tables=3, seed=3, calibrate=str(tmp_path / "old.safetensors"))
    card = training.train_dec(tmp_path, tmp_path / "new.safetensors", chosen)
    assert asked == [public_tables.HELD]
    old, new = (load_checkpoint(tmp_path / f"{name}.safetensors").state_dict() for name in ("old", "new"))
    assert {k for k in old if not torch.equal(old[k], new[k])} <= {"share", "trust"}
    assert all(k.startswith("cutoff.") for k in new.keys() - old.keys())
    assert card["what"] == "old" and card["sha256"] != "0"
    assert card["calibrated"]["command"].endswith(f"--seed 3 --calibrate {tmp_path / 'old.safetensors'}")
