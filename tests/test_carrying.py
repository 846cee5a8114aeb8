"""Decisions outlive suggestions that are made anew: what a person said changes the table in the same way as before."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demix_core import work
from demix_core.agreement import draw, draws
from demix_core.carrying import BEFORE, carry, fingerprint, made_for, reject_again, renew_decisions, said_by, said_of
from demix_core.cli import main
from demix_core.corrections import Table, correct, leave_out
from demix_core.decisions import OWN_FROM, DecisionLog, replay, with_own
from demix_core.errors import RunError
from demix_core.exporting import export
from demix_core.pipeline import diagnose
from demix_core.repairs.apply import plan
from demix_core.store import Run, patch_table
from demix_core.trust.evidence import judged_patches
from demix_core.types import DROP_VALUE, Action, DecisionKind, Event
from tests import tiny
from tests.dashboard import fake_run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(fake_run.make(tmp_path / "run", n=300))


ROWS, WORDS = range(6), ("x", "y", "z")
DECIDED = ("accept", "reject", "edit", "drop", "note", "revert")


def suggestion(patch_id: int, row: int, action: str, new: str, column: str | None = "job") -> dict[str, object]:
    kind = {"relabel": "label_error", "impute": "feature_error"}.get(action, "spurious")
    gone = action in ("drop", "reweight")
    return {
        "patch_id": patch_id, "row_id": row, "error_type": kind, "action": action, "column": None if gone else column,
        "old": "" if action == "drop" else "o", "new": "" if action == "drop" else new, "confidence": 0.5 + row / 100,
        "reason": "", "gain": 0.0,
    }  # fmt: skip


@st.composite
def tables(draw_: st.DrawFn) -> pd.DataFrame:
    """Suggestions for some cells of six rows, numbered in any order."""
    cells = draw_(st.lists(st.tuples(st.sampled_from(ROWS), st.sampled_from(["job", "pay", "drop"])), unique=True))
    ids = draw_(st.permutations(range(len(cells))))
    return patch_table([
        suggestion(i, row, "drop" if column == "drop" else "impute", draw_(st.sampled_from(WORDS)), column)
        for i, (row, column) in zip(ids, cells, strict=True)
    ])  # fmt: skip


@st.composite
def decided(draw_: st.DrawFn, patches: pd.DataFrame) -> list[Event]:
    """A log of single decisions and of what takes them back."""
    events: list[Event] = []
    for seq in range(1, draw_(st.integers(1, 12)) + 1):
        what, i = draw_(st.sampled_from(DECIDED)), draw_(st.sampled_from(sorted(patches["patch_id"])))
        if what == "revert":
            if not events:
                continue
            was = draw_(st.sampled_from(events))
            events.append(Event(seq, "", "me", DecisionKind.REVERT, was.patch_ids, reverts=was.seq))
            continue
        value = {"edit": "mine", "drop": DROP_VALUE}.get(what)
        kind = DecisionKind.EDIT if value else DecisionKind(what)
        events.append(Event(seq, "", "me", kind, (int(i),), value))
    return events


def changes(patches: pd.DataFrame, events: list[Event]) -> tuple[dict[tuple[int, str], str], frozenset[int]]:
    found = plan(with_own(patches, events), replay(events), events)
    return found.cells, found.dropped


@given(st.data())
def test_what_a_person_decided_changes_the_table_as_before(data: st.DataObject) -> None:
    """Whatever is suggested now: no accepted or edited cell and no dropped row is lost, and none comes along."""
    before = data.draw(tables().filter(len))
    events, after = data.draw(decided(before)), data.draw(tables())
    carried = carry(events, said_by(before), after, ROWS)
    assert changes(after, carried) == changes(before, events)
    kept = {e.seq for e in carried}
    assert all(e.reverts is None or e.reverts in kept for e in carried)


def test_a_row_left_out_stays_left_out_whatever_else_is_accepted_of_it() -> None:
    """Found by hypothesis: as an edit of another suggestion of the row it was undone when that one was accepted."""
    before = patch_table([suggestion(0, 2, "impute", "x"), suggestion(1, 2, "impute", "y", "pay")])
    after = before.iloc[:1]
    events = [
        Event(1, "", "me", DecisionKind.EDIT, (1,), DROP_VALUE), Event(2, "", "me", DecisionKind.ACCEPT, (0,)),
    ]  # fmt: skip
    assert changes(after, carry(events, said_by(before), after, ROWS)) == ({}, frozenset({2}))


@given(st.data())
def test_a_suggestion_that_is_made_again_stays_decided_as_it_was(data: st.DataObject) -> None:
    before = data.draw(tables().filter(len))
    events = data.draw(decided(before))
    ids = dict(zip(before["patch_id"], data.draw(st.permutations(range(len(before)))), strict=True))
    after = before.assign(patch_id=before["patch_id"].map(ids))
    carried = carry(events, said_by(before), after, ROWS)
    assert [(e.seq, e.kind, e.value, e.reverts) for e in carried] == [
        (e.seq, e.kind, e.value, e.reverts) for e in events
    ]
    assert [e.patch_ids for e in carried] == [tuple(ids[i] for i in e.patch_ids) for e in events]


def only(event: Event, before: dict[str, object], *after: dict[str, object]) -> Event | None:
    carried = carry([event], said_by(patch_table([before])), patch_table(list(after)), ROWS)
    return carried[0] if carried else None


def test_what_is_right_in_a_cell_becomes_an_edit_of_what_is_suggested_there_now() -> None:
    accepted = Event(1, "", "me", DecisionKind.ACCEPT, (7,), reason="seen")
    was = suggestion(7, 2, "impute", "x")
    now = only(accepted, was, suggestion(3, 2, "impute", "y"))
    assert now == replace(accepted, kind=DecisionKind.EDIT, patch_ids=(3,), value="x")
    alone = only(accepted, was, suggestion(3, 2, "impute", "y", "pay"))
    assert alone is not None and alone.kind is DecisionKind.CORRECT and alone.patch_ids[0] >= OWN_FROM
    weight = only(accepted, suggestion(7, 2, "reweight", "0.4"), suggestion(1, 2, "reweight", "0.5"))
    assert weight is not None and (weight.kind, weight.value) == (DecisionKind.EDIT, "0.4")
    assert only(accepted, suggestion(7, 2, "reweight", "0.4")) is None, "no column to keep a weight in"


def test_what_nobody_stated_is_asked_again() -> None:
    was, other = suggestion(7, 2, "impute", "x"), suggestion(3, 2, "impute", "y")
    for kind in (DecisionKind.REJECT, DecisionKind.NOTE, DecisionKind.SECOND_ACCEPT):
        assert only(Event(1, "", "me", kind, (7,)), was, other) is None
    light, lighter = suggestion(7, 2, "reweight", "0.5"), suggestion(1, 2, "reweight", "0.4")
    weighed = only(Event(1, "", "me", DecisionKind.REJECT, (7,)), light, lighter)
    assert weighed is not None and weighed.patch_ids == (1,), "no weight at all was wanted"
    unknown = Event(1, "", "me", DecisionKind.ACCEPT, (99,))
    assert only(unknown, was, other) is None and only(replace(unknown, patch_ids=()), was, other) is None
    by_filter = Event(1, "", "me", DecisionKind.ACCEPT, (7,), query="at least .9")
    assert only(by_filter, was, other) is None, "a filter chose it, nobody looked"
    elsewhere = carry(
        [Event(1, "", "me", DecisionKind.ACCEPT, (7,))], said_by(patch_table([was])), patch_table([]), [0]
    )
    assert elsewhere == [], "the row is no training row any more"


def test_a_suggestion_says_the_same_before_and_after_it_was_written(run: Run) -> None:
    made = [suggestion(0, 1, "reweight", "0.5"), suggestion(1, 2, "drop", ""), suggestion(2, 3, "impute", "x")]
    fresh = patch_table(made)
    fresh.to_parquet(run / "patches.parquet")
    assert said_by(run.suggested()) == said_by(fresh) and fingerprint(run.suggested()) == fingerprint(fresh)


def test_of_a_bulk_decision_what_is_still_suggested_stays() -> None:
    before = patch_table([suggestion(i, i, "impute", "x") for i in range(4)])
    after = patch_table(
        [suggestion(9, 1, "impute", "x"), suggestion(8, 3, "impute", "x"), suggestion(7, 0, "impute", "y")]
    )
    event = Event(1, "", "me", DecisionKind.REJECT, (0, 1, 2, 3), query="some")
    (carried,) = carry([event], said_by(before), after, ROWS)
    assert carried.patch_ids == (9, 8) and carried.query == "some"


# ---- the log -----------------------------------------------------------------------------------------------------


def test_a_restated_log_is_seen_by_whoever_has_it_open(tmp_path: Path) -> None:
    with closing(DecisionLog(tmp_path / "d.sqlite")) as mine, closing(DecisionLog(tmp_path / "d.sqlite")) as other:
        mine.accept([1], "me")
        mine.reject([2], "me")
        assert set(other.replay()) == {1, 2} and other.about() == 0
        mine.restate(lambda events: [replace(e, patch_ids=(e.patch_ids[0] + 10,)) for e in events], 77)
        assert set(other.replay()) == {11, 12} and other.about() == 77
        assert [e.seq for e in other.events()] == [3, 4], "numbers go on, so that whoever keeps one sees the change"
        mine.restate(lambda events: [], 77)
        assert len(other.events()) == 2, "once is enough"
        mine.restate(lambda events: [], 78)
        assert other.events() == [] and other.replay() == {}
        other.accept([5], "me")
        assert set(mine.replay()) == {5}


def test_a_restated_log_that_fails_is_as_it_was(tmp_path: Path) -> None:
    with closing(DecisionLog(tmp_path / "d.sqlite")) as log:
        log.accept([1], "me")

        def broken(events: list[Event]) -> list[Event]:
            raise InterruptedError

        with pytest.raises(InterruptedError):
            log.restate(broken, 77)
        assert set(log.replay()) == {1} and log.about() == 0


# ---- a run -------------------------------------------------------------------------------------------------------


def renewed(run: Run, drop: int) -> pd.DataFrame:
    """The run's suggestions, numbered otherwise, some of them gone."""
    patches = run.suggested().iloc[:-drop].sample(frac=1, random_state=1).reset_index(drop=True)
    return patches.assign(patch_id=np.arange(len(patches)))


def everything(run: Run) -> tuple[object, ...]:
    with closing(run.decisions()) as log:
        found = plan(run.patches(), log.replay())
        return found.cells, found.dropped, log.events()


def test_suggestions_made_anew_leave_what_was_decided(run: Run) -> None:
    patches, rows = run.suggested(), [int(i) for i in run.diagnosis()["row_id"]]
    cells = patches[patches["action"].isin(["relabel", "impute"])]
    free = next(i for i in rows if i not in set(patches["row_id"]))
    with closing(run.decisions()) as log:
        log.accept([int(cells["patch_id"].iloc[0])], "me")
        log.accept([int(cells["patch_id"].iloc[-1])], "me")
        table = Table(run.schema(), run.rows(), run.diagnosis(), run.patches())
        correct(log, table, free, "education", "Masters", "me")
        leave_out(log, table, int(patches["row_id"].iloc[1]), "me")
    sample = draw(run, "Bob", 2)
    cells_before, dropped_before, _ = everything(run)
    after = renewed(run, drop=5)
    renew_decisions(run, after, rows, run.rows())
    renew_decisions(run, after, rows, run.rows())  # killed before the suggestions were written, and begun again
    after.to_parquet(run / "patches.parquet")
    renew_decisions(run, after, rows, run.rows())
    assert everything(run)[:2] == (cells_before, dropped_before)
    with closing(DecisionLog(run / "decisions.1.sqlite")) as kept:
        assert len(kept.events()) == 4, "the log as it was is kept"
    assert not (run / "decisions.2.sqlite").exists()
    was, now = said_by(patches), said_by(after)
    said = [was.get(i) for i in sample.patch_ids if i < OWN_FROM and was[i] in now.values()]
    assert [now[i] for i in draws(run)[0].patch_ids if i < OWN_FROM] == said


def test_the_decisions_of_another_table_are_put_aside(run: Run) -> None:
    rows = [int(i) for i in run.diagnosis()["row_id"]]
    assert made_for(run.suggested(), run.rows()) and not made_for(
        run.suggested(), run.rows()[::-1].set_axis(run.rows().index)
    )
    with closing(run.decisions()) as log:
        log.accept([0], "me")
    draw(run, "Bob", 1)
    renew_decisions(run, renewed(run, 3), rows, None)
    assert everything(run) == ({}, frozenset(), []) and draws(run) == []
    with closing(DecisionLog(run / "decisions.1.sqlite")) as kept:
        assert len(kept.events()) == 1


def test_a_log_that_speaks_of_suggestions_nobody_knows_is_put_aside(run: Run) -> None:
    """Other settings after a kill between the log and the suggestions: nothing may stand for what it does not mean."""
    rows = [int(i) for i in run.diagnosis()["row_id"]]
    with closing(run.decisions()) as log:
        log.accept([0, 1, 2], "me", query="all")
    renew_decisions(run, renewed(run, 3), rows, run.rows())
    (run / "decisions.1.sqlite").rename(run / "decisions.4.sqlite")
    other = renewed(run, 6)
    assert fingerprint(other) != fingerprint(renewed(run, 3))
    renew_decisions(run, other, rows, run.rows())
    assert everything(run)[2] == [] and (run / "decisions.5.sqlite").exists(), "no copy is written over"


def test_a_damaged_correction_costs_no_diagnosis(run: Run) -> None:
    with closing(run.decisions()) as log:
        log.accept([0], "me")
        log._append_all([Event(2, "", "me", DecisionKind.CORRECT, (OWN_FROM,), "{")])
    rows = [int(i) for i in run.diagnosis()["row_id"]]
    renew_decisions(run, renewed(run, 3), rows, run.rows())
    assert not (run / "decisions.sqlite").exists()
    with closing(DecisionLog(run / "decisions.1.sqlite")) as kept:
        assert len(kept.events()) == 2


def test_suggestions_from_a_lower_threshold_keep_the_review(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "project", tiny.flat_map)
    settings = tiny.settings(tiny.classifier(tmp_path / "dec.safetensors"))
    table = tiny.table(tmp_path / "people.csv")
    found = diagnose(table, tmp_path / "run", settings)
    cells = found.suggested().query("action in ['relabel', 'impute']")
    with closing(found.decisions()) as log:
        for i in cells["patch_id"].tolist()[:20]:
            log.accept([int(i)], "me")
        kept = plan(found.patches(), log.replay()).cells
        assert kept
        given_ = replace(settings.diagnose, thresholds={"label_error": 0.2, "feature_error": 0.05})
        diagnose(table, found.path, replace(settings, diagnose=given_))
        assert len(found.suggested()) != len(cells), "other suggestions"
        assert plan(found.patches(), log.replay()).cells == kept, "to a page that was open all the time, too"


def test_exported_decisions_mean_the_same_in_another_run_of_the_table(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "other")
    other = Run(tmp_path / "other")
    renewed(other, 5).to_parquet(other / "patches.parquet")
    with closing(run.decisions()) as log:
        for i in run.suggested().query("action == 'impute'")["patch_id"].tolist():
            log.accept([int(i)], "me")
    export(run, tmp_path / "a.csv")
    export(other, tmp_path / "b.csv", decisions=tmp_path / "a.decisions.jsonl")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert (tmp_path / "a.csv").read_bytes() != run.input_path().read_bytes()
    export(run, tmp_path / "c.csv", decisions=tmp_path / "b.decisions.jsonl")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "c.csv").read_bytes(), "and there and back again"
    text = (tmp_path / "a.decisions.jsonl").read_text(encoding="utf-8")
    for damage in ('"suggestions": {"0": [', '"suggestions": {"zero": ['):
        (tmp_path / "d.jsonl").write_text(text.replace('"suggestions": {', damage + "7], ", 1), encoding="utf-8")
        with pytest.raises(RunError, match="can't be read; export them again"):
            export(other, tmp_path / "d.csv", decisions=tmp_path / "d.jsonl")


def test_only_what_is_spoken_of_is_exported(run: Run) -> None:
    events = [Event(1, "", "me", DecisionKind.ACCEPT, (3, OWN_FROM + 1))]
    assert list(said_of(run.suggested(), events)) == ["3"]
    assert Action(said_by(run.suggested())[3][2])


def test_what_was_rejected_stays_rejected_in_the_next_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "project", tiny.flat_map)
    settings = tiny.settings(tiny.classifier(tmp_path / "dec.safetensors"))
    first = diagnose(tiny.table(tmp_path / "people.csv"), tmp_path / "people", settings)
    patches = first.suggested()
    ids = patches["patch_id"].tolist()
    with closing(first.decisions()) as log:
        log.edit(ids[0], DROP_VALUE, "ann")  # a row less, so that the others move up
        for i in ids[1::2]:
            log.reject([i], "ann" if i % 3 else "bob")
        log.reject(ids[2::4], "cid", query="the rest")
        log.revert(log.newest(), "cid")
    gone = int(patches["row_id"].iloc[0])
    assert main(["again", str(first.path)]) == 0
    second = Run.open(tmp_path / "people-round-2")

    def words(run: Run, ids: Iterable[int], dropped: int) -> set[tuple[object, ...]]:
        said = said_by(run.suggested())
        return {
            (said[i][0] - (dropped < said[i][0]), *said[i][1:-1], "" if said[i][2] == "reweight" else said[i][-1])
            for i in ids
            if said[i][0] != dropped
        }

    wanted = words(first, ids[1::2], gone) & words(second, second.suggested()["patch_id"], len(first.rows()))
    with closing(second.decisions()) as log:
        assert wanted and words(second, log.replay(), len(first.rows())) == wanted
        assert {e.kind for e in log.events()} == {DecisionKind.REJECT} and {e.query for e in log.events()} == {BEFORE}
        assert {e.reviewer for e in log.events()} <= {"ann", "bob"}
        assert judged_patches(log.events()) == {}, "as decisions made by a filter, they teach nothing"
        log.undo("ann")
        taken_back = set(log.replay())
        patches = second.suggested()
        reject_again(second, patches)  # as a stage that is redone does
        assert set(log.replay()) == taken_back
