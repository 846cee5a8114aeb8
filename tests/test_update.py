"""New and edited rows by what a run has learned: the run's own numbers where nothing changed, each row on its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.tree import DecisionTreeClassifier

from demix_core import lessons, work
from demix_core import update as update_module
from demix_core.check import evaluate
from demix_core.cli import main
from demix_core.errors import InputError, RunError
from demix_core.explain import Explainer
from demix_core.exporting import export
from demix_core.pipeline import diagnose
from demix_core.records import load_record, save_record
from demix_core.settings import DiagnoseSettings, FitSettings, LoadSettings, MapSettings, Settings
from demix_core.signals.base import Signals, learn
from demix_core.signals.binning import code_lift
from demix_core.signals.oddities import OddityReference, find_oddities
from demix_core.signals.placing import NEW, average_rank, ordinal_rank, placed_lift
from demix_core.signals.trees import trees_of
from demix_core.store import JobState, Run
from demix_core.types import Column, ColumnKind, ErrorType, Schema, Task
from demix_core.update import nearest_by_embedding, update
from tests import tiny

P = [kind.probability_column for kind in ErrorType]
SAME = 1e-5


def people(n: int, seed: int) -> pd.DataFrame:
    """Every kind of column, gaps, categories of few rows, some wrong cells and labels."""
    r = np.random.default_rng(seed)
    age = r.integers(18, 80, n)
    frame = pd.DataFrame({
        "age": age.astype(str), "pay": (age * 10 + r.normal(0, 30, n)).round(1).astype(str),
        "job": r.choice(["clerk", "smith", "baker", "Clerk"], n, p=[0.5, 0.3, 0.19, 0.01]),
        "since": pd.date_range("2020-01-01", periods=n, freq="D").strftime("%Y-%m-%d"),
        "note": [" ".join(r.choice(["late", "ill", "good", "new"], 4)) + f" {i}" for i in range(n)],
        "flag": r.choice(["yes", "no"], n),
    })  # fmt: skip
    frame.loc[r.random(n) < 0.06, "pay"] = "9999"
    frame.loc[r.random(n) < 0.05, "job"] = ""
    frame["rich"] = np.where((age > 45) ^ (r.random(n) < 0.1), "high", "low")
    frame["price"] = (age * 3 + r.normal(0, 5, n)).round(2).astype(str)
    return frame


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "project", tiny.flat_map)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=["rich", "price"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run by the shipped classifier; a class and a number as targets."""
    folder = tmp_path_factory.mktemp(request.param)
    people(320, 0).to_csv(folder / "people.csv", index=False)
    chosen = Settings(
        load=LoadSettings(target=request.param),
        fit=FitSettings(model="mlp2", epochs=4),
        diagnose=DiagnoseSettings(expected_error_share=0.3 if request.param == "rich" else 0),
        map=MapSettings(method="tsne"),
    )
    return diagnose(folder / "people.csv", folder / "run", chosen)


def written(frame: pd.DataFrame, path: Path) -> Path:
    frame.to_csv(path, index=False)
    return path


def numbered(run: Run) -> pd.DataFrame:
    """The run's training rows with their row ids."""
    ids = run.diagnosis()["row_id"].to_numpy()
    return run.rows().loc[ids].assign(row_id=ids)


def test_rows_of_the_run_that_are_diagnosed_again_keep_every_number(made: Run, tmp_path: Path) -> None:
    again = update(made, written(numbered(made), tmp_path / "again.csv"), tmp_path / "again")
    before, after = made.diagnosis(), again.diagnosis()
    assert np.abs(before[P].to_numpy() - after[P].to_numpy()).max() < SAME
    for name in ("detection/wrong.npy", "embedding.npy", "detection/harm.npy", "losses.npy"):
        assert np.allclose(made.array(name), again.array(name), atol=1e-4), name
    kept = [k.value for k in ErrorType] + ["suspect_columns", "predicted"]
    assert before[kept].astype(str).equals(after[kept].astype(str))
    assert np.allclose(before[["x", "y"]], after[["x", "y"]], atol=1e-3)
    told = ["error_type", "action", "column", "old", "new", "reason", "pattern", "recommended", "alternatives"]
    assert len(made.patches()) and made.patches()[told].equals(again.patches()[told]), "the same suggestions"
    assert np.allclose(made.patches()["gain"], again.patches()["gain"], atol=1e-6)


def test_a_new_row_does_not_depend_on_those_it_comes_with(made: Run, tmp_path: Path) -> None:
    new = people(30, 5)
    new.loc[3, ["job", "pay", "since"]] = ["astronaut", "-1e7", "1999-12-31"]  # bins that no row of the run fell into
    alone = update(made, written(new, tmp_path / "new.csv"), tmp_path / "new").diagnosis()
    mixed = pd.concat([new.iloc[::-1], numbered(made)], ignore_index=True)
    mixed["row_id"] = mixed["row_id"].astype("Int64")
    among = update(made, written(mixed, tmp_path / "all.csv"), tmp_path / "all").diagnosis()
    assert np.isfinite(alone[P].to_numpy()).all()
    assert np.abs(alone[P].to_numpy() - among[P].to_numpy()[:30][::-1]).max() < SAME
    assert np.abs(made.diagnosis()[P].to_numpy() - among[P].to_numpy()[30:]).max() < SAME


def test_an_edited_row_is_seen_without_its_old_version(made: Run, tmp_path: Path) -> None:
    """The edit is undone by a second one, and a wrong label makes the row likelier wrong."""
    rows = numbered(made).iloc[:40]
    edited = rows.copy()
    target = made.schema().target
    flip = {"high": "low", "low": "high"}
    edited[target] = [flip[v] if v in flip else str(round(1000 - float(v), 2)) for v in rows[target]]
    found = update(made, written(edited, tmp_path / "edited.csv"), tmp_path / "edited").diagnosis()
    assert found["p_label_error"].mean() > made.diagnosis()["p_label_error"].iloc[:40].mean() + 0.1
    back = update(made, written(rows, tmp_path / "back.csv"), tmp_path / "back").diagnosis()
    assert np.abs(back[P].to_numpy() - made.diagnosis()[P].iloc[:40].to_numpy()).max() < SAME


def test_the_folder_is_a_run_like_any_other(made: Run, tmp_path: Path) -> None:
    out = update(made, written(people(25, 8), tmp_path / "new.csv"), tmp_path / "out")
    assert out.status().state is JobState.DONE and out.summary()["rows"] == 25
    assert out.projection("tsne")[["x", "y"]].notna().all(axis=None)
    explained = Explainer(out).row(3)
    assert explained.cells["note"] == people(25, 8).at[3, "note"] and len(explained.profile) == len(out.validation())
    patches = out.patches()
    with closing(out.decisions()) as log:
        log.accept([int(i) for i in patches["patch_id"]], "me")
    export(out, tmp_path / "clean.csv")
    changed = pd.read_csv(tmp_path / "clean.csv", dtype=str, keep_default_na=False)
    for p in patches[patches["action"] == "relabel"].itertuples():
        assert changed.at[p.row_id, p.column] == p.new
    with pytest.raises(InputError, match="add them to its table"):
        evaluate(out)
    with pytest.raises(RunError, match="diagnosed with what the run"):
        diagnose(tmp_path / "new.csv", out.path, Settings())
    with pytest.raises(RunError, match="name that one"):
        update(out, tmp_path / "new.csv", tmp_path / "further")
    update(made, written(people(26, 9), tmp_path / "new.csv"), out.path)
    assert len(list(out.path.glob("decisions.*.sqlite"))) == 1, "old decisions are put aside, not lost"


def test_rows_that_cannot_be_diagnosed_are_told(made: Run, tmp_path: Path) -> None:
    new = people(6, 3).assign(row_id="")
    split = made.split()
    new.loc[0, made.schema().target] = ""
    new.loc[1, "row_id"] = str(split.loc[split["part"] == "validation", "row_id"].iloc[0])
    out = update(made, written(new, tmp_path / "new.csv"), tmp_path / "out")
    assert out.diagnosis()["row_id"].tolist() == [2, 3, 4, 5]
    notes = " ".join(out.summary()["notes"])
    assert "1 rows have no target" in notes and "1 rows are versions of validation rows" in notes


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"row_id": ["7", "7"]}, "row 7 more than once"),
        ({"row_id": ["-3", ""]}, "'-3' as a row_id; give 0 to 319"),
        ({"row_id": ["1.5", ""]}, "'1.5' as a row_id"),
        ({"age": None}, "lacks the column 'age'"),
        ({"rich": ["", ""], "price": ["", ""]}, "no row that can be diagnosed"),
    ],
)
def test_files_that_cannot_be_used_are_told(made: Run, tmp_path: Path, change: dict, sentence: str) -> None:
    new = people(2, 3)
    for column, values in change.items():
        new = new.drop(columns=column) if values is None else new.assign(**{column: values})
    with pytest.raises(InputError, match=sentence):
        update(made, written(new, tmp_path / "new.csv"), tmp_path / "out")


def test_runs_that_kept_nothing_are_told(made: Run, tmp_path: Path) -> None:
    shutil.copytree(made.path, tmp_path / "run")
    (tmp_path / "run" / "signals" / "reference.npz").unlink()
    new = written(people(2, 3), tmp_path / "new.csv")
    with pytest.raises(RunError, match="of an earlier version"):
        update(Run(tmp_path / "run"), new, tmp_path / "out")
    with pytest.raises(RunError, match="holds another diagnosis"):
        update(made, new, made.path)
    with pytest.raises(InputError, match="no file"):
        update(made, tmp_path / "none.csv", tmp_path / "out")


def test_the_command_writes_beside_the_run_and_takes_no_other_choices(
    made: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = written(people(5, 2), tmp_path / "more.csv")
    assert main(["diagnose", str(new), "--update", str(made.path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rows"] == 5 and Path(told["run"]) == made.path.with_name("run-more")
    assert main(["diagnose", str(new), "--update", str(made.path), "--epochs", "3"]) == 2
    assert "leave the other choices out" in capsys.readouterr().err


# ---- the pieces against slow twins: the row really added to the table, or put in the old one's place ----------------


def with_row(column: np.ndarray, value: object, where: int) -> tuple[np.ndarray, int]:
    """(the table's column with the row, its place)."""
    if where == NEW:
        return np.append(column, value), len(column)
    out = column.copy()
    out[where] = value
    return out, where


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_ranks_and_lifts_are_those_of_the_table_with_the_row(data: st.DataObject) -> None:
    column = data.draw(hnp.arrays(np.float64, st.integers(2, 12), elements=st.sampled_from([0.0, 1.0, 2.5, 7.0])))
    where = data.draw(st.integers(NEW, len(column) - 1))
    value = data.draw(st.sampled_from([0.0, 1.0, 2.0, 9.0]))
    table, at = with_row(column, value, where)
    one = np.array([where])
    assert average_rank(np.array([value]), column, one)[0] == pytest.approx(pd.Series(table).rank(pct=True)[at])
    if where != NEW:
        ordinal = table.argsort(kind="stable").argsort()[at] / (len(table) - 1)
        assert ordinal_rank(np.array([value]), column, one)[0] == pytest.approx(ordinal)
    codes, y = column.astype(int), data.draw(hnp.arrays(np.int64, len(column), elements=st.integers(0, 2)))
    label = data.draw(st.integers(0, 2))
    both = with_row(codes, int(value), where)[0], with_row(y, label, where)[0]
    lift = placed_lift((codes, y), (np.array([int(value)]), np.array([label])), 3, one)
    assert lift[0] == pytest.approx(code_lift(both[0], 10, both[1], 3)[0][at])


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_oddities_are_those_of_the_table_with_the_row(data: st.DataObject) -> None:
    cells = st.sampled_from(["1", "2", "3.5", "3", "7", "8", "20", "-4", "", "x"])
    column = np.array(data.draw(st.lists(cells, min_size=3, max_size=30)), object)
    where, value = data.draw(st.integers(NEW, len(column) - 1)), data.draw(cells)
    kind = data.draw(st.sampled_from([ColumnKind.NUMERIC, ColumnKind.CATEGORICAL]))
    schema = Schema((Column("a", kind), Column("y", kind)), "y", Task.CLASSIFICATION, ("u", "v"))
    table, at = with_row(column, value, where)
    frame = pd.DataFrame({"a": column, "y": "u"}, dtype="str")
    slow = find_oddities(pd.DataFrame({"a": table, "y": "u"}, dtype="str"), schema)
    old = frame.iloc[[max(where, 0)]]
    fast = OddityReference.of(frame, schema).place(
        pd.DataFrame({"a": [value], "y": "u"}), old, schema, np.array([where])
    )
    for name in ("share", "crowd", "form", "missing"):
        assert getattr(fast, name)[0, 0] == pytest.approx(getattr(slow, name)[at, 0], abs=1e-6), name


def test_all_signals_of_the_table_are_found_again(tmp_path: Path) -> None:
    frame = people(300, 1).drop(columns="price")
    kinds = dict.fromkeys(frame, ColumnKind.CATEGORICAL) | dict.fromkeys(("age", "pay"), ColumnKind.NUMERIC)
    kinds |= {"since": ColumnKind.DATETIME, "note": ColumnKind.TEXT}
    schema = Schema(tuple(Column(c, kinds[c]) for c in frame), "rich", Task.CLASSIFICATION, ("high", "low"))
    signals, reference = learn(frame, schema, 3)
    reference.save(tmp_path / "reference.npz")
    again = type(reference).load(tmp_path / "reference.npz").place(frame, frame, schema, signals, np.arange(300))
    for part in fields(Signals):
        for one in fields(getattr(signals, part.name)):
            a, b = (getattr(getattr(s, part.name), one.name) for s in (signals, again))
            if isinstance(a, np.ndarray) and a.dtype.kind not in "OU":
                assert np.allclose(a, b, atol=1e-5, equal_nan=True), (part.name, one.name)
            else:
                assert np.array_equal(a, b), (part.name, one.name)


@pytest.mark.parametrize(
    "model",
    [
        HistGradientBoostingClassifier(max_iter=8, early_stopping=False),
        HistGradientBoostingRegressor(max_iter=8, early_stopping=False, loss="absolute_error"),
        DecisionTreeClassifier(max_depth=4),
    ],
)
@pytest.mark.parametrize("classes", [2, 3])
def test_kept_trees_predict_as_scikit_learn_does(model: object, classes: int) -> None:
    r = np.random.default_rng(classes)
    x = r.normal(size=(400, 5))
    if not isinstance(model, DecisionTreeClassifier):
        x[r.random(x.shape) < 0.2] = np.nan
    y = (np.nan_to_num(x).sum(1) > 0).astype(int) + (classes > 2) * (np.nan_to_num(x[:, 0]) > 1)
    fitted = model.fit(x.astype(np.float32), y)
    new = r.normal(size=(60, 5)).astype(np.float32)
    expected = fitted.predict_proba(new) if hasattr(fitted, "predict_proba") else fitted.predict(new)[:, None]
    assert np.allclose(trees_of(fitted).predict(new), expected, atol=1e-12)


@dataclass(frozen=True)
class Inner:
    """For records."""

    values: np.ndarray
    words: tuple[str, ...]


@dataclass(frozen=True)
class Outer:
    """For records."""

    inner: tuple[Inner, ...]
    number: float
    nothing: None = None


def test_records_come_back_whole_and_only_as_what_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "r.npz"
    save_record(Outer((Inner(np.arange(3.0), ("ä", "")),), 0.1), path)
    again = load_record(path, Outer, (Inner,))
    assert again.number == 0.1 and again.inner[0].words == ("ä", "") and again.inner[0].values.tolist() == [0, 1, 2]
    with pytest.raises(RunError, match="damaged"):
        load_record(path, Outer)
    with pytest.raises(RunError, match="something else"):
        load_record(path, Inner, (Outer,))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RunError, match="damaged"):
        load_record(path, Outer, (Inner,))


@pytest.mark.parametrize(("known", "rows"), [(400, 70), (7, 3), (1, 2), (300, 0)])
def test_nearest_rows_are_those_of_a_loop(known: int, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(update_module, "BLOCK", 32)
    rng = np.random.default_rng(0)
    there, new = rng.normal(3, 1, (known, 8)).astype(np.float32), rng.normal(3, 1, (rows, 8)).astype(np.float32)
    new[: rows // 2] = there[rng.integers(0, known, rows // 2)]  # some are rows of the table
    near, weight = nearest_by_embedding(there, new)
    assert near.shape == weight.shape == (rows, min(update_module.NEAREST, known))
    for i, row in enumerate(new.astype(np.float64)):
        distance = np.square(there - row).sum(1)
        assert np.allclose(np.sort(distance[near[i]]), np.sort(distance)[: near.shape[1]])
        assert np.allclose(weight[i], (1 / (distance[near[i]] + 1e-9)) / (1 / (distance[near[i]] + 1e-9)).sum())


# ---- what was decided on the run ---------------------------------------------------------------------------------


def test_rows_to_come_hear_what_was_decided_on_the_run_if_asked(made: Run, tmp_path: Path) -> None:
    rows = written(numbered(made), tmp_path / "again.csv")
    with pytest.raises(InputError, match="one by one"):
        update(made, rows, tmp_path / "early", taught=True)
    log = made.decisions()
    for i, patch in enumerate(made.patches()["patch_id"].head(12)):
        (log.accept if i % 3 else log.reject)([int(patch)], "Ada")
    found = lessons.read_lessons(made)
    again = update(made, rows, tmp_path / "again", taught=True)
    for kind, lesson in found.items():
        heard = again.diagnosis()[kind.probability_column].to_numpy(float)
        assert np.abs(heard - lesson.after).max() < 0.02, "as the run's own rows are moved"
    assert np.abs(again.diagnosis()[P].to_numpy() - made.diagnosis()[P].to_numpy()).max() > 0.02
    verdicts = sum(one.right + one.wrong for one in found.values())
    assert any(f"{verdicts} verdicts" in note for note in again.json("load.json")["notes"])
    x, y = lessons.read_described(made), lessons.read_described(again)
    assert (np.abs(x.astype(int) - y) <= 2).mean() > 0.99
    plain = update(made, rows, tmp_path / "plain")
    assert np.abs(plain.diagnosis()[P].to_numpy() - made.diagnosis()[P].to_numpy()).max() < SAME, "only if asked"
    for event in list(log.events()):
        log.revert(event.seq, "Ada")
    log.close()


def test_taught_needs_a_run_to_hear(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = written(people(10, 1), tmp_path / "new.csv")
    assert main(["diagnose", str(rows), "--target", "rich", "--taught"]) == 2
    assert "--update" in capsys.readouterr().err
