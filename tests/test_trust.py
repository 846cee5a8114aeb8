"""Evidence for a threshold: intervals against exact enumeration, samples that stay fair whatever people choose."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, hypergeom

from demix_core.errors import InputError, RunError
from demix_core.store import Run
from demix_core.trust import draws, evidence, limits, words
from demix_core.trust.draws import Draw, Pool, plan_draw
from demix_core.trust.evidence import OPEN, RIGHT, WRONG, Suspects, assess, everywhere, precision, right_rows
from demix_core.trust.intervals import Stratum, clopper_pearson, stratified
from demix_core.types import DecisionKind, ErrorType, Event
from tests.dashboard import fake_run

LABEL = ErrorType.LABEL


def draw_of(rows: list[int], known: list[int] | None = None, cuts: tuple[float, ...] = ()) -> Draw:
    return Draw(LABEL, tuple(rows), tuple(known or ()), cuts, 0.5, 0, "now", "")


def found_of(scores: np.ndarray, judged: np.ndarray, *made: Draw) -> Suspects:
    """Rows 0..U−1 with a suggestion each."""
    drawn = np.isin(np.arange(len(scores)), [r for d in made for r in d.rows])
    return Suspects(LABEL, scores, Pool(np.arange(len(scores)), scores, judged.astype(np.int8), drawn), made)


def everything(found: Suspects) -> list[tuple[Suspects, np.ndarray]]:
    return [(found, np.ones(len(found.pool.scores), bool))]


# ---- intervals ---------------------------------------------------------------------------------------------------


@given(st.integers(1, 60), st.data())
def test_clopper_pearson_ends_where_the_tails_are_half_alpha(n: int, data: st.DataObject) -> None:
    x = data.draw(st.integers(0, n))
    low, high = clopper_pearson(x, n, 0.1)
    assert low == 0.0 if x == 0 else binom.sf(x - 1, n, low) == pytest.approx(0.05)
    assert high == 1.0 if x == n else binom.cdf(x, n, high) == pytest.approx(0.05)


@pytest.mark.parametrize("rows", (2, 3, 5, 8, 12))
def test_one_band_holds_in_95_percent_of_all_samples_there_are(rows: int) -> None:
    """Exactly: every number of right rows, every size of the sample, every sample weighed by its chance."""
    for drawn, right in itertools.product(range(1, rows + 1), range(rows + 1)):
        held = 0.0
        for seen in range(max(0, drawn - rows + right), min(drawn, right) + 1):
            judged = np.full(rows, OPEN)
            judged[:drawn] = WRONG
            judged[:seen] = RIGHT
            share = right_rows(everything(found_of(np.linspace(0.5, 1, rows), judged, draw_of(list(range(drawn))))))
            held += hypergeom.pmf(seen, rows, right, drawn) * (share.low - 1e-9 <= right <= share.high + 1e-9)
        assert held >= 0.95, (rows, drawn, right)


def test_two_bands_drawn_unevenly_hold_in_95_percent_of_all_samples_there_are() -> None:
    sizes, taken = (8, 5), (3, 3)
    scores = np.r_[np.full(8, 0.6), np.full(5, 0.9)]
    made = draw_of([0, 1, 2, 8, 9, 10], cuts=(0.7,))
    for right in itertools.product(range(9), range(6)):
        held = 0.0
        for seen in itertools.product(range(4), repeat=2):
            chance = np.prod([hypergeom.pmf(*a) for a in zip(seen, sizes, right, taken, strict=True)])
            judged = np.full(13, OPEN)
            judged[:3], judged[8:11] = np.arange(3) < seen[0], np.arange(3) < seen[1]
            share = right_rows(everything(found_of(scores, judged, made)))
            held += chance * (share.low - 1e-9 <= sum(right) <= share.high + 1e-9)
        assert held >= 0.95, right


def test_a_proportional_sample_is_pooled() -> None:
    share, low, high = stratified([Stratum(1e6, 10, 9), Stratum(1e6, 10, 9)])
    assert share == pytest.approx(0.9)
    assert (low, high) == pytest.approx(clopper_pearson(18, 20), abs=1e-3)


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=6))
def test_a_stratified_interval_is_one(given_: list[tuple[int, int, int]]) -> None:
    strata = [Stratum(rows, min(drawn, rows), min(right, drawn, rows)) for rows, drawn, right in given_]
    share, low, high = stratified(strata)
    if not any(s.drawn for s in strata):
        assert np.isnan(share) and (low, high) == (0.0, 1.0)
    else:
        assert 0 <= low <= share + 1e-9 and share - 1e-9 <= high <= 1
        wide = stratified(strata, 0.01)
        assert wide[1] <= low + 1e-9 and wide[2] >= high - 1e-9


# ---- samples -----------------------------------------------------------------------------------------------------


def test_what_people_choose_does_not_move_the_evidence() -> None:
    """They pick right rows only, before and between two draws; of 300 rows 120 are right."""
    rng = np.random.default_rng(0)
    scores = np.linspace(0.5, 1, 300)
    held = {"evidence": 0, "as if chosen rows were a sample": 0}
    for _ in range(200):
        truth = rng.permutation(np.arange(300) < 120)
        judged = np.full(300, OPEN)
        found = found_of(scores, judged)
        for _ in range(2):
            free = np.flatnonzero(truth & (judged == OPEN) & ~found.pool.drawn)
            judged[rng.choice(free, 20, replace=False)] = RIGHT
            found = found_of(scores, judged, *found.draws)
            made = plan_draw(LABEL, found.pool, found.draws, 0.5, 15, int(rng.integers(10**6)), "")
            judged[list(made.rows)] = truth[list(made.rows)]
            found = found_of(scores, judged, *found.draws, made)
        share = precision(everything(found))
        naive = clopper_pearson((judged == RIGHT).sum(), (judged != OPEN).sum())
        held["evidence"] += share.low <= 0.4 <= share.high
        held["as if chosen rows were a sample"] += naive[0] <= 0.4 <= naive[1]
    assert held["evidence"] >= 190 and held["as if chosen rows were a sample"] < 20


def test_skipped_rows_count_both_ways_and_an_unfinished_sample_up_to_where_it_was_reviewed() -> None:
    scores, rows = np.full(200, 0.8), list(range(20))
    judged = np.full(200, OPEN)
    judged[:10] = RIGHT
    ten = assess(found_of(scores, judged, draw_of(rows)), 0.5)
    assert (ten.sampled, ten.sampled_right, ten.basis) == (10, 10, "sampled")
    judged[4] = OPEN
    skipped = assess(found_of(scores, judged, draw_of(rows)), 0.5)
    assert skipped.sampled == 9 and skipped.precision.high == 1.0
    assert skipped.precision.low == pytest.approx((200 * clopper_pearson(9 * 10 / 10 / 0.975, 10 / 0.975)[0]) / 200)
    assert skipped.precision.low < ten.precision.low


def test_all_reviewed_is_known_and_nothing_reviewed_is_unknown() -> None:
    scores = np.array([0.6, 0.7, 0.9, 0.95])
    done = assess(found_of(scores, np.array([WRONG, WRONG, RIGHT, RIGHT])), 0.65)
    assert done.basis == "complete" and done.precision == evidence.Share(2 / 3, 2 / 3, 2 / 3)
    assert done.kept == evidence.Share(1.0, 1.0, 1.0) and done.found == evidence.Share(0.5, 0.5, 0.5)
    none = assess(found_of(scores, np.full(4, OPEN)), 0.65)
    assert none.basis == "none" and none.precision == evidence.Share(None, 0.0, 1.0)
    assert "unknown" in words.how(none) and "All 3 rows are reviewed, 2 are right" in words.how(done)


def test_rows_that_people_chose_are_a_hint_only() -> None:
    scores, judged = np.linspace(0.5, 1, 60), np.full(60, OPEN)
    judged[50:] = RIGHT
    found = assess(found_of(scores, judged), 0.5)
    assert found.basis == "chosen" and "a hint, no evidence" in words.how(found)
    assert found.left.value is None and found.left.low == 0.0, "of the others nothing is known"
    assert found.everywhere.low == pytest.approx(10 / 60) and found.everywhere.value is None


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 80), st.integers(0, 10**6), st.floats(0, 1))
def test_bounds_never_deny_what_is_known_and_the_band_contains_the_interval(n: int, seed: int, at: float) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.random(n)
    judged = np.where(rng.random(n) < 0.3, rng.integers(0, 2, n), OPEN)
    found = found_of(scores, judged)
    for _ in range(2):
        if ((judged == OPEN) & ~found.pool.drawn).any():
            made = plan_draw(LABEL, found.pool, found.draws, at, 8, seed, "")
            judged = judged.copy()
            judged[list(made.rows)] = rng.integers(-1, 2, len(made.rows))
            found = found_of(scores, judged, *found.draws, made)
    for threshold in (0.0, at, 1.0):
        said = assess(found, threshold)
        above = scores >= threshold
        right, wrong = (int((above & (judged == v)).sum()) for v in (RIGHT, WRONG))
        for share in (said.precision, said.everywhere, said.left, said.kept, said.found):
            assert 0 <= share.low <= share.high <= 1
            assert share.value is None or share.low - 1e-9 <= share.value <= share.high + 1e-9
        if above.any():
            assert said.everywhere.low >= right / above.sum() - 1e-9
            assert said.everywhere.high <= 1 - wrong / above.sum() + 1e-9
            if said.basis == "sampled":
                assert said.everywhere.low <= said.precision.low + 1e-9


def test_the_band_holds_at_all_thresholds_at_once_when_one_is_picked_after_looking() -> None:
    rng = np.random.default_rng(1)
    scores = np.sort(rng.random(400))
    looked = np.linspace(0.02, 0.95, 12)
    band, single = 0, 0
    for _ in range(25):
        truth = rng.random(400) < scores
        made = plan_draw(LABEL, found_of(scores, np.full(400, OPEN)).pool, (), 0.0, 60, int(rng.integers(10**6)), "")
        judged = np.full(400, OPEN)
        judged[list(made.rows)] = truth[list(made.rows)]
        found = found_of(scores, judged, made)
        true = np.array([truth[scores >= t].mean() for t in looked])
        wide = [everywhere(found, t) for t in looked]
        one = [precision([(found, scores >= t)]) for t in looked]
        band += all(s.low <= v <= s.high for s, v in zip(wide, true, strict=True))
        single += all(s.low <= v <= s.high for s, v in zip(one, true, strict=True))
    assert band >= 24 and band >= single


# ---- the planner -------------------------------------------------------------------------------------------------


def pool_of(n: int = 500, seed: int = 0) -> Pool:
    scores = np.random.default_rng(seed).random(n)
    return Pool(np.arange(n), scores, np.full(n, OPEN, np.int8), np.zeros(n, bool))


def test_a_draw_is_repeatable_fresh_and_mostly_above_the_threshold() -> None:
    pool = pool_of()
    made = plan_draw(LABEL, pool, (), 0.6, 30, 7, "")
    assert made.rows == plan_draw(LABEL, pool, (), 0.6, 30, 7, "").rows
    assert made.rows != plan_draw(LABEL, pool, (), 0.6, 30, 8, "").rows
    assert len(set(made.rows)) == 30 and (pool.scores[list(made.rows)] >= 0.6).sum() == 24
    drawn = np.isin(pool.row_ids, made.rows)
    again = plan_draw(LABEL, replace(pool, drawn=drawn), (made,), 0.6, 30, 7, "")
    assert not set(again.rows) & set(made.rows) and set(made.cuts) <= set(again.cuts)


def test_bands_with_more_spread_get_more_rows() -> None:
    pool = pool_of(2000)
    made = plan_draw(LABEL, pool, (), 0.0, 100, 0, "")
    of_band = np.bincount(draws.bands(pool.scores[list(made.rows)], made.cuts))
    spread = np.array([draws._spread(pool, draws.bands(pool.scores, made.cuts) == b) for b in range(len(of_band))])
    assert len(of_band) == draws.BANDS and np.abs(of_band - 100 * spread / spread.sum()).max() <= 1.5


def test_a_draw_takes_what_is_left_and_then_says_so() -> None:
    pool = pool_of(12)
    made = plan_draw(LABEL, pool, (), 0.99, 50, 0, "")
    assert sorted(made.rows) == list(range(12))
    with pytest.raises(InputError, match="reviewed or drawn already"):
        plan_draw(LABEL, replace(pool, drawn=np.ones(12, bool)), (made,), 0.5, 5, 0, "")
    with pytest.raises(InputError, match="at least one row"):
        plan_draw(LABEL, pool, (), 0.5, 0, 0, "")


# ---- from a run --------------------------------------------------------------------------------------------------


def event(seq: int, kind: DecisionKind, ids: tuple[int, ...], query: str = "", reverts: int | None = None) -> Event:
    return Event(seq, "now", "", kind, ids, query=query, reverts=reverts)


def test_only_decisions_made_one_by_one_are_evidence() -> None:
    accept, edit, reject, revert = (DecisionKind(k) for k in ("accept", "edit", "reject", "revert"))
    events = [
        event(1, accept, (0,)), event(2, reject, (1,)), event(3, accept, (2, 3)), event(4, accept, (4,), "queue"),
        event(5, edit, (5,)), event(6, accept, (6,)), event(7, revert, (6,), reverts=6), event(8, reject, (0,)),
    ]  # fmt: skip
    assert evidence.judged_patches(events) == {0: False, 1: False, 5: True}


def test_a_row_is_right_when_one_of_its_cells_is_and_wrong_when_none_is() -> None:
    diagnosis = pd.DataFrame({"row_id": [3, 5, 8, 9], "p_feature_error": [0.9, 0.8, 0.7, 0.1]})
    patches = pd.DataFrame({
        "patch_id": range(6), "row_id": [3, 3, 5, 5, 8, 8], "error_type": ["feature_error"] * 6,
    })  # fmt: skip
    accept, reject = DecisionKind.ACCEPT, DecisionKind.REJECT
    events = [event(1, accept, (0,)), event(2, reject, (2,)), event(3, reject, (3,)), event(4, reject, (4,))]
    found = evidence.suspects(ErrorType.FEATURE, diagnosis, patches, events, [])
    assert found.pool.row_ids.tolist() == [3, 5, 8] and found.pool.judged.tolist() == [RIGHT, WRONG, OPEN]
    assert found.pool.scores.tolist() == [0.9, 0.8, 0.7] and len(found.scores) == 4


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(fake_run.make(tmp_path / "run", n=900))


def test_a_sample_is_remembered_and_its_decisions_sharpen_the_interval(run: Run) -> None:
    patches = run.patches().set_index("row_id")
    labels = patches[patches["error_type"] == "label_error"]
    before = evidence.look(run, [LABEL])[0]
    assert before.evidence.suggested == len(labels) and before.evidence.basis == "none"
    made = evidence.draw_sample(run, LABEL, 12, seed=3)
    assert draws.read_draws(run) == [made] and set(made.rows) <= set(labels.index)
    log = run.decisions()
    for place, row in enumerate(made.rows):
        (log.accept if place % 4 else log.reject)([int(labels.at[row, "patch_id"])])
    log.close()
    after = evidence.look(run, [LABEL])[0].evidence
    assert (after.sampled, after.sampled_right, after.reviewed) == (12, 9, 12)
    assert after.precision.high - after.precision.low < 0.6 and words.how(after) == "9 of 12 sampled rows were right."
    assert json.loads(json.dumps(after.to_dict()))["error_type"] == "label_error"


def test_draws_from_other_probabilities_are_forgotten_and_damage_is_told(run: Run) -> None:
    draws.add_draw(run, replace(draw_of([1, 2]), key="of another detection"))
    assert draws.read_draws(run) == []
    draws.add_draw(run, draw_of([3]))
    assert [d.rows for d in draws.read_draws(run)] == [(3,)]
    (run / draws.FILE).write_text('{"draws": [{"rows": 3}]}')
    with pytest.raises(RunError, match="delete it to draw again"):
        draws.read_draws(run)


def test_a_moved_threshold_is_kept_and_hides_what_lies_below(run: Run) -> None:
    assert limits.read_limits(run) == {} and limits.passing(run.diagnosis(), run.patches(), {}).all()
    limits.write_limit(run, LABEL, 0.8)
    limits.write_limit(run, ErrorType.SPURIOUS, 0.7)
    limits.write_limit(run, ErrorType.SPURIOUS, None)
    assert limits.read_limits(run) == {LABEL: 0.8}
    patches = run.patches()
    keep = limits.passing(run.diagnosis(), patches, limits.read_limits(run))
    assert (keep == ((patches["error_type"] != "label_error") | (patches["confidence"] >= 0.8))).all()
    assert evidence.look(run, [LABEL])[0].evidence.threshold == 0.8
    with pytest.raises(InputError, match="between 0 and 1"):
        limits.write_limit(run, LABEL, 7)
    (run / limits.FILE).write_text("[]")
    with pytest.raises(RunError, match="delete it"):
        limits.read_limits(run)
