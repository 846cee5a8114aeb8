"""The pieces of the rounds page: the next round, the rounds so far, what is flagged no longer, still and newly."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
import streamlit as st

from dashboard import deciding, services, texts, widgets
from dashboard.state import State
from demix_core.errors import DemixError
from demix_core.types import ErrorType

WIDE = 'class="dx" style="table-layout:auto"'


def start(state: State, run: str) -> None:
    """The button for the next round, with what it would start from."""
    st.subheader("The next round", anchor=False)
    changes = services.changes(run)
    table = changes[changes["action"] != "reweight"]
    if table.empty:
        st.caption(texts.NO_NEXT_ROUND)
        st.page_link("views/review.py", label="Go on reviewing", icon=":material/rate_review:")
        return
    weighted = len(changes) - len(table)
    st.caption(texts.NEXT_ROUND.format(rows=texts.rows(table["row_id"].nunique())))
    if services.has_predictions(run):
        st.caption(texts.NEXT_ROUND_FITS)
    if weighted:
        st.caption(texts.NEXT_ROUND_WEIGHTS.format(n=texts.suggestions(weighted)))
    if widgets.pressed(
        state, st.button, "Diagnose the cleaned table", "next_round", type="primary", icon=":material/replay:",
        width="stretch",
    ):  # fmt: skip
        try:
            name = services.next_round(run)
        except DemixError as error:
            st.error(str(error), icon=":material/error:")
            return
        state.open_run(name)
        state.watch(True)
        widgets.turn_to(state, "diagnose")


def later(state: State, run: str) -> None:
    """The way to the rounds that were started from here."""
    names = services.following(run)
    if not names:
        return
    st.caption(texts.LATER_ROUNDS)
    for name in names:
        st.button(
            f"Open {name}", key=f"open_{name}", icon=":material/arrow_forward:", width="stretch",
            on_click=state.open_run, args=(name,),
        )  # fmt: skip


def rounds(names: list[str]) -> None:
    """Every round so far: its rows, and how many are flagged."""
    st.subheader("Flagged in each round", anchor=False)
    lines = ""
    for i, name in enumerate(names):
        rows, flags = services.flagged(name)
        came = services.origin(name)
        said = "as loaded" if came is None or i == 0 else texts.round_words(came.cells, len(came.dropped))
        cells = "".join(f"<td class='n'>{flags[kind]:,}</td>" for kind in ErrorType)
        lines += f"<tr><td>{i + 1}</td><td>{escape(name)}</td><td>{said}</td><td class='n'>{rows:,}</td>{cells}</tr>"
    kinds = "".join(f"<th class='n'>{widgets.type_name(kind)}</th>" for kind in ErrorType)
    head = f"<th style='width:52px'>Round</th><th>Run</th><th>Table</th><th class='n'>Training rows</th>{kinds}"
    st.html(f'<table {WIDE} id="rounds" data-n="{len(names)}"><thead><tr>{head}</tr></thead>'
            f"<tbody>{lines}</tbody></table>")  # fmt: skip


def change(found: dict[str, Any]) -> None:
    """This round beside the one before, per type."""
    st.subheader("Since the round before", anchor=False)
    lines = "".join(
        _line(
            widgets.type_name(kind), found["types"][kind.value], f"{found['types'][kind.value]['median_change']:+.3f}"
        )
        for kind in ErrorType
    )
    lines += _line("<b>Any</b>", found["any"], "")
    names = ("No longer", "Still", "Newly", "Probability")
    head = "<th>Flagged as</th>" + "".join(f"<th class='n'>{name}</th>" for name in names)
    st.html(f'<table {WIDE} id="since"><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>')
    st.caption(texts.SINCE.format(rows=texts.rows(found["rows"])))


def _line(name: str, counts: dict[str, Any], moved: str) -> str:
    numbers = "".join(f"<td class='n'>{counts[n]:,}</td>" for n in ("no_longer", "still", "newly"))
    return f"<tr><td>{name}</td>{numbers}<td class='n'>{moved}</td></tr>"


def new_rows(state: State, found: dict[str, Any]) -> None:
    """The way to the rows that only this round flags."""
    rows = np.array(sorted({i for kind in ErrorType for i in found["types"][kind.value]["new_rows"]}), np.int64)
    if len(rows) and widgets.pressed(
        state, st.button, f"Show what is newly flagged on the map: {texts.rows(len(rows))}", "show_new",
        icon=":material/scatter_plot:",
    ):  # fmt: skip
        deciding.show_rows(state, rows)
        widgets.turn_to(state, "review")
