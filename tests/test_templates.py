"""Codes that are written unlike the others of their column: found where nearly all share a template, and mended."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demix_core.modalities.tabular import infer_schema
from demix_core.records import load_record, save_record
from demix_core.repairs.base import LEARNED_PARTS
from demix_core.settings import LoadSettings
from demix_core.signals.oddities import OddityReference
from demix_core.signals.placing import NEW
from demix_core.templates import OFTEN, Template, odd_texts, template_of
from demix_core.types import Column, ColumnKind, Schema, Task
from tests import tiny

CODES = [f"AB-{i:05d}" for i in range(0, 4000, 7)]
ZIPS = [f"{i:05d}" for i in range(501, 60_000, 97)]


def once(texts: list[str]) -> dict[str, int]:
    return dict.fromkeys(texts, 1)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("AB03756", "AB-03756"), ("AB 03756", "AB-03756"), ("AB--03756", "AB-03756"), ("ab-03756", "AB-03756"),
        ("AB-0375", None), ("A-03756", None), ("03756", None), ("none", None), ("AB-03756-2", None),
        (" AB-03756", None),
    ],
)  # fmt: skip
def test_a_code_that_breaks_the_template(wrong: str, meant: str | None) -> None:
    template = template_of(once([*CODES, wrong]))
    assert template is not None and template.case == "upper" and template.length == 8
    if wrong == " AB-03756":  # blanks around are not the template's business
        assert not template.breaks(wrong)
        return
    assert odd_texts(once([*CODES, wrong]), template) == {wrong}
    assert template.mended(wrong) == meant


def test_numbers_that_begin_with_zeros_are_codes_and_shorter_ones_have_lost_theirs() -> None:
    template = template_of(once([*ZIPS, "1234"]), numbers=True)
    assert template is not None and template.zeros
    assert odd_texts(once([*ZIPS, "1234", "12.5", ""]), template) == {"1234"}
    assert template.mended("1234") == "01234" and template.mended("12.5") is None


@pytest.mark.parametrize(
    "texts",
    [
        ["Ann Smith", "Bob Jones", "Cy O'Neil"], ["red", "green", "blue-ish"], ["A1", "B22-7", "c/9"],
        [f"{i}-{i + 4}" for i in range(0, 90, 5)],
    ],
)  # fmt: skip
def test_names_and_what_is_written_in_many_ways_have_none(texts: list[str]) -> None:
    rng = np.random.default_rng(0)
    many = [t + " " * int(i) for i, t in enumerate(rng.choice(texts, 300))]
    assert template_of(pd.Series([t.strip() for t in many]).value_counts().to_dict()) is None


def test_plain_numbers_have_none_even_beside_a_zero() -> None:
    assert template_of(once([str(i) for i in range(100, 999)]), numbers=True) is None
    placeholder = once([str(i) for i in range(100, 999)]) | {"000": 40, "00": 3}
    assert template_of(placeholder, numbers=True) is None


def test_a_value_of_many_rows_is_one_of_the_column() -> None:
    counts = once(CODES) | {"unknown": OFTEN, "unkn": OFTEN - 1}
    assert odd_texts(counts, template_of(counts)) == {"unkn"}


@given(st.lists(st.integers(0, 99_999), min_size=120, max_size=200, unique=True), st.sampled_from(["-", "/", " ", ":"]))
def test_codes_that_keep_to_it_are_never_named(numbers: list[int], sign: str) -> None:
    codes = once([f"X{n % 10}{sign}{n:05d}" for n in numbers])
    template = template_of(codes)
    assert template is not None and not odd_texts(codes, template)
    assert all(template.mended(code.replace(sign, "")) == code for code in codes)


def test_a_template_is_kept_with_what_was_learned(tmp_path: Path) -> None:
    template = template_of(once(CODES))
    assert template is not None
    save_record(template, tmp_path / "t.npz")
    assert load_record(tmp_path / "t.npz", Template, LEARNED_PARTS) == template


def test_a_row_to_come_is_held_against_the_template_of_the_table() -> None:
    frame = pd.DataFrame({"code": CODES, "y": np.resize(["no", "yes"], len(CODES))}, dtype="str")
    columns = (Column("code", ColumnKind.TEXT), Column("y", ColumnKind.CATEGORICAL))
    schema = Schema(columns, "y", Task.CLASSIFICATION, ("no", "yes"))
    new = pd.DataFrame({"code": ["AB-00001", "AB00001"], "y": ["no", "no"]}, dtype="str")
    found = OddityReference.of(frame, schema).place(new, new, schema, np.array([NEW, NEW]))
    assert (found.garbled[:, 0] > 0).tolist() == [False, True]


# ---- in a run --------------------------------------------------------------------------------------------------------


@pytest.fixture
def orders() -> pd.DataFrame:
    """Codes and zips that come back, so that none of both is an identifier."""
    rng = np.random.default_rng(0)
    code, zips, age = rng.choice(CODES[:400], 1_500), rng.choice(ZIPS, 1_500), rng.integers(18, 80, 1_500)
    late = age + rng.normal(0, 15, 1_500) > 50
    return pd.DataFrame({"code": code, "zip": zips, "age": age, "late": np.where(late, "yes", "no")})


def test_lost_zeros_and_dashes_are_one_suggestion_each(orders: pd.DataFrame, tmp_path: Path) -> None:
    dirty = orders.copy()
    short = dirty.index[dirty["zip"].str.startswith("0")][:20]
    dirty.loc[short, "zip"] = dirty.loc[short, "zip"].str.removeprefix("0")
    dirty.loc[700:720:2, "code"] = dirty.loc[700:720:2, "code"].str.replace("-", "")
    for column, rows, pattern in (
        ("zip", short, "leading zeros lost"),
        ("code", range(700, 721, 2), "codes written otherwise"),
    ):
        patches, seen = tiny.suggested(dirty, column, "late", tmp_path)
        mended = patches[patches["pattern"] == f"{column}: {pattern}"]
        assert sorted(mended.index) == sorted(set(rows) & set(seen.tolist()))
        assert (mended["new"] == orders.loc[mended.index, column]).all() and mended["recommended"].all()
        assert "the other cells suggest ''" not in " ".join(mended["reason"])


def test_a_code_that_nobody_can_tell_may_be_emptied(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    code, age = rng.choice([f"AB-{i:05d}" for i in range(1_500)], 2_600), rng.integers(18, 80, 2_600)
    frame = pd.DataFrame({"code": code, "age": age, "late": np.where(age + rng.normal(0, 15, 2_600) > 50, "yes", "no")})
    frame.loc[[5, 6, 7, 8], "code"] = ["5?", "lost", "AB-", "\ufffdB-00001"]
    patches, seen = tiny.suggested(frame, "code", "late", tmp_path)
    assert sorted(patches.index) == sorted({5, 6, 7, 8} & set(seen.tolist()))
    assert (patches["new"] == "").all() and not patches["recommended"].any()
    why = {row: reason.partition(": ")[2] for row, reason in patches["reason"].items()}
    assert set(why.values()) <= {
        "it is written unlike the other cells of its column.", "letters of it were lost when it was read.",
    }  # fmt: skip


def test_identifiers_that_are_written_unlike_the_others_are_told_of() -> None:
    ages = np.random.default_rng(0).integers(18, 80, len(CODES) + 1)
    frame = pd.DataFrame({"id": [*CODES, "AB00001"], "age": ages, "y": np.where(ages > 50, "yes", "no")})
    for some, told in ((frame, True), (frame.iloc[:-1], False)):
        _, notes = infer_schema(some, LoadSettings(target="y"))
        assert any("1 of them are written unlike the others ('AB00001')" in note for note in notes) == told
