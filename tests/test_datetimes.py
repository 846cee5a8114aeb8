"""Times in another format than their column's are read by the others, and written like it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demix_core.datetimes import meant, times_of
from demix_core.modalities.tabular import infer_schema
from demix_core.settings import LoadSettings
from demix_core.types import ColumnKind
from tests import tiny

LAYOUTS = ["%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%d/%m/%Y", "%d.%m.%Y %H:%M", "%b %d, %Y", "%Y/%m/%d"]


def days(n: int, layout: str, seed: int = 0) -> list[str]:
    when = pd.Timestamp("2021-01-01") + pd.to_timedelta(np.random.default_rng(seed).permutation(700)[:n], "D")
    return [w.strftime(layout) for w in when]


def column(texts: list[str]) -> pd.Series:
    return pd.Series(texts, dtype="str")


@pytest.mark.parametrize(
    ("layout", "odd", "wanted"),
    [
        ("%Y-%m-%d", "25/04/2021", "2021-04-25"), ("%Y-%m-%d", "25.04.2021", "2021-04-25"),
        ("%d/%m/%Y", "04/25/2021", "25/04/2021"), ("%m/%d/%Y", "2021-04-25", "04/25/2021"),
        ("%Y-%m-%d %H:%M:%S", "25 Apr 2021 10:30", "2021-04-25 10:30:00"), ("%Y-%m-%d", "Apr 25, 2021", "2021-04-25"),
        ("%Y-%m-%d", "44311", "2021-04-25"), ("%Y-%m-%d %H:%M:%S", "44311.4375", "2021-04-25 10:30:00"),
        ("%d/%m/%Y", "1619308800", "25/04/2021"), ("%Y-%m-%d", "1619308800000", "2021-04-25"),
        ("%Y-%m-%d", "25-Apr-21", "2021-04-25"), ("%d-%b-%Y", "April 25, 2021", "25-Apr-2021"),
    ],
)  # fmt: skip
def test_a_time_written_otherwise_is_read(layout: str, odd: str, wanted: str) -> None:
    times = times_of(column([*days(60, layout), odd]))
    assert times is not None and meant([odd], times) == {odd: wanted}


def test_days_and_months_of_one_digit_are_written_so() -> None:
    texts = [f"{d}/{m}/2021" for d in range(1, 28, 3) for m in range(1, 13)]
    times = times_of(column([*texts, "2021-04-05"]))
    assert times is not None and meant(["2021-04-05"], times) == {"2021-04-05": "5/4/2021"}


def test_what_can_be_read_in_two_ways_is_left() -> None:
    known = days(60, "%Y-%m-%d")
    times = times_of(column([*known, "03/04/2021"]))
    assert times is not None and not meant(["03/04/2021"], times)
    told = times_of(column([*known, "03/04/2021", "25/04/2021"]))
    assert told is not None  # the other one is of no 25th month
    assert meant(["03/04/2021"], told) == {"03/04/2021": "2021-04-03"}


def test_cells_written_in_several_other_ways_are_all_read() -> None:
    odd = [*days(15, "%d/%m/%Y", 1), *days(9, "%b %d, %Y", 2)]
    times = times_of(column([*days(60, "%Y-%m-%d"), *odd]))
    assert times is not None and len(meant(odd, times)) == len(set(odd))


def test_days_first_beside_months_first_say_nothing_of_what_may_be_either() -> None:
    odd = ["25/04/2021", "26/04/2021", "04/25/2021", "03/04/2021", "04/04/2021"]
    times = times_of(column([*days(60, "%Y-%m-%d"), *odd]))
    assert times is not None
    assert meant(odd, times) == {odd[0]: "2021-04-25", odd[1]: "2021-04-26", odd[2]: "2021-04-25", odd[4]: "2021-04-04"}


@pytest.mark.parametrize("layout", ["%d-%b-%Y", "%d-%b-%y", "%B %d, %Y", "%d %B %Y", "%d/%m/%y", "%B %Y"])
def test_a_column_of_such_times_is_one(layout: str) -> None:
    schema, _ = infer_schema(
        pd.DataFrame({"when": days(300, layout), "size": np.arange(300.0), "y": ["a", "b"] * 150}),
        LoadSettings(target="y"),
    )
    assert schema.columns[0].kind is ColumnKind.DATETIME


@pytest.mark.parametrize(
    "odd", ["25/04/1921", "soon", "", "2021-13-45", "2021", "43311", "4431", "161930880", "44311 ab"]
)
def test_no_time_of_the_column_is_left(odd: str) -> None:
    times = times_of(column([*days(60, "%Y-%m-%d"), "25/04/2021", odd]))
    assert times is not None and not meant([odd], times)


def test_a_time_written_like_the_others_means_itself() -> None:
    times = times_of(column([*days(60, "%d/%m/%Y"), "2021-04-25", "04/25/2021"]))
    assert times is not None and not meant(["03/04/2021"], times)


@pytest.mark.parametrize("texts", [days(60, "%Y-%m-%d"), ["a", "b", "25/04/2021"], [], ["", "?"]])
def test_a_column_without_such_cells_has_none(texts: list[str]) -> None:
    assert times_of(column(texts)) is None


@given(st.sampled_from(LAYOUTS), st.sampled_from(LAYOUTS), st.integers(0, 50))
def test_any_two_layouts(own: str, other: str, seed: int) -> None:
    texts, odd = days(40, own, seed), days(6, other, seed + 100)
    times = times_of(column([*texts, *odd]))
    for text, found in (meant(odd, times) if times is not None else {}).items():
        assert found == pd.to_datetime(text, format=other).strftime(own)


def sent(share: float) -> tuple[pd.DataFrame, pd.Series, np.ndarray]:
    """A table with dates of which a share is written otherwise, the dates as they should be, where they are not."""
    rng = np.random.default_rng(4)
    n = 400
    when = pd.Timestamp("2021-01-01") + pd.to_timedelta(rng.integers(0, 700, n), "D")
    true = pd.Series(when.strftime("%Y-%m-%d"))
    weight = rng.normal(20, 5, n).round(1)
    late = np.where(weight + (when.month > 6) * 6 + rng.normal(0, 2, n) > 23, "yes", "no")
    frame = pd.DataFrame({"sent": true, "weight": weight, "late": late})
    odd = np.flatnonzero(rng.random(n) < share)
    frame.loc[odd, "sent"] = [when[i].strftime("%d/%m/%Y") for i in odd]
    return frame, true, odd


@pytest.mark.parametrize("share", [0.03, 0.2])
def test_they_are_found_and_mended_as_one(tmp_path: Path, share: float) -> None:
    frame, true, odd = sent(share)
    schema, notes = infer_schema(frame, LoadSettings(target="late"))
    assert schema.kind("sent") is ColumnKind.DATETIME
    assert any("written unlike the others" in note for note in notes) == (share > 0.05)
    found, rows = tiny.suggested(frame, "sent", "late", tmp_path)
    wanted = np.intersect1d(rows, odd)
    assert len(wanted) > 5 and found["new"][wanted].tolist() == true[wanted].tolist()
    assert found["recommended"][wanted].all() and set(found["pattern"][wanted]) == {"sent: times written otherwise"}
    assert "written unlike the other times" in found["reason"][wanted[0]]
