"""The pieces of the export page: the diff, the downloads, the command line."""

from __future__ import annotations

from html import escape

import pandas as pd
import streamlit as st

from dashboard import review, services, texts, widgets
from demix_core.types import ErrorType

SHOWN = 300


def diff(changes: pd.DataFrame) -> None:
    """What the cleaned file will differ in, old to new, by type."""
    st.subheader("What will change", anchor=False)
    if changes.empty:
        widgets.empty("Nothing will change", texts.NOTHING_DECIDED)
        return
    counts = changes["action"].value_counts()
    said = [
        texts.CHANGE_COUNTS[a].format(n=counts[a], s="" if counts[a] == 1 else "s")
        for a in texts.CHANGE_COUNTS
        if a in counts
    ]
    st.markdown(f"In {texts.rows(changes['row_id'].nunique())}: {', '.join(said)}.")
    types = [t for t in ErrorType if (changes["error_type"] == t.value).any()]
    names = {"": f"All {len(changes):,}"} | {
        t: f"{texts.TYPE_NAMES[t]} {(changes['error_type'] == t.value).sum():,}" for t in types
    }
    chosen = st.segmented_control(
        "Type", names, default="", required=True, format_func=names.__getitem__, label_visibility="collapsed"
    )
    shown = changes[changes["error_type"] == chosen] if chosen else changes
    st.html(f'<div class="dx-scroll">{diff_table(shown.head(SHOWN))}</div>')
    if len(shown) > SHOWN:
        st.caption(f"The first {SHOWN} of {len(shown):,}; all of them are in the list of changes.")


def diff_table(changes: pd.DataFrame) -> str:
    """The changes as HTML, one line each."""
    body = "".join(
        f"<tr><td class='n'>{c.row_id}</td><td>{escape(review.column_words(c.column, c.action))}</td>"
        f"<td><del>{escape(review.shown(c.old)) if c.action != 'drop' else ''}</del></td>"
        f"<td><ins>{escape(review.change_words(c.action, c.new))}</ins></td>"
        f"<td>{widgets.type_name(ErrorType(c.error_type))}</td><td class='n'>{c.confidence:.2f}</td></tr>"
        for c in changes.itertuples()
    )
    names = (("Row", "n"), ("Column", ""), ("Old", ""), ("New", ""), ("What was wrong", ""), ("Confidence", "n"))
    head = "".join(f'<th class="{css}">{name}</th>' for name, css in names)
    opening = f'<table class="dx diff" id="diff" data-lines="{len(changes)}">'
    return f"{opening}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def choices() -> bool:
    """Whether the weights go along as a column."""
    st.subheader("Files", anchor=False)
    return st.toggle("Add the row weights as a column", key="w_weights_column", help=texts.WEIGHTS_COLUMN_HELP)


def downloads(run: str, with_weights: bool) -> None:
    """The three files, made when asked for."""
    names = services.export_names(run)
    icons = {"cleaned": "table_view", "changes": "difference", "decisions": "gavel"}
    labels = {"cleaned": "Cleaned table", "changes": "List of changes", "decisions": "Decisions"}
    for kind, name in names.items():
        st.download_button(
            f"{labels[kind]} · {name}",
            lambda kind=kind: services.export_file(run, kind, with_weights),
            file_name=name,
            key=f"download_{kind}",
            icon=f":material/{icons[kind]}:",
            width="stretch",
            on_click="ignore",
            type="primary" if kind == "cleaned" else "secondary",
        )


def report(run: str) -> None:
    """One page for a colleague."""
    st.subheader("Report", anchor=False)
    st.caption(texts.REPORT_WORDS)
    st.download_button(
        f"Report · {services.report_name(run)}",
        lambda: services.report_file(run),
        file_name=services.report_name(run),
        mime="text/html",
        key="download_report",
        icon=":material/description:",
        width="stretch",
        on_click="ignore",
    )


def next_round() -> None:
    """The way to the next round."""
    st.page_link(
        "views/rounds.py", label="Diagnose the cleaned table", icon=":material/replay:", help=texts.ROUNDS_WORDS
    )


def command(run: str, with_weights: bool) -> None:
    """The command line that writes the same file."""
    st.subheader("The same from the command line", anchor=False)
    st.code(services.export_command(run, with_weights), language="bash", wrap_lines=True)
