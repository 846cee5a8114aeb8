"""Cells in another unit than their column: read as what they are in its own, mended together, never just stripped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demix_core.notation import in_another_unit, notation_of
from demix_core.types import Notation
from demix_core.units import UNITS, convert
from tests import tiny

KILOS = Notation(after=" kg")


@pytest.mark.parametrize(
    ("number", "unit", "into", "found"),
    [
        (1, "lb", "kg", 0.45359237), (12, "in", "ft", 1), (1, "mi", "km", 1.609344), (-40, "°F", "°C", -40),
        (300, "K", "°C", 26.85), (90, "min", "hours", 1.5), (1, "gal", "l", 3.785411784), (36, "km/h", "m/s", 10),
        (1, "ha", "m²", 10_000), (1, "Lbs.", "kg", 0.45359237), (12, "ounces", "oz", 12),
    ],
)  # fmt: skip
def test_known_units_are_converted(number: float, unit: str, into: str, found: float) -> None:
    assert convert(number, unit, into) == pytest.approx(found, rel=1e-9)


@pytest.mark.parametrize(
    ("unit", "into"), [("kg", "km"), ("kg", "stars"), ("stars", "kg"), ("", "kg"), ("months", "d")]
)
def test_what_measures_other_things_is_not(unit: str, into: str) -> None:
    assert convert(3, unit, into) is None


@given(st.floats(-1e6, 1e6), st.sampled_from(sorted(UNITS)), st.sampled_from(sorted(UNITS)))
def test_there_and_back_is_the_same_number(number: float, unit: str, into: str) -> None:
    there = convert(number, unit, into)
    assert (there is None) == (UNITS[unit].quantity != UNITS[into].quantity)
    if there is not None:
        back = convert(there, into, unit)
        assert back == pytest.approx(number, rel=1e-6, abs=1e-12 * UNITS[into].factor / UNITS[unit].factor + 1e-9)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("154 lb", (69.85322498, "lb")), ("154lbs.", (69.85322498, "lbs")), ("1.200 g", (1.2e-3, "g")),
        ("12 kilos", (12, "kilos")), ("70 kg", None), ("70", None), ("70 stars", None), ("tall", None), ("", None),
    ],
)  # fmt: skip
def test_a_cell_in_another_unit(text: str, found: tuple[float, str] | None) -> None:
    read = in_another_unit(text, KILOS)
    assert (read is None) == (found is None)
    if read is not None and found is not None:
        assert read[0] == pytest.approx(found[0]) and read[1] == found[1]


def test_numbers_are_read_as_the_column_writes_them() -> None:
    comma = Notation(after=" kg", thousands=".", decimal=",")
    assert in_another_unit("1.200,5 g", comma) == (pytest.approx(1.2005), "g")
    assert in_another_unit("154 lb", Notation(before="$")) is None


def test_a_column_in_two_units_is_one_of_numbers_in_the_more_frequent_one() -> None:
    weights = [f"{v / 10:.1f} kg" for v in range(550, 900)] + [f"{v}.5 lb" for v in range(120, 220)]
    assert notation_of(pd.Series(weights, dtype=object)) == (KILOS,)
    sizes = [f"{v / 10:.1f} kg" for v in range(550, 900)] + [f"{v}.5 km" for v in range(120, 220)]
    assert notation_of(pd.Series(sizes, dtype=object)) == ()


@pytest.fixture
def patients() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    weight, age = rng.normal(62, 15, 900).round(1).clip(30, 110), rng.integers(18, 80, 900)
    risk = (age + weight + rng.normal(0, 20, 900) > 115).astype(int)
    return pd.DataFrame({"age": age, "weight": [f"{w} kg" for w in weight], "risk": np.where(risk, "high", "low")})


def test_pounds_among_kilos_are_one_suggestion_and_none_is_taken_for_kilos(
    patients: pd.DataFrame, tmp_path: Path
) -> None:
    """96 lb lies among the weights in kg, where it is none: it was once mended by taking the unit away."""
    clean, rows = patients["weight"].str.removesuffix(" kg").astype(float), np.arange(7, 900, 30)
    cells = patients["weight"].to_numpy(object, copy=True)
    for row in rows:
        cells[row] = f"{clean[row] / 0.45359237:.1f} lb"
    patches, seen = tiny.suggested(patients.assign(weight=cells), "weight", "risk", tmp_path)
    wrong = [row for row in rows if row in set(seen.tolist())]
    assert {"weight: numbers in lb"} == set(patches.loc[wrong, "pattern"])
    assert np.allclose(patches.loc[wrong, "new"].astype(float), clean[wrong], atol=0.051)
    assert patches.loc[wrong, "recommended"].all()
    assert patches.loc[wrong[0], "reason"].startswith(f"weight = {cells[wrong[0]]}: {cells[wrong[0]]} is ")


@pytest.mark.parametrize("unit", ["jin", "€"])
def test_a_unit_that_nobody_knows_is_not_taken_away(unit: str, patients: pd.DataFrame, tmp_path: Path) -> None:
    cells = patients["weight"].to_numpy(object, copy=True)
    cells[::45] = [f"{c.removesuffix(' kg')} {unit}" for c in cells[::45]]
    patches, _ = tiny.suggested(patients.assign(weight=cells), "weight", "risk", tmp_path)
    odd = patches[patches["old"].str.endswith(unit)]
    assert len(odd) and not odd["pattern"].str.contains("sign or unit").any()
