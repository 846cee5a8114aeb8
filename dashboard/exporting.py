"""The pieces of the export page: the diff, the downloads, the command line."""

from __future__ import annotations

from html import escape

import pandas as pd
import streamlit as st

from dashboard import review, services, texts, widgets

SHOWN = 300


def diff(changes: pd.DataFrame) -> None:
    """What the cleaned file will differ in, old to new, by type."""
    st.subheader("What will change", anchor=False)
    if changes.empty:
        widgets.empty("Nothing will change", texts.NOTHING_DECIDED)
        return
    counts = " · ".join(f"**{n:,}** {action}" for action, n in changes["action"].value_counts().items())
    st.markdown(f"{texts.rows(changes['row_id'].nunique())}: {counts}")
    st.html(f'<div class="dx-diff">{diff_table(changes.head(SHOWN))}</div>')
    if len(changes) > SHOWN:
        st.caption(f"The first {SHOWN} of {len(changes):,} changes; all of them are in changes.csv.")


def diff_table(changes: pd.DataFrame) -> str:
    """The changes as HTML, one line each."""
    body = "".join(
        f"<tr><td>{c.row_id}</td><td>{escape(review.column_words(c.column, c.action))}</td>"
        f"<td><del>{escape(review.shown(c.old))}</del></td><td><ins>{escape(review.change_words(c.action, c.new))}</ins></td>"
        f"<td>{escape(str(c.error_type).replace('_', ' '))}</td><td class='n'>{c.confidence:.2f}</td></tr>"
        for c in changes.itertuples()
    )
    head = "".join(f"<th>{name}</th>" for name in ("Row", "Column", "Old", "New", "Why", "Confidence"))
    return f'<table class="dx"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def choices() -> bool:
    """Whether the weights go along as a column."""
    st.subheader("Files", anchor=False)
    return st.toggle("Add the row weights as a column", key="w_weights_column", help=texts.WEIGHTS_COLUMN_HELP)


def downloads(run: str, with_weights: bool) -> None:
    """The three files, made when asked for."""
    names = services.export_names(run)
    icons = {"cleaned": "table_view", "changes": "difference", "decisions": "gavel"}
    labels = {"cleaned": "Cleaned table", "changes": "List of changes", "decisions": "Decisions, to replay"}
    for kind, name in names.items():
        st.download_button(
            f"{labels[kind]} · {name}", lambda kind=kind: services.export_file(run, kind, with_weights), file_name=name,
            key=f"download_{kind}", icon=f":material/{icons[kind]}:", width="stretch", on_click="ignore",
            type="primary" if kind == "cleaned" else "secondary",
        )  # fmt: skip


def command(run: str, with_weights: bool) -> None:
    """The command line that writes the same file."""
    st.subheader("The same from the command line", anchor=False)
    st.code(services.export_command(run, with_weights), language="bash", wrap_lines=True)
