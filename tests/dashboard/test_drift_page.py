"""The drift page: what it says before, while and after a batch is compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import charts
from demix_core import jobs
from demix_core.store import JobState, Run, Status

FOUND = {
    "made": "2026-01-01T00:00:00+00:00", "batch": "march.csv", "left_out": 2, "p": 0.002, "drifts": True,
    "rows": {"training": 320, "batch": 90}, "compared": {"training": 100, "batch": 90}, "distance": 0.1,
    "likely": [0.01, 0.02],
    "columns": [
        {"column": "<age>", "kind": "numeric", "size": 0.4, "p": 1e-9, "holm": 1e-8, "words": "median 38 → 52"},
        {"column": "sex", "kind": "categorical", "size": 0.02, "p": 0.4, "holm": 0.8, "words": "'Male' 50.0% → 52.0%"},
    ],
    "typical_rows": [{"row": 7, "witness": 0.3, "cells": {"<age>": "88"}}],
    "picture": {"edges": [-1.0, 0.0, 1.0], "training": [0.7, 0.3], "batch": [0.2, 0.8]},
}  # fmt: skip


def said(app: AppTest) -> str:
    return " ".join(str(e.proto.body) for e in app.get("html"))


def test_before_the_first_comparison_the_validation_rows_are_offered(
    run: Path, open_app: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Path, Path | None]] = []
    monkeypatch.setattr(jobs, "start_drift", lambda run, batch: asked.append((run.path.resolve(), batch)))
    app = open_app("drift")
    assert "Not compared yet" in said(app)
    app.button(key="compare").click().run()
    assert asked == [(run.resolve(), None)]


def test_the_result_is_told_in_words_a_picture_columns_and_rows(run: Path, open_app: Callable[..., AppTest]) -> None:
    (run / "drift").mkdir()
    (run / "drift" / "drift.json").write_text(json.dumps(FOUND), encoding="utf-8")
    app = open_app("drift")
    words = said(app)
    assert "On the model, march.csv acted unlike the training rows" in words and "p = 0.002" in words
    assert "&lt;age&gt;" in words and "<age>" not in words and "median 38 → 52" in words
    assert words.count("<b>differs</b>") == 1 and "88" in words
    (run / "drift" / "drift.json").write_text(json.dumps(FOUND | {"p": 0.4, "drifts": False}), encoding="utf-8")
    app = open_app("drift")
    assert "By the effect on the model, march.csv can" in said(app) and "drift_rows" not in said(app)


def test_a_failed_comparison_says_why(run: Path, open_app: Callable[..., AppTest]) -> None:
    place = Run(run).drift
    place.write_status(Status(JobState.FAILED, error="march.csv lacks the column 'age'."))
    assert any("lacks the column" in e.value for e in open_app("drift").error)


def test_both_samples_are_drawn_and_told_apart_without_colour() -> None:
    figure = charts.two_samples(FOUND["picture"], "<b>")
    first, second = figure.data
    assert list(first.y) == [0.7, 0.3, 0.3] and list(second.y) == [0.2, 0.8, 0.8]
    assert second.line.dash == "dash" and first.line.dash is None and second.name == "&lt;b&gt;"
