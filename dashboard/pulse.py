"""The pulse of a tab: draws the page again when somebody else has decided something, or when its last words were lost.

Streamlit forgets what a script said last when the page's next look at a fragment meets its end on a busy machine (its
issue 9921): a press had been acted upon, and nobody saw it. So the browser says with every beat what it has seen.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard import components, services
from dashboard.state import State, get

SECONDS = 2.0


def begin(state: State) -> None:
    """A script begins to draw: it will show everything that is decided by now."""
    state.draw(services.newest(str(state.run)) if services.is_done(state.run) else 0)


def end(state: State) -> None:
    """The script has drawn its page: the mark at its end, which is looked at every few seconds by itself."""
    state.hear_beat(_said().get("beat", 0))
    st.fragment(_look)()


def _said() -> dict[str, Any]:
    return (st.session_state.get("pulse") or {}).get("seen") or {}


def _look() -> None:
    state, said = get(), _said()
    beats = said.get("beat", 0) != state.beat
    seen = int(said.get("script", 0)) if beats else state.scripts  # a look brings none of the page along
    components.pulse(seen, SECONDS)
    if not beats:
        return
    if said.get("asked") and (state.asking or state.editing):
        return  # somebody types: a page that is drawn again takes the focus away, and what is typed next goes nowhere
    changed = services.is_done(state.run) and services.newest(str(state.run)) > state.drawn
    if changed or state.missed(seen):
        st.rerun()
