"""The pieces of the drift page: which batch, the verdict with its picture, columns and rows that differ."""

from __future__ import annotations

from html import escape
from typing import Any

import streamlit as st

from dashboard import charts, services, texts
from dashboard.services import JobState, Status

SHOWN_ROWS = 12
LEVEL = 0.05


def choice(run: str, known: bool) -> None:
    """The validation rows, or a file; and the button."""
    files = st.file_uploader("A new batch with labels", type=["csv", "tsv", "parquet"], key="w_batch")
    path = services.keep_upload(files.name, files.getvalue()) if files is not None else None
    what = f"Compare {files.name}" if files is not None else "Compare the validation rows"
    st.button(
        what, type="secondary" if known and path is None else "primary", key="compare", width="stretch",
        icon=":material/compare_arrows:", on_click=services.compare_batch, args=(run, path),
    )  # fmt: skip


def trouble(status: Status | None) -> None:
    """Why the last comparison has no result."""
    if status is not None and status.state is JobState.FAILED:
        st.error(status.error or texts.JOB_FAILED, icon=":material/error:")


def verdict(found: dict[str, Any]) -> None:
    """One sentence, and both samples along what tells them apart."""
    rows = found["rows"]
    words = texts.DRIFTS if found["drifts"] else texts.DRIFTS_NOT
    mark = "⚠" if found["drifts"] else "✓"
    st.html(
        f'<div id="drift" data-p="{found["p"]:.4f}" data-drifts="{found["drifts"]}"><b>{mark} '
        f"{escape(words.format(batch=found['batch']))}</b> "
        f'<span class="dx-muted">p = {found["p"]:.3f} · {texts.rows(rows["batch"])} beside '
        f"{rows['training']:,} training rows</span></div>"
    )
    if found["left_out"]:
        st.caption(texts.DRIFT_LEFT_OUT.format(rows=texts.rows(found["left_out"])))
    st.plotly_chart(
        charts.two_samples(found["picture"], found["batch"]), key="drift_picture", config={"displayModeBar": False}
    )
    st.caption(texts.DRIFT_PICTURE)


def columns(found: dict[str, Any]) -> None:
    """Every column with its difference as a bar; those that surely differ first."""
    st.subheader("Columns", anchor=False)
    body = "".join(
        f"<tr data-column='{escape(c['column'])}'><td>{escape(c['column'])}</td><td>{escape(c['words'])}</td>"
        f"<td>{_bar(c)}</td><td class='n'>{c['holm']:.3f}</td>"
        f"<td>{'<b>differs</b>' if c['holm'] < LEVEL else ''}</td></tr>"
        for c in found["columns"]
    )
    names = "<th>Column</th><th>Training → batch</th><th>Difference</th><th class='n'>p</th><th></th>"
    head = f"<thead><tr>{names}</tr></thead>"
    st.html(f'<div class="dx-scroll"><table class="dx" id="drift_columns">{head}<tbody>{body}</tbody></table></div>')
    st.caption(texts.DRIFT_COLUMNS)


def _bar(column: dict[str, Any]) -> str:
    sure = column["holm"] < LEVEL
    return (
        f'<span class="dx-share" title="{column["size"]:.3f}"><i class="{"sure" if sure else ""}" '
        f'style="width:{100 * min(column["size"], 1):.1f}%"></i></span>'
    )


def rows(found: dict[str, Any]) -> None:
    """Rows of the batch that speak most for a difference."""
    if not found["drifts"]:
        return
    st.subheader("Rows that speak most for it", anchor=False)
    shown = found["typical_rows"][:SHOWN_ROWS]
    names = list(shown[0]["cells"])
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(
        f"<tr><td class='n'>{r['row']}</td>" + "".join(f"<td>{escape(r['cells'][n])}</td>" for n in names) + "</tr>"
        for r in shown
    )
    st.html(
        f'<div class="dx-scroll"><table class="dx" id="drift_rows"><thead><tr><th class="n">Row</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
