"""Other spellings of frequent values, and cells of number columns that are no numbers: found, explained, mended."""

from __future__ import annotations

import string
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demix_core.benchmark._tables import ASSETS
from demix_core.classifiers.detect import _believe_spelling
from demix_core.columns import to_text
from demix_core.modalities.tabular import infer_schema
from demix_core.pipeline import diagnose
from demix_core.settings import LoadSettings, MapSettings, Settings
from demix_core.signals.base import Signals, compute
from demix_core.signals.oddities import OddityReference, find_oddities
from demix_core.signals.placing import NEW
from demix_core.spelling import SURE, Vocabulary
from demix_core.types import Column, ColumnKind, Schema, Task
from tests import tiny

FREQUENT = {"female": 400, "male": 380, "private sector": 60, "35957": 40, "35958": 40}


def meant(text: str, count: int = 1) -> str | None:
    return Vocabulary({**FREQUENT, text: count}).misspellings().get(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("femlae", "female"), ("Female", "female"), (" female ", "female"), ("FEMALE.", "female"), ("femle", "female"),
        ("mxle", "male"), ("privat sector", "private sector"), ("private-sector", "private sector"),
        ("prixate sectxr", "private sector"), ("3595x", None), ("35959", None), ("other", None), ("", None),
    ],
)  # fmt: skip
def test_a_value_spelt_otherwise_is_known(text: str, wanted: str | None) -> None:
    found = meant(text)
    assert found == wanted or (text == "3595x" and found in ("35957", "35958"))  # a letter for a digit: either


@pytest.mark.parametrize(
    ("usual", "others"),
    [
        (("yes", "no"), {"Y": "yes", "n": "no", "TRUE": "yes", "0": "no", "maybe": None, "m": None, "nope": None}),
        (("Y", "N"), {"yes": "Y", "No": "N", "y": "Y"}), (("1", "0"), {"true": "1", "off": "0", "2": None}),
        (("M", "F"), {"male": "M", "Female": "F", "f": "F", "false": None, "X": None}),
        (("False", "True"), {"F": "False", "yes": "True", "male": None}),
        (("red", "no"), {"Y": None, "n": None}),
    ],
)  # fmt: skip
def test_the_same_answer_in_another_word_is_known(usual: tuple[str, str], others: dict[str, str | None]) -> None:
    known = Vocabulary({usual[0]: 300, usual[1]: 200, "unknown": 60} | dict.fromkeys(others, 4))
    found = known.misspellings()
    assert {text: found.get(text) for text in others} == others
    assert all(known.meant(text, 4) == meant for text, meant in others.items())


def test_an_answer_that_is_as_frequent_is_no_other_spelling() -> None:
    assert Vocabulary({"yes": 300, "no": 200, "y": 150}).misspellings() == {}


DAYS = dict.fromkeys(("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"), 90)


@pytest.mark.parametrize(
    ("known", "others"),
    [
        (DAYS, {"Mon": "Monday", "tue": "Tuesday", "Thurs.": "Thursday", "Sa": None, "Weekend": None}),
        (DAYS, {"Sun.": "Sunday", "Mo.": None}), (DAYS, {"Wed": None}),
        ({"Nigeria": 300, "Ghana": 300}, {"Niger": None}), ({"Nigeria": 300, "Ghana": 300}, {"Nig.": "Nigeria"}),
        ({"Marketing": 90, "Market": 80, "Finance": 90}, {"Mar": None, "Fin": None}),
        ({"Monday": 90, "Tuesday": 90} | {f"day {i}": 1 for i in range(60)}, {"Mon": None, "Tue": None}),
    ],
)  # fmt: skip
def test_words_cut_short_are_known_in_a_closed_list(known: dict[str, int], others: dict[str, str | None]) -> None:
    found = Vocabulary(known | dict.fromkeys(others, 5)).misspellings()
    assert {text: found.get(text) for text in others} == others


def test_what_is_nearly_as_frequent_is_another_value() -> None:
    assert meant("femlae", 21) is None and meant("femlae", 20) == "female"
    assert meant("Female", 134) is None and meant("Female", 133) == "female"


def test_values_that_are_near_each_other_by_nature_are_left_alone() -> None:
    wards = {f"clinic {c}": 40 for c in ("north", "forth", "worth")} | {"clinic borth": 1}
    assert Vocabulary(wards).misspellings() == {}
    grades = {"B": 300, "B-": 40, "A+": 30, "A": 280}
    assert Vocabulary(grades).misspellings() == {}


@pytest.mark.parametrize("name", ["adult", "bank", "credit", "covertype", "bike", "air"])
def test_the_benchmark_tables_as_they_are_hold_no_misspelling(name: str) -> None:
    frame = pd.read_parquet(ASSETS / "benchmark" / f"{name}.parquet")
    schema, _ = infer_schema(frame, LoadSettings(target=str(frame.columns[-1])))
    odd = find_oddities(frame, schema)
    assert not odd.garbled.any() and not odd.label.any()


@given(text=st.sampled_from(sorted(FREQUENT)), data=st.data())
@settings(deadline=None, max_examples=80)
def test_one_other_digit_is_never_called_a_misspelling(text: str, data: st.DataObject) -> None:
    digits = [i for i, c in enumerate(text) if c.isdigit()]
    if not digits:
        return
    at = data.draw(st.sampled_from(digits))
    other = text[:at] + data.draw(st.sampled_from(string.digits)) + text[at + 1 :]
    assert other in FREQUENT or meant(other) is None


@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_a_row_to_come_is_judged_as_one_of_the_table(data: st.DataObject) -> None:
    words = st.sampled_from(["female"] * 30 + ["male"] * 30 + ["femle", "Female", "MALE", "mxle", "other", ""])
    column = np.array(["female"] * 45 + ["male"] * 45 + data.draw(st.lists(words, min_size=4, max_size=12)), object)
    where, value = data.draw(st.integers(NEW, len(column) - 1)), data.draw(words)
    schema = Schema(
        (Column("a", ColumnKind.CATEGORICAL), Column("y", ColumnKind.CATEGORICAL)), "y", Task.CLASSIFICATION, ("u", "v")
    )
    table = column.copy() if where != NEW else np.append(column, value)
    table[where if where != NEW else -1] = value
    slow = find_oddities(pd.DataFrame({"a": table, "y": table}, dtype="str"), schema)
    frame = pd.DataFrame({"a": column, "y": column}, dtype="str")
    old = frame.iloc[[max(where, 0)]]
    to_come = pd.DataFrame({"a": [value], "y": [value]})
    fast = OddityReference.of(frame, schema).place(to_come, old, schema, np.array([where]))
    at = where if where != NEW else -1
    assert fast.garbled[0, 0] == slow.garbled[at, 0] and fast.label[0] == slow.label[at]


def test_what_is_no_number_in_a_column_of_numbers_is_wrong() -> None:
    values = [str(20 + i % 40) for i in range(100)] + ["3x", "", "12 kg"]
    frame = pd.DataFrame({"a": pd.Series(values, dtype="str"), "y": "q"})
    schema = Schema((Column("a", ColumnKind.NUMERIC),), "y", Task.CLASSIFICATION, ("q",))
    garbled = find_oddities(frame, schema).garbled[:, 0]
    assert garbled[100] == garbled[102] == np.float32(SURE) and not garbled[:100].any() and garbled[101] == 0


def test_the_networks_word_stays_as_it_is_where_the_spelling_says_nothing() -> None:
    p = np.random.default_rng(0).random((3, 3), np.float32) * 1e-6
    wrong, garbled = p.copy(), np.zeros((3, 3), np.float32)
    garbled[1, 2] = SURE
    before = p.copy()
    _believe_spelling(p, wrong, garbled, np.array([0, 0, SURE], np.float32))
    assert p[1, 1] >= SURE and wrong[1, 2] >= SURE and (wrong[1, :2] == before[1, :2]).all()
    assert p[2, 0] >= SURE, "a misspelt label is a label error"
    p[1, 1], p[2, 0] = before[1, 1], before[2, 0]
    np.testing.assert_array_equal(p, before)


def test_signals_of_an_earlier_version_name_no_misspelling(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": ["u", "v"] * 40, "b": [str(i) for i in range(80)], "y": ["p", "q"] * 40})
    schema, _ = infer_schema(frame, LoadSettings(target="y"))
    compute(frame, schema, seed=0).save(tmp_path)
    for name in ("garbled", "label"):
        (tmp_path / f"oddities-{name}.npy").unlink()
    odd = Signals.load(tmp_path).oddities
    assert odd.garbled.shape == (80, len(schema.features)) and not odd.garbled.any()
    assert odd.label.shape == (80,) and not odd.label.any()


@pytest.fixture(scope="module")
def messy(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(the run's patches, truth of the messed cells): 600 people, 15 cells typed wrong in four ways."""
    rng = np.random.default_rng(5)
    n = 600
    sex, job = rng.choice(["female", "male"], n), rng.choice(["clerk", "teacher", "engineer"], n)
    age = rng.integers(20, 60, n)
    frame = pd.DataFrame({"sex": sex, "job": job, "age": age.astype(str), "pay": rng.normal(30, 9, n).round(1)})
    frame["rich"] = np.where(age + 8 * (job == "engineer") + rng.normal(0, 6, n) > 42, "yes", "no")
    truth = []
    ways = [("job", typed_twice), ("sex", str.upper), ("age", with_unit), ("rich", str.upper)]
    for row in range(0, 600, 40):
        column, change = ways[row // 40 % 4]
        truth.append((row, column, frame.at[row, column]))
        frame.loc[row, column] = change(frame.at[row, column])
    folder = tmp_path_factory.mktemp("messy")
    frame.to_csv(folder / "people.csv", index=False)
    run = diagnose(
        folder / "people.csv", folder / "run", Settings(load=LoadSettings(target="rich"), map=MapSettings(method="pca"))
    )
    table = pd.DataFrame(truth, columns=["row_id", "column", "true"])
    return run.patches(), table[table["row_id"].isin(run.diagnosis()["row_id"])]


def typed_twice(text: str) -> str:
    return text[:2] + text[1] + text[2:]


def with_unit(text: str) -> str:
    return f"{text} years"


def test_typing_errors_are_flagged_explained_and_mended(messy: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    patches, truth = messy
    found = patches[patches["error_type"] != "spurious"].set_index(["row_id", "column"])
    assert len(truth) >= 8 and set(truth["column"]) == {"job", "sex", "age", "rich"}
    for line in truth.itertuples():
        patch = found.loc[(line.row_id, line.column)]
        assert patch["new"] == line.true and patch["recommended"] and patch["pattern"], patch.to_dict()
        assert "looks like" in patch["reason"] or "is no number, but" in patch["reason"]


def test_a_number_with_a_sign_is_read_wherever_a_plain_one_lies(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    n = 400
    rate = rng.lognormal(-3, 0.6, n).round(3)  # a long tail: many numbers lie far from the bulk
    frame = pd.DataFrame({"rate": rate.astype(str), "size": rng.normal(30, 9, n).round(1)})
    frame["late"] = np.where(rate * 200 + rng.normal(0, 5, n) > 12, "yes", "no")
    true = frame["rate"].copy()
    signed = (np.arange(n) % 3 == 0) & (rate < rate.max()) & (rate > rate.min())
    frame.loc[signed, "rate"] = true[signed] + "%"
    found, rows = tiny.suggested(frame, "rate", "late", tmp_path)
    highest = true[rows[~signed[rows]]].astype(float).max()
    wanted = [row for row in rows[signed[rows]] if float(true[row]) <= highest]
    assert len(wanted) > 80 and found["new"][wanted].tolist() == true[wanted].tolist()


def test_a_decimal_comma_among_points_is_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    n = 400
    size = rng.normal(30, 9, n).round(2)
    frame = pd.DataFrame({"size": [f"{v:.2f}" for v in size], "age": rng.integers(1, 80, n)})
    frame["late"] = np.where(size + rng.normal(0, 3, n) > 30, "yes", "no")
    typed = np.flatnonzero((np.arange(n) % 40 == 7) & (size < size.max()) & (size > size.min()))
    true = frame["size"].copy()
    frame.loc[typed, "size"] = true[typed].str.replace(".", ",")
    found, rows = tiny.suggested(frame, "size", "late", tmp_path)
    wanted = np.intersect1d(rows, typed)
    assert len(wanted) > 5 and found["new"][wanted].tolist() == true[wanted].tolist()
    assert found["recommended"][wanted].all()
    assert set(found["pattern"][wanted]) == {"size: numbers with a decimal comma"}


def test_labels_spelt_otherwise_are_told_when_the_table_is_read() -> None:
    frame = pd.DataFrame({"a": [str(i % 7) for i in range(90)], "y": ["yes", "no"] * 44 + ["YES", "yees"]})
    _, notes = infer_schema(frame, LoadSettings(target="y"))
    (told,) = [note for note in notes if "another spelling" in note]
    assert told.startswith("2 rows have a label in 'y'") and "'YES' of 'yes'" in told and "'yees' of 'yes'" in told
    assert not any("spelling" in note for note in infer_schema(frame[:88], LoadSettings(target="y"))[1])


def test_vocabulary_counts_every_text_once() -> None:
    series = pd.Series(["a", "b", None, "a "], dtype="str")
    assert Vocabulary.of(to_text(series)).counts == {"": 1, "a": 1, "a ": 1, "b": 1}
