"""Corrections where nothing was suggested: kept, undone, carried along and exported like any decision."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as run_with
from hypothesis import strategies as st
from typer.testing import CliRunner

from demix_core import corrections, lessons
from demix_core.agreement import agreement, pairs
from demix_core.cli import app
from demix_core.corrections import Table
from demix_core.decisions import OWN_FROM, DecisionLog, live, own_patches, stood
from demix_core.errors import InputError, RunError
from demix_core.exporting import export
from demix_core.repairs.apply import plan
from demix_core.store import Run
from demix_core.trust.evidence import read_suspects
from demix_core.trust.limits import passing
from demix_core.types import DROP_VALUE, DecisionKind, ErrorType, Event
from tests.dashboard import fake_run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(fake_run.make(tmp_path / "run", n=200))


def table_of(run: Run) -> Table:
    return Table(run.schema(), run.rows(), run.diagnosis(), run.patches())


def free_row(run: Run) -> int:
    """A row for which nothing is suggested."""
    return int(np.setdiff1d(run.diagnosis()["row_id"], run.suggested()["row_id"])[0])


def correct(run: Run, row: int, column: str, typed: str, who: str = "ann") -> Event:
    with closing(run.decisions()) as log:
        return corrections.correct(log, table_of(run), row, column, typed, who)


def test_a_correction_is_a_patch_of_its_own_and_goes_into_the_file(run: Run, tmp_path: Path) -> None:
    row, before = free_row(run), run.rows()
    event = correct(run, row, "age", "77")
    assert event.kind is DecisionKind.CORRECT and event.kind.verdict is DecisionKind.ACCEPT
    patch = run.patches().iloc[-1]
    assert (patch["row_id"], patch["column"], patch["new"]) == (row, "age", "77")
    assert (patch["error_type"], patch["action"], patch["old"]) == ("feature_error", "impute", before.at[row, "age"])
    assert patch["patch_id"] >= OWN_FROM and not patch["recommended"]
    assert list(run.patches().columns) == list(run.suggested().columns)
    assert (run.patches().dtypes == run.suggested().dtypes).all()
    export(run, tmp_path / "out.csv")
    cleaned = pd.read_csv(tmp_path / "out.csv", dtype=str, keep_default_na=False)
    changed = np.argwhere(cleaned.to_numpy() != before.to_numpy())
    assert changed.tolist() == [[row, list(before.columns).index("age")]] and cleaned.at[row, "age"] == "77"


def test_undo_takes_the_patch_away_and_redo_brings_it_back(run: Run) -> None:
    suggested = len(run.suggested())
    event = correct(run, free_row(run), "age", "77")
    with closing(run.decisions()) as log:
        assert log.undo("bob") is None and log.undo("ann") is not None
        assert len(run.patches()) == suggested and log.replay() == {}
        assert log.redo("ann") is not None
        assert list(log.replay()) == list(event.patch_ids)
        assert stood(log.events(), event.patch_ids[0]) == event
    assert len(run.patches()) == suggested + 1


def test_a_cell_that_has_a_suggestion_gets_an_edit_of_it(run: Run) -> None:
    patches = run.suggested()
    mine = patches[(patches["action"] == "impute") & (patches["column"] == "hours")].iloc[0]
    event = correct(run, int(mine["row_id"]), "hours", "33")
    assert (event.kind, event.patch_ids, event.value) == (DecisionKind.EDIT, (mine["patch_id"],), "33")
    with pytest.raises(InputError, match="in your file already"):  # Enter without a change decides nothing
        correct(run, int(mine["row_id"]), "hours", mine["old"])
    row = free_row(run)
    own, again = correct(run, row, "age", "77"), correct(run, row, "age", "78")
    assert (again.kind, again.patch_ids) == (DecisionKind.EDIT, own.patch_ids)
    with closing(run.decisions()) as log:
        changes = plan(run.patches(), log.replay(), log.events())
    assert changes.cells == {(row, "age"): "78", (int(mine["row_id"]), "hours"): "33"}


def test_a_row_is_left_out(run: Run, tmp_path: Path) -> None:
    row, other = free_row(run), int(run.suggested()["row_id"].iloc[0])
    with closing(run.decisions()) as log:
        own = corrections.leave_out(log, table_of(run), row, "ann", "a test entry")
        edit = corrections.leave_out(log, table_of(run), other)
    assert own.kind is DecisionKind.CORRECT and (edit.kind, edit.value) == (DecisionKind.EDIT, DROP_VALUE)
    export(run, tmp_path / "out.csv")
    cleaned = pd.read_csv(tmp_path / "out.csv", dtype=str, keep_default_na=False)
    expected = run.rows().drop(index=[row, other]).reset_index(drop=True)
    assert cleaned.equals(expected.astype(cleaned.dtypes))
    assert "a test entry" in (tmp_path / "out.changes.csv").read_text("utf-8")


@pytest.mark.parametrize(
    ("row", "column", "typed", "said"),
    [
        (10**6, "age", "3", "There is no row 1000000"),
        (-1, "age", "3", "There is no row -1"),
        (None, "salary", "3", "There is no column 'salary'"),
        (None, "age", "old", "is no number"),
        (None, "income", "rich", "no known label"),
        (None, "age", None, "already"),
    ],
)
def test_what_can_not_stand_is_refused_and_nothing_is_kept(
    run: Run, row: int | None, column: str, typed: str | None, said: str
) -> None:
    row = free_row(run) if row is None else row
    typed = run.rows().at[row, column] if typed is None else typed
    with pytest.raises(InputError, match=said):
        correct(run, row, column, typed)
    with closing(run.decisions()) as log:
        assert log.events() == []


def test_rows_that_are_held_out_stay(run: Run) -> None:
    table = table_of(run)
    held = Table(table.schema, table.rows, table.diagnosis[table.diagnosis["row_id"] != 7], table.patches)
    with closing(run.decisions()) as log, pytest.raises(InputError, match="no training row"):
        corrections.leave_out(log, held, 7)


def test_corrections_travel_with_the_decisions(run: Run, tmp_path: Path) -> None:
    row = free_row(run)
    correct(run, row, "workclass", "é, “new”")
    export(run, tmp_path / "out.csv")
    twin = Run(fake_run.make(tmp_path / "twin", n=200))
    export(twin, tmp_path / "two.csv", decisions=tmp_path / "out.decisions.jsonl")
    assert (tmp_path / "two.csv").read_bytes() == (tmp_path / "out.csv").read_bytes()
    assert pd.read_csv(tmp_path / "two.csv", dtype=str).at[row, "workclass"] == "é, “new”"
    digest = run.manifest().inputs["train"]["sha256"]
    with closing(twin.decisions()) as log:
        for _ in range(2):  # the same file twice is one correction
            assert log.import_jsonl(tmp_path / "out.decisions.jsonl", digest) == 1
        assert len(own_patches(log.events())) == 1 and len(twin.patches()) == len(twin.suggested()) + 1


@pytest.mark.parametrize(
    "value",
    [None, "", "no json", "[]", '{"row_id": 1}', '{"row_id": "x"}',
     '{"row_id": 1, "error_type": "?", "action": "impute", "column": "age", "old": "1", "new": "2"}',
     '{"row_id": 1, "error_type": "spurious", "action": "run", "column": "age", "old": "1", "new": "2"}'],
)  # fmt: skip
def test_damaged_corrections_are_refused_whole(tmp_path: Path, value: str | None) -> None:
    with closing(DecisionLog(tmp_path / "a.sqlite")) as log:
        log.accept([1])
        log.correct({"row_id": 1, "error_type": "spurious", "action": "drop", "column": "", "old": "", "new": ""})
        log.export_jsonl(tmp_path / "d.jsonl", "h")
    head, first, second = (tmp_path / "d.jsonl").read_text("utf-8").splitlines()
    second = json.dumps(json.loads(second) | {"value": value})
    undone = json.dumps(json.loads(second) | {"seq": 3, "kind": "revert", "value": None, "reverts": 2})
    for lines in ([first, second], [first, second, undone]):
        (tmp_path / "d.jsonl").write_text("\n".join([head, *lines]), "utf-8")
        with closing(DecisionLog(tmp_path / "b.sqlite")) as log:
            with pytest.raises(RunError, match="damaged"):
                log.import_jsonl(tmp_path / "d.jsonl", "h")
            assert log.events() == []


def test_a_correction_may_not_take_the_place_of_a_suggestion() -> None:
    value = '{"row_id": 1, "error_type": "spurious", "action": "drop", "column": "", "old": "", "new": ""}'
    with pytest.raises(RunError, match="damaged"):
        own_patches([Event(1, "", "", DecisionKind.CORRECT, (3,), value)])


def test_thresholds_are_judged_by_suggestions_alone_and_hide_no_correction(run: Run) -> None:
    before = {k: s.pool.row_ids.tolist() for k, s in read_suspects(run).items()}
    row = free_row(run)
    correct(run, row, "age", "77")
    assert {k: s.pool.row_ids.tolist() for k, s in read_suspects(run).items()} == before
    kept = passing(run.diagnosis(), run.patches(), dict.fromkeys(ErrorType, 1.0))
    assert kept.tolist() == [False] * (len(kept) - 1) + [True]


def test_corrections_teach_nothing_but_leave_the_list_of_likely_rows(run: Run) -> None:
    row = free_row(run)
    with closing(run.decisions()) as log:
        for patch in run.suggested().itertuples():  # the fake run is described by whether a row's number is even
            (log.accept if patch.row_id % 2 == row % 2 else log.reject)([int(patch.patch_id)])
    before = lessons.read_lessons(run)
    assert row in set(lessons.newly_likely(run.diagnosis(), before, run.patches())["row_id"])
    correct(run, row, "age", "77")
    after = lessons.read_lessons(run)
    assert all(np.array_equal(after[k].after, before[k].after) for k in ErrorType)
    left = lessons.newly_likely(run.diagnosis(), after, run.patches())["row_id"]
    assert len(left) and row not in set(left)


def test_a_second_reviewer_may_disagree_with_a_correction(run: Run) -> None:
    event = correct(run, free_row(run), "age", "77")
    with closing(run.decisions()) as log:
        log.second(DecisionKind.REJECT, event.patch_ids[0], "bob")
        found = pairs(run.patches(), log.events())
    assert [p.outcomes for p in found] == [("accept", "reject")] and agreement(found)[0].pairs == 1


def test_the_command_line_corrects_and_says_so(run: Run) -> None:
    row = free_row(run)
    call = CliRunner().invoke
    done = call(
        app, ["correct", str(run.path), "--row", str(row), "--column", "age", "--to", "77", "--reason", "asked"]
    )
    assert done.exit_code == 0 and f"'age' of row {row} is '77'" in done.output
    assert run.patches().iloc[-1][["new", "reason"]].tolist() == ["77", "asked"]
    for words in (["--column", "age"], ["--to", "3"], [], ["--drop", "--column", "age", "--to", "3"]):
        with pytest.raises(InputError, match="or --drop"):
            call(app, ["correct", str(run.path), "--row", str(row), *words], catch_exceptions=False)
    assert call(app, ["correct", str(run.path), "--row", str(free_row(run)), "--drop"]).exit_code == 0


ACTS = st.tuples(st.sampled_from(["correct", "undo", "redo", "edit", "reject", "revert"]), st.integers(0, 4))


@given(st.lists(ACTS, max_size=25))
@run_with(max_examples=40, deadline=None)
def test_what_stands_is_what_the_live_events_say(acts: list[tuple[str, int]]) -> None:
    with TemporaryDirectory() as folder, closing(DecisionLog(Path(folder) / "d.sqlite")) as log:
        ids: list[int] = []
        for act, n in acts:
            if act == "correct":
                said = {"row_id": n, "error_type": "label_error", "action": "relabel", "column": "y", "old": "a"}
                ids.append(log.correct(said | {"new": str(n)}).patch_ids[0])
            elif act == "edit" and ids:
                log.edit(ids[n % len(ids)], "z")
            elif act == "reject" and ids:
                log.reject([ids[n % len(ids)]])
            elif act == "revert" and (standing := live(log.events())):
                log.revert(standing[n % len(standing)].seq)
            elif act in ("undo", "redo"):
                getattr(log, act)()
        own, states = own_patches(log.events()), log.replay()
        changes = plan(own, states)
        accepted = [p for p in own["patch_id"] if states[p].kind is not DecisionKind.REJECT]
        assert {row for row, _ in changes.cells} == set(own.loc[own["patch_id"].isin(accepted), "row_id"])
        assert set(states) == set(own["patch_id"]) <= set(ids), "nothing stands for a patch that was taken back"
