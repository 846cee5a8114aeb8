"""Equations between numbers of a row: found up to rounding, not by chance; wrong cells found and named by them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demix_core.benchmark._tables import load
from demix_core.columns import to_numeric, to_text
from demix_core.records import load_record, save_record
from demix_core.signals.base import REFERENCE_PARTS
from demix_core.signals.equations import LINE, PRODUCT, SUM, Equation, Numbers, find_equations
from demix_core.signals.laws import LawReference, find_laws
from demix_core.types import Column, ColumnKind, Schema, Task


def shop(rows: int = 1000, seed: int = 0) -> pd.DataFrame:
    """total = quantity · price, with_tax = 1.2 · total, both as written; paid = cash + card."""
    rng = np.random.default_rng(seed)
    quantity, price = rng.integers(1, 30, rows), rng.uniform(1, 90, rows).round(2)
    cash, card = rng.integers(0, 500, rows), rng.integers(0, 800, rows)
    frame = pd.DataFrame(
        {
            "quantity": quantity, "price": price, "total": (quantity * price).round(2), "cash": cash, "card": card,
            "paid": cash + card, "age": rng.integers(18, 80, rows),
        }
    )  # fmt: skip
    frame.insert(3, "with_tax", (1.2 * frame["total"]).round(2))
    written = frame.astype(object).map(lambda v: f"{v:.2f}" if isinstance(v, float) else str(v))
    return written.astype("str").assign(y=rng.choice(["no", "yes"], rows))


def schema_of(frame: pd.DataFrame) -> Schema:
    columns = tuple(Column(str(c), ColumnKind.NUMERIC) for c in frame.columns[:-1])
    return Schema((*columns, Column("y", ColumnKind.CATEGORICAL)), "y", Task.CLASSIFICATION, ("no", "yes"))


def equations_of(frame: pd.DataFrame) -> dict[str, Equation]:
    """The equations between all columns, by their words."""
    numbers: list[Numbers | None] = [Numbers.of(to_numeric(frame[c]), to_text(frame[c])) for c in frame]
    return {e.words([str(c) for c in frame]): e for e in find_equations(numbers, np.random.default_rng(0))}


def test_equations_are_found_up_to_rounding() -> None:
    found = equations_of(shop().drop(columns="y"))
    assert set(found) == {"total = quantity × price", "with_tax = 1.2 × total", "paid = cash + card"}
    assert {e.kind for e in found.values()} == {LINE, SUM, PRODUCT}
    assert all(e.holds == 1 for e in found.values())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 6), st.sampled_from(["int", "decimal", "float"]))
def test_numbers_of_chance_have_no_equation(seed: int, columns: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(50, 20, (400, columns))
    values = values.round() if kind == "int" else values.round(1) if kind == "decimal" else values
    frame = pd.DataFrame(values, columns=[f"c{j}" for j in range(columns)]).astype(str)
    assert not equations_of(frame)


def test_a_tendency_is_no_equation() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 100, 1000).round(1)
    y = (3 * x + rng.normal(0, 0.5, 1000)).round(1)
    often = np.where(rng.random(1000) < 0.9, 2 * x, x)  # a discount in a tenth of the rows
    assert not equations_of(pd.DataFrame({"x": x, "y": y, "often": often}).astype(str))


@pytest.mark.parametrize(("factor", "shift"), [(1.0, 0.0), (2.54, 0.0), (1.8, 32.0), (-1.0, 2024.0), (0.001, 0.0)])
def test_a_unit_and_another_one(factor: float, shift: float) -> None:
    x = np.random.default_rng(0).uniform(0, 200, 800).round(1)
    frame = pd.DataFrame({"x": x, "y": np.round(factor * x + shift, 4)}).map(lambda v: f"{v:.10g}")
    (found,) = equations_of(frame).values()
    assert found.kind == LINE and found.holds == 1
    mine = [to_numeric(frame[c]) for c in frame.columns[list(found.places)]]
    for place in found.places:
        meant = np.array(found.meant(place, mine), float)
        assert np.allclose(meant, to_numeric(frame.iloc[:, place]), atol=0.06)


def test_wrong_cells_are_found_named_and_told_what_they_should_be(tmp_path: Path) -> None:
    clean = shop()
    frame = clean.copy()
    frame.loc[:9, "total"] = "7"  # breaks two equations: nobody else can be to blame
    frame.loc[20:24, "cash"] = "9999"  # breaks one: cash, card or paid
    frame.loc[30, "price"] = ""
    laws, reference = find_laws(frame, schema_of(frame), 0)
    assert np.flatnonzero(laws.broken).tolist() == [*range(10), *range(20, 25)]
    names = reference.names
    total, cash = names.index("total"), names.index("cash")
    assert (laws.blame[:10].argmax(1) == total).all() and (laws.blame[:10, total] > 0.85).all()
    assert (laws.texts[laws.meant[:10, total]] == clean["total"].to_numpy(str)[:10]).all()
    assert np.allclose(laws.blame[20:25, cash], 1 / 3, atol=0.01)
    assert (laws.texts[laws.meant[20:25, cash]] == clean["cash"].to_numpy(str)[20:25]).all()
    assert "total = quantity × price in 99.1 % of the rows" in laws.said.tolist()
    save_record(reference, tmp_path / "laws.npz")
    again = load_record(tmp_path / "laws.npz", LawReference, REFERENCE_PARTS).place(frame)
    assert np.array_equal(again.blame, laws.blame) and again.said.tolist() == laws.said.tolist()


@pytest.mark.parametrize("name", ["adult", "bank", "credit", "covertype", "bike", "air"])
def test_the_benchmark_tables_have_no_equation(name: str) -> None:
    """What is said of their corrupted rows by laws is said by the other kinds."""
    frame, schema = load(name)
    assert not find_laws(frame, schema, 0)[1].equations
