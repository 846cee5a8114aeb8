"""Two people on one run: the sample, what is the same, κ against scikit-learn, conflicts, and the command line."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from demix_core import agreement
from demix_core.cli import main
from demix_core.decisions import DecisionLog
from demix_core.errors import InputError, RunError
from demix_core.exporting import export
from demix_core.store import Run
from demix_core.types import DROP_VALUE, DecisionKind, ErrorType, Event
from tests.dashboard import fake_run

ACCEPT, EDIT, REJECT = DecisionKind.ACCEPT, DecisionKind.EDIT, DecisionKind.REJECT
WORDS = ("accept", "reject", "edit: 3")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """ann has accepted two thirds of the suggestions, cleo has rejected a few."""
    made = Run(fake_run.make(tmp_path / "run", n=400))
    with closing(made.decisions()) as log:
        ids = made.patches()["patch_id"].tolist()
        log.accept(ids[: 2 * len(ids) // 3], "ann")
        log.reject(ids[2 * len(ids) // 3 : -4], "cleo", "looks right to me")
    return made


def judge(run: Run, patch_ids: tuple[int, ...], reviewer: str, kinds: dict[int, DecisionKind]) -> None:
    """Second opinions: as given, ACCEPT for the rest."""
    with closing(run.decisions()) as log:
        for i in patch_ids:
            log.second(kinds.get(i, ACCEPT), i, reviewer, "7" if kinds.get(i) is EDIT else None)


# ---- κ -----------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(WORDS)), min_size=2, max_size=60))
def test_kappa_is_scikit_learns_and_lies_in_its_interval(said: list[tuple[str, str]]) -> None:
    first, second = zip(*said, strict=True)
    kappa, low, high = agreement.cohen_kappa(first, second)
    if len({*first, *second}) == 1:
        assert kappa is low is high is None
        return
    assert kappa == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)
    assert -1 <= low <= kappa + 1e-12 and kappa - 1e-12 <= high <= 1 and low < high
    assert agreement.cohen_kappa(second, first) == pytest.approx((kappa, low, high))


@pytest.mark.parametrize("shares", [(0.7, 0.27, 0.03), (0.5, 0.5), (0.9, 0.1)])
@pytest.mark.parametrize("kappa", [0.0, 0.4, 0.9])
def test_the_interval_of_kappa_keeps_its_promise_for_few_pairs(shares: tuple[float, ...], kappa: float) -> None:
    random, words = np.random.default_rng(0), np.array(["a", "b", "c"][: len(shares)])
    marginal = np.array(shares)
    table = (1 - kappa) * np.outer(marginal, marginal) + kappa * np.diag(marginal)
    held = []
    for _ in range(400):
        at = random.choice(table.size, 30, p=table.ravel())
        _, low, high = agreement.cohen_kappa(words[at // len(words)], words[at % len(words)])
        held += [] if low is None else [low - 1e-12 <= kappa <= high + 1e-12]
    assert np.mean(held) >= 0.92


def test_words_for_kappa() -> None:
    def words(kappa: float | None) -> str:
        return agreement.Agreement("all", 30, 27, kappa, None, None).words

    assert words(0.72) == "substantial agreement: 27 of 30 the same"
    assert words(-0.1).startswith("no agreement beyond chance") and words(1.0).startswith("almost perfect")
    assert words(None) == "27 of 30 the same"


# ---- the sample --------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 60), min_size=1, max_size=9), st.integers(1, 120))
def test_allocation_is_proportional_and_leaves_no_stratum_out(sizes: list[int], size: int) -> None:
    counts = agreement.allocate(sizes, size)
    assert sum(counts) == min(size, sum(sizes)) and all(0 <= c <= n for c, n in zip(counts, sizes, strict=True))
    if size >= len(sizes):
        assert min(counts) >= 1
    wanted = [n * min(size, sum(sizes)) / sum(sizes) for n in sizes]
    assert all(c <= w + 1 for c, w in zip(counts, wanted, strict=True)), "nobody gets more than a share rounded up"


def test_the_sample_is_of_others_decisions_of_every_type_and_kind_and_repeatable(run: Run) -> None:
    patches = run.patches()
    with closing(run.decisions()) as log:
        ids = patches["patch_id"].tolist()
        log.edit(ids[0], "x", "bob")
        events = log.events()
        states = log.replay()
    drawn = agreement.sample(patches, events, "bob", 20, seed=1)
    assert len(set(drawn)) == 20 and ids[0] not in drawn and set(drawn) <= set(states)
    types = dict(zip(patches["patch_id"], patches["error_type"], strict=True))
    strata = Counter((types[i], states[i].kind) for i in drawn)
    assert set(strata) == {(types[i], s.kind) for i, s in states.items() if i != ids[0]}
    assert drawn == agreement.sample(patches, events, "bob", 20, seed=1)
    assert drawn != agreement.sample(patches, events, "bob", 20, seed=2)
    rest = agreement.sample(patches, events, "bob", 10_000, seed=1, taken=drawn)
    assert not set(rest) & set(drawn) and len(rest) + 20 == len(states) - 1
    assert all(e.reviewer == "cleo" for e in events[1:2]) and not set(rest) & set(
        agreement.sample(patches, events, "cleo", 1, seed=0, taken=rest)
    )


def test_samples_are_kept_each_in_a_file_of_its_own_and_never_drawn_twice(run: Run) -> None:
    first = agreement.draw(run, "  bob ", 5, drawn_by="ann")
    second = agreement.draw(run, "bob", 10_000)
    assert first.reviewer == "bob" and not set(first.patch_ids) & set(second.patch_ids)
    assert set(agreement.draws(run)) == {first, second} and len(list((run / agreement.FOLDER).iterdir())) == 2
    assert agreement.assigned(agreement.draws(run), "bob") == tuple(sorted(first.patch_ids + second.patch_ids))
    assert agreement.assigned(agreement.draws(run), "ann") == ()
    with pytest.raises(InputError, match="nothing to draw for bob"):
        agreement.draw(run, "bob")
    with pytest.raises(InputError, match="needs the name"):
        agreement.draw(run, " ")
    with pytest.raises(InputError, match="at least one"):
        agreement.draw(run, "bob", 0)
    (run / agreement.FOLDER / "x.json").write_text('{"reviewer": "bob"}')
    with pytest.raises(RunError, match="no sample of a second review"):
        agreement.draws(run)


# ---- what was said twice -----------------------------------------------------------------------------------------


def event(kind: DecisionKind, value: str | None = None) -> Event:
    return Event(1, "", "ann", kind, (0,), value)


def test_an_edit_that_comes_to_the_same_is_the_same() -> None:
    cell = {"action": "impute", "old": "3", "new": "40"}
    assert agreement.outcome(event(EDIT, " 40 "), cell) == agreement.outcome(event(ACCEPT), cell) == "accept"
    assert agreement.outcome(event(EDIT, "3"), cell) == "reject" == agreement.outcome(event(REJECT), cell)
    assert agreement.outcome(event(EDIT, "41"), cell) == "edit: 41"
    assert agreement.outcome(event(DecisionKind.SECOND_EDIT, DROP_VALUE), cell) == "edit: leave the row out"
    weight = {"action": "reweight", "old": "1", "new": "2"}
    assert agreement.outcome(event(EDIT, "2.0"), weight) == "accept" and agreement.outcome(event(EDIT, "x"), weight)
    drop = {"action": "drop", "old": "", "new": ""}
    assert agreement.outcome(event(EDIT, DROP_VALUE), drop) == "accept"


def test_opinions_agree_or_conflict_and_a_decision_settles_without_changing_kappa(run: Run) -> None:
    patches = run.patches()
    drawn = agreement.draw(run, "bob", 12).patch_ids
    judge(run, drawn, "bob", {drawn[0]: REJECT, drawn[1]: EDIT})
    with closing(run.decisions()) as log:
        before = log.replay()
        found = agreement.pairs(patches, log.events())
        assert [p.patch_id for p in found] == list(drawn)
        known = dict(zip(patches["patch_id"], patches["error_type"], strict=True))
        expected = [outcome_of(before[i].kind) for i in drawn]
        said = ["reject", "edit: 7", *["accept"] * 10]
        assert [p.outcomes for p in found] == list(zip(expected, said, strict=True))
        whole, *by_type = agreement.agreement(found)
        assert whole.kappa == pytest.approx(cohen_kappa_score(expected, said))
        assert whole.same == sum(a == b for a, b in zip(expected, said, strict=True))
        assert {a.name: a.pairs for a in by_type} == Counter(known[i] for i in drawn)
        conflicts = [p for p in found if p.conflict]
        assert len(conflicts) == 12 - whole.same >= 2
        settled = agreement.resolve(log, conflicts[0], second=True, reviewer="dora")
        assert settled.kind is conflicts[0].second.kind.verdict and "as bob said" in settled.reason
        agreement.resolve(log, conflicts[1], second=True, reviewer="bob", reason="seen the form")
        assert log.replay()[conflicts[1].patch_id] != before[conflicts[1].patch_id]
        after = agreement.pairs(patches, log.events())
        assert [p for p in after if p.conflict] == conflicts[2:] and agreement.agreement(after)[0] == whole
        log.revert(settled.seq, "ann")
        assert len([p for p in agreement.pairs(patches, log.events()) if p.conflict]) == len(conflicts) - 1
        log.revert(found[0].second.seq, "ann")
        assert len(agreement.pairs(patches, log.events())) == 11
    assert log_reasons(run, "seen the form")


def outcome_of(kind: DecisionKind) -> str:
    return {ACCEPT: "accept", REJECT: "reject"}[kind]


def log_reasons(run: Run, reason: str) -> bool:
    with closing(run.decisions()) as log:
        return any(e.reason == reason for e in log.events())


def test_second_opinions_change_no_export_and_travel_with_the_decisions(run: Run, tmp_path: Path) -> None:
    before = export(run, tmp_path / "before.csv")
    drawn = agreement.draw(run, "bob", 8).patch_ids
    judge(run, drawn, "bob", {drawn[0]: EDIT})
    after = export(run, tmp_path / "after.csv")
    for old, new in zip(before.files[:2], after.files[:2], strict=True):
        assert old.read_bytes() == new.read_bytes()
    with closing(DecisionLog(tmp_path / "other.sqlite")) as other:
        other.import_jsonl(after.files[2], run.manifest().inputs["train"]["sha256"])
        assert set(agreement.opinions(other.events(), "bob")) == set(drawn)
        assert agreement.opinions(other.events(), "bob")[drawn[0]].value == "7"


def test_who_did_what_counts_what_stands(run: Run) -> None:
    drawn = agreement.draw(run, "bob", 3).patch_ids
    judge(run, drawn, "bob", {})
    with closing(run.decisions()) as log:
        states = log.replay()
        log.reject([drawn[0]], "bob")
        shares = {s.reviewer: s for s in agreement.shares(log.events())}
    accepted = sum(s.kind is ACCEPT for i, s in states.items() if i != drawn[0])
    assert shares["ann"].accepted == accepted and (shares["bob"].rejected, shares["bob"].second) == (1, 3)
    assert shares["bob"].last >= shares["ann"].last


# ---- the command line --------------------------------------------------------------------------------------------


def test_the_command_line_draws_and_says_how_far_people_agree(run: Run, capsys) -> None:
    command = ["agreement", str(run.path)]
    assert main([*command, "--draw", "9", "--reviewer", "bob", "--json"]) == 0
    said = capsys.readouterr()
    assert "Drawn for bob: 9 suggestions" in said.err
    drawn = json.loads(said.out)["draws"][0]
    assert len(drawn["patch_ids"]) == 9 and drawn["judged"] == 0
    judge(run, tuple(drawn["patch_ids"]), "bob", {drawn["patch_ids"][0]: EDIT})
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["draws"][0]["judged"] == found["agreement"][0]["pairs"] == 9
    assert found["conflicts"][0]["second"] == {
        "reviewer": "bob", "said": "edit: 7", "reason": "", "time": found["conflicts"][0]["second"]["time"],
    }  # fmt: skip
    assert {a["name"] for a in found["agreement"]} <= {"all", *(t.value for t in ErrorType)}
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert found["agreement"][0]["words"] in shown and "They differ" in shown


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--draw", "3"], "belong together"),
        (["--reviewer", "bob"], "belong together"),
        (["--draw", "0", "--reviewer", "bob"], "at least one"),
        (["--draw", "3", "--reviewer", " "], "needs the name"),
    ],
)
def test_mistakes_of_the_command_are_one_sentence(run: Run, words: list[str], sentence: str, capsys) -> None:
    assert main(["agreement", str(run.path), *words]) == 2
    assert sentence in capsys.readouterr().err
