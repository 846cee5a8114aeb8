"""Schema, split and encoder on small tables made here."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from demix_core.errors import InputError
from demix_core.modalities.tabular import TabularEncoder, infer_schema, load
from demix_core.settings import LoadSettings
from demix_core.types import ColumnKind, Task


def _frame(n: int = 60) -> pd.DataFrame:
    return pd.DataFrame({
        "id": range(n), "x": [str(i % 7) if i else "1e300" for i in range(n)], "c": ["ab?"[i % 3] for i in range(n)],
        "flag": ["yes", "no"] * (n // 2), "t": [f"2020-01-{i % 28 + 1:02d}" for i in range(n)],
        "y": ["p", "q", "q"] * (n // 3),
    }).astype("str")  # fmt: skip


def test_kinds() -> None:
    schema, _ = infer_schema(_frame(), LoadSettings())
    kinds = [c.kind.value for c in schema.columns]
    assert kinds == ["ignore", "numeric", "categorical", "boolean", "datetime", "categorical"]


def test_load_is_seeded_and_stratified(tmp_path: Path) -> None:
    _frame().to_csv(tmp_path / "t.csv", index=False)
    data, again = (load(tmp_path / "t.csv", LoadSettings(), 3)[0] for _ in range(2))
    assert (data.validation_ids == again.validation_ids).all()
    assert data.validation["y"].value_counts().to_dict() == {"q": 8, "p": 4}
    assert not set(data.train_ids) & set(data.validation_ids)


def test_encoder_round_trip_and_wild_cells() -> None:
    frame = _frame()
    schema, _ = infer_schema(frame, LoadSettings())
    encoder = TabularEncoder.fit(frame, schema)
    made = encoder.transform(frame)
    assert made.x.shape == (60, encoder.n_inputs) and np.isfinite(made.x).all() and np.abs(made.x).max() <= 8
    same = TabularEncoder.from_dict(json.loads(json.dumps(encoder.to_dict())))
    assert same == encoder
    with pytest.raises(InputError, match="not in the training"):
        encoder.transform(frame.assign(y="z"))


def test_regression_target_keeps_the_decimals() -> None:
    frame = _frame().assign(y=[f"{i * 1.25:.2f}" for i in range(60)])
    schema, _ = infer_schema(frame, LoadSettings())
    encoder = TabularEncoder.fit(frame, schema)
    assert schema.task is Task.REGRESSION
    assert encoder.target_text((2.5 - encoder.target_mean) / encoder.target_std) == "2.50"


def test_unknown_target_names_close_ones() -> None:
    with pytest.raises(InputError, match="flag"):
        infer_schema(_frame(), LoadSettings(target="flags"))


def _mixed(texts: list[str], n: int = 300) -> pd.DataFrame:
    """A column with these texts by turns, three fifths plain numbers, beside a target."""
    cells = [texts[i % len(texts)] if i % 5 < 2 else f"{i % 7}.5" for i in range(n)]
    return pd.DataFrame({"a": cells, "y": ["p", "q", "q"] * (n // 3)}).astype("str")


@pytest.mark.parametrize(
    "texts", [["3.5%", "4%", "5%"], ["$3.5", "$ 2", "$2.5"], ["2 OZ.", "3 oz", "4.5 Oz"], ["2,5", "3,25", "4,5"]]
)
def test_numbers_of_which_many_bear_a_sign_are_numbers(texts: list[str]) -> None:
    schema, notes = infer_schema(_mixed(texts), LoadSettings(target="y"))
    assert schema.kind("a") is ColumnKind.NUMERIC
    (told,) = [note for note in notes if "'a'" in note]
    assert told.startswith("120 cells") and f"'{texts[0]}'" in told


@pytest.mark.parametrize(
    "texts",
    [["3a", "4a", "5a"], ["1OT"], ["3 days", "2 weeks", "1 days", "4 days"], ["300%", "400%", "500%"], ["low", "high"]],
    ids=["codes", "a value", "two units", "beyond the plain numbers", "words"],
)
def test_numbers_beside_codes_units_or_words_are_categories(texts: list[str]) -> None:
    schema, _ = infer_schema(_mixed(texts), LoadSettings(target="y"))
    assert schema.kind("a") is ColumnKind.CATEGORICAL


@pytest.mark.parametrize("task", ["auto", "regression"])
def test_rows_that_repeat_the_names_of_the_columns_are_told_and_left_out(tmp_path: Path, task: str) -> None:
    frame = _frame().assign(z=[str(i * 1.5) for i in range(60)])
    names = pd.DataFrame([frame.columns], columns=frame.columns)
    joined = pd.concat([frame[:20], names, frame[20:], names], ignore_index=True)
    joined.to_csv(tmp_path / "t.csv", index=False)
    data, notes = load(tmp_path / "t.csv", LoadSettings(target="y" if task == "auto" else "z", task=task), 3)
    schema, _ = infer_schema(frame, LoadSettings(target=data.schema.target, task=task))
    assert data.schema == schema, "as without them"
    assert any("2 rows repeat the names of the columns (row ids 20, 61)" in note for note in notes)
    assert not {20, 61} & {*data.train_ids, *data.validation_ids} and len(data.frame) == 62


def test_a_class_called_like_its_column_is_a_class() -> None:
    frame = _frame().assign(y=["y", "q", "q"] * 20)
    schema, notes = infer_schema(frame, LoadSettings())
    assert schema.classes == ("q", "y") and not any("repeat" in note for note in notes)
