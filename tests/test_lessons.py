"""What verdicts teach: one line of the largest posterior, little from few, the rest of the table better sorted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import settings as run_with
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from typer.testing import CliRunner

from demix_core import lessons
from demix_core.benchmark._tables import load
from demix_core.benchmark.lessons import AT_RANDOM, MISTAKEN, ORDERS, report, reviewed
from demix_core.classifiers.cell_features import OWN
from demix_core.classifiers.described import SIGNALS, Scale, describe
from demix_core.classifiers.detect import detect
from demix_core.classifiers.lessons import (
    CLIP,
    LEVELS,
    SPREAD_OF_ALL,
    SPREADS,
    SUREST,
    Line,
    corrected,
    foretold,
    learn,
    learn_line,
)
from demix_core.classifiers.planted import make_case
from demix_core.classifiers.thresholds import logits
from demix_core.cli import app
from demix_core.errors import InputError, RunError
from demix_core.pipeline import diagnose
from demix_core.planting import split_and_plant
from demix_core.settings import Settings
from demix_core.store import Run
from demix_core.types import DecisionKind, ErrorType
from tests import tiny
from tests.dashboard import fake_run

NUMBERS, SPREAD = 12, SPREADS[ErrorType.SPURIOUS]


def drawn(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(x int8 [n, D], p [n] that knows little, truth bool [n] that a line in the third number tells)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, NUMBERS)).clip(-CLIP, CLIP)
    truth = rng.random(n) < expit(3 * x[:, 2] - 1)
    return (x * LEVELS).round().astype(np.int8), expit(rng.normal(np.where(truth, 0.2, -0.2), 1)), truth


def judged(truth: np.ndarray, count: int) -> np.ndarray:
    verdicts = np.full(len(truth), np.nan)
    verdicts[:count] = truth[:count]
    return verdicts


def taught(x: np.ndarray, p: np.ndarray, verdicts: np.ndarray) -> np.ndarray:
    return corrected(learn(x, p, verdicts, SPREAD), x, p)


# ---- the line ----------------------------------------------------------------------------------------------------


def test_no_other_line_has_a_larger_posterior() -> None:
    """By autograd: the gradient of the negative log-posterior, written down anew, vanishes there."""
    x, p, truth = drawn(80)
    line = learn_line(x, p, truth, SPREAD)
    start, slope = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (line.start, line.slope))
    odds = torch.tensor(logits(p).clip(-SUREST, SUREST)) + start + torch.tensor(x / LEVELS) @ slope
    loss = torch.nn.functional.binary_cross_entropy_with_logits(
        odds, torch.tensor(truth, dtype=torch.float64), reduction="sum"
    )
    loss = loss + start**2 / (2 * SPREAD_OF_ALL**2) + (slope**2).sum() * NUMBERS / (2 * SPREAD**2)
    loss.backward()
    assert abs(float(start.grad)) < 1e-3 and float(slope.grad.abs().max()) < 1e-3  # type: ignore[arg-type, union-attr]


def test_without_an_offset_it_is_ridge_logistic_regression() -> None:
    x, _, truth = drawn(300, 1)
    line = learn_line(x, np.full(300, 0.5), truth, SPREAD)
    alike = np.full(300, SPREAD_OF_ALL * np.sqrt(NUMBERS) / SPREAD)  # so that the prior is the same for all
    at = np.column_stack([alike, x / LEVELS])
    model = LogisticRegression(C=SPREAD**2 / NUMBERS, fit_intercept=False, tol=1e-8, max_iter=2000).fit(at, truth)
    np.testing.assert_allclose(line.slope, model.coef_[0, 1:], atol=2e-3)
    assert line.start == pytest.approx(model.coef_[0, 0] * at[0, 0], abs=2e-3)


def test_before_any_verdict_a_row_may_move_by_spread() -> None:
    rng = np.random.default_rng(2)
    x = np.where(rng.random((400, NUMBERS)) < 0.5, LEVELS, -LEVELS).astype(np.int8)  # one deviation in every number
    moves = [Line(0.0, rng.normal(0, SPREAD / np.sqrt(NUMBERS), NUMBERS)).of(x[:1])[0] for _ in range(4000)]
    assert np.std(moves) == pytest.approx(SPREAD, rel=0.05) and abs(np.mean(moves)) < 0.2


# ---- rows --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [30, 100])
def test_the_rest_is_sorted_better_and_more_verdicts_teach_more(count: int) -> None:
    x, p, truth = drawn(2_000, 3)
    after = taught(x, p, judged(truth, count))
    gained = average_precision_score(truth[count:], after[count:]) - average_precision_score(truth[count:], p[count:])
    assert gained > {30: 0.1, 100: 0.25}[count]


def test_nobody_asked_nothing_changes() -> None:
    x, p, _ = drawn(50)
    np.testing.assert_array_equal(taught(x, p, np.full(50, np.nan)), p)


@run_with(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_a_verdict_moves_rows_like_it_its_way(seed: int, count: int) -> None:
    """Of the same numbers and a verdict changed from no to yes: no row like it becomes less likely."""
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(count + 1, NUMBERS)) * LEVELS).round().clip(-125, 125).astype(np.int8)
    x[-1] = x[0]
    p, verdicts = rng.uniform(0.05, 0.95, count + 1), np.append(rng.integers(0, 2, count).astype(float), np.nan)
    verdicts[0] = 0
    no = taught(x, p, verdicts)
    verdicts[0] = 1
    yes = taught(x, p, verdicts)
    assert yes[-1] > no[-1] and ((yes >= 0) & (yes <= 1)).all()


def test_a_verdict_against_a_certainty_is_heard() -> None:
    x = np.zeros((3, NUMBERS), np.int8)
    after = taught(x, np.array([1.0, 0.999, 0.5]), np.array([0.0, np.nan, np.nan]))
    assert after[1] < 0.999 and after[2] < 0.5


def test_verdicts_are_foretold_by_the_others_alone() -> None:
    x, p, truth = drawn(200, 4)
    found = foretold(x, p, judged(truth, 200), SPREAD)
    assert found is not None
    assert found[0] == pytest.approx(roc_auc_score(truth, p)) and found[1] > found[0] + 0.2
    chance = np.random.default_rng(5).permutation(truth)  # nothing to learn: nothing is foretold
    told = foretold(x, np.full(200, 0.5), judged(chance, 200), SPREAD)
    assert told is not None and told[0] == 0.5 and abs(told[1] - 0.5) < 0.15
    assert foretold(x, p, judged(truth, 200) * np.nan, SPREAD) is None
    few = np.full(200, np.nan)
    few[np.flatnonzero(truth)[:20]], few[np.flatnonzero(~truth)[:4]] = 1, 0
    assert foretold(x, p, few, SPREAD) is None, "four of a kind are too few"


def test_rows_are_described_in_a_byte_by_how_unusual_they_are() -> None:
    rng = np.random.default_rng(6)
    features, own = rng.normal(size=(500, 3)), rng.normal(size=(500, 2, OWN))
    features[:, 1] = 7.0
    features[0, 0] = 1e6
    wrong = expit(rng.normal(size=(500, 2)))
    parts = [part.astype(np.float32) for part in (features, own, wrong)]
    x = describe(Scale.of(*parts), *parts)
    assert x.dtype == np.int8 and x.shape == (500, 3 + 2 * (1 + len(SIGNALS)))
    assert x[0, 0] == CLIP * LEVELS and not x[:, 1].any()
    low, high = np.quantile(x[:, 2] / LEVELS, [0.25, 0.75])
    assert high - low == pytest.approx(1, abs=0.05)
    parts[0] = (features * 3 - 8).astype(np.float32)
    again = describe(Scale.of(*parts), *parts)
    assert np.abs(again[:, :3].astype(int) - x[:, :3]).max() <= 1, "units do not matter"


# ---- a run -------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Described by whether the row's number is even: even ones shall be right."""
    return Run(fake_run.make(tmp_path / "run", n=900))


def review(run: Run, count: int) -> None:
    log = run.decisions()
    for p in run.patches().head(count).itertuples():
        (log.accept if p.row_id % 2 == 0 else log.reject)([int(p.patch_id)], "Ada")
    log.close()


def test_a_run_s_decisions_teach_its_open_suggestions(run: Run) -> None:
    review(run, 60)
    found = lessons.read_lessons(run)
    assert sum(one.right + one.wrong for one in found.values()) == 60
    left = lessons.open_suggestions(run, found)
    assert len(left) == len(run.patches()) - 60 and (np.diff(left["after"]) <= 0).all()
    even = left["row_id"] % 2 == 0
    for kind in ErrorType:
        mine = left["error_type"] == kind.value
        assert left.loc[mine & even, "after"].min() > left.loc[mine & ~even, "after"].max()
    place = {int(row): i for i, row in enumerate(run.diagnosis()["row_id"])}
    for one in left.head(20).itertuples():
        lesson, at = found[ErrorType(one.error_type)], place[one.row_id]
        moved = logits(lesson.after)[at] - logits(lesson.before)[at]
        assert one.after == pytest.approx(expit(logits(np.array(one.confidence)) + moved))


def test_rows_that_were_not_flagged_are_named_once_they_look_wrong(run: Run) -> None:
    assert lessons.newly_likely(run.diagnosis(), lessons.read_lessons(run), run.patches()).empty
    review(run, 100)
    newly = lessons.newly_likely(run.diagnosis(), lessons.read_lessons(run), run.patches())
    flagged = run.diagnosis().set_index("row_id")
    assert len(newly) and (newly["row_id"] % 2 == 0).all() and (newly["after"] >= lessons.LIKELY).all()
    assert not any(flagged.at[row, kind] for row, kind in zip(newly["row_id"], newly["error_type"], strict=True))


def test_bulk_decisions_teach_nothing(run: Run) -> None:
    log = run.decisions()
    log.accept(run.patches()["patch_id"].head(50).tolist(), "Ada", query="all")
    log.close()
    assert not any(one.right + one.wrong for one in lessons.read_lessons(run).values())
    with pytest.raises(InputError, match="one by one"):
        lessons.decide(run, lessons.open_suggestions(run, lessons.read_lessons(run)), 0.9, None, "Ada")


def test_what_is_sure_by_then_is_decided_as_one_and_can_be_taken_back(run: Run) -> None:
    review(run, 80)
    left = lessons.open_suggestions(run, lessons.read_lessons(run))
    made = lessons.decide(run, left, 0.8, 0.2, "Ada")
    assert [e.kind for e in made] == [DecisionKind.ACCEPT, DecisionKind.REJECT]
    assert set(made[0].patch_ids) == set(left.loc[left["after"] >= 0.8, "patch_id"])
    assert set(made[1].patch_ids) == set(left.loc[left["after"] <= 0.2, "patch_id"])
    assert "as verdicts teach" in made[0].query and made[0].reviewer == "Ada"
    log = run.decisions()
    for event in made:
        log.revert(event.seq, "Ada")
    assert len(log.replay()) == 80
    log.close()
    with pytest.raises(InputError, match="can't be both"):
        lessons.decide(run, left, 0.5, 0.5, "Ada")


def test_what_somebody_decided_meanwhile_is_left_alone(run: Run) -> None:
    review(run, 60)
    left = lessons.open_suggestions(run, lessons.read_lessons(run))
    log, first = run.decisions(), int(left["patch_id"].iloc[0])
    log.reject([first], "Bob")
    made = lessons.decide(run, left, 0.5, None, "Ada")
    assert first not in made[0].patch_ids and log.replay()[first].kind is DecisionKind.REJECT
    log.close()


def test_a_run_of_an_earlier_version_is_told_so(run: Run) -> None:
    (run / lessons.DESCRIBED).unlink()
    with pytest.raises(RunError, match="earlier version"):
        lessons.read_lessons(run)


def test_the_command_says_what_was_learnt_and_decides_only_if_asked(run: Run) -> None:
    nothing = CliRunner().invoke(app, ["lessons", str(run.path)])
    assert nothing.exit_code == 0 and "Review some thirty rows" in nothing.output
    review(run, 60)
    told = json.loads(CliRunner().invoke(app, ["lessons", str(run.path), "--json"]).output)
    assert {t["error_type"] for t in told["types"]} == {t.value for t in ErrorType} and not told["decided"]
    assert len(told["open"]) == len(run.patches()) - 60 and set(told["open"][0]) >= {"patch_id", "confidence", "after"}
    done = CliRunner().invoke(app, ["lessons", str(run.path), "--accept-from", "0.8", "--reviewer", "Bob"])
    assert done.exit_code == 0 and "Accepted" in done.output
    log = run.decisions()
    assert log.events()[-1].reviewer == "Bob" and log.events()[-1].kind is DecisionKind.ACCEPT
    log.close()


def test_a_diagnosis_keeps_what_teaches(tmp_path: Path) -> None:
    plain = tiny.settings(tiny.classifier(tmp_path / "dec.safetensors"))
    made = diagnose(tiny.table(tmp_path / "t.csv"), tmp_path / "run", plain)
    x = lessons.read_described(made)
    assert x.dtype == np.int8 and len(x) == len(made.diagnosis()) and x.any(0).sum() > 5


# ---- the benchmark's own arithmetic ------------------------------------------------------------------------------


def test_the_benchmark_counts_what_was_not_judged() -> None:
    frame, schema = load("bank")
    frame = frame.sample(2500, random_state=0).reset_index(drop=True)
    parts = split_and_plant(frame, schema, "paper", 0.7, 1)
    case = make_case(parts.train.frame, parts.validation.frame, schema, Settings(seed=1))
    found = detect(case, Settings(seed=1))
    truth = parts.train.truth[[k.value for k in ErrorType]].to_numpy(bool)
    flagged = int((found.probabilities >= np.array(list(found.thresholds.values()))).sum())
    certain, mistaken = (reviewed(found, truth, order, 200, 1) for order in (AT_RANDOM, MISTAKEN))
    differ = sum(abs(a["right"] - b["right"]) for a, b in zip(certain, mistaken, strict=True))
    assert 0 < differ < 40, "some twenty verdicts, both ways"
    for order in ORDERS:
        lines = reviewed(found, truth, order, 30, 1)
        assert sum(line["right"] + line["wrong"] for line in lines) == 30
        assert sum(line["open"] for line in lines) == flagged - 30
        assert all(line["held after"] <= line["settled after"] <= line["open"] for line in lines)
    assert not reviewed(found, truth, ORDERS[0], flagged, 1)
    place = {"table": "bank", "protocol": "paper", "alpha": 0.7, "seed": 1}
    told = report(pd.DataFrame([place | line for line in reviewed(found, truth, ORDERS[0], 30, 1)]))["table"]
    assert len(told) == 1 and told[0]["corruption"] == "paper 0.7" and "→" in told[0]["mean AP"]
