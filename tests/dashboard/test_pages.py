"""Every page, empty and with a finished run, without a browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import deciding, services
from dashboard.state import DataChoice
from tests.dashboard import fake_run

PAGES = ("data", "diagnose", "review", "check", "export")
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
    assert page == "data" or "dx-empty" not in html(app) or page in ("check", "export")


def test_the_first_screen_is_the_review_of_the_newest_run(run: Path, open_app: Open) -> None:
    app = open_app()
    assert 'id="progress" data-decided="0"' in html(app)
    assert app.query_params["run"] == "fake"


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


def test_an_upload_is_previewed_with_its_kinds(workspace: Path, open_app: Open) -> None:
    app = open_app("data")
    content = fake_run.table(120).to_csv(index=False).encode()
    app.file_uploader[0].set_value(("census.csv", content, "text/csv")).run()
    assert not app.exception
    assert next(s for s in app.selectbox if s.label.startswith("Target")).value == fake_run.TARGET
    assert not app.button(key="to_diagnose").disabled


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
    assert app.query_params["run"] == "example"
    app.button(key="accept").click().run()
    assert len(services.events("example")) == 1
    assert {p: p.read_bytes() for p in shipped.rglob("*") if p.is_file()} == before


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
    services.redo("fake")
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
    assert "no number" in services.refused("fake", int(cell["patch_id"]), "forty")
    assert services.refused("fake", int(cell["patch_id"]), "41") == ""
    assert services.refused("fake", int(cell["patch_id"]), "") == "", "an empty cell is a missing value"
    label = patches[patches["error_type"] == "label_error"].iloc[0]
    assert "no known label" in services.refused("fake", int(label["patch_id"]), "rich")
