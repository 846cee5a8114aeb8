"""Copies of rows: told of, with the labels that contradict each other, and of held-out rows that the model has seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from demix_core.benchmark._tables import load as load_benchmark
from demix_core.modalities.base import load
from demix_core.modalities.duplicates import coded, row_keys, unlikely_alike
from demix_core.settings import LoadSettings
from tests import tiny


def table(rows: int = 400, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = {"weight": rng.normal(70, 12, rows).round(3), "height": rng.normal(170, 9, rows).round(3)}
    return pd.DataFrame(frame | {"job": rng.choice(["cook", "smith"], rows), "rich": rng.choice(["no", "yes"], rows)})


def notes(tmp_path: Path, train: pd.DataFrame, held: pd.DataFrame | None = None) -> list[str]:
    """What is said of copies, the frames in files of their own."""
    train.to_csv(tmp_path / "train.csv", index=False)
    (table(90, seed=9) if held is None else held).to_csv(tmp_path / "held.csv", index=False)
    _, said = load(tmp_path / "train.csv", LoadSettings(target="rich"), 0, tmp_path / "held.csv")
    return [note for note in said if "copies" in note]


def test_nothing_is_said_where_there_is_none(tmp_path: Path) -> None:
    assert notes(tmp_path, table()) == []


def test_copies_and_their_contradictions_are_told_of(tmp_path: Path) -> None:
    frame = table()
    again = frame.iloc[[3, 7, 7, 20]].copy()
    assert notes(tmp_path, pd.concat([frame, again])) == ["4 training rows are copies of others, cell for cell."]
    other = {"no": "yes", "yes": "no"}
    again["rich"] = [other[r] if i != 7 else r for i, r in again["rich"].items()]
    (said,) = notes(tmp_path, pd.concat([frame, again]))
    assert said.endswith("; 4 rows contradict their copies about 'rich', such as rows 3 and 400.")


def test_held_out_rows_that_the_model_has_seen_are_told_of(tmp_path: Path) -> None:
    frame = table()
    (said,) = notes(tmp_path, frame, pd.concat([table(50, seed=5), frame.iloc[:6]]))
    assert said.startswith("6 of the 56 validation rows are copies of training rows")


@pytest.mark.parametrize("columns", [["job"], ["job", "town"]])
def test_rows_of_a_coarse_table_are_alike_by_chance(columns: list[str], tmp_path: Path) -> None:
    frame = table().assign(town=np.random.default_rng(1).choice(["a", "b", "c"], 400))[[*columns, "rich"]]
    assert notes(tmp_path, frame, frame.iloc[:50]) == []


def test_what_is_known_of_adult() -> None:
    """52 of the 48,842 rows are copies of others, 57 if the label is left out."""
    frame, schema = load_benchmark("adult")
    codes = coded([frame], schema)
    assert unlikely_alike(codes).mean() > 0.999
    features = frame[[c.name for c in schema.features]]
    assert (
        pd.Series(row_keys(codes)).duplicated().sum()
        == features.duplicated().sum()
        == 57
        == frame.duplicated().sum() + 5
    )


def test_a_run_says_so(tmp_path: Path) -> None:
    path = tiny.table(tmp_path / "t.csv")
    sizes = np.random.default_rng(0).normal(0, 1, (2, 240))
    frame = pd.read_csv(path).assign(long=sizes[0], wide=sizes[1])
    pd.concat([frame, frame.iloc[:30]]).to_csv(path, index=False)
    _, said = load(path, LoadSettings(target="income"), 0)
    assert any("training rows are copies of others" in note for note in said)
    assert any("validation rows are copies of training rows" in note for note in said)
