"""Several people at one run, on the pages: names, each other's decisions, the team page, the blind second review."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path

from streamlit.testing.v1 import AppTest

from dashboard import address, deciding, services, texts
from demix_core.types import DecisionKind
from tests.dashboard.test_pages import html

Open = Callable[..., AppTest]

# ---- several people ----------------------------------------------------------------------------------------------


def test_every_decision_carries_the_name_in_the_sidebar_and_undo_takes_only_ones_own(run: Path, open_app: Open) -> None:
    app = open_app()
    field = next(t for t in app.sidebar.text_input if t.label == "Your name")
    assert field.value and not app.session_state["demix"].named, "the operating system's name, until one is given"
    field.set_value("  Ann   [QA] ").run()
    for key in ("accept", "reject", "bulk_accept", "undo", "redo"):
        app.button(key=key).click().run()
    app.button(key="revert_1").click().run()
    assert {e.reviewer for e in services.events("fake")} == {"Ann [QA]"} and len(services.events("fake")) == 6
    services.reject("fake", [app.session_state["demix"].patch], who="Bob")
    before = len(services.events("fake"))
    for _ in range(9):
        app.button(key="undo").click().run()
    history = services.events("fake")
    assert {e.reviewer for e in history[before:]} == {"Ann [QA]"}
    assert history[before - 1].seq in services.standing("fake")
    assert escape(texts.NOTHING_TO_UNDO) in html(app)


def test_what_somebody_else_has_just_decided_is_said_and_may_be_decided_anyway(run: Path, open_app: Open) -> None:
    app = open_app()
    state = app.session_state["demix"]
    patch, queue = state.patch, deciding.queue_of(state, services.book("fake"), services.codes("fake"))
    services.reject("fake", [patch], who="<Bob>")
    app.run()
    assert state.patch == patch and "&lt;Bob&gt; rejected this" in html(app) and "rejected by &lt;Bob&gt;" in html(app)
    app.button(key="accept").click().run()
    assert "&lt;Bob&gt; had rejected it." in html(app)
    assert services.log("fake").replay()[patch].kind == "accept"
    assert services.book("fake").patch_at[state.patch] == queue[1], "the queue goes on from where it was"
    app.run()
    assert 'id="just_decided"' not in html(app)


def test_a_bulk_decision_leaves_what_others_have_decided_meanwhile(run: Path, open_app: Open) -> None:
    app = open_app()
    app.toggle(key="w_bulk_advised").set_value(False).run()
    services.reject("fake", [3, 4], who="Bob")
    app.button(key="bulk_accept").click().run()
    kinds = {i: s.kind.value for i, s in services.log("fake").replay().items()}
    assert kinds.pop(3) == kinds.pop(4) == "reject" and set(kinds.values()) == {"accept"}
    assert "2 suggestions that others have just decided were left alone" in html(app)


# ---- team --------------------------------------------------------------------------------------------------------


def name_oneself(app: AppTest, name: str) -> None:
    next(t for t in app.sidebar.text_input if t.label == "Your name").set_value(name).run()


def test_a_blind_second_review_hides_every_decision_and_is_an_opinion_only(run: Path, open_app: Open) -> None:
    ids = [int(i) for i in services.book("fake").patches["patch_id"]]
    services.accept("fake", ids[::2], who="Ann")
    services.reject("fake", ids[1::2], who="Ann")
    before = services.log("fake").replay()
    app = open_app("team")
    assert "data-reviewer='Ann'" in html(app) and any(c.value == texts.NOTHING_TWICE for c in app.caption)
    name_oneself(app, "Bob")
    app.number_input(key="w_second_size").set_value(6)
    app.button(key="draw_second").click().run()
    drawn = services.assigned("fake", "Bob")
    assert len(drawn) == 6 and "6 suggestions" in app.toast[0].value
    app.button(key="start_blind").click().run()
    app.switch_page("views/review.py").run()
    state, shown = app.session_state["demix"], html(app)
    assert state.blind and "blind=1" in address.query(state)
    assert 'id="progress" data-decided="0" data-total="6"' in shown and 'id="queue_head" data-n="6"' in shown
    assert "Ann" not in shown and "dx-decided" not in shown and state.patch in drawn
    assert not [b for b in app.button if str(b.key).startswith(("revert_", "bulk_"))]
    book = services.book("fake")
    foreign = next(i for i in ids if i not in drawn)
    state.look_at(int(book.patches["row_id"][foreign]), foreign)
    deciding.accept(state)
    assert state.message == texts.NOT_DRAWN and services.log("fake").replay() == before
    deciding.look_at_position(state, book, book.patch_at[drawn[0]])
    app.run()
    for key in ("accept", "reject", "undo", "redo", "accept"):
        app.button(key=key).click().run()
    assert services.log("fake").replay() == before
    opinions = [e for e in services.events("fake") if e.kind.second]
    assert [(e.reviewer, e.kind.verdict.value) for e in opinions] == [
        ("Bob", "accept"), ("Bob", "reject"), ("Bob", "accept")
    ]  # fmt: skip
    assert 'id="progress" data-decided="3" data-total="6"' in html(app)
    app.button(key="leave_blind").click().run()
    assert not state.blind and "blind" not in address.query(state) and f'data-decided="{len(ids)}"' in html(app)


def test_conflicts_are_settled_by_anybody_and_leave_the_list(run: Path, open_app: Open) -> None:
    ids = [int(i) for i in services.book("fake").patches["patch_id"]]
    services.accept("fake", ids[:10], who="Ann", reason="<the form> allows it")
    services.draw_second("fake", "Bob", 10, 0, "Ann")
    for i in ids[:10]:
        services.opine("fake", DecisionKind.REJECT if i in ids[:3] else DecisionKind.ACCEPT, i, "Bob")
    app = open_app("team")
    name_oneself(app, "Cleo")
    shown = html(app)
    assert 'id="agreement" data-pairs="10" data-same="7"' in shown and "7 of 10 the same" in shown
    assert "(&lt;the form&gt; allows it)" in shown and "<b>Bob</b> rejected" in shown
    conflicts = services.team("fake").conflicts
    assert [c.patch_id for c in conflicts] == ids[:3]
    app.text_input(key="w_reason").set_value("asked the clinic")
    app.button(key=f"take_second_{ids[0]}_{conflicts[0].second.seq}").click().run()
    event = services.events("fake")[-1]
    assert (event.kind.value, event.reviewer, event.reason) == ("reject", "Cleo", "asked the clinic")
    assert services.log("fake").replay()[ids[0]].kind.value == "reject" and app.text_input(key="w_reason").value == ""
    assert [c.patch_id for c in services.team("fake").conflicts] == ids[1:3]
    services.reject("fake", [ids[1]], who="Ann")
    app.button(key=f"take_first_{ids[1]}_{conflicts[1].second.seq}").click().run()
    assert services.events("fake")[-1].reviewer == "Ann" and "in the meantime" in app.toast[0].value
    assert 'id="agreement" data-pairs="10" data-same="7"' in html(app), "settling makes nobody agree after the fact"


def test_nothing_to_draw_is_one_sentence(run: Path, open_app: Open) -> None:
    app = open_app("team")
    app.button(key="draw_second").click().run()
    assert "nothing to draw" in app.warning[0].value and services.team("fake").draws == []
