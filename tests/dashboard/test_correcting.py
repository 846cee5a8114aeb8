"""Corrections of a person's own on the screen: in view while they stand, gone when anybody takes them back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import deciding, inspector, services, texts
from demix_core.decisions import OWN_FROM
from demix_core.errors import RunError
from tests.dashboard.test_pages import html

Open = Callable[..., AppTest]


@pytest.fixture
def row(run: Path) -> int:
    """A row for which nothing is suggested."""
    book = services.book("fake")
    return int(np.setdiff1d(book.row_ids, book.patches["row_id"])[0])


def test_the_book_of_a_script_stays_as_it_was_read(row: int) -> None:
    before = services.book("fake")
    own = {"row_id": row, "error_type": "feature_error", "action": "impute", "column": "age", "old": "1", "new": "77"}
    event = services.log("fake").correct(own, "bob")  # in another tab
    assert services.book("fake") is before and len(services.codes("fake")) == len(before.patches)
    services.look_anew()
    after = services.book("fake")
    assert after.own == event.patch_ids and after.patches.iloc[:-1].equals(before.patches)
    assert services.codes("fake").tolist() == [0] * len(before.patches) + [1]
    assert len(services.above_thresholds("fake")) == len(after.patches)
    services.accept("fake", [0])
    services.reject("fake", [1])
    taught = services.taught("fake")
    assert taught is not None and len(taught.after) == len(after.patches)


def test_corrections_of_unknown_rows_and_columns_are_left_out(row: int) -> None:
    own = {"row_id": row, "error_type": "feature_error", "action": "impute", "column": "age", "old": "1", "new": "77"}
    for wrong in ({"row_id": 10**6}, {"column": "salary"}):
        services.log("fake").correct(own | wrong)
    services.look_anew()
    assert services.book("fake").own == ()


def test_a_correction_in_view_that_somebody_takes_back_leaves_its_row(row: int, open_app: Open) -> None:
    app = open_app()
    state = app.session_state["demix"]
    state.look_at(row, None)
    app.run()
    assert texts.ROW_WITHOUT_SUGGESTION in html(app) and not app.button(key="edit").disabled
    assert app.button(key="accept").disabled
    app.button(key="edit").click().run()
    app.selectbox(key=f"w_correct_{state.edits}").set_value("hours").run()
    app.text_input(key=f"w_right_{state.edits}_hours").set_value("12")
    app.button(key="correct_save").click().run()
    assert not app.exception and state.patch >= OWN_FROM and texts.BY_HAND in html(app)
    (event,) = services.events("fake")
    services.note("fake", state.patch, "asked")
    services.look_anew()  # the app's script is a thread of its own
    in_row = inspector.decided_words(services.book("fake"), event, {state.patch})
    assert in_row.endswith("corrected by hand hours → 12")
    services.log("fake").revert(event.seq, "bob")
    app.run()
    assert not app.exception and (state.row, state.patch) == (row, None)
    assert f'data-row="{row}" data-patch="None"' in html(app)
    app.switch_page("views/history.py").run()
    assert not app.exception
    said = "\n".join(m.value for m in app.markdown)
    assert f"**{texts.EVENT_WORDS['correct']}** row {row}: hours → `12`" in said
    assert f"**{texts.EVENT_WORDS['note']}** on row {row}: “asked”" in said


def test_a_row_is_left_out_and_the_history_says_so(row: int, open_app: Open) -> None:
    app = open_app()
    app.session_state["demix"].look_at(row, None)
    app.run()
    app.button(key="correct").click().run()
    app.button(key="correct_drop").click().run()
    assert not app.exception and texts.CORRECTED_OUT.format(row=row) in html(app)
    assert services.changes("fake")["action"].tolist() == ["drop"]
    app.switch_page("views/history.py").run()
    assert any(texts.LEFT_OUT in m.value for m in app.markdown)
    for page in ("check", "export", "team", "rounds", "thresholds", "influence", "drift"):
        app.switch_page(f"views/{page}.py").run()
        assert not app.exception, page


def test_what_can_not_stand_is_said_beside_the_field(row: int, open_app: Open) -> None:
    app = open_app()
    state = app.session_state["demix"]
    state.look_at(row, None)
    app.run()
    app.button(key="correct").click().run()
    app.selectbox(key=f"w_correct_{state.edits}").set_value("age").run()
    app.text_input(key=f"w_right_{state.edits}_age").set_value("old")
    app.button(key="correct_save").click().run()
    assert any("is no number" in e.value for e in app.error) and state.asking == "correct"
    assert services.events("fake") == []


def test_a_second_review_corrects_nothing_of_its_own(row: int, open_app: Open) -> None:
    app = open_app()
    state = app.session_state["demix"]
    state.go_blind(True)
    state.look_at(row, None)
    app.run()
    assert app.button(key="edit").disabled and "correct" not in {b.key for b in app.button}
    deciding.ask_correction(state)
    assert state.asking == "" and state.message == texts.NO_CORRECTION_BLIND


def test_a_patch_that_nobody_made_is_an_error_in_words(run: Path) -> None:
    with pytest.raises(RunError, match="has not"):
        services.patch_of(services.book("fake"), OWN_FROM + 1)
