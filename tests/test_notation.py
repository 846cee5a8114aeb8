"""Columns that write their numbers otherwise than plain: read when loaded, written so again when exported."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demix_core import work
from demix_core.drift import drift
from demix_core.exporting import export
from demix_core.modalities.tabular import infer_schema, plain_frame, written_frame
from demix_core.notation import (
    STYLES,
    as_written,
    find_notations,
    notation_of,
    plain,
    read_number,
    signed_number,
    write_number,
)
from demix_core.pipeline import diagnose
from demix_core.planting import plant
from demix_core.settings import LoadSettings
from demix_core.store import Run
from demix_core.types import Notation, Task
from demix_core.update import update
from tests import tiny

MONEY = Notation("$", grouped=True)


def cells(*texts: str) -> pd.Series:
    return pd.Series(texts, dtype="str")


@pytest.mark.parametrize(
    ("texts", "found", "numbers"),
    [
        (["$1,200.00", "$950.50", "-$7.25"], MONEY, ["1200.00", "950.50", "-7.25"]),
        (["1,200", "950", "12,345"], Notation(grouped=True), ["1200", "950", "12345"]),
        (["1.200,5", "950,25", "7"], Notation(thousands=".", decimal=",", grouped=True), ["1200.5", "950.25", "7"]),
        (["12,5", "0,125", "7,0"], Notation(thousands=".", decimal=","), ["12.5", "0.125", "7.0"]),
        (["1 200 €", "950 €", "12 000 €"], Notation(after=" €", thousands=" ", decimal=",", grouped=True),
         ["1200", "950", "12000"]),
        (["5%", "7.5 %", "12%", "8"], Notation(after="%"), ["5", "7.5", "12", "8"]),
        (["12 oz", "16 OZ.", "8.4 oz", "n/a"], Notation(after=" oz"), ["12", "16", "8.4", "n/a"]),
        (["USD 5", "USD 1,000", "USD 70"], Notation("USD ", grouped=True), ["5", "1000", "70"]),
        (["90 km/h", "120 km/h", "50 km/h"], Notation(after=" km/h"), ["90", "120", "50"]),
        (["$1,200", "($950)", "$(7)", "$70", "$ -", "$8"], Notation("$", grouped=True, brackets=True),
         ["1200", "-950", "-7", "70", "0", "8"]),
        (["1'200.5", "950", "7"], Notation(thousands="'", grouped=True), ["1200.5", "950", "7"]),
    ],
)  # fmt: skip
def test_a_notation_is_found_and_read(texts: list[str], found: Notation, numbers: list[str]) -> None:
    series = cells(*texts)
    assert notation_of(series) == (found,)
    assert plain(series, found).tolist() == numbers


@pytest.mark.parametrize(
    "texts",
    [
        ["1.5", "2", "1.234"], ["B7", "B8", "B9"], ["12a", "13a", "14a"], ["36 months", "60 months"],
        ["5%", "7 kg", "8 l"], ["2024-01-05", "2024-02-05", "2024-03-05"], ["10:30", "11:20", "09:15"],
        ["01.02.2024", "11.02.2024", "21.02.2024"], ["red", "green", "blue"], ["", "", ""], ["1-5", "6-10", "11-15"],
        ["1st", "2nd", "3rd"], ["(3)", "(12)", "(7)", "5"], ["192.168.0.1", "10.0.0.7", "10.0.0.8"],
    ],
)  # fmt: skip
def test_these_have_none(texts: list[str]) -> None:
    assert notation_of(cells(*texts)) == ()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0.05%", ("0.05", "%")), (" $1,200.50 ", ("1200.50", "$")), ("12.0 OZ.", ("12.0", "oz")),
        ("-3 years", ("-3", "years")), ("0.052000000000000005%", ("0.052", "%")), ("7", ("7", "")),
        ("1,200", ("1200", "")), ("12 oz tall", None), ("B7", None), ("1.2.3", None), ("", None),
    ],
)  # fmt: skip
def test_a_number_and_the_sign_beside_it(text: str, found: tuple[str, str] | None) -> None:
    assert signed_number(text) == found


def test_a_column_that_can_be_read_in_two_ways_is_read_as_the_others() -> None:
    open_column = cells("1,234", "2,345", "7,500")
    assert len(notation_of(open_column)) == 2
    table = pd.DataFrame({"a": open_column})
    assert plain(table["a"], find_notations(table)["a"]).tolist() == ["1234", "2345", "7500"]
    table["b"] = cells("0,5", "12,25", "7,0")
    assert plain(table["a"], find_notations(table)["a"]).tolist() == ["1.234", "2.345", "7.500"]


def test_few_cells_that_are_no_numbers_stay_as_they_are() -> None:
    series = pd.Series([f"${v:,}" for v in range(900, 1100)] + ["free", None], dtype=object)
    (found,) = notation_of(series)
    assert plain(series, found).tolist()[-3:-1] == ["1099", "free"]
    assert plain(series, found).isna().tolist()[-1]


def test_a_long_sorted_column_is_looked_at_all_over() -> None:
    prices = pd.Series([f"{v // 2:,}" for v in range(90_000)], dtype="str")
    assert notation_of(prices) == (Notation(grouped=True),)


@given(
    st.integers(-(10**9), 10**9), st.integers(0, 4), st.sampled_from(STYLES), st.sampled_from(["", "$", "USD "]),
    st.sampled_from(["", "%", " kg", " km/h"]), st.booleans(), st.booleans(),
)  # fmt: skip
def test_what_is_written_is_read_again(
    value: int, decimals: int, style: tuple[str, str], before: str, after: str, grouped: bool, brackets: bool
) -> None:
    notation = Notation(before, after, *style, grouped, brackets)
    number = f"{value / 10**decimals:.{decimals}f}"
    assert read_number(write_number(number, notation), notation) == number


@given(
    st.lists(st.integers(-(10**7), 10**7), min_size=4, max_size=30, unique=True), st.integers(1, 2),
    st.sampled_from(STYLES), st.sampled_from(["", "$", "USD "]), st.sampled_from(["", "%", " kg"]), st.booleans(),
)  # fmt: skip
def test_a_column_written_in_any_notation_is_found_and_read(
    values: list[int], decimals: int, style: tuple[str, str], before: str, after: str, grouped: bool
) -> None:
    notation = Notation(before, after, *style, grouped)
    numbers = cells(*(f"{v / 10**decimals:.{decimals}f}" for v in values))
    table = pd.DataFrame({"a": as_written(numbers, notation)})
    found = find_notations(table).get("a")
    assert (found is None) == table["a"].equals(numbers)  # plain ones have none
    assert plain(table["a"], found).tolist() == numbers.tolist()
    assert as_written(plain(table["a"], found), found).equals(table["a"])


def test_every_distinct_text_is_written_as_the_column_does() -> None:
    series = cells("1200", "free", "", "7.5", "1200")
    assert as_written(series, MONEY).tolist() == ["$1,200", "free", "", "$7.5", "$1,200"]
    assert np.array_equal(as_written(series, None), series)


FORMS = {"pay": Notation("$", grouped=True), "rate": Notation(after=" %", thousands=".", decimal=",")}


def people(written: bool, n: int = 240) -> pd.DataFrame:
    """A label, and two columns of numbers with some wrong cells: as plain numbers, or each in a notation."""
    r = np.random.default_rng(3)
    pay = r.uniform(500, 9000, n).round(2)
    rate = r.uniform(1, 20, n).round(1)
    pay[r.random(n) < 0.05] *= 100
    rich = (pay > 4000) ^ (r.random(n) < 0.08)
    frame = pd.DataFrame({"pay": [f"{v:.2f}" for v in pay], "job": r.choice(["smith", "clerk"], n),
                          "rate": [f"{v:.1f}" for v in rate], "rich": np.where(rich, "yes", "no")})  # fmt: skip
    return frame.assign(**{c: as_written(frame[c], form) for c, form in FORMS.items()}) if written else frame


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """Of the same table: plain, and with the columns in their notations."""
    folder = tmp_path_factory.mktemp("notation")
    settings = tiny.settings(tiny.classifier(folder / "dec.safetensors"))
    made = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "project", tiny.flat_map)
        for name, written in (("plain", False), ("written", True)):
            people(written).to_csv(folder / f"{name}.csv", index=False)
            made.append(diagnose(folder / f"{name}.csv", folder / name, settings))
    return made[0], made[1]


def test_a_table_in_a_notation_gives_the_same_run_as_one_of_plain_numbers(runs: tuple[Run, Run]) -> None:
    first, second = runs
    assert {c.name: c.notation for c in second.schema().columns if c.notation} == FORMS
    pd.testing.assert_frame_equal(first.rows(), second.rows())
    pd.testing.assert_frame_equal(first.diagnosis(), second.diagnosis())
    pd.testing.assert_frame_equal(first.patches(), second.patches())
    told = " ".join(second.json("load.json")["notes"])
    assert "'pay'" in told and "$" in told and "'rate'" in told


def test_repairs_are_written_as_their_column_is_and_nothing_else_changes(runs: tuple[Run, Run], tmp_path: Path) -> None:
    patches = runs[1].patches()
    cells = patches[(patches["action"] == "impute") & patches["column"].isin(list(FORMS)) & (patches["new"] != "")]
    assert len(cells) > 3
    export(runs[1], tmp_path / "out.csv", accept="feature", min_confidence=0.0)
    before, after = people(True), pd.read_csv(tmp_path / "out.csv", dtype=str)
    plain_after = after.assign(**{c: plain(after[c], form) for c, form in FORMS.items()})
    changed = pd.read_csv(tmp_path / "out.changes.csv", dtype=str)
    export(runs[0], tmp_path / "plain.csv", accept="feature", min_confidence=0.0)
    pd.testing.assert_frame_equal(plain_after, pd.read_csv(tmp_path / "plain.csv", dtype=str))
    for line in changed[changed["column"].isin(list(FORMS))].to_dict("records"):
        row, column = int(line["row_id"]), line["column"]
        assert before.loc[row, column] == line["old"]
        assert after.loc[row, column] == line["new"]
        assert line["new"].startswith("$") if column == "pay" else line["new"].endswith(" %")


def test_new_rows_and_batches_are_read_as_the_run_reads_its_table(runs: tuple[Run, Run], tmp_path: Path) -> None:
    found = []
    for run, written in zip(runs, (False, True), strict=True):
        people(written)[:1].to_csv(tmp_path / f"{written}.csv", index=False)
        people(written)[:60].to_csv(tmp_path / f"batch {written}.csv", index=False)
        update(run, tmp_path / f"{written}.csv", tmp_path / f"new {written}")
        compared = drift(run, tmp_path / f"batch {written}.csv")
        found.append((Run.open(tmp_path / f"new {written}").diagnosis(), compared["columns"]))
    pd.testing.assert_frame_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


def test_planted_errors_are_written_as_the_column_is(tmp_path: Path) -> None:
    for name, written in (("plain.csv", False), ("written.csv", True)):
        people(written).to_csv(tmp_path / name, index=False)
        plant(tmp_path / name, tmp_path / f"dirty {name}", LoadSettings(), "broad", 0.8, 0)
    dirty = pd.read_csv(tmp_path / "dirty written.csv", dtype=str)
    known = pd.read_csv(tmp_path / "dirty plain.csv", dtype=str)
    pd.testing.assert_frame_equal(dirty.assign(**{c: plain(dirty[c], form) for c, form in FORMS.items()}), known)
    assert dirty["pay"].str.startswith("$").mean() > 0.8


def test_a_target_in_a_notation_is_a_number_and_classes_keep_their_names() -> None:
    prices = pd.DataFrame({"size": [f"{v % 9}" for v in range(50)], "price": [f"${v:,}" for v in range(900, 1150, 5)]})
    schema, _ = infer_schema(prices, LoadSettings(target="price"))
    assert (schema.task, schema.columns[1].notation) == (Task.REGRESSION, MONEY)
    bands = prices.assign(price=["5%", "10%", "15%", "20%", "25%"] * 10)
    schema, _ = infer_schema(bands, LoadSettings(target="price"))
    assert (schema.classes, schema.columns[1].notation) == (("10%", "15%", "20%", "25%", "5%"), None)


def test_a_kind_set_by_hand_wins() -> None:
    table = people(True)
    schema, _ = infer_schema(table, LoadSettings(target="rich", kinds={"pay": "categorical"}))
    assert [c.notation for c in schema.columns] == [None, None, FORMS["rate"], None]
    read = plain_frame(table, schema)
    assert read["pay"].equals(table["pay"]) and written_frame(read, schema).equals(table)
