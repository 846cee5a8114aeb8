"""Orders of two columns: found where one quantity is read twice and rows end at the edge; broken ones are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demix_core.records import load_record, save_record
from demix_core.signals.base import REFERENCE_PARTS
from demix_core.signals.laws import LawReference, Laws, find_laws
from demix_core.signals.orders import Order, Scale, Writing, find_orders
from demix_core.types import Column, ColumnKind, Schema, Task
from tests import tiny

ROWS = 1_200
DAY = pd.Timedelta(days=1)


def stays(seed: int = 0, form: str = "%Y-%m-%d") -> tuple[pd.DataFrame, Schema]:
    """Days of arrival and departure, the lowest and highest temperature between them, guests and meals."""
    rng = np.random.default_rng(seed)
    start = pd.Timestamp("2019-01-01") + pd.to_timedelta(rng.integers(0, 900, ROWS), unit="D")
    end = start + pd.to_timedelta(rng.integers(0, 30, ROWS), unit="D")
    low, guests = rng.normal(12, 6, ROWS), rng.integers(1, 9, ROWS)
    frame = {
        "start": start.strftime(form), "end": end.strftime(form),
        "coldest": [f"{t:.1f}" for t in low], "warmest": [f"{t:.1f}" for t in low + rng.gamma(2, 2, ROWS)],
        "guests": guests.astype(str), "meals": (guests * rng.integers(5, 60, ROWS)).astype(str),
        "y": rng.choice(["no", "yes"], ROWS),
    }  # fmt: skip
    times, numbers = ("start", "end"), ("coldest", "warmest", "guests", "meals")
    columns = [Column(n, ColumnKind.DATETIME) for n in times] + [Column(n, ColumnKind.NUMERIC) for n in numbers]
    schema = Schema((*columns, Column("y", ColumnKind.CATEGORICAL)), "y", Task.CLASSIFICATION, ("no", "yes"))
    return pd.DataFrame(frame, dtype="str"), schema


def years_too_early(frame: pd.DataFrame, rows: np.ndarray, form: str = "%Y-%m-%d") -> pd.DataFrame:
    """The end of these rows, some years before."""
    out = frame.copy()
    out.loc[rows, "end"] = (pd.to_datetime(frame.loc[rows, "end"], format=form) - 1200 * DAY).dt.strftime(form)
    return out


def found_in(frame: pd.DataFrame, schema: Schema) -> tuple[Laws, LawReference, list[str]]:
    laws, reference = find_laws(frame, schema, 0)
    return laws, reference, [order.words(reference.names) for order in reference.orders]


def test_two_readings_of_one_quantity_have_an_order_and_two_quantities_have_none() -> None:
    frame, schema = stays()
    laws, _, said = found_in(frame, schema)
    assert said == ["start ≤ end", "coldest ≤ warmest"], "guests are never more than meals, but no law says so"
    assert not laws.broken.any()


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%d/%m/%Y"])
@pytest.mark.parametrize("count", [1, 12, 50])
def test_rows_that_break_one_are_named_and_told_what_they_should_hold(form: str, count: int) -> None:
    clean, schema = stays(form=form)
    rows = np.sort(np.random.default_rng(3).permutation(ROWS)[:count])
    laws, _, said = found_in(years_too_early(clean, rows, form), schema)
    assert "start ≤ end" in said and np.array_equal(np.flatnonzero(laws.broken), rows)
    assert np.allclose(laws.blame[rows][:, :2], 0.5), "one of both; which one others must tell"
    meant = laws.texts[laws.meant[rows, 1]]
    off = pd.to_datetime(pd.Series(meant), format=form) - pd.to_datetime(clean["end"].iloc[rows], format=form).array
    assert (off.abs() <= 30 * DAY).all()
    assert laws.words(int(rows[0]), 1).startswith("start ≤ end in ")


def test_two_readings_that_are_equal_but_for_a_little_either_way_have_no_order() -> None:
    """As of houses: the floor above and the cellar are mostly of one size, some cellars are a little larger."""
    frame, schema = stays()
    rng = np.random.default_rng(6)
    low = frame["coldest"].astype(float)
    above = np.where(rng.random(ROWS) < 0.5, 0.0, rng.exponential(2.0, ROWS))
    more = rng.random(ROWS) < 0.03
    frame["warmest"] = (low + np.where(more, -0.3 - rng.exponential(1.0, ROWS), above)).map("{:.1f}".format)
    *_, said = found_in(frame, schema)
    assert said == ["start ≤ end"]


def test_numbers_are_written_as_their_column_is() -> None:
    frame, schema = stays()
    frame.loc[5, "warmest"] = "-40.5"
    laws, *_ = found_in(frame, schema)
    assert np.flatnonzero(laws.broken).tolist() == [5]
    meant = laws.texts[laws.meant[5, 3]]
    assert meant == f"{float(meant):.1f}" and float(frame.loc[5, "coldest"]) < float(meant)


def scales(*columns: np.ndarray) -> list[Scale | None]:
    return [Scale(values, Writing(3)) for values in columns]


@pytest.mark.parametrize("apart", [1.0, 2.0, 2.5, 3.0])
def test_what_is_mostly_smaller_is_not_always_smaller(apart: float) -> None:
    """Few rows break the tendency, and most of them lie near its edge, as more rows do just inside."""
    rng = np.random.default_rng(1)
    first = rng.normal(0, 4, 5_000)
    second = first + apart + rng.normal(0, 1, 5_000)
    assert (first > second).any()
    assert not list(find_orders(scales(first, second), (), rng))


def test_two_columns_that_are_mostly_alike_have_no_order() -> None:
    rng = np.random.default_rng(1)
    first = rng.normal(0, 4, 2_000)
    second = np.where(rng.random(2_000) < 0.02, first + 3, first)
    assert not list(find_orders(scales(first, second), (), rng))


def test_times_are_not_compared_with_numbers() -> None:
    rng = np.random.default_rng(1)
    first = rng.normal(0, 4, 2_000)
    second = Scale(first + rng.gamma(2, 1, 2_000), Writing(times=True, form="ISO8601"))
    assert not list(find_orders([Scale(first, Writing()), second, None], (), rng))


@given(st.integers(0, 2**16), st.integers(0, 40))
def test_an_order_is_broken_where_the_smaller_one_is_larger(seed: int, wrong: int) -> None:
    rng = np.random.default_rng(seed)
    low = rng.normal(0, 10, 1_000)
    high = low + rng.gamma(2, 2, 1_000)
    rows = rng.permutation(1_000)[:wrong]
    high[rows] -= rng.uniform(20, 60, wrong)
    high[rng.permutation(1_000)[:50]] = np.nan
    for order in find_orders(scales(low, high), (), rng):
        kept, broken = order.judge([low, high])
        known = np.isfinite(high)
        assert order.places == (0, 1) and order.holds == pytest.approx(kept.sum() / known.sum())
        assert np.array_equal(broken, known & (low > high)) and np.array_equal(kept, known & (low <= high))


def test_rows_to_come_are_held_against_the_orders_of_the_table(tmp_path: Path) -> None:
    frame, schema = stays()
    _, reference, _ = found_in(frame, schema)
    save_record(reference, tmp_path / "laws.npz")
    again = load_record(tmp_path / "laws.npz", LawReference, REFERENCE_PARTS)
    assert again == reference
    new = years_too_early(frame.iloc[:20].reset_index(drop=True), np.array([3, 11]))
    laws = again.place(new)
    assert np.flatnonzero(laws.broken).tolist() == [3, 11] and (laws.meant[[3, 11], 1] >= 0).all()


def test_an_end_before_its_start_is_one_suggestion_for_all(tmp_path: Path) -> None:
    """The dates of departure are the strange ones, so that these are mended; each then lies after its arrival."""
    clean, _ = stays()
    rows = np.random.default_rng(4).permutation(ROWS)[:24]
    patches, seen = tiny.suggested(years_too_early(clean, rows), "end", "y", tmp_path)
    wrong = sorted(set(rows.tolist()) & set(seen.tolist()))
    mended = patches[patches["pattern"].str.startswith("end against the law: start ≤ end in ")]
    assert sorted(mended.index) == wrong and mended["pattern"].nunique() == 1
    assert (mended["new"] >= clean["start"].iloc[mended.index].to_numpy()).all()
    assert mended["recommended"].mean() >= 0.8


def test_a_day_that_there_is_not_is_told_by_the_other_one() -> None:
    frame, schema = stays()
    frame.loc[[2, 9], "end"] = ["2019-02-31", ""]
    laws, reference, _ = found_in(frame, schema)
    meant = pd.to_datetime(pd.Series(laws.texts[laws.meant[[2, 9], 1]]))
    assert not laws.broken.any() and (meant > pd.to_datetime(frame["start"].iloc[[2, 9]]).array).all()
    days = reference.orders[0].slack / 86_400
    assert laws.words(2, 1) == f"start ≤ end in nearly all rows, usually {days:.3g} days apart"


@pytest.mark.parametrize(
    ("slack", "times", "said"),
    [
        (0.0, False, ""), (2.5, False, ", usually 2.5 apart"), (86_400.0, True, ", usually 1 day apart"),
        (5_400.0, True, ", usually 1.5 hours apart"), (90.0, True, ", usually 1.5 minutes apart"),
        (1.0, True, ", usually 1 second apart"), (0.5, True, ", usually 0.5 seconds apart"),
    ],
)  # fmt: skip
def test_how_far_apart_both_usually_are(slack: float, times: bool, said: str) -> None:
    both = (Writing(times=times), Writing(times=times))
    assert Order((0, 1), slack, tells=True, writings=both, by_chance=-0.5).usually() == said
    assert Order((0, 1), slack, tells=False, writings=both, by_chance=-0.5).usually() == ""
