"""The rounds page: the first round, the way to the next, and what a later round says."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from demix_core import jobs
from demix_core.rounds import ORIGIN, origin
from demix_core.store import Run
from tests.dashboard import fake_run


def said(app: AppTest) -> str:
    return " ".join(str(e.proto.body) for e in app.get("html"))


def test_a_first_round_offers_the_next_once_something_is_accepted(
    run: Path, open_app: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Path, Path]] = []
    monkeypatch.setattr(jobs, "start", lambda train, out, *rest: asked.append((train, out)))
    app = open_app("rounds")
    assert "This is the first round" in said(app) and not [b for b in app.button if b.key == "next_round"]
    patches = Run(run).patches()
    change = patches[patches["action"].isin(["relabel", "impute"]) & (patches["old"] != patches["new"])].iloc[0]
    with closing(Run(run).decisions()) as log:
        log.accept([int(change["patch_id"])], "me")
    app = open_app("rounds")
    app.button(key="next_round").click().run()
    [(table, out)] = asked
    assert out.parent.resolve() == run.parent.resolve() and out.name == f"{run.name}-round-2"
    came = origin(Run(out))
    assert came is not None and (came.before, came.cells, came.dropped) == (run.name, 1, ())
    cleaned = pd.read_csv(table, dtype=str, keep_default_na=False)
    assert cleaned.loc[int(change["row_id"]), change["column"]] == change["new"]


def test_a_later_round_counts_what_changed_and_leads_to_the_new_rows(
    run: Path, open_app: Callable[..., AppTest]
) -> None:
    second = run.with_name(f"{run.name}-round-2")
    fake_run.make(second, n=len(Run(run).rows()))
    table = pd.read_parquet(second / "diagnosis.parquet")
    new = table.index[~table["label_error"]][:2]
    table.loc[new, "label_error"] = True
    table.to_parquet(second / "diagnosis.parquet")
    (second / ORIGIN).write_text(json.dumps({"before": run.name, "dropped": [], "cells": 4, "weighted": 0}))
    app = open_app("rounds")  # the newest run is open
    words = said(app)
    assert 'id="rounds" data-n="2"' in words and "4 cells changed" in words and "as loaded" in words
    assert "2 rows" in app.button(key="show_new").label
    [before] = [b for b in app.sidebar.selectbox if b.label == "Run"]
    app = before.set_value(run.name).run()
    assert "This is the first round" in said(app)
    app = app.button(key=f"open_{second.name}").click().run()
    assert 'id="rounds" data-n="2"' in said(app)
