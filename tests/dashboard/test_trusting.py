"""The Thresholds page and what follows from it, without a browser."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import deciding, services, texts
from demix_core import jobs
from demix_core.store import JobState, Run, Status
from demix_core.trust import planted
from demix_core.types import ErrorType
from tests.dashboard.test_pages import html

Open = Callable[..., AppTest]


def shown_evidence(app: AppTest) -> dict[str, float]:
    """The figures on the Thresholds page."""
    found = re.search(r'<div id="evidence" data-type="(\w+)" ([^>]*)>', html(app))
    assert found
    return {k: float(v) for k, v in re.findall(r'data-(\w+)="([^"]*)"', found[2])}


def test_thresholds_know_nothing_before_a_review_and_offer_a_sample(run: Path, open_app: Open) -> None:
    app = open_app("thresholds")
    labels = services.book("fake").patches.query("error_type == 'label_error'")
    found = shown_evidence(app)
    assert (found["rows"], found["reviewed"], found["low"], found["high"]) == (len(labels), 0, 0, 1)
    assert any("unknown" in m.value for m in app.markdown)
    assert "sampled rows to sharpen this" in app.button(key="review_sample").label


def test_a_sample_comes_into_the_queue_in_its_order_and_its_decisions_are_evidence(run: Path, open_app: Open) -> None:
    rows = services.sample("fake", ErrorType.LABEL, 8)
    app = open_app()
    state = app.session_state["demix"]
    deciding.review_sample(state, ErrorType.LABEL, 8)
    app.run()
    assert f'id="queue_head" data-n="{len(rows)}"' in html(app) and state.row == rows[0]
    for n in range(len(rows)):
        assert state.row == rows[n]
        app.button(key="accept" if n else "reject").click().run()
    assert services.waiting("fake", ErrorType.LABEL) == 0
    app.switch_page("views/thresholds.py").run()
    found = shown_evidence(app)
    assert found["sampled"] == len(rows) and found["high"] - found["low"] < 1
    assert any(f"{len(rows) - 1} of {len(rows)} sampled rows were right" in m.value for m in app.markdown)


def test_a_raised_threshold_hides_suggestions_and_is_kept(run: Path, open_app: Open) -> None:
    app = open_app("thresholds")
    patches = services.book("fake").patches
    labels = patches["error_type"] == "label_error"
    at = round(float(patches.loc[labels, "confidence"].median()), 2)
    app.slider(key="w_threshold_fake_label_error").set_value(at).run()
    low = int((labels & (patches["confidence"] < at)).sum())
    assert shown_evidence(app)["rows"] == labels.sum() - low > 0
    assert json.loads((run / "thresholds.json").read_text()) == {"label_error": at}
    app.switch_page("views/review.py").run()
    assert f'id="queue_head" data-n="{len(patches) - low}"' in html(app) and f"{low} hidden" in html(app)
    services.move_threshold("fake", ErrorType.LABEL, None)
    app.run()
    assert f'id="queue_head" data-n="{len(patches)}"' in html(app)


def test_a_threshold_below_the_diagnosis_is_only_looked_at(run: Path, open_app: Open) -> None:
    app = open_app("thresholds")
    app.slider(key="w_threshold_fake_label_error").set_value(0.2).run()
    assert not (run / "thresholds.json").exists() or json.loads((run / "thresholds.json").read_text()) == {}
    assert any("have no suggestion" in c.value for c in app.caption)
    assert "0.20" in app.button(key="suggest_from").label


def test_planted_errors_are_offered_then_counted_at_the_threshold(
    run: Path, open_app: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []
    monkeypatch.setattr(jobs, "start_rehearsal", lambda run: asked.append(run.path.resolve()))
    app = open_app("thresholds")
    assert texts.PLANTED_NONE in [c.value for c in app.caption]
    app.button(key="rehearse").click().run()
    assert asked == [run.resolve()]
    rows = services.book("fake").row_ids[:6]
    found = pd.DataFrame({"copy": np.int8(0), "row_id": rows})
    for kind in ErrorType:
        found[kind.probability_column] = np.array([0.95, 0.95, 0.95, 0.1, 0.6, 0.1], np.float32)
        found[kind.value] = [True, True, True, True, False, False]
    (run / "rehearsal").mkdir()
    found.to_parquet(planted.result(Run(run)))
    app.run()
    assert 'data-planted="4" data-found="0.7500"' in html(app)
    app.slider(key="w_threshold_fake_label_error").set_value(0.96).run()
    assert 'data-planted="4" data-found="0.0000"' in html(app)


def test_planting_that_failed_says_why_and_can_be_tried_again(run: Path, open_app: Open) -> None:
    Run(run).rehearsal.write_status(Status(JobState.FAILED, error="The disk is full."))
    app = open_app("thresholds")
    assert any("disk is full" in e.value for e in app.error) and app.button(key="rehearse")


def test_deciding_together_says_what_is_known_of_such_suggestions(run: Path, open_app: Open) -> None:
    app = open_app()
    assert texts.EVIDENCE_UNKNOWN in [c.value for c in app.caption]
    patches = services.book("fake").patches
    for kind in ErrorType:
        for row in services.sample("fake", kind, 4):
            mine = (patches["row_id"] == row) & (patches["error_type"] == kind.value)
            for patch in patches.loc[mine, "patch_id"]:
                services.accept("fake", [int(patch)])
    app.run()
    app.toggle(key="w_bulk_advised").set_value(False).run()
    assert any(re.match(r"Estimated precision 1\.00 \[0\.\d\d–1\.00\] from \d+ sampled", c.value) for c in app.caption)
