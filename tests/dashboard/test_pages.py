"""Every page, empty and with a finished run, without a browser."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import deciding, services, texts, widgets
from dashboard.inspector import PANELS
from dashboard.state import DataChoice
from demix_core.decisions import DecisionLog
from demix_core.errors import RunError
from demix_core.pipeline import diagnose
from demix_core.store import Run
from demix_core.types import DecisionKind
from tests import tiny
from tests.dashboard import fake_run

PAGES = ("data", "diagnose", "review", "check", "export", "influence", "history", "team", "thresholds", "rounds")
Open = Callable[..., AppTest]


def html(app: AppTest) -> str:
    """All HTML on the page."""
    bodies = (str(element.proto.body) for element in app.get("html"))
    return "\n".join(body for body in bodies if not body.startswith("<style>"))


@pytest.mark.parametrize("page", PAGES)
def test_an_empty_workspace_says_what_to_do(page: str, workspace: Path, open_app: Open) -> None:
    app = open_app(page)
    assert "dx-empty" in html(app)


@pytest.mark.parametrize("page", PAGES)
def test_a_finished_run_shows_on_every_page(page: str, run: Path, open_app: Open) -> None:
    app = open_app(page)
    assert app.sidebar.selectbox[0].value == "fake"
    assert page == "data" or "dx-empty" not in html(app) or page in ("check", "export", "history", "team", "rounds")


def test_the_first_screen_is_the_review_of_the_newest_run(run: Path, open_app: Open) -> None:
    app = open_app()
    assert 'id="progress" data-decided="0"' in html(app)
    assert app.session_state["demix"].run == "fake"


def test_accept_moves_on_and_is_on_disk(run: Path, open_app: Open) -> None:
    app = open_app()
    first = app.session_state["demix"].patch
    app.button(key="accept").click().run()
    assert app.session_state["demix"].patch != first
    assert [e.patch_ids for e in services.events("fake")] == [(first,)]
    assert 'data-decided="1"' in html(app)


def test_undo_brings_the_row_back_and_redo_goes_on(run: Path, open_app: Open) -> None:
    app = open_app()
    first = app.session_state["demix"].patch
    app.button(key="reject").click().run()
    second = app.session_state["demix"].patch
    app.button(key="undo").click().run()
    assert app.session_state["demix"].patch == first
    assert 'data-decided="0"' in html(app)
    app.button(key="redo").click().run()
    assert app.session_state["demix"].patch == second
    assert 'data-decided="1"' in html(app)


def test_an_edit_is_taken_from_the_field(run: Path, open_app: Open) -> None:
    app = open_app()
    state = app.session_state["demix"]
    book = services.book("fake")
    patch = book.patches[book.patches["action"] == "impute"].iloc[0]
    state.look_at(int(patch["row_id"]), int(patch["patch_id"]))
    app.run()
    app.button(key="edit").click().run()
    field = next(t for t in app.text_input if t.label == "The right value")
    field.set_value("41")
    app.button(key="edit_save").click().run()
    assert [(e.patch_ids, e.value) for e in services.events("fake")] == [((int(patch["patch_id"]),), "41")]
    assert not app.session_state["demix"].editing


def test_a_swap_shows_and_changes_both_cells(run: Path, open_app: Open) -> None:
    app = open_app()
    book = services.book("fake")
    patch = book.patches[book.patches["action"] == "swap"].iloc[0]
    app.session_state["demix"].look_at(int(patch["row_id"]), int(patch["patch_id"]))
    app.run()
    assert "capital-gain ⇄ age" in html(app) and f"</del> ⇄ <ins>{patch['new']}</ins>" in html(app)
    assert html(app).count("⚑ suspect") >= 2, "both cells are marked"
    app.button(key="edit").click().run()
    assert next(t for t in app.text_input if "own value" in t.label).label.startswith("Your own value for capital-gain")
    app.button(key="edit_cancel").click().run()
    app.button(key="accept").click().run()
    changes = services.changes("fake")
    assert changes["column"].tolist() == ["age", "capital-gain"]
    assert changes["new"].tolist() == [patch["old"], patch["new"]]
    app.switch_page("views/export.py").run()
    assert any("**2** swapped cells" in m.value for m in app.markdown)


def test_the_weight_that_balances_the_groups_is_one_press_away(run: Path, open_app: Open) -> None:
    app = open_app()
    book = services.book("fake")
    patch = book.patches[book.patches["action"] == "reweight"].iloc[0]
    app.session_state["demix"].look_at(int(patch["row_id"]), int(patch["patch_id"]))
    app.run()
    app.button(key="edit").click().run()
    pills = next(g for g in app.get("button_group") if g.key == f"w_other_{patch['patch_id']}")
    pills.set_value(3.1)
    app.button(key="edit_save").click().run()
    assert [e.value for e in services.events("fake")] == ["3.1"]


def test_bulk_says_the_count_first_and_is_one_event(run: Path, open_app: Open) -> None:
    app = open_app()
    patches = services.book("fake").patches
    assert app.button(key="bulk_accept").label.startswith(f"Accept {patches['recommended'].sum()} suggestions of ")
    app.toggle(key="w_bulk_advised").set_value(False).run()
    total = len(patches)
    button = app.button(key="bulk_accept")
    assert button.label.startswith(f"Accept {total} suggestions of ")
    button.click().run()
    assert [len(e.patch_ids) for e in services.events("fake")] == [total]
    app.button(key="undo").click().run()
    assert not services.codes("fake").any()


def test_bulk_min_confidence_narrows(run: Path, open_app: Open) -> None:
    app = open_app()
    app.slider(key="w_bulk_least").set_value(0.9).run()
    wanted = int((services.book("fake").patches["confidence"] >= 0.9).sum())
    assert app.button(key="bulk_reject").label.startswith(f"Reject {wanted} ")


def test_one_press_mends_a_mistake_that_many_cells_share(run: Path, open_app: Open) -> None:
    app = open_app()
    patches = services.book("fake").patches
    shared = patches[patches["pattern"] != ""]
    assert len(shared) > 1
    app.session_state["demix"].look_at(int(shared["row_id"].iloc[0]), int(shared["patch_id"].iloc[0]))
    app.run()
    app.button(key="bulk_pattern").click().run()
    assert {p for e in services.events("fake") for p in e.patch_ids} == set(shared["patch_id"])


def test_filters_narrow_the_queue_and_clear(run: Path, open_app: Open) -> None:
    app = open_app()
    patches = services.book("fake").patches
    app.get("button_group")[0]  # the pills are there
    app.slider(key="f_least").set_value(0.8).run()
    wanted = int((patches["confidence"] >= 0.8).sum())
    assert f'id="queue_head" data-n="{wanted}"' in html(app)
    app.button(key="clear_filters").click().run()
    assert f'id="queue_head" data-n="{len(patches)}"' in html(app)


def test_a_run_that_is_not_there_is_one_sentence(run: Path) -> None:
    app = AppTest.from_file(str(Path(services.__file__).parents[1] / "app.py"), default_timeout=30)
    app.query_params["run"] = "gone"
    app.run()
    assert not app.exception
    assert "no run called 'gone'" in app.error[0].value
    assert app.sidebar.selectbox[0].value == "fake", "the sidebar that it speaks of is there"
    app.button(key="lost").click().run()
    assert not app.error and app.session_state["demix"].run == "fake"


def test_an_upload_is_previewed_with_its_kinds(workspace: Path, open_app: Open) -> None:
    app = open_app("data")
    content = fake_run.table(120).to_csv(index=False).encode()
    app.file_uploader[0].set_value(("census.csv", content, "text/csv")).run()
    assert not app.exception
    assert next(s for s in app.selectbox if s.label.startswith("Target")).value == fake_run.TARGET
    assert not app.button(key="to_diagnose").disabled


def test_the_table_of_the_run_is_shown_and_can_be_diagnosed_anew(run: Path, open_app: Open) -> None:
    app = open_app("data")
    assert any("the table of this run" in s.value for s in app.subheader)
    app.button(key="take_data").click().run()
    assert not app.exception
    chosen = app.session_state["demix"].data
    assert Path(chosen.path).name == "census.csv"
    assert Path(chosen.path).read_bytes() == Run(run).input_path().read_bytes()
    assert not app.button(key="to_diagnose").disabled


def test_broken_laws_of_the_run_are_listed(run: Path, open_app: Open) -> None:
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    law = {"law": "zip tells city in nearly all rows", "rows": 7}
    (run / "summary.json").write_text(json.dumps(summary | {"laws": [law]}), encoding="utf-8")
    app = open_app("data")
    assert not app.exception
    assert [t.label for t in app.tabs] == ["Columns", "First rows", "Broken laws"]
    assert app.tabs[2].dataframe[0].value.to_dict("records") == [law]


def test_a_bad_file_is_told_at_once(workspace: Path, open_app: Open) -> None:
    app = open_app("data")
    app.file_uploader[0].set_value(("broken.csv", b"PK\x03\x04 not a table", "text/csv")).run()
    assert not app.exception
    assert len(app.error) == 1
    assert app.button(key="to_diagnose").disabled


def test_without_webgl_there_is_a_picture_and_a_word(run: Path, open_app: Open) -> None:
    app = open_app()
    app.session_state["demix"].webgl = False
    app.run()
    assert not app.exception
    assert any("no WebGL2" in caption.value for caption in app.caption)
    assert app.get("plotly_chart")


def test_the_shipped_example_is_copied_before_it_is_touched(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, open_app: Open
) -> None:
    shipped = fake_run.make(workspace / "assets" / "run", n=200)
    before = {p: p.read_bytes() for p in shipped.rglob("*") if p.is_file()}
    monkeypatch.setattr("dashboard.services.runs.EXAMPLE", shipped.parent)
    app = open_app()
    assert app.session_state["demix"].run == "example"
    app.button(key="accept").click().run()
    assert len(services.events("example")) == 1
    assert {p: p.read_bytes() for p in shipped.rglob("*") if p.is_file()} == before


def test_a_link_to_the_example_works_in_an_empty_workspace(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = fake_run.make(workspace / "assets" / "run", n=200)
    monkeypatch.setattr("dashboard.services.runs.EXAMPLE", shipped.parent)
    assert services.wanted_run("example") == "example" and services.is_done("example")
    with pytest.raises(RunError, match="no run called 'nobody'"):
        services.wanted_run("nobody")


@pytest.mark.parametrize(
    ("state", "said"), [("failed", "'y' is missing; name another target."), ("cancelled", "Cancelled")]
)
@pytest.mark.parametrize("page", ["diagnose", "review", "export"])
def test_a_job_that_ended_badly_says_its_sentence(state: str, said: str, page: str, run: Path, open_app: Open) -> None:
    status = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(
        json.dumps(status | {"state": state, "error": said if state == "failed" else None})
    )
    app = open_app(page)
    assert any(said in box.value for box in (*app.error, *app.info))
    assert app.button(key="again").label == "Go on"


def test_a_dead_worker_is_noticed(run: Path, open_app: Open) -> None:
    status = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(json.dumps(status | {"state": "running", "pid": 2**22 + 1, "pid_started": 1.0}))
    app = open_app("diagnose")
    assert "died" in app.error[0].value


def test_one_event_of_the_history_is_taken_back_and_later_ones_stand(run: Path, open_app: Open) -> None:
    app = open_app()
    app.button(key="accept").click().run()
    app.button(key="reject").click().run()
    first, second = (e.patch_ids[0] for e in services.events("fake"))
    app.button(key="revert_1").click().run()
    assert set(services.log("fake").replay()) == {second} and first != second


def test_the_export_page_shows_what_will_change_and_the_command(run: Path, open_app: Open) -> None:
    app = open_app()
    app.button(key="bulk_accept").click().run()
    app.switch_page("views/export.py").run()
    assert f'id="diff" data-lines="{len(services.changes("fake"))}"' in html(app)
    assert "apply" in app.code[0].value and "--with-weights" not in app.code[0].value
    app.toggle(key="w_weights_column").set_value(True).run()
    assert "--with-weights" in app.code[0].value


def test_nothing_accepted_exports_the_input_itself(run: Path) -> None:
    assert services.export_file("fake", "cleaned", False) == (run / "input" / "train.csv").read_bytes()


def test_every_option_of_the_engine_is_on_the_form_and_comes_back(workspace: Path) -> None:
    found = services.options()
    assert {(o.section, o.name) for o in found} >= {
        ("fit", "model"),
        ("map", "method"),
        ("", "seed"),
        ("influence", "kernel"),
    }
    values = {(o.section, o.name): o.default for o in found} | {("fit", "epochs"): 3, ("", "seed"): 9}
    made = services.settings(DataChoice(path="a.csv", target="y", kinds=(("x", "text"),), share=0.3), values)
    assert (made.fit.epochs, made.seed, made.load.target, made.load.kinds) == (3, 9, "y", {"x": "text"})
    assert made.load.validation_share == 0.3


def test_the_queue_turns_its_page_with_the_current_line(
    run: Path, open_app: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dashboard.deciding.PAGE_ROWS", 3)
    app = open_app()
    state = app.session_state["demix"]
    for _ in range(4):
        deciding.move(state, 1)
    app.run()
    assert not app.exception
    assert state.page == 2
    order = deciding.queue_of(state, services.book("fake"), services.codes("fake"))
    assert services.book("fake").patch_at[state.patch] == order[4]


# ---- check -------------------------------------------------------------------------------------------------------


def evaluation(key: str, delta: float = 0.02) -> dict[str, object]:
    """A result as check.evaluate writes it."""
    metric = {
        "metric": "auc", "title": "AUC", "higher": True, "before": 0.8, "after": 0.8 + delta, "low": delta / 2,
        "high": delta * 2, "p": 0.01, "seeds_before": [0.8], "seeds_after": [0.8 + delta], "delta": delta,
        "better": delta > 0,
    }  # fmt: skip
    part = {"rows": 600, "metrics": [metric], "slices": [
        {"words": "sex = Male", "rows": 300, "before": 0.7, "after": 0.8, "q": 0.001},
        {"words": "age ≤ 30", "rows": 100, "before": 0.7, "after": 0.71, "q": 0.5},
    ]}  # fmt: skip
    return {
        "made": "now", "key": key, "seeds": [0, 1], "model": "mlp1", "rows": {"before": 2400, "after": 2400},
        "changes": {"cells": 3, "dropped": 0, "weights": 0}, "estimate": {"gain": 0.01, "unknown": 0},
        "parts": {"validation": part},
        "contributions": [
            {"kind": "type", "name": "label_error", "patches": 3, "ruler": "validation", "metrics": [metric]},
            {"kind": "batch", "name": "1", "patches": 3, "ruler": "validation", "metrics": [metric]},
        ],
        "ruler": {"suspects": 1, "metrics": [metric],
                  "shown": [{"row": 5, "given": "<=50K", "likely": ">50K", "certainty": 0.9}]},
    }  # fmt: skip


def test_check_offers_the_recommended_ones_when_nothing_is_accepted(run: Path, open_app: Open) -> None:
    app = open_app("check")
    assert "Nothing is accepted yet" in html(app)
    ids = services.recommended("fake")
    app.button(key="accept_recommended").click().run()
    assert set(services.events("fake")[0].patch_ids) == set(ids)
    assert f'data-gain="{len(ids) * 1e-5:.6f}"' in html(app)


def test_check_shows_a_measurement_and_takes_a_part_back(run: Path, open_app: Open) -> None:
    from demix_core.store import Run

    patches = Run(run).patches()
    labels = [int(i) for i in patches.loc[patches["error_type"] == "label_error", "patch_id"][:3]]
    services.accept("fake", labels)
    key = services.expected("fake").key
    path = Run(run).evaluation(key, 5)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(evaluation(key)))
    app = open_app("check")
    shown = html(app)
    assert 'data-metric="auc"' in shown.replace("'", '"') and "+0.0200" in shown and "better" in shown
    assert "sex = Male" in shown and "unclear" in shown and "&gt;50K" in shown
    assert app.button(key="measure").disabled
    app.button(key="take_back_batch_1").click().run()
    assert services.expected("fake").changed == 0
    assert "Nothing is accepted yet" in html(app)
    services.redo("fake", app.session_state["demix"].reviewer)
    app.run()
    assert 'id="metrics"' in html(app), "the same decisions show their measurement again"


def test_check_says_when_the_measurement_is_out_of_date(run: Path, open_app: Open) -> None:
    services.accept("fake", services.recommended("fake")[:4])
    (run / "check").mkdir()
    (run / "check" / "evaluation.json").write_text(json.dumps(evaluation("of other decisions", -0.01)))
    app = open_app("check")
    assert not app.button(key="measure").disabled and "worse" in html(app)
    assert any("have changed since" in c.value for c in app.caption)


def test_an_own_value_that_can_not_stand_is_refused_with_a_reason(run: Path, open_app: Open) -> None:
    from demix_core.store import Run

    patches = Run(run).patches()
    cell = patches[(patches["error_type"] == "feature_error") & patches["column"].isin(["age", "hours"])].iloc[0]
    assert "no number" in services.own_value("fake", int(cell["patch_id"]), "forty")[1]
    assert services.own_value("fake", int(cell["patch_id"]), "41") == ("41", "")
    assert services.own_value("fake", int(cell["patch_id"]), "") == ("", ""), "an empty cell is a missing value"
    label = patches[patches["error_type"] == "label_error"].iloc[0]
    assert "no known label" in services.own_value("fake", int(label["patch_id"]), "rich")[1]


# ---- links and views ---------------------------------------------------------------------------------------------


def arriving(**parameters: str | list[str]) -> AppTest:
    """A fresh tab that opens a link."""
    app = AppTest.from_file(str(Path(services.__file__).parents[1] / "app.py"), default_timeout=30)
    for name, value in parameters.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception, app.exception
    return app


def test_a_link_opens_the_screen_of_another_tab(run: Path, open_app: Open) -> None:
    app = open_app()
    state, book = app.session_state["demix"], services.book("fake")
    app.slider(key="f_least").set_value(0.6).run()
    app.selectbox(key="w_order").set_value("Most informative first").run()
    app.selectbox(key="f_where_column").set_value("age").run()
    app.number_input(key="f_where_low_age").set_value(30.0).run()
    state.select_on_map(book.row_ids[::2])
    deciding.move(state, 1)
    deciding.move(state, 1)
    state.colour, state.panel = "Column: age", "Why"
    link = parse_qs(deciding.whereabouts(state), keep_blank_values=True)
    there = arriving(**link).session_state["demix"]
    assert (there.filters, there.sort, there.row, there.patch) == (state.filters, "uncertainty", state.row, state.patch)
    assert (there.colour, there.panel, there.selection.tolist()) == ("Column: age", "Why", book.row_ids[::2].tolist())


def test_a_link_to_a_row_alone_shows_its_suggestion(run: Path) -> None:
    patches = services.book("fake").patches
    row = int(patches["row_id"].iloc[len(patches) // 2])
    there = arriving(run="fake", row=str(row)).session_state["demix"]
    assert there.row == row and there.patch in set(patches.loc[patches["row_id"] == row, "patch_id"])


def test_a_link_to_what_is_not_there_opens_the_rest(run: Path) -> None:
    app = arriving(
        run="fake", row="99999", patch="99999", page="7", colour="Column: gone", panel="Gone", map="gone",
        column="gone", label="gone", where=['["gone", ["x"]]', '["sex", ["Male"]]'], sort="gone", selected="0123456789",
    )  # fmt: skip
    state = app.session_state["demix"]
    assert [c.column for c in state.filters.where] == ["sex"] and not state.filters.columns + state.filters.classes
    assert state.row in services.book("fake").row_at and state.sort == "benefit" and state.colour == "Error type"
    assert "not kept any more" in html(app)


def test_a_view_is_saved_chosen_and_deleted(run: Path, open_app: Open) -> None:
    app = open_app()
    app.slider(key="f_least").set_value(0.8).run()
    app.text_input(key="f_view_name").set_value("sure ones")
    app.button(key="view_save").click().run()
    assert "&#x27;sure ones&#x27; is saved" in html(app) and app.selectbox(key="f_view").value == "sure ones"
    app.button(key="clear_filters").click().run()
    assert app.selectbox(key="f_view").value is None and app.slider(key="f_least").value == 0
    app.selectbox(key="f_view").set_value("sure ones").run()
    assert app.slider(key="f_least").value == 0.8, "the widgets show what the view says"
    wanted = int((services.book("fake").patches["confidence"] >= 0.8).sum())
    assert f'id="queue_head" data-n="{wanted}"' in html(app)
    app.button(key="view_delete").click().run()
    assert services.saved_views("fake") == {}


def test_the_queue_is_filtered_by_who_decided(run: Path, open_app: Open) -> None:
    ids = [int(i) for i in services.book("fake").patches["patch_id"][:5]]
    services.log("fake").accept(ids[:2], "ann")
    services.log("fake").reject(ids[1:5], "bob")
    app = open_app()
    app.multiselect(key="f_reviewers").set_value(["bob"]).run()
    assert 'id="queue_head" data-n="4"' in html(app)
    app.multiselect(key="f_reviewers").set_value(["ann"]).run()
    assert 'id="queue_head" data-n="1"' in html(app)


def test_conditions_on_cells_are_set_and_taken_away(run: Path, open_app: Open) -> None:
    app = open_app()
    book = services.book("fake")
    app.selectbox(key="f_where_column").set_value("sex").run()
    app.multiselect(key="f_where_values_sex").set_value(["Male"]).run()
    men = int((book.rows.loc[book.patches["row_id"], "sex"] == "Male").sum())
    assert f'id="queue_head" data-n="{men}"' in html(app)
    app.multiselect(key="f_where_values_sex").set_value([]).run()
    assert f'id="queue_head" data-n="{len(book.patches)}"' in html(app)


def test_another_run_starts_with_its_own_widgets(run: Path, open_app: Open) -> None:
    fake_run.make(run.parent / "other", n=200)
    app = open_app()
    app.slider(key="f_least").set_value(0.8).run()
    app.sidebar.selectbox[0].set_value("other" if app.session_state["demix"].run == "fake" else "fake").run()
    assert app.slider(key="f_least").value == 0 and app.session_state["demix"].filters.least == 0


# ---- notes, jumps, history ---------------------------------------------------------------------------------------


def field(app: AppTest, label: str) -> Any:
    return next(t for t in app.text_input if t.label == label)


def test_a_note_is_kept_and_shown_in_the_history(run: Path, open_app: Open) -> None:
    app = open_app()
    state = app.session_state["demix"]
    deciding.ACTIONS["n"](state)
    app.run()
    field(app, "What should be remembered?").set_value("ask *them*")
    app.button(key="note_save").click().run()
    assert [(e.kind, e.reason) for e in services.events("fake")] == [("note", "ask *them*")]
    assert state.asking == "" and not services.codes("fake").any()
    app.switch_page("views/history.py").run()
    assert any(f"on row {state.row}" in m.value and r"ask \*them\*" in m.value for m in app.markdown)


def test_a_jump_finds_its_row_or_says_that_there_is_none(run: Path, open_app: Open) -> None:
    app = open_app()
    state = app.session_state["demix"]
    deciding.ACTIONS["g"](state)
    app.run()
    field(app, "Row number").set_value("12345")
    app.button(key="jump_go").click().run()
    assert "no row 12345" in app.error[0].value and state.asking == "jump"
    field(app, "Row number").set_value("17")
    app.button(key="jump_go").click().run()
    assert state.row == 17 and state.asking == ""


def test_nothing_is_noted_on_a_row_without_a_suggestion(run: Path, open_app: Open) -> None:
    app = open_app()
    state = app.session_state["demix"]
    state.look_at(state.row, None)
    deciding.ACTIONS["n"](state)
    assert state.asking == "" and "nothing to note" in state.message


def test_the_history_is_filtered_and_takes_any_line_back(run: Path, open_app: Open) -> None:
    patches = services.book("fake").patches
    log = services.log("fake")
    labels = [int(i) for i in patches.loc[patches["error_type"] == "label_error", "patch_id"][:4]]
    cells = [int(i) for i in patches.loc[patches["error_type"] == "feature_error", "patch_id"][:2]]
    log.accept(labels, "ann", query="all labels")
    log.reject(cells, "bob")
    log.undo("bob")
    app = open_app("history")
    assert 'id="history" data-n="3"' in html(app)
    app.multiselect(key="h_who").set_value(["ann"]).run()
    assert 'id="history" data-n="1"' in html(app)
    app.button(key="take_back_1").click().run()
    assert services.log("fake").replay() == {}
    app.multiselect(key="h_who").set_value([]).run()
    assert app.button(key="take_back_1").disabled and not app.button(key="take_back_3").disabled
    app.button(key="take_back_3").click().run()  # the undo itself: what it took back stands again
    assert set(services.log("fake").replay()) == set(cells)
    app.button(key="show_1").click().run()
    shown = app.session_state["demix"].selection
    assert sorted(shown) == sorted(patches.set_index("patch_id").loc[labels, "row_id"].unique())


def test_every_kind_of_event_has_its_line_its_filter_and_its_way_back(run: Path, open_app: Open) -> None:
    log = services.log("fake")
    for kind in (DecisionKind.ACCEPT, DecisionKind.REJECT):
        log.together(kind, [int(kind is DecisionKind.ACCEPT)], "ann", 0)
    log.edit(2, "0.5", "ann")
    log.note([2], "ann", "why")
    for kind in (DecisionKind.ACCEPT, DecisionKind.REJECT, DecisionKind.EDIT):
        log.second(kind, 0, "bob", "1" if kind is DecisionKind.EDIT else None)
    log.revert(1, "ann")
    services.correct("fake", 0, "age", "77", "ann")
    assert {e.kind for e in log.events()} == set(DecisionKind)
    app = open_app("history")
    assert not app.exception and 'id="history" data-n="9"' in html(app)
    assert all(app.button(key=f"take_back_{n}").help for n in range(1, 10))
    counts = {}
    for group in texts.EVENT_GROUPS:
        app.button_group(key="h_kinds").set_value([group]).run()
        counts[group] = int(re.search(r'id="history" data-n="(\d+)"', html(app))[1])  # type: ignore[index]
    assert counts == dict.fromkeys(texts.EVENT_GROUPS, 1) | {"Second opinion": 3}


def test_the_log_leaves_as_a_file_that_replays(run: Path, tmp_path: Path) -> None:
    services.accept("fake", [0, 1])
    path = tmp_path / "d.jsonl"
    path.write_bytes(services.decisions_file("fake"))
    other = DecisionLog(tmp_path / "other.sqlite")
    digest = json.loads((run / "manifest.json").read_text())["inputs"]["train"]["sha256"]
    assert other.import_jsonl(path, digest) == 1 and set(other.replay()) == {0, 1}
    other.close()


def test_bulk_shows_what_would_change_before_the_press(run: Path, open_app: Open) -> None:
    app = open_app()
    app.toggle(key="w_bulk_advised").set_value(False).run()
    patches = services.book("fake").patches
    shown = html(app)
    assert f'id="preview" data-n="{len(patches)}"' in shown
    for column, n in patches["column"].value_counts().head(3).items():
        assert f"{column} {n}" in shown
    first = patches.sort_values(["confidence", "row_id"], ascending=[False, True]).iloc[0]
    assert shown.count("→ <ins>") >= widgets.PREVIEW_LINES and f"<td class='n'>{first['row_id']}</td>" in shown
    assert f"and {len(patches) - widgets.PREVIEW_LINES:,} more" in shown


# ---- influence ---------------------------------------------------------------------------------------------------


def test_influence_blames_the_worst_slice_and_shows_its_rows_on_the_map(run: Path, open_app: Open) -> None:
    app = open_app("influence")
    found = services.blame("fake")
    assert app.selectbox(key="w_slice_3").value == 3, "the highest loss"
    rows = found.to_blame(3, 20)
    assert 'id="blamed" data-n="20"' in html(app) and f"{rows['influence'][0]:+.3f}" in html(app)
    app.button(key="show_blamed").click().run()
    state = app.session_state["demix"]
    assert state.selection.tolist() == rows["row_id"].tolist() and state.token > 1
    assert state.row in state.selection


def test_another_slice_fewer_rows_and_one_group(run: Path, open_app: Open) -> None:
    app = open_app("influence")
    found = services.blame("fake")
    app.selectbox(key="w_slice_3").set_value(2).run()
    app.selectbox(key="w_among_").set_value("flagged label error").run()
    app.toggle(key="w_only_flagged").set_value(True).run()
    group = next(g for g in found.groups("type") if g.name == "flagged label error")
    wanted = found.to_blame(2, 20, group, True)
    assert f'id="blamed" data-n="{len(wanted)}"' in html(app) and "sex = Male" in html(app)
    app.selectbox(key="w_slices").set_value("label").run()
    assert app.session_state["demix"].influence.slice is None, "a slice of another kind is forgotten"
    assert any("every row with another label" in c.value for c in app.caption)


def test_the_page_measures_by_itself_and_says_why_it_could_not(
    run: Path, open_app: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(run / "blame")
    started: list[str] = []

    def start(name: str) -> None:
        started.append(name)
        (run / "blame").mkdir(exist_ok=True)
        status = json.loads((run / "status.json").read_text())
        (run / "blame" / "status.json").write_text(json.dumps(status | {"state": "failed", "error": "No factors."}))

    monkeypatch.setattr("dashboard.services.measure_slices", start)
    app = open_app("influence")
    assert started == ["fake"] and "No factors." in app.error[0].value
    app.button(key="measure_slices").click().run()
    assert started == ["fake", "fake"]


def test_without_a_selection_the_other_question_says_what_to_do(run: Path, open_app: Open) -> None:
    app = open_app("influence")
    app.session_state["demix"].divide(question="selection")
    app.run()
    assert "Draw around some rows" in html(app)


# ---- the row in view ---------------------------------------------------------------------------------------------


@pytest.fixture
def real(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A diagnosed run called 'real', with its model."""
    monkeypatch.setattr("demix_core.work.project", tiny.flat_map)
    table, dec = tiny.table(workspace / "t.csv"), tiny.classifier(workspace / "dec.safetensors")
    diagnose(table, workspace / ".demix" / "runs" / "real", tiny.settings(dec))
    return "real"


def test_every_piece_of_evidence_has_its_sentence(real: str, open_app: Open) -> None:
    app = open_app()
    said = {
        "Cells": "of the", "Why": "dx-probs", "Influence": "of the validation rows with its own label",
        "Similar rows": "training rows most like it", "History": "rounds of training",
    }  # fmt: skip
    assert set(said) == set(PANELS)
    for panel, words in said.items():
        app.session_state["demix"].panel = panel
        app.session_state["w_panel"] = panel
        app.run()
        assert not app.exception and not app.error and words in html(app), panel
    assert "Nothing was decided about this row yet" in html(app)


def test_several_suggestions_of_a_row_are_all_there_to_choose(run: Path, open_app: Open) -> None:
    app = open_app()
    patches = services.book("fake").patches
    row = int(patches["row_id"][patches["row_id"].duplicated()].iloc[0])
    first, second = patches.loc[patches["row_id"] == row, "patch_id"].tolist()[:2]
    app.session_state["demix"].look_at(row, first)
    app.run()
    choice = next(group for group in app.get("button_group") if group.key == f"w_patch_{first}")
    assert len(choice.options) == (patches["row_id"] == row).sum()
    app.session_state["demix"].look_at(row, second)
    app.run()
    app.button(key="accept").click().run()
    assert [e.patch_ids for e in services.events("fake")] == [(second,)]


def test_a_flagged_cell_stands_in_its_column(run: Path, open_app: Open) -> None:
    app = open_app()
    patches = services.book("fake").patches
    patch = patches[(patches["column"] == "age") & (patches["action"] == "impute")].iloc[0]
    app.session_state["demix"].look_at(int(patch["row_id"]), int(patch["patch_id"]))
    app.run()
    shown = html(app)
    assert "dx-spark" in shown and services.distribution("fake", "age").reading(patch["old"], patch["new"]) in shown


def test_predictions_of_the_persons_own_model_are_checked_at_once_and_go_with_the_job(
    workspace: Path, open_app: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[str, str]] = []
    monkeypatch.setattr(services, "start", lambda data, settings, weights, own: started.append((weights, own)) or "x")
    table = fake_run.table(120)
    classes = sorted(table[fake_run.TARGET].unique())
    content = table.to_csv(index=False).encode()
    app = open_app("data")
    app.file_uploader[0].set_value(("census.csv", content, "text/csv")).run()
    app.switch_page("views/diagnose.py").run()
    assert "cross_val_predict" in " ".join(c.value for c in app.code) and str(classes[0]) in said_in_captions(app)
    app.file_uploader(key="w_predictions").set_value(("mine.csv", b"low,high\n0.5,0.5\n", "text/csv")).run()
    assert "mine.csv" in app.error[0].value and app.button(key="start").disabled
    p = pd.DataFrame({c: [1 / len(classes)] * 120 for c in classes}).to_csv(index=False).encode()
    app.file_uploader(key="w_predictions").set_value(("mine.csv", p, "text/csv")).run()
    assert not app.error and not app.button(key="start").disabled
    app.button(key="start").click().run()
    assert [(weights, Path(own).name) for weights, own in started] == [("", "mine.csv")]


def said_in_captions(app: AppTest) -> str:
    return " ".join(c.value for c in app.caption)


# ---- as verdicts teach -------------------------------------------------------------------------------------------


def judge_by_parity(count: int) -> None:
    """Rows of an even number are right: the fake run is described by that."""
    log, patches = services.log("fake"), services.book("fake").patches
    for p in patches.head(count).itertuples():
        (log.accept if p.row_id % 2 == 0 else log.reject)([int(p.patch_id)], "Ada")


def test_the_order_that_verdicts_teach_is_offered_once_there_are_some(run: Path, open_app: Open) -> None:
    app = open_app()
    assert "Likeliest, as you taught" not in app.selectbox(key="w_order").options
    judge_by_parity(20)
    app.run()
    app.selectbox(key="w_order").set_value("Likeliest, as you taught").run()
    assert not app.exception, app.exception
    state, book = app.session_state["demix"], services.book("fake")
    queue = deciding.queue_of(state, book, services.codes("fake"))
    rows = book.patches["row_id"].to_numpy()[queue]
    even = rows % 2 == 0
    assert even[: even.sum()].mean() > 0.95, "what is like the accepted ones comes first"
    state.look_at(int(rows[0]), int(book.patches["patch_id"].iloc[queue[0]]))
    app.run()
    assert any("As you taught" in h.value for h in app.get("html"))


def test_rows_that_were_not_flagged_are_shown_once_they_look_wrong_and_leave_when_corrected(
    run: Path, open_app: Open
) -> None:
    judge_by_parity(100)
    app = open_app()
    state = app.session_state["demix"]

    def pills() -> list[Any]:
        return [group for group in app.button_group if str(group.key).startswith("w_newly")]

    assert not pills(), "only in the order that verdicts teach"
    app.selectbox(key="w_order").set_value("Likeliest, as you taught").run()
    newly = services.taught("fake").newly  # type: ignore[union-attr]
    count, first = newly["row_id"].nunique(), int(newly["row_id"].iloc[0])
    assert texts.NEWLY.format(n=count) in pills()[0].label and f"{first} · " in pills()[0].options[0]
    pills()[0].set_value(first).run()
    assert not app.exception and (state.row, state.patch) == (first, None)
    kind = newly["error_type"].iloc[0]
    column, value = ("hours", "12") if kind == "feature_error" else ("income", None)
    label = services.book("fake").rows.at[first, "income"]
    other = next(c for c in services.book("fake").schema.classes if c != label)
    services.correct("fake", first, column, value or other)
    app.run()
    left = services.taught("fake").newly  # type: ignore[union-attr]
    assert not ((left["row_id"] == first) & (left["error_type"] == kind)).any()


def test_what_is_sure_by_then_is_decided_together(run: Path, open_app: Open) -> None:
    judge_by_parity(24)
    app = open_app()
    app.selectbox(key="w_order").set_value("Least likely, as you taught").run()
    app.slider(key="w_bulk_most").set_value(0.2).run()
    after, codes = services.taught("fake").after, services.codes("fake")  # type: ignore[union-attr]
    expected = {int(i) for i in services.book("fake").patches["patch_id"][(after <= 0.2) & (codes == 0)]}
    app.button(key="bulk_reject").click().run()
    assert not app.exception, app.exception
    event = services.events("fake")[-1]
    assert event.kind is DecisionKind.REJECT and set(event.patch_ids) == expected and expected
    assert event.query == "at most 20% likely, as verdicts teach"
    assert services.taught("fake").verdicts == 24, "many at once teach nothing"  # type: ignore[union-attr]


def test_a_run_that_keeps_nothing_to_teach_from_offers_no_such_order(run: Path, open_app: Open) -> None:
    (run / "detection" / "described.npy").unlink()
    judge_by_parity(10)
    app = open_app()
    assert "Likeliest, as you taught" not in app.selectbox(key="w_order").options
    linked = arriving(run="fake", sort="taught").session_state["demix"]
    assert deciding.order_of(linked) == (type(linked).sort, type(linked).ascending)


def test_a_second_reviewer_is_not_told_what_the_first_one_taught(run: Path, open_app: Open) -> None:
    judge_by_parity(12)
    app = open_app()
    state = app.session_state["demix"]
    state.sort, state.blind = "taught", True
    assert deciding.order_of(state)[0] == type(state).sort and deciding.taught_in(state) is None
    app.run()
    assert not app.exception and "Likeliest, as you taught" not in app.selectbox(key="w_order").options


def test_the_row_in_view_stays_on_the_page_of_a_queue_that_its_decision_sorts_anew(
    run: Path, open_app: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deciding, "PAGE_ROWS", 4)
    judge_by_parity(12)
    app = open_app()
    app.selectbox(key="w_order").set_value("Likeliest, as you taught").run()
    state, book = app.session_state["demix"], services.book("fake")
    for key in ("accept", "reject", "accept"):
        app.button(key=key).click().run()
        queue = deciding.queue_of(state, book, services.codes("fake"))
        place = int(np.flatnonzero(queue == book.patch_at[state.patch])[0])
        assert state.page == place // 4 + 1


def test_after_thirty_decisions_it_is_said_that_they_can_sort_the_queue(run: Path, open_app: Open) -> None:
    judge_by_parity(deciding.ENOUGH - 2)
    app = open_app()
    said = []
    for _ in range(3):
        app.button(key="accept").click().run()
        said.append(app.session_state["demix"].message)
    assert [("as you taught" in s) for s in said] == [False, True, False]


def test_the_row_in_view_stays_in_view_when_suggestions_are_made_anew(run: Path, open_app: Open) -> None:
    app = open_app()
    state, patches = app.session_state["demix"], services.book("fake").patches
    row = int(patches["row_id"].value_counts().index[0])
    assert (patches["row_id"] == row).sum() > 1, "of several suggestions one is chosen by its number"
    state.look_at(row, int(patches.loc[patches["row_id"] == row, "patch_id"].iloc[0]))
    app.run()
    turned = pd.read_parquet(run / "patches.parquet")[::-1].reset_index(drop=True)
    turned.assign(patch_id=np.arange(len(turned))).to_parquet(run / "patches.parquet")
    app.run()
    assert not app.exception, app.exception
    assert state.row == row and services.book("fake").patch_at[state.patch] in np.flatnonzero(turned["row_id"] == row)
    app.button(key="accept").click().run()
    (event,) = services.events("fake")
    assert turned["row_id"].iloc[event.patch_ids[0]] == row, "what is accepted is what was in view"
