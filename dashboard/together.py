"""Several people at one run: who sits at this tab."""

from __future__ import annotations

import getpass
from urllib.parse import unquote

import streamlit as st

from dashboard import components, texts, widgets
from dashboard.state import LONGEST_NAME, State

NOBODY = "reviewer"


def default_name() -> str:
    """What this browser was last called, else the operating system's name of the person."""
    known = unquote(dict(st.context.cookies).get(components.NAME_COOKIE, ""))
    if known:
        return known
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in containers
        return NOBODY


def reviewer_field(state: State) -> None:
    """The name in the sidebar; it outlives a refresh of this tab."""
    before = (st.session_state.get("remember") or {}).get("name")
    if not state.named:
        state.name(before or default_name(), by_hand=bool(before))
    key = f"w_reviewer_{state.reviewer}"
    with st.sidebar:
        st.text_input(
            "Your name", state.reviewer, key=key, max_chars=LONGEST_NAME, help=texts.NAME_HELP,
            on_change=widgets.changed(key, state.reviewer, lambda name: _rename(state, name)),
        )  # fmt: skip
        components.remember(state.reviewer, state.named)


def _rename(state: State, name: str) -> None:
    """Another person sits down: a blind review was somebody else's."""
    state.go_blind(False)
    state.name(name)
