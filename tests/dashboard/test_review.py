"""The review's arithmetic against slow, obvious twins; ids stay with their rows whatever is filtered or sorted."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import cards, components, inspector, palette, review
from dashboard.review import Book
from dashboard.state import STATES, Filters
from demix_core.decisions import PatchState
from demix_core.sift import Condition
from demix_core.store import Run
from demix_core.types import Column, ColumnKind, DecisionKind, ErrorType, Schema
from tests.dashboard import fake_run


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Book:
    run = Run(fake_run.make(tmp_path_factory.mktemp("review") / "run", n=600))
    rows = run.diagnosis()
    shuffled = rows.sample(frac=1, random_state=3).reset_index(drop=True)  # row ids that are no positions
    return Book("fake", 1, run.schema(), run.rows(), shuffled, run.patches())


@pytest.fixture(scope="module")
def codes(book: Book) -> np.ndarray:
    kinds = (DecisionKind.ACCEPT, DecisionKind.EDIT, DecisionKind.REJECT)
    replayed = {int(p): PatchState(kinds[i % 3], None, i) for i, p in enumerate(book.patches["patch_id"][::2])}
    return review.state_codes(book, replayed)


def test_states_are_those_of_the_log(book: Book, codes: np.ndarray) -> None:
    expected = ["accepted", "edited", "rejected"]
    for i, code in enumerate(codes):
        assert STATES[code] == (expected[(i // 2) % 3] if i % 2 == 0 else "open")


def test_a_row_is_open_while_any_of_its_suggestions_is(book: Book, codes: np.ndarray) -> None:
    states = review.row_states(book, codes)
    for at, row_id in enumerate(book.row_ids):
        mine = codes[(book.patches["row_id"] == row_id).to_numpy()]
        assert states[at] == (0 if not len(mine) else 1 if (mine == 0).any() else mine.min() + 1)


FILTERS = [
    Filters(),
    Filters(types=(ErrorType.LABEL,)),
    Filters(states=("accepted", "rejected")),
    Filters(least=0.8),
    Filters(classes=(">50K",), states=STATES),
    Filters(columns=("hours",), states=STATES),
    Filters(search="masters"),
    Filters(search="7"),
    Filters(where=(Condition("age", (), 30, 45), Condition("sex", ("Male",)))),
    Filters(where=(Condition("hours", (), None, 41.5),), states=STATES),
    Filters(reviewers=("ann",), states=STATES),
]


def met(row: pd.Series, condition: Condition) -> bool:
    """The slow twin of Condition.holds for one row."""
    if condition.values:
        return str(row[condition.column]) in condition.values
    number = float(row[condition.column])
    return (condition.low is None or number >= condition.low) and (condition.high is None or number <= condition.high)


@pytest.mark.parametrize("filters", FILTERS, ids=str)
@pytest.mark.parametrize("chosen", [None, np.arange(0, 400, 3)], ids=["all", "lasso"])
def test_the_queue_is_what_a_loop_would_find(
    book: Book, codes: np.ndarray, filters: Filters, chosen: np.ndarray | None
) -> None:
    found = []
    deciders = {int(p): ("ann", "bob")[int(p) % 2] for p in book.patches["patch_id"][codes > 0]}
    for i, patch in enumerate(book.patches.to_dict("records")):
        cells = [str(v) for v in book.rows.loc[patch["row_id"]]]
        line = "\x1f".join(cells).lower()
        if (
            ErrorType(patch["error_type"]) in filters.types
            and STATES[codes[i]] in filters.states
            and patch["confidence"] >= filters.least
            and (not filters.columns or patch["column"] in filters.columns)
            and (not filters.classes or book.rows.at[patch["row_id"], fake_run.TARGET] in filters.classes)
            and (not filters.search or filters.search in line or str(patch["row_id"]) == filters.search)
            and (chosen is None or patch["row_id"] in chosen)
            and all(met(book.rows.loc[patch["row_id"]], c) for c in filters.where)
            and (not filters.reviewers or deciders.get(patch["patch_id"]) in filters.reviewers)
        ):
            found.append(i)
    assert review.passing(book, codes, filters, chosen, deciders).tolist() == found


@pytest.mark.parametrize("by", review.SORTS)
@pytest.mark.parametrize("ascending", [True, False])
def test_sorting_keeps_every_position_once(book: Book, codes: np.ndarray, by: str, ascending: bool) -> None:
    positions = np.arange(0, len(book.patches), 2)
    taught = np.random.default_rng(0).random(len(book.patches))
    order = review.ordered(book, codes, positions, by, ascending, taught)
    assert sorted(order) == positions.tolist()
    if by == "taught":
        assert (np.diff(taught[order]) * (1 if ascending else -1) >= 0).all()
    if by == "confidence":
        values = book.patches["confidence"].to_numpy()[order]
        assert (np.diff(values) * (1 if ascending else -1) >= 0).all()
    if by == "uncertainty":
        doubt = -np.abs(book.patches["confidence"].to_numpy()[order] - 0.5)
        assert (np.diff(doubt) * (1 if ascending else -1) >= -1e-12).all(), "nearest to a half is most uncertain"


def test_lines_speak_of_their_own_row(book: Book, codes: np.ndarray) -> None:
    order = review.ordered(book, codes, np.arange(len(book.patches)), "confidence", False)
    by_id = book.patches.set_index("patch_id")
    for line in review.lines(book, codes, order):
        assert line["row"] == by_id.at[line["id"], "row_id"]
        assert line["state"] == STATES[codes[book.patch_at[line["id"]]]]


def test_marks_carry_type_decision_and_filter(book: Book, codes: np.ndarray) -> None:
    states = review.row_states(book, codes)
    visible = review.visible_rows(book, codes, Filters(types=(ErrorType.FEATURE,)))
    marks = review.marks(book, states, visible)
    for at, row in enumerate(book.diagnosis.to_dict("records")):
        flags = [row[t.value] for t in ErrorType]
        assert marks[at] & 7 == (4 if sum(flags) > 1 else sum(f * (k + 1) for k, f in enumerate(flags)))
        assert [bool(marks[at] & bit) for bit in review.TYPE_BITS] == flags
        assert bool(marks[at] & review.DECIDED_BIT) == (states[at] > 1)
        assert bool(marks[at] & review.FILTERED_BIT) == (not row["feature_error"])


def test_a_faint_flag_is_a_dot_that_says_so_and_counts_as_none_beside_a_sure_one(book: Book) -> None:
    found = book.diagnosis.assign(**{name: False for name in (t.value for t in ErrorType)})
    for at, (label, spurious) in {3: (0.0, 0.2), 4: (0.9, 0.2), 5: (0.9, 0.8)}.items():
        found.loc[at, ["label_error", "p_label_error", "spurious", "p_spurious"]] = [label > 0, label, True, spurious]
    own = Book("own", 2, book.schema, book.rows, found, book.patches)
    assert own.type_codes[3:6].tolist() == [5, 1, 4] and not own.type_codes[6:].any()
    marks = review.marks(own, np.zeros(len(found), np.uint8), np.ones(len(found), bool))
    assert (marks[3:6] & 7).tolist() == [0, 1, 4] and (marks[3:6] & 128).all()
    legend = review.colouring(own, np.zeros(0), "Error type").legend
    assert legend[5]["name"] == "Faint" and "one third" in legend[5]["said"]
    assert own.faint(ErrorType.SPURIOUS) == (2, 3) and own.faint(ErrorType.LABEL) == (0, 2)


@pytest.mark.parametrize("by", ["Error type", "Confidence", "Label", "Decision", "Column: age", "Column: education"])
def test_every_colouring_has_a_colour_for_every_row(book: Book, codes: np.ndarray, by: str) -> None:
    view = review.colouring(book, review.row_states(book, codes), by)
    assert view.colour.dtype == np.uint8 and len(view.colour) == len(book.diagnosis)
    assert view.colour.max() < len(view.ramp or view.legend)


def test_a_ramp_puts_missing_apart_and_keeps_order() -> None:
    view = review.colour_by_values("x", pd.Series(["1", "", "3", "2", "nan"]), ColumnKind.NUMERIC)
    assert view.colour[[1, 4]].tolist() == [255, 255]
    assert view.colour[0] < view.colour[3] < view.colour[2] < 255
    assert view.ramp is not None and view.ramp[255] == palette.MISSING_COLOUR


def test_many_categories_end_in_others() -> None:
    values = pd.Series([f"c{i % 40}" for i in range(400)])
    view = review.colour_by_values("x", values, ColumnKind.CATEGORICAL)
    assert len(view.legend) == review.MOST_CATEGORIES + 1
    assert view.legend[-1]["name"] == "29 others"


def test_ramp_ends_are_cividis() -> None:
    assert (palette.ramp()[0], palette.ramp()[-1], len(palette.ramp())) == (
        palette.CIVIDIS[0],
        palette.CIVIDIS[-1],
        255,
    )


@given(st.lists(st.booleans(), max_size=300))
def test_a_selection_survives_its_bitset(chosen: list[bool]) -> None:
    bits = components.pack_bits(np.array(chosen, bool))
    assert components.unpack_bits(bits, len(chosen)).tolist() == np.flatnonzero(chosen).tolist()


def test_positions_are_packed_as_the_map_reads_them() -> None:
    xy, ids = (np.array([1.5, -2]), np.array([0.25, 4])), np.array([7, 70000])
    label, chance = np.array([0, 1], np.float32), np.array([1, 2, 3, 98, 99, 100], np.uint8)
    packed = components.pack_feed(9, xy, ids, label, chance, {"target": "ärger"})
    n, version, length = np.frombuffer(packed[:12], "<u4").tolist()
    assert (n, version, length % 4) == (2, 9, 0)
    assert json.loads(packed[12 : 12 + length]) == {"target": "ärger"}
    body = packed[12 + length :]
    assert np.frombuffer(body[:16], "<f4").tolist() == [1.5, -2, 0.25, 4]
    assert np.frombuffer(body[16:24], "<u4").tolist() == [7, 70000]
    assert np.frombuffer(body[24:32], "<f4").tolist() == [0, 1]
    assert list(body[32:]) == [1, 2, 3, 98, 99, 100]
    assert components.pack_held(9, 2) == packed[:8]


def test_a_card_says_the_surest_suggestion_of_its_own_row(book: Book) -> None:
    card = cards.card_of(book)
    assert card.names is not None
    patches = book.patches.sort_values("confidence", ascending=False, kind="stable")
    for at, row_id in enumerate(book.row_ids):
        assert card.names[int(card.label[at])] == book.rows.at[row_id, book.schema.target]
        given = book.diagnosis[[t.probability_column for t in ErrorType]].iloc[at]
        assert [f"{c / 100:.2f}" for c in card.chance[3 * at : 3 * at + 3]] == [f"{p:.2f}" for p in given]
        mine = patches[patches["row_id"] == row_id]
        said = card.said.get(at, "")
        assert bool(said) == (len(mine) > 0)
        if len(mine):
            best = mine.iloc[0]
            assert said.startswith(cards.sentence(best["action"], best["column"], best["old"], best["new"]))
            assert (f"(+{len(mine) - 1} more)" in said) == (len(mine) > 1)
    assert "<br>" in cards.lines(card, book.row_ids, np.array([3]))[0]


def test_long_suggestions_are_cut_and_words_name_the_change() -> None:
    assert cards.sentence("impute", "age", "", "31") == "age: (empty) → 31"
    assert cards.sentence("reweight", None, "1", "2").endswith("× 2")
    assert cards.sentence("drop", None, "", "") == "Leave the row out"
    assert len(cards.sentence("impute", "x" * 200, "", "")) == cards.LONGEST


def test_cells_are_text_whatever_they_hold(book: Book) -> None:
    """A cell, a column name or a reason from the person's file never becomes markup."""
    evil = "<img src=x onerror=alert(1)>"
    row_id = int(book.row_ids[0])
    rows = book.rows.rename(columns={"sex": evil})
    rows.loc[row_id, "age"] = evil
    columns = tuple(Column(evil, c.kind) if c.name == "sex" else c for c in book.schema.columns)
    schema = Schema(columns, book.schema.target, book.schema.task, book.schema.classes)
    tainted = Book("evil", 2, schema, rows, book.diagnosis, book.patches)
    nearest = rows.loc[[row_id, int(book.row_ids[1])]]
    for html in (inspector.cells_table(tainted, row_id), inspector.other_rows(tainted, row_id, nearest)):
        assert "<img" not in html and "&lt;img" in html
