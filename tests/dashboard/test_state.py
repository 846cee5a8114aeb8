"""Transitions of the tab's state, and where the review goes next."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from dashboard import widgets
from dashboard.deciding import following
from dashboard.state import MOST_MISSES, State
from demix_core.types import ErrorType


def test_another_run_forgets_what_spoke_of_the_old_one() -> None:
    state = State(run="a", row=3, patch=1, selection=np.array([1, 2]))
    state.filter(types=(ErrorType.LABEL,))
    token = state.token
    state.open_run("b")
    assert (state.row, state.patch, state.selection) == (None, None, None)
    assert state.filters.types == tuple(ErrorType) and state.token > token


def test_the_same_run_again_keeps_everything() -> None:
    state = State(run="a", row=3, patch=1)
    state.open_run("a")
    assert (state.row, state.patch) == (3, 1)


def test_another_table_forgets_the_corrections() -> None:
    state = State()
    state.choose_data("a.csv")
    state.correct_data(target="y", task="regression", kinds=(("x", "text"),))
    state.choose_data("a.csv")
    assert state.data.target == "y"
    state.choose_data("b.csv")
    assert (state.data.target, state.data.task, state.data.kinds) == ("", "auto", ())


def test_another_target_asks_for_its_task_anew() -> None:
    state = State()
    state.correct_data(target="y", task="regression")
    state.correct_data(target="z")
    assert state.data.task == "auto"


def test_presses_are_acted_upon_once_and_a_reload_counts_anew() -> None:
    state = State()
    pressed = {"nonce": "1", "queue": [[1, "a"], [2, "j"]]}
    for seq, _ in state.fresh_keys(pressed):
        state.key_seq = seq
    assert state.fresh_keys(pressed) == []
    assert state.fresh_keys({"nonce": "1", "queue": [[2, "j"], [3, "x"]]}) == [(3, "x")]
    assert state.fresh_keys({"nonce": "2", "queue": [[1, "k"]]}) == [(1, "k")]


def test_an_old_message_is_not_heard_again() -> None:
    state = State()
    assert state.fresh("map", 5) and state.fresh("map", 5), "until it has been acted upon"
    state.heard("map", 5)
    assert not state.fresh("map", 5) and not state.fresh("map", 4) and state.fresh("queue", 1)


def test_a_second_click_on_a_header_turns_the_order_around() -> None:
    state = State()
    state.order("row")
    assert (state.sort, state.ascending) == ("row", True)
    state.order("row")
    assert not state.ascending
    state.order("confidence")
    assert not state.ascending


def test_the_column_of_confidences_as_taught_turns_its_own_order_around() -> None:
    state = State(sort="taught")
    state.order("confidence")
    assert (state.sort, state.ascending) == ("taught", True)
    state.order("row")
    state.order("confidence")
    assert (state.sort, state.ascending) == ("confidence", False)


def test_looking_elsewhere_closes_the_edit() -> None:
    state = State(row=1, patch=1)
    state.edit(True)
    state.look_at(2, 2)
    assert not state.editing


def test_a_clean_row_offers_no_edit() -> None:
    state = State(row=1, patch=None)
    state.edit(True)
    assert not state.editing


@given(st.permutations(range(8)), st.sets(st.integers(0, 7)), st.integers(0, 7))
def test_next_is_the_first_alive_after_here_else_the_last_before(order: list[int], alive: set[int], here: int) -> None:
    at = order.index(here)
    after = [p for p in order[at + 1 :] if p in alive]
    before = [p for p in order[:at] if p in alive]
    expected = after[0] if after else before[-1] if before else None
    assert following(np.array(order), here, np.array(sorted(alive), int)) == expected


def test_the_echo_of_a_widget_that_is_gone_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[int] = []
    heard: dict[str, int | None] = {"w_page_3": 3}
    monkeypatch.setattr(widgets.st, "session_state", heard)
    callback = widgets.changed("w_page_3", 3, chosen.append)
    callback()  # the browser repeats what was put up
    heard["w_page_3"] = None
    callback()
    assert chosen == []
    heard["w_page_3"] = 4
    callback()
    assert chosen == [4]


def _interrupted() -> None:
    import streamlit as st

    from dashboard import widgets
    from dashboard.state import get

    if st.session_state.pop("interrupting", False):  # as another message of the page does, before the buttons come
        st.rerun()
    for name in ("plain", "held"):
        st.session_state.setdefault(name, 0)
    st.session_state.plain += st.button("Plain", key="plain_button")
    st.session_state.held += widgets.pressed(get(), st.button, "Held", "held_button")
    get().forget_presses()


def test_a_press_outlives_an_interruption_and_acts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])  # spawned processes need it
    app = AppTest.from_function(_interrupted).run()
    app.session_state.interrupting = True
    app.button("plain_button").click().run()
    assert app.session_state.plain == 0, "Streamlit keeps presses by itself by now: widgets.pressed has no use any more"
    app.session_state.interrupting = True
    app.button("held_button").click().run()
    assert app.session_state.held == 1
    app.button("held_button").click().run().run()
    assert app.session_state.held == 2


def test_a_press_that_nobody_takes_is_forgotten() -> None:
    state = State()
    state.press("note_save")
    state.forget_presses()
    assert not state.take_press("note_save")


def test_a_press_outlives_an_interruption_at_the_next_button() -> None:
    """Each button is a place where another message may interrupt the script: what was typed is not lost with it."""
    state, interrupted = State(), [True]

    def second(label: str, **_: object) -> None:
        if interrupted.pop():
            raise InterruptedError(label)

    buttons = {"edit_save": (lambda label, **_: None, "Save"), "edit_cancel": (second, "Cancel")}
    state.press("edit_save")
    with pytest.raises(InterruptedError):
        widgets.pressed_of(state, buttons)
    interrupted.append(False)
    assert widgets.pressed_of(state, buttons) == "edit_save"
    assert not state.take_press("edit_save"), "and it is acted upon once"


def test_a_page_that_was_not_seen_is_drawn_again_but_not_for_ever() -> None:
    state = State()
    state.draw(0)
    assert not state.missed(state.scripts)
    for _ in range(MOST_MISSES):
        assert not state.missed(0), "this beat may have crossed the page on its way"
        assert state.missed(0)
        state.draw(0)
    assert not state.missed(0) and not state.missed(0) and not state.missed(0)
    assert not state.missed(state.scripts)
    assert not state.missed(0) and state.missed(0), "seen once, it is looked after anew"
