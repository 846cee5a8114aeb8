"""Planted errors are where the truth says, nowhere else, and come from the seed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demix_core.columns import to_numeric, to_text
from demix_core.corruption import PROTOCOLS, inject, inject_all
from demix_core.corruption.base import Condition, Rule, keep_minority, write_cells
from demix_core.corruption.paper import MINORITY_SHARE, published_rule
from demix_core.corruption.synthetic import TARGET, draw_table
from demix_core.types import Column, ColumnKind, Schema, Task


def table(seed: int = 0, rows: int = 600, regression: bool = False) -> tuple[pd.DataFrame, Schema]:
    return draw_table(rows, np.random.default_rng(seed), regression)


def as_text(frame: pd.DataFrame) -> pd.DataFrame:
    """Cells as they look, numbers by their value: 17.0 becomes 17 in a column that gets its first gap."""
    return pd.DataFrame(
        {c: to_text(frame[c].astype(float) if pd.api.types.is_numeric_dtype(frame[c]) else frame[c]) for c in frame}
    ).map(lambda t: t.removesuffix(".0"))


def kept_rows(before: pd.DataFrame, after: pd.DataFrame, key: str) -> np.ndarray:
    position = {v: i for i, v in enumerate(to_text(before[key]))}
    return np.array([position[v] for v in to_text(after[key])])


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
@pytest.mark.parametrize("regression", [False, True])
def test_truth_names_exactly_the_changed_cells(protocol: str, regression: bool) -> None:
    frame, schema = table(3, regression=regression)
    frame.insert(0, "key", np.arange(len(frame)))
    dirty = inject(frame, schema, protocol, None, seed=5)
    origin = frame.iloc[dirty.frame["key"].to_numpy()].reset_index(drop=True)
    truth = dirty.truth
    for column in schema.features:
        changed = (as_text(origin)[column.name] != as_text(dirty.frame)[column.name]).to_numpy()
        named = truth["columns"].str.split("|").apply(lambda names, c=column.name: c in names).to_numpy()
        assert not (changed & ~named).any()
    relabelled = (as_text(origin)[TARGET] != as_text(dirty.frame)[TARGET]).to_numpy()
    assert (relabelled == truth["label_error"].to_numpy()).mean() > 0.995
    assert not (relabelled & ~truth["label_error"].to_numpy()).any()


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_same_seed_same_errors_and_input_untouched(protocol: str) -> None:
    frame, schema = table(1)
    before = frame.copy(deep=True)
    one, two = (inject(frame, schema, protocol, 0.7, seed=9) for _ in range(2))
    other = inject(frame, schema, protocol, 0.7, seed=10)
    pd.testing.assert_frame_equal(one.frame, two.frame)
    pd.testing.assert_frame_equal(frame, before)
    assert not one.truth.equals(other.truth)


@given(alpha=st.sampled_from([0.5, 0.7, 0.9]), seed=st.integers(0, 50))
@settings(max_examples=10, deadline=None)
def test_paper_shares(alpha: float, seed: int) -> None:
    frame, schema = table(seed)
    truth = inject(frame, schema, "paper", alpha, seed).truth
    n, share = len(truth), (1 - alpha) / 2
    assert truth["label_error"].sum() == int(n * share)
    assert truth["feature_error"].sum() == int(n * share)
    assert not (truth["label_error"] & truth["feature_error"]).any()
    assert truth["spurious"].mean() == pytest.approx(MINORITY_SHARE, abs=0.02)


def test_regression_labels_move_a_quarter_of_the_range() -> None:
    frame, schema = table(2, regression=True)
    frame["key"] = np.arange(len(frame))
    dirty = inject(frame, schema, "paper", 0.5, seed=1)
    clean = frame[TARGET].to_numpy()[dirty.frame["key"]]
    wrong = dirty.truth["label_error"].to_numpy()
    low, high = clean.min(), clean.max()
    moved = np.abs(dirty.frame[TARGET].to_numpy() - clean)
    assert (moved[~wrong] == 0).all()
    assert np.median(moved[wrong]) >= 0.25 * (high - low) * 0.99
    assert dirty.frame[TARGET].between(low - 1e-9, high + 1e-9).all()


def test_both_parts_share_the_plan() -> None:
    frame, schema = table(4, rows=800)
    a, b = inject_all(
        [frame.iloc[:500].reset_index(drop=True), frame.iloc[500:].reset_index(drop=True)], schema, "paper", 0.5, 3
    )
    assert set(a.truth["columns"]) == set(b.truth["columns"])


def test_text_columns_keep_their_form() -> None:
    frame = pd.DataFrame({"a": [f"{i}.50" for i in range(200)], "b": ["x", "y"] * 100, "y": ["p", "q"] * 100})
    kinds = (Column("a", ColumnKind.NUMERIC), Column("b", ColumnKind.CATEGORICAL), Column("y", ColumnKind.CATEGORICAL))
    schema = Schema(kinds, "y", Task.CLASSIFICATION, ("p", "q"))
    dirty = inject(frame, schema, "paper", 0.5, seed=2).frame
    assert all(len(v.partition(".")[2]) == 2 for v in dirty["a"])
    assert np.isfinite(to_numeric(dirty["a"])).all()


def test_published_rule_is_seed_modulo_count() -> None:
    frame = pd.DataFrame({c: ["a"] for c in ("sex", "race", "occupation", "workclass", "income")})
    schema = Schema(
        tuple(Column(c, ColumnKind.CATEGORICAL) for c in frame), "income", Task.CLASSIFICATION, ("<=50K", ">50K")
    )
    rules = [published_rule(frame, schema, s) for s in range(5)]
    assert rules[0] == rules[4] != rules[1]
    assert [c.column for c in rules[0].conditions] == ["sex", "race"]
    assert published_rule(frame.drop(columns="race"), schema, 0) is None


def test_minority_share_is_kept_by_dropping_rows() -> None:
    frame = pd.DataFrame({"a": ["u", "v"] * 500, "y": ["p"] * 500 + ["q"] * 500})
    rule = Rule((Condition("a", values=("u",)),), Condition("y", values=("p",)))
    kept, spurious = keep_minority(frame, rule, 0.15, np.random.default_rng(0))
    assert spurious.mean() == pytest.approx(0.15, abs=0.01)
    assert (rule.minority(frame)[kept] == spurious).all()


def test_synthetic_tables_are_usable_and_varied() -> None:
    shapes = set()
    for seed in range(12):
        frame, schema = table(seed, rows=300, regression=seed % 4 == 0)
        assert len(schema.features) >= 4 and frame[TARGET].notna().all()
        if schema.classes:
            assert frame[TARGET].value_counts().min() >= 2
            assert set(schema.classes) == set(frame[TARGET])
        shapes.add((frame.shape[1], len(schema.classes)))
    assert len(shapes) > 6


@pytest.mark.parametrize("protocol", ["paper", "broad", "wide"])
def test_columns_of_true_and_false_can_be_corrupted(protocol: str) -> None:
    """A parquet file's booleans stay booleans unless a wrong cell is none, and a target of them is flipped."""
    rng = np.random.default_rng(3)
    columns = {name: rng.random(300) < 0.4 for name in ("owner", "member", "target")}
    frame = pd.DataFrame({"age": rng.normal(40, 9, 300), **columns})
    kinds = {"age": ColumnKind.NUMERIC, "owner": ColumnKind.BOOLEAN, "member": ColumnKind.BOOLEAN}
    schema = Schema(
        columns=(*(Column(n, k) for n, k in kinds.items()), Column("target", ColumnKind.BOOLEAN)),
        target="target", task=Task.CLASSIFICATION, classes=("False", "True"),
    )  # fmt: skip
    for seed in range(12):
        dirty = inject(frame, schema, protocol, 0.6, seed)
        flipped = dirty.truth["label_error"].to_numpy(bool)
        was, now = frame["target"].to_numpy()[dirty.kept], dirty.frame["target"].to_numpy()
        cells = {c: to_text(dirty.frame[c]) for c in ("owner", "member")}
        for c, texts in cells.items():
            changed = texts != to_text(frame[c])[dirty.kept]
            named = dirty.truth["columns"].str.split("|").apply(lambda names, c=c: c in names).to_numpy()
            assert (changed == named).all()
        assert flipped.any() and (was[flipped] != now[flipped]).all() and (was[~flipped] == now[~flipped]).all()


def test_a_number_can_change_places_with_a_text() -> None:
    """Categories written as numbers or as true and false, in a group of columns with texts: broad swaps them."""
    frame = pd.DataFrame({"hand": ["left", "right"] * 4, "code": np.arange(8), "owner": [True, False] * 4})
    for column in ("code", "owner"):
        write_cells(frame, np.array([1, 2]), column, np.array(["right", "left"], object))
    assert to_text(frame["code"]).tolist() == ["0", "right", "left", "3", "4", "5", "6", "7"]
    assert to_text(frame["owner"]).tolist()[:4] == ["True", "right", "left", "False"]
