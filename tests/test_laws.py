"""Laws between columns: found where they hold, not where they only tend to; broken ones blame the right cell."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demix_core import reports, work
from demix_core.benchmark._tables import load
from demix_core.classifiers.detect import _believe_laws
from demix_core.explain import Explainer
from demix_core.handout.page import report_html
from demix_core.pipeline import diagnose
from demix_core.planting import split_and_plant
from demix_core.records import load_record, save_record
from demix_core.settings import LoadSettings
from demix_core.signals import laws as module
from demix_core.signals.base import REFERENCE_PARTS, Reference, Signals, learn
from demix_core.signals.dependencies import find_bonds
from demix_core.signals.laws import NONE, SURE, LawReference, Laws, find_laws
from demix_core.signals.one_hot import OneHot, find_groups
from demix_core.store import Run
from demix_core.types import Column, ColumnKind, ErrorType, Schema, Task
from tests import tiny

CITIES = {"10": "Arles", "11": "Brest", "12": "Brest", "13": "Dijon", "14": "Evry", "15": "Foix"}


def schema_of(frame: pd.DataFrame) -> Schema:
    """All features categories; the last column is the target."""
    columns = tuple(Column(str(c), ColumnKind.CATEGORICAL) for c in frame)
    return Schema(columns, str(frame.columns[-1]), Task.CLASSIFICATION, ("no", "yes"))


def places(rows: int, seed: int = 0) -> pd.DataFrame:
    """zip tells city; job tells nothing; mood tends to follow job."""
    rng = np.random.default_rng(seed)
    zips = rng.choice(list(CITIES), rows, p=[0.45, 0.25, 0.15, 0.08, 0.05, 0.02])
    job = rng.choice(["cook", "smith", "clerk", "guard", "nurse"], rows)
    follows = rng.random(rows) < np.where(job == "cook", 0.95, 0.7)
    mood = np.where(follows, np.char.add("m", job), rng.choice(["mcook", "msmith", "mclerk"], rows))
    frame = {
        "zip": zips,
        "city": [CITIES[z] for z in zips],
        "job": job,
        "mood": mood,
        "y": rng.choice(["no", "yes"], rows),
    }
    return pd.DataFrame(frame, dtype="str")


def spoil(frame: pd.DataFrame, column: str, rows: np.ndarray, seed: int = 1) -> pd.DataFrame:
    """Another value of the column in these rows."""
    rng, out = np.random.default_rng(seed), frame.copy()
    values = frame[column].unique()
    cells = out[column].to_numpy(object, copy=True)
    for row in rows:
        cells[row] = rng.choice([v for v in values if v != cells[row]])
    out[column] = cells
    return out


def marks(rows: int, names: list[str], seed: int = 0, none: float = 0.0) -> pd.DataFrame:
    """One of the columns is 1, or, with probability `none`, no one."""
    rng = np.random.default_rng(seed)
    true = rng.choice(len(names), rows, p=np.arange(1, len(names) + 1) / sum(range(1, len(names) + 1)))
    hot = (true[:, None] == np.arange(len(names))) & (rng.random((rows, 1)) >= none)
    frame = pd.DataFrame(np.where(hot, "1", "0"), columns=names, dtype="str")
    return frame.assign(y=rng.choice(["no", "yes"], rows))


# ---- one column told by another --------------------------------------------------------------------------------------


def test_a_clean_law_is_found_and_a_tendency_is_not() -> None:
    frame = places(600)
    laws, reference = find_laws(frame, schema_of(frame), 0)
    assert [(b.first, b.second, len(b.laws)) for b in reference.bonds] == [(0, 1, 1)]  # a city has two zips
    assert dict(zip(reference.bonds[0].laws[0].values, reference.bonds[0].laws[0].tells, strict=True)) == CITIES
    assert (
        not laws.broken.any() and not laws.blame.any() and (laws.because == NONE).all() and (laws.meant == NONE).all()
    )


@pytest.mark.parametrize("share", [0.005, 0.05, 0.25])
@pytest.mark.parametrize("column", ["zip", "city"])
def test_the_spoilt_cell_is_blamed(column: str, share: float) -> None:
    clean = places(2000)
    clean["city"] = clean["city"].where(clean["zip"] != "12", "Caen")  # so that each tells the other
    rows = np.random.default_rng(2).permutation(2000)[: int(2000 * share)]
    laws, reference = find_laws(spoil(clean, column, rows), schema_of(clean), 0)
    assert np.array_equal(np.flatnonzero(laws.broken), np.sort(rows))
    right = laws.blame[rows].argmax(1) == reference.names.index(column)
    assert right.mean() >= (0.75 if share > 0.01 else 0.5)  # of a few broken rows nobody can say who is to blame
    named = rows[right]
    meant = laws.texts[laws.meant[named, reference.names.index(column)]]
    assert (meant == clean[column].to_numpy(str)[named]).all()


def test_a_third_column_tells_who_is_to_blame() -> None:
    clean = places(1500).assign(city=lambda f: f["zip"].map(CITIES).where(f["zip"] != "12", "Caen"))
    clean.insert(2, "phone", clean["zip"].map(lambda z: f"0{z}"))
    rows = np.arange(7)
    laws, _ = find_laws(spoil(clean, "city", rows), schema_of(clean), 0)
    assert (laws.blame[rows].argmax(1) == 1).all() and (laws.blame[rows, 1] > 0.9).all()


@pytest.mark.parametrize("how", ["one value", "as frequent as ever"])
@pytest.mark.parametrize("column", ["zip", "city"])
def test_many_rows_spoilt_by_usual_values_do_not_hide_a_law(column: str, how: str) -> None:
    """Wrong values that are the right ones in some places break a law less often there, as many rows show."""
    clean = places(60_000).assign(city=lambda f: f["zip"].map(CITIES).where(f["zip"] != "12", "Caen"))
    rng, dirty = np.random.default_rng(2), clean.copy()
    rows = rng.permutation(len(clean))[:1_500]
    usual = clean[column].mode()[0] if how == "one value" else rng.permutation(clean[column].to_numpy())[rows]
    dirty.loc[rows, column] = usual
    laws, reference = find_laws(dirty, schema_of(clean), 0)
    wrong = np.flatnonzero(dirty[column] != clean[column])
    assert [(bond.first, bond.second) for bond in reference.bonds] == [(0, 1)]
    assert np.array_equal(np.flatnonzero(laws.broken), wrong)
    if how == "one value":  # else nobody can say which of the two is wrong
        assert (laws.blame[wrong].argmax(1) == reference.names.index(column)).mean() >= 0.9


def test_more_rows_make_no_law_of_a_tendency() -> None:
    frame = places(60_000)
    assert not list(find_bonds([frame[name].to_numpy(object) for name in ("job", "mood")], np.random.default_rng(0)))


def test_where_a_law_is_broken_in_some_places_only_it_is_none_there() -> None:
    """Springfield is in many states: that is no error, while another town in another state is one."""
    rng = np.random.default_rng(0)
    cities = ["Arles", "Brest", "Caen", "Dijon", "Evry", "Foix", "Gap", "Springfield"]
    city = rng.choice(cities, 3000, p=[0.16] * 4 + [0.12, 0.1, 0.1, 0.04])
    state = pd.Series(city).map(dict(zip(cities[:-1], "aabbccd", strict=True)))
    state = state.where(state.notna(), rng.choice(list("abcd"), 3000))
    frame = pd.DataFrame({"city": city, "state": state, "y": rng.choice(["no", "yes"], 3000)}, dtype="str")
    wrong = np.flatnonzero(frame["city"] != "Springfield")[:9]
    laws, _ = find_laws(spoil(frame, "state", wrong), schema_of(frame), 0)
    assert np.array_equal(np.flatnonzero(laws.broken), wrong)


def test_values_that_follow_where_a_law_is_broken_are_no_errors() -> None:
    """Day of year and day of month: in leap years every day has another number, always the same one."""
    rng = np.random.default_rng(0)
    day, leap = rng.integers(60, 100, 4000), rng.random(4000) < 0.2
    frame = pd.DataFrame({"day": day.astype(str), "of_month": ((day - leap) % 31).astype(str)}, dtype="str")
    frame["y"] = rng.choice(["no", "yes"], 4000)
    assert not find_laws(frame, schema_of(frame), 0)[0].broken.any()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 40), st.integers(2, 12))
def test_columns_of_chance_have_no_law(seed: int, first: int, second: int) -> None:
    rng = np.random.default_rng(seed)
    texts = [rng.integers(0, k, 500).astype(str).astype(object) for k in (first, second)]
    assert not list(find_bonds(texts, rng))


def test_missing_cells_break_nothing() -> None:
    frame = places(600)
    frame.loc[:50, "city"] = ""
    frame.loc[40:90, "zip"] = "?"
    assert not find_laws(frame, schema_of(frame), 0)[0].broken.any()


# ---- one of several marked -------------------------------------------------------------------------------------------

NAMES = ["soil_1", "soil_2", "soil_3", "soil_4", "soil_5"]


@pytest.mark.parametrize("names", [NAMES, ["red", "green", "blue", "grey", "pink"]])
def test_two_marks_or_none_are_wrong(names: list[str]) -> None:
    frame = marks(1000, names)
    frame.loc[3, names] = "0"
    extra = next(n for n in names if frame.at[4, n] == "0")
    frame.loc[4, extra] = "1"
    laws, reference = find_laws(frame, schema_of(frame), 0)
    assert [list(g.places) for g in reference.groups] == [[0, 1, 2, 3, 4]] and reference.groups[0].exactly
    assert np.array_equal(np.flatnonzero(laws.broken), [3, 4])
    assert laws.said.tolist() == [f"exactly one of the 5 columns {names[0]} … {names[-1]} is marked in other rows"]


@pytest.mark.parametrize("share", [0.02, 0.25])
def test_the_spoilt_column_is_blamed(share: float) -> None:
    clean = marks(3000, NAMES)
    rows = np.random.default_rng(1).permutation(3000)[: int(3000 * share)]
    frame = clean.copy()
    frame.loc[rows, "soil_2"] = np.where(clean.loc[rows, "soil_2"] == "1", "0", "1")
    laws, _ = find_laws(frame, schema_of(frame), 0)
    assert np.array_equal(np.flatnonzero(laws.broken), np.sort(rows))
    assert (laws.blame[rows].argmax(1) == 1).all()
    assert (laws.texts[laws.meant[rows, 1]] == clean.loc[rows, "soil_2"].to_numpy(str)).all()


def test_a_category_left_out_is_no_error() -> None:
    frame = marks(1000, NAMES, none=0.2)
    frame.loc[5, NAMES[:2]] = "1"
    laws, reference = find_laws(frame, schema_of(frame), 0)
    assert not reference.groups[0].exactly and np.flatnonzero(laws.broken).tolist() == [5]


def test_answers_that_go_together_are_no_group() -> None:
    """Several marks in a third of the rows, in all pairs of columns: people who ticked more than one."""
    rng = np.random.default_rng(0)
    frame = marks(2000, NAMES)
    more = rng.random(2000) < 0.3
    frame.loc[more, NAMES] = np.where(rng.random((more.sum(), 5)) < 0.4, "1", frame.loc[more, NAMES])
    assert not find_laws(frame, schema_of(frame), 0)[1].groups


def test_posterior_is_that_of_the_model() -> None:
    """Brute force over the true category: P(c) · Π P(mark | c), flips independent."""
    rng = np.random.default_rng(0)
    share, flips = rng.dirichlet(np.ones(4)), rng.uniform(0.01, 0.4, 4)
    group = OneHot(True, np.arange(4), np.array(["1"] * 4), np.array(["0"] * 4), share, flips)
    for row in product([False, True], repeat=4):
        marked = np.array(row)
        weight = np.array(
            [share[c] * np.prod(np.where(marked == (np.arange(4) == c), 1 - flips, flips)) for c in range(4)]
        )
        true = weight / weight.sum()
        assert np.allclose(group.wrong(marked[None])[0], np.where(marked, 1 - true, true))


def test_em_finds_the_rates() -> None:
    clean, rng = marks(20_000, NAMES), np.random.default_rng(3)
    rates, frame = [0.0, 0.15, 0.0, 0.002, 0.0], clean.copy()
    for name, rate in zip(NAMES, rates, strict=True):
        flip = rng.random(20_000) < rate
        frame[name] = np.where(flip, np.where(clean[name] == "1", "0", "1"), clean[name])
    (group,) = find_groups(NAMES, [frame[n].to_numpy(object) for n in NAMES])
    assert group.flips.argmax() == 1 and 0.08 < group.flips[1] < 0.15 and np.delete(group.flips, 1).max() < 0.02
    assert np.allclose(group.share, (clean[NAMES] == "1").mean(), atol=0.03)


# ---- together --------------------------------------------------------------------------------------------------------


def test_laws_are_kept_and_say_the_same_of_rows_to_come(tmp_path: Path) -> None:
    frame = spoil(places(800), "city", np.arange(20)).join(marks(800, NAMES)[NAMES])
    frame = frame[[c for c in frame if c != "y"] + ["y"]]
    frame.loc[700, NAMES[:3]] = "1"
    laws, reference = find_laws(frame, schema_of(frame), 0)
    save_record(reference, tmp_path / "laws.npz")
    again = load_record(tmp_path / "laws.npz", LawReference, REFERENCE_PARTS)
    some = np.array([700, 3, 40])
    placed = again.place(frame.iloc[some])
    assert np.array_equal(placed.broken, laws.broken[some]) and np.allclose(placed.blame, laws.blame[some])
    for i, row in enumerate(some):
        texts = [["" if k == NONE else str(of.texts[k]) for k in of.meant[r]] for of, r in ((placed, i), (laws, row))]
        assert texts[0] == texts[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", 90)
        in_blocks = again.place(frame)
    for name, value in vars(laws).items():
        assert np.array_equal(getattr(in_blocks, name), value), name
    unseen = frame.iloc[[0]].assign(zip="99", city="Nowhere")
    assert not again.place(unseen).broken.any()


def test_signals_keep_laws_and_runs_of_before_have_none(tmp_path: Path) -> None:
    frame = spoil(places(400), "city", np.arange(12))
    signals, reference = learn(frame, schema_of(frame), 0)
    assert signals.laws.broken.sum() == 12
    signals.save(tmp_path)
    loaded = Signals.load(tmp_path).laws
    assert all(np.array_equal(getattr(loaded, name), value) for name, value in vars(signals.laws).items())
    for path in tmp_path.glob("laws-*"):
        path.unlink()
    assert not Signals.load(tmp_path).laws.broken.any()
    before = replace(reference, laws=None)
    assert isinstance(before, Reference)
    assert not before.place(frame, frame, schema_of(frame), signals, np.arange(400)).laws.broken.any()


def test_what_laws_say_is_joined_to_what_the_classifier_says() -> None:
    p = np.full((3, 3), 0.2)
    wrong = np.array([[0.1, 0.1, 0.1], [0.6, 0.05, 0.0], [0.3, 0.3, 0.3]])
    laws = replace(
        Laws.none(3, 3), blame=np.array([[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 0]]), broken=np.array([True, True, False])
    )
    _believe_laws(p, wrong, laws.blame, laws.broken)
    k = list(ErrorType).index(ErrorType.FEATURE)
    assert np.allclose(p[:, k], [0.2 + 0.8 * SURE, 0.2 + 0.8 * SURE, 0.2]) and np.allclose(np.delete(p, k, 1), 0.2)
    assert wrong[0, 0] == wrong[0, 1] > 0.5 and wrong[0, 2] == 0.1  # alike, so both as likely
    assert wrong[1, 0] > 0.8 and wrong[1, 1] < 0.3  # the classifier knows whom to blame
    assert np.allclose(wrong[2], 0.3)


@pytest.mark.parametrize("name", ["adult", "bank", "credit", "covertype", "bike", "air"])
def test_no_benchmark_table_breaks_a_law_as_it_is(name: str) -> None:
    frame, schema = load(name)
    assert find_laws(frame, schema, 0)[0].broken.mean() < 0.001


def test_a_flipped_soil_type_is_found() -> None:
    """Covertype, one of 40 soil types flipped in 5 % of the rows: without the law hardly any of these are found."""
    frame, schema = load("covertype")
    planted = split_and_plant(frame, schema, "paper", 0.9, 2029).train
    laws, reference = find_laws(planted.frame, schema, 0)
    wrong = planted.truth["feature_error"].to_numpy(bool)
    assert np.array_equal(laws.broken, wrong)
    assert {reference.names[j] for j in laws.blame[wrong].argmax(1)} == set(planted.truth["columns"][wrong])


def test_a_cell_that_is_neither_mark_nor_blank_is_wrong() -> None:
    frame = marks(1000, NAMES)
    first = frame.index[(frame["soil_1"] == "1").to_numpy()][0]
    frame.loc[first, "soil_1"] = "17"
    frame.loc[first + 1, NAMES] = ["0", "0.5", "0", "1", "0"]
    laws, _ = find_laws(frame, schema_of(frame), 0)
    assert np.flatnonzero(laws.broken).tolist() == [first, first + 1]
    assert laws.blame[first].argmax() == 0 and laws.texts[laws.meant[first, 0]] == "1"
    assert laws.blame[first + 1].argmax() == 1 and laws.texts[laws.meant[first + 1, 1]] == "0"


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, np.ndarray, Run]:
    """(the clean table, rows whose city is another's, a run of the spoilt one)."""
    folder = tmp_path_factory.mktemp("town")
    clean = places(500).assign(age=np.random.default_rng(0).integers(18, 80, 500).astype(str))
    clean["y"] = np.where(clean["age"].astype(int) > 45, "yes", "no")
    clean.insert(0, "phone", clean["zip"].map(lambda z: f"0{z}"))
    wrong = np.arange(0, 500, 31)
    spoil(clean, "city", wrong).to_csv(folder / "town.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "project", tiny.flat_map)
        settings = tiny.settings(tiny.classifier(folder / "dec.safetensors"))
        run = diagnose(folder / "town.csv", folder / "run", replace(settings, load=LoadSettings(target="y")))
    return clean, wrong, run


def test_a_run_flags_explains_and_mends_what_breaks_a_law(town: tuple[pd.DataFrame, np.ndarray, Run]) -> None:
    clean, wrong, run = town
    diagnosis, patches = run.diagnosis(), run.patches()
    wrong = np.intersect1d(wrong, diagnosis["row_id"])
    flagged = diagnosis.loc[diagnosis[ErrorType.FEATURE.value], "row_id"]
    assert set(wrong) <= set(flagged)
    offered = patches[(patches["column"] == "city") & patches["row_id"].isin(wrong)].set_index("row_id")
    assert set(offered.index) == set(wrong)
    assert (offered["new"] == clean["city"].loc[offered.index]).all()
    assert offered["reason"].str.contains("tells city in").all() and (offered["pattern"] != "").all()
    explained = Explainer(run).row(int(wrong[0]))
    assert "tells city in" in explained.why[ErrorType.FEATURE] and explained.suspects[0].column == "city"


def test_broken_laws_are_told_in_summary_report_and_command_line(
    town: tuple[pd.DataFrame, np.ndarray, Run], capsys: pytest.CaptureFixture[str]
) -> None:
    _, wrong, run = town
    told = run.summary()["laws"]
    mine = [one for one in told if one["law"].startswith("zip tells city")]
    assert len(mine) == 1 and mine[0]["rows"] == len(np.intersect1d(wrong, run.diagnosis()["row_id"]))
    assert "zip tells city in" in report_html(run)
    reports.diagnosis(run, [], json_wanted=False)
    assert "Laws between columns that rows break" in capsys.readouterr().out


# ---- cells that are empty --------------------------------------------------------------------------------------------


def test_a_law_says_what_an_empty_cell_should_hold() -> None:
    clean = places(600)
    frame = clean.copy()
    frame.loc[[3, 40], "city"] = ""
    laws, reference = find_laws(frame, schema_of(frame), 0)
    city = reference.names.index("city")
    assert not laws.broken.any() and not laws.blame.any()
    assert laws.texts[laws.meant[[3, 40], city]].tolist() == clean["city"].iloc[[3, 40]].tolist()
    assert laws.words(3, city) == "zip tells city in nearly all rows"
    assert (laws.meant >= 0).sum() == 2


def test_an_empty_cell_of_a_row_to_come_is_told_by_the_table() -> None:
    clean = places(600)
    _, reference = find_laws(clean, schema_of(clean), 0)
    laws = reference.place(clean.iloc[[7]].assign(city="").reset_index(drop=True))
    assert laws.texts[laws.meant[0, reference.names.index("city")]] == clean["city"].iloc[7]


def test_where_many_are_empty_that_is_as_it_should_be() -> None:
    frame = places(600)
    frame.loc[:100, "city"] = ""
    laws, _ = find_laws(frame, schema_of(frame), 0)
    assert (laws.meant == NONE).all() and not laws.broken.any()


def test_an_empty_cell_that_a_law_tells_is_filled_by_it(tmp_path: Path) -> None:
    """Flagged or not is the classifier's word; what it should hold is the law's."""
    clean = places(1500)
    some_empty = clean.assign(city=clean["city"].where(np.arange(1500) % 150 > 0, ""))
    patches, _ = tiny.suggested(some_empty, "city", "y", tmp_path)
    filled = patches[patches["old"] == ""]
    assert len(filled)
    assert (filled["new"] == clean["city"].iloc[filled.index].to_numpy()).all()
    assert set(filled["pattern"]) <= {"city by the law: zip tells city in nearly all rows"}
