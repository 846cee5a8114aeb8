"""Metrics against scikit-learn, the bootstrap against its own promise, estimates against real training."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, log_loss, mean_absolute_error, r2_score, roc_auc_score
from torch import nn

from demix_core.check import evaluate
from demix_core.errors import InputError
from demix_core.evaluation.arms import Arm, Trainer
from demix_core.evaluation.compare import bootstrap, difference
from demix_core.evaluation.metrics import METRICS, Measured
from demix_core.evaluation.ruler import suspects
from demix_core.evaluation.slices import group_edges, groups_of, slice_changes
from demix_core.influence.head import head_of
from demix_core.models.training import fit, row_losses
from demix_core.pipeline import diagnose
from demix_core.settings import FitSettings
from demix_core.store import Run
from demix_core.types import Column, ColumnKind, Encoded, Schema, Task
from tests import tiny

CLASSIFICATION = {m.name: m for m in METRICS[Task.CLASSIFICATION]}
REGRESSION = {m.name: m for m in METRICS[Task.REGRESSION]}


def measured(n: int, classes: int, seed: int, ties: bool = False) -> Measured:
    r = np.random.default_rng(seed)
    p = r.dirichlet(np.ones(classes), n)
    if ties:
        p = np.round(p * 4) / 4 + 1e-9
        p /= p.sum(1, keepdims=True)
    y = r.permutation(np.arange(n) % classes)
    return Measured(p, y, np.full(n, -1))


@settings(deadline=None)
@given(st.integers(2, 4), st.integers(0, 50), st.booleans())
def test_classification_metrics_are_scikit_learns_with_sample_weights(classes: int, seed: int, ties: bool) -> None:
    m = measured(60, classes, seed, ties)
    w = np.random.default_rng(seed).integers(0, 4, (3, 60)).astype(float)
    w[:, :classes] = 1  # every class stays
    said = m.p.argmax(1)
    for i, weights in enumerate(w):
        keep = weights > 0
        got = {name: metric.measure(m, w)[i] for name, metric in CLASSIFICATION.items() if "worst" not in name}
        assert got["accuracy"] == pytest.approx(accuracy_score(m.y, said, sample_weight=weights))
        labels = np.unique(m.y)
        assert got["f1"] == pytest.approx(
            f1_score(m.y, said, sample_weight=weights, average="macro", labels=labels, zero_division=0), abs=1e-5
        )
        clipped = np.maximum(m.p, 1e-6)
        by_hand = np.average(-np.log(clipped[np.arange(60), m.y]), weights=weights)
        assert got["log_loss"] == pytest.approx(by_hand)
        areas = [roc_auc_score((m.y == c)[keep], m.p[keep, c], sample_weight=weights[keep]) for c in labels]
        assert got["auc"] == pytest.approx(np.mean(areas) if classes > 2 else areas[1], abs=1e-6)
    plain = CLASSIFICATION["log_loss"].measure(m, np.ones((1, 60)))[0]
    if not ties:
        assert plain == pytest.approx(log_loss(m.y, m.p), rel=1e-3)


def test_regression_metrics_are_scikit_learns() -> None:
    r = np.random.default_rng(0)
    y, p = r.normal(5, 3, 80), r.normal(5, 3, (80, 1))
    m, one = Measured(p, y, np.full(80, -1)), np.ones((1, 80))
    assert REGRESSION["rmse"].measure(m, one)[0] == pytest.approx(np.sqrt(np.square(p[:, 0] - y).mean()))
    assert REGRESSION["mae"].measure(m, one)[0] == pytest.approx(mean_absolute_error(y, p[:, 0]))
    assert REGRESSION["r2"].measure(m, one)[0] == pytest.approx(r2_score(y, p[:, 0]))


def test_worst_group_is_the_worst_of_those_with_enough_rows() -> None:
    y, p = np.array([0] * 50 + [1] * 50), np.zeros((100, 2))
    p[:, 0] = 1.0
    groups = np.array([0] * 50 + [1] * 25 + [2] * 20 + [3] * 5)
    p[70:75] = p[75:95] = [0, 1]
    worst = CLASSIFICATION["worst_group_accuracy"]
    assert worst.measure(Measured(p, y, groups), np.ones((1, 100)))[0] == pytest.approx(5 / 25)
    assert np.isnan(worst.measure(Measured(p, y, np.zeros(100, int)), np.ones((1, 100)))[0])


@pytest.mark.parametrize("gap", [0.0, 0.25])
def test_the_interval_holds_the_true_difference_in_about_95_of_100_samples(gap: float) -> None:
    r = np.random.default_rng(1)
    held, found = 0, 0
    for trial in range(120):
        sides = []
        for right in (0.6, 0.6 + gap):
            seeds = []
            for _ in range(5):
                hit = r.random(150) < right
                p = np.where(hit[:, None], [[0.9, 0.1]], [[0.1, 0.9]])
                seeds.append(Measured(p, np.zeros(150, int), np.full(150, -1)))
            sides.append(seeds)
        d = difference(CLASSIFICATION["accuracy"], *sides, seed=trial, draws=200)
        assert d is not None and d.delta == pytest.approx(d.after - d.before)
        held += d.low <= gap <= d.high
        found += d.better is not None
    assert held >= 0.9 * 120
    assert found <= 12 if gap == 0 else found == 120


def test_the_same_rows_and_seeds_are_drawn_on_both_sides() -> None:
    m = [measured(50, 2, s) for s in range(3)]
    assert np.all(bootstrap(CLASSIFICATION["auc"], m, m, 0, 50) == 0)


def test_weights_in_training_count_like_repeated_rows() -> None:
    r = np.random.default_rng(0)
    x = r.normal(size=(300, 3)).astype(np.float32)
    y = (x[:, 0] + r.normal(size=300) > 0).astype(np.int64)
    wrong = np.arange(300) < 120
    y[wrong] = 1 - y[wrong]
    good, held = Encoded(x[~wrong], y[~wrong]), Encoded(x[200:], y[200:])
    settings = FitSettings(model="linear", epochs=30, learning_rate=0.05, batch_size=1000)
    unseen = fit(Encoded(x, y), held, Task.CLASSIFICATION, 2, settings, 0, weights=np.where(wrong, 0.0, 1.0))
    left_out = fit(good, held, Task.CLASSIFICATION, 2, settings, 0)
    every = fit(Encoded(x, y), held, Task.CLASSIFICATION, 2, settings, 0)
    losses = [row_losses(f.network, held, Task.CLASSIFICATION).mean() for f in (unseen, left_out, every)]
    assert abs(losses[0] - losses[1]) < 0.05 < losses[2] - losses[1]


def logistic(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> nn.Linear:
    """The optimum of the mean loss, as a two-class torch layer."""
    fitted = LogisticRegression(C=1e6, tol=1e-10, max_iter=2000).fit(x, y, weights)
    layer = nn.Linear(x.shape[1], 2)
    with torch.no_grad():
        layer.weight[:] = torch.from_numpy(np.stack([-fitted.coef_[0], fitted.coef_[0]]) / 2)
        layer.bias[:] = torch.tensor([-fitted.intercept_[0], fitted.intercept_[0]]) / 2
    return layer


def test_the_gain_of_a_change_is_that_of_training_again() -> None:
    r = np.random.default_rng(2)
    x = r.normal(size=(400, 4)).astype(np.float32)
    y = (x[:, 0] - x[:, 1] + r.normal(size=400) > 0).astype(np.int64)
    y[:40] = 1 - y[:40]
    held = Encoded(r.normal(size=(300, 4)).astype(np.float32), np.zeros(300, np.int64))
    held.y[:] = (held.x[:, 0] - held.x[:, 1] + r.normal(size=300) > 0).astype(np.int64)
    plain = logistic(x, y, np.ones(400))
    head = head_of(plain, Encoded(x, y), held, Task.CLASSIFICATION)
    assert head is not None
    base = row_losses(plain, held, Task.CLASSIFICATION).astype(float).mean()
    told, true = [], []
    for i in range(60):
        moved, flipped, weights = x.copy(), y.copy(), np.ones(400)
        if i % 3 == 0:
            flipped[i] = 1 - y[i]
        elif i % 3 == 1:
            moved[i] = r.normal(size=4)
        else:
            weights[i] = 0.0
        one = Encoded(x[[i]], y[[i]])
        told.append(head.gain(one, Encoded(moved[[i]], flipped[[i]]), weights[[i]])[0])
        again = logistic(moved, flipped, weights)
        true.append(base - row_losses(again, held, Task.CLASSIFICATION).astype(float).mean())
    assert np.corrcoef(told, true)[0, 1] > 0.95
    assert 0.7 < np.polyfit(true, told, 1)[0] < 1.3


def test_regression_gains_and_blocks_of_outputs() -> None:
    r = np.random.default_rng(3)
    x = r.normal(size=(200, 3)).astype(np.float32)
    y = (x @ [1.0, 2.0, -1.0] + 0.1 * r.normal(size=200)).astype(np.float32)
    y[0] += 20
    layer = nn.Linear(3, 1)
    a = np.c_[x, np.ones(200)]
    best = np.linalg.lstsq(a, y, rcond=None)[0]
    with torch.no_grad():
        layer.weight[:], layer.bias[:] = torch.from_numpy(best[None, :3]), float(best[3])
    held = Encoded(x[100:], (x[100:] @ [1.0, 2.0, -1.0]).astype(np.float32))
    head = head_of(layer, Encoded(x, y), held, Task.REGRESSION)
    assert head is not None
    good = head.gain(Encoded(x[:1], y[:1]), Encoded(x[:1], y[:1] - 20), np.ones(1))[0]
    bad = head.gain(Encoded(x[1:2], y[1:2]), Encoded(x[1:2], y[1:2] + 20), np.ones(1))[0]
    assert good > 0 > bad
    wide = nn.Linear(40, 60)
    many = Encoded(r.normal(size=(90, 40)).astype(np.float32), np.arange(90) % 60)
    assert head_of(wide, many, many, Task.CLASSIFICATION) is not None


def test_no_head_where_the_output_is_not_the_last_linear_layers() -> None:
    network = nn.Sequential(nn.Linear(3, 2), nn.Tanh())
    data = Encoded(np.ones((4, 3), np.float32), np.zeros(4, np.int64))
    assert head_of(network, data, data, Task.CLASSIFICATION) is None
    assert head_of(nn.Sequential(nn.Tanh()), data, data, Task.CLASSIFICATION) is None


def schema() -> Schema:
    columns = (
        Column("n", ColumnKind.NUMERIC),
        Column("c", ColumnKind.CATEGORICAL),
        Column("y", ColumnKind.CATEGORICAL),
    )
    return Schema(columns, "y", Task.CLASSIFICATION, ("a", "b"))


def test_slices_name_where_the_model_changed() -> None:
    r = np.random.default_rng(4)
    frame = pd.DataFrame(
        {"n": r.normal(size=400).astype(str), "c": r.choice(["u", "v"], 400), "y": r.choice(["a", "b"], 400)}
    )
    before = r.random((3, 400))
    after = before + 0.05 * r.normal(size=(3, 400)) + np.where(frame["c"] == "u", 0.3, 0.0)
    found = slice_changes(frame, schema(), before, after)
    assert found[0].words == "c = u" and found[0].q < 1e-6
    assert found[0].rows == (frame["c"] == "u").sum()
    none = slice_changes(frame, schema(), before, before + 0.05 * r.normal(size=(3, 400)))
    assert all(s.q > 0.01 for s in none)
    moody = before + np.array([[-0.3], [0.1], [0.3]])
    assert all(s.q > 0.05 for s in slice_changes(frame, schema(), before, moody)), "trainings differ, not tables"


def test_groups_are_a_columns_values_times_the_class() -> None:
    frame = pd.DataFrame({"n": ["1", "2", "3", ""], "c": ["u", "v", "u", "v"], "y": ["a", "b", "a", "b"]})
    assert len(np.unique(groups_of(frame, schema(), "c", None))) == 2
    edges = group_edges(frame, schema(), "n")
    groups = groups_of(frame, schema(), "n", edges)
    assert groups[3] == -1 and len(np.unique(groups[:3])) == 3


def test_the_ruler_names_planted_wrong_labels_first() -> None:
    r = np.random.default_rng(5)
    y = r.integers(0, 3, 300)
    p = np.full((300, 3), 0.1)
    p[np.arange(300), y] = 0.8
    given_y = y.copy()
    given_y[:20] = (y[:20] + 1) % 3
    found = suspects(p, given_y, 3)
    assert {s.place for s in found} == set(range(20)) and all(s.likely == y[s.place] for s in found)
    numbers = r.normal(size=300)
    off = numbers.copy()
    off[:5] += 30
    assert {s.place for s in suspects(numbers[:, None] + 0.1 * r.normal(size=(300, 1)), off, 0)} == set(range(5))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("evaluate")
    dec = tiny.classifier(folder / "dec.safetensors")
    test = tiny.table(folder / "test.csv", 120, seed=9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("demix_core.work.project", tiny.flat_map)
        return diagnose(tiny.table(folder / "t.csv"), folder / "run", tiny.settings(dec), test=test)


def test_evaluation_compares_parts_types_and_batches(run: Run) -> None:
    patches = run.patches()
    by_type = {k: list(g["patch_id"]) for k, g in patches.groupby("error_type")}
    assert len(by_type) >= 2, "the fixture flags several types"
    log = run.decisions()
    events = {k: log.accept(ids) for k, ids in by_type.items()}
    log.close()
    found = evaluate(run, seeds=2)
    assert set(found["parts"]) == {"validation", "test"} and found["parts"]["test"]["rows"] == 120
    assert {m["metric"] for m in found["parts"]["test"]["metrics"]} >= {"auc", "accuracy", "f1", "log_loss"}
    for metric in found["parts"]["test"]["metrics"]:
        assert metric["delta"] == pytest.approx(metric["after"] - metric["before"])
        assert len(metric["seeds_before"]) == 2 and metric["low"] <= metric["high"]
    kinds = {(c["kind"], c["name"]): c["patches"] for c in found["contributions"]}
    assert {n for k, n in kinds if k == "type"} == set(by_type)
    for kind, ids in by_type.items():
        if len(ids) >= 5:
            assert kinds["batch", str(events[kind].seq)] == len(ids)
    assert run.check.json("evaluation.json") == found
    status = run.check.status()
    assert status is not None and status.state == "done"
    known = patches.set_index("patch_id")["gain"]
    assert found["estimate"]["gain"] == pytest.approx(known.sum()) and found["estimate"]["unknown"] == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("demix_core.evaluation.arms.fit", None)
        assert evaluate(run, seeds=2) == found, "the same decisions are measured once"
    shutil.rmtree(run.check / "results")
    again = evaluate(run, seeds=2)
    assert again["parts"] == found["parts"], "the same seeds give the same figures"


def test_evaluating_nothing_or_with_silly_options_says_so(run: Run) -> None:
    for seeds in (1, 21):
        with pytest.raises(InputError, match="seeds"):
            evaluate(run, seeds=seeds, accept="all")
    with pytest.raises(InputError, match="Nothing is accepted"):
        evaluate(run, accept="label", min_confidence=1.0)


def test_an_arm_without_changes_is_the_model_as_it_was(run: Run) -> None:
    r = np.random.default_rng(0)
    frame = pd.DataFrame({"n": r.normal(size=80).astype(str), "c": r.choice(["u", "v"], 80), "y": ["a", "b"] * 40})
    trainer = Trainer(schema(), replace(FitSettings(), model="linear", epochs=2), frame, {"validation": frame})
    one, two = (trainer.predictions(Arm("x", frame, w), (0,)) for w in (None, np.ones(80)))
    assert np.allclose(one["validation"][0], two["validation"][0], atol=1e-6)
    assert one["validation"][0].shape == (80, 2)


def test_the_command_line_prints_the_comparison(run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from demix_core.cli import main

    assert main(["evaluate", str(run.path), "--accept", "all", "--min-confidence", "0", "--seeds", "2"]) == 0
    out = capsys.readouterr().out
    assert "AUC" in out and "What each part adds" in out
    assert main(["evaluate", str(tmp_path / "none")]) == 2


def test_dirty_validation_labels_do_not_stop_a_model_of_clean_rows_early() -> None:
    r = np.random.default_rng(7)
    n = r.normal(size=1200)
    y = np.where(n > 0, "a", "b")
    frame = pd.DataFrame({"n": n.astype(str), "c": r.choice(["u", "v"], 1200), "y": y})
    dirty = frame.copy()
    wrong = r.random(1200) < 0.3
    dirty.loc[wrong, "y"] = np.where(y[wrong] == "a", "b", "a")
    settings = FitSettings(model="mlp2", epochs=30, learning_rate=5e-3)
    test = frame.iloc[900:]
    trainer = Trainer(schema(), settings, dirty.iloc[600:900], {"test": test})
    right = {}
    for name, rows in (("clean", frame), ("dirty", dirty)):
        p = trainer.predictions(Arm(name, rows.iloc[:600]), (0, 1))["test"]
        right[name] = np.mean([(q.argmax(1) == np.where(test["y"] == "a", 0, 1)).mean() for q in p])
    assert right["clean"] >= right["dirty"] and right["clean"] > 0.97
