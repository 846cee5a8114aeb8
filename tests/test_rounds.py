"""Two runs beside each other: counted by hand, with rows dropped in between."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from demix_core.cli import main
from demix_core.errors import InputError
from demix_core.modalities.base import load
from demix_core.pipeline import diagnose
from demix_core.rounds import compare_runs, origin
from demix_core.settings import LoadSettings, Settings
from demix_core.store import Run
from demix_core.types import DROP_VALUE, ErrorType
from tests import tiny
from tests.dashboard import fake_run

KINDS = [kind.value for kind in ErrorType]


def changed(run: Path, **columns: object) -> None:
    diagnosis = pd.read_parquet(run / "diagnosis.parquet")
    diagnosis.assign(**columns).to_parquet(run / "diagnosis.parquet")


@pytest.fixture
def two(tmp_path: Path) -> tuple[Run, Run]:
    """The same table twice."""
    return tuple(Run(fake_run.make(tmp_path / name, n=200)) for name in ("a", "b"))  # type: ignore[return-value]


def test_what_changed_is_counted_per_type(two: tuple[Run, Run]) -> None:
    a, b = two
    flags = a.diagnosis()["label_error"].to_numpy(bool)
    p = a.diagnosis()["p_label_error"].to_numpy()
    now = flags.copy()
    now[np.flatnonzero(flags)[:2]] = False
    now[np.flatnonzero(~flags)[:3]] = True
    changed(b.path, label_error=now, p_label_error=np.where(flags, p - 0.25, p))
    found = compare_runs(a, b)
    label = found["types"]["label_error"]
    assert (label["no_longer"], label["still"], label["newly"]) == (2, flags.sum() - 2, 3)
    assert label["median_change_of_flagged"] == pytest.approx(-0.25, abs=1e-6) and label["median_change"] == 0
    assert sorted(label["new_rows"]) == [int(i) for i in a.diagnosis()["row_id"].to_numpy()[~flags][:3]]
    spurious = found["types"]["spurious"]
    assert (spurious["no_longer"], spurious["newly"], spurious["median_change"]) == (0, 0, 0)


def test_rows_after_a_dropped_one_are_matched_where_they_moved(two: tuple[Run, Run]) -> None:
    a, b = two
    patch = a.patches().iloc[0]
    with closing(a.decisions()) as log:
        log.edit(int(patch["patch_id"]), DROP_VALUE, "me")
    gone = int(patch["row_id"])
    for name in ("rows.parquet", "diagnosis.parquet"):
        table = pd.read_parquet(b / name)
        table = table[table["row_id"] != gone].reset_index(drop=True)
        table.assign(row_id=table["row_id"] - (table["row_id"] > gone)).to_parquet(b / name)
    found = compare_runs(a, b)
    assert found["dropped"] == 1 and found["rows"] == len(a.diagnosis()) - 1
    assert all(found["types"][k]["newly"] == found["types"][k]["no_longer"] == 0 for k in KINDS)


def test_the_command_prints_a_table_or_json(two: tuple[Run, Run], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(two[0].path), str(two[1].path)]) == 0
    assert "no longer" in capsys.readouterr().out
    assert main(["compare", str(two[0].path), str(two[1].path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["any"]["newly"] == 0


def test_runs_that_do_not_belong_together_are_told(two: tuple[Run, Run], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has 150; compare runs of the same table"):
        compare_runs(two[0], Run(fake_run.make(tmp_path / "short", n=150)))
    schema = two[1].json("schema.json") | {"target": "sex"}
    (two[1] / "schema.json").write_text(json.dumps(schema), encoding="utf-8")
    with pytest.raises(InputError, match="the same target"):
        compare_runs(*two)


def test_the_next_round_is_the_cleaned_table_under_the_same_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demix_core.work.project", tiny.flat_map)
    settings = tiny.settings(tiny.classifier(tmp_path / "dec.safetensors"))
    first = diagnose(tiny.table(tmp_path / "people.csv"), tmp_path / "people", settings)
    assert main(["again", str(first.path)]) == 2, "nothing is accepted yet"
    patches = first.patches()
    cells = patches[patches["action"].isin(["relabel", "impute"]) & (patches["old"] != patches["new"])]
    taken, gone = cells.iloc[0], int(patches[patches["row_id"] != cells.iloc[0]["row_id"]].iloc[0]["patch_id"])
    with closing(first.decisions()) as log:
        log.accept([int(taken["patch_id"])], "me")
        log.edit(gone, DROP_VALUE, "me")
    assert main(["again", str(first.path)]) == 0
    second = Run.open(tmp_path / "people-round-2")
    came = origin(second)
    assert came is not None and (came.before, came.cells, len(came.dropped)) == ("people", 1, 1)
    assert origin(first) is None
    assert Settings.from_dict(second.manifest().settings) == settings
    row = int(taken["row_id"]) - int(came.dropped[0] < taken["row_id"])
    assert len(second.rows()) == len(first.rows()) - 1
    assert second.rows().loc[row, taken["column"]] == taken["new"]
    held = [np.array(r.split().query("part == 'validation'")["row_id"]) for r in (first, second)]
    np.testing.assert_array_equal(held[1], [i - (i > came.dropped[0]) for i in held[0] if i != came.dropped[0]])
    assert compare_runs(first, second)["rows"] == len(second.diagnosis())
    with closing(first.decisions()) as log:  # what is decided later changes nothing in where the second comes from
        log.revert(2, "me")
    assert compare_runs(first, second)["dropped"] == 1


def test_a_split_that_would_leave_a_class_without_training_rows_is_drawn_anew(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": np.arange(40) % 7 + 0.5, "y": ["a"] * 20 + ["b"] * 16 + ["c"] * 4})
    frame.to_csv(tmp_path / "t.csv", index=False)
    for held, same in ((np.arange(10), True), (np.arange(30, 39), False)):
        dataset, notes = load(tmp_path / "t.csv", LoadSettings(), 0, held_out=held)
        assert np.array_equal(dataset.validation_ids, held) is same
        assert any("split anew" in note for note in notes) is not same
        assert set(dataset.train["y"]) == {"a", "b", "c"}
