"""A person's walk through the dashboard in a real browser: upload, diagnose, decide, export; what keys must do."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qs

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser, Page

from dashboard import texts
from demix_core.blame.measure import measure
from demix_core.blame.view import Blame
from demix_core.explain import Explainer
from demix_core.exporting import export
from demix_core.pipeline import diagnose
from demix_core.store import Run
from demix_core.types import DecisionKind
from tests import tiny
from tests.dashboard import fake_run
from tests.dashboard.browser import (
    browsing,
    current,
    decided,
    errors_of,
    lasso,
    new_page,
    serving,
    wait_current,
    wait_decided,
    wait_map,
    wait_still,
)  # fmt: skip

pytestmark = pytest.mark.browser
TYPED = 300
RUNS = (
    "keys map fields late taken robbed later behind typing given own button screen links two hands taught example"
).split()
"""A run for each test that decides something."""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workspace")
    for name in RUNS:
        fake_run.make(folder / "runs" / name, n=3000 if name == "keys" else 1500)
    return folder


@pytest.fixture(scope="module")
def address(workspace: Path) -> Iterator[str]:
    with serving(workspace) as served:
        yield served


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as opened:
        yield opened


@pytest.fixture(autouse=True)
def tabs_are_closed(browser: Browser) -> Iterator[None]:
    """An open tab keeps asking the server for others' decisions; what a failed test leaves would slow the next ones."""
    yield
    for context in browser.contexts:
        context.close()


def opened(browser: Browser, address: str, run: str, **options: object) -> Page:
    page = new_page(browser, **options)
    page.goto(f"{address}/?run={run}")
    wait_map(page)
    return page


def test_the_whole_walk(browser: Browser, address: str, workspace: Path, tmp_path: Path) -> None:
    table = tiny.table(tmp_path / "people.csv", n=400)
    page = new_page(browser)
    diagnose_upload(page, address, table, tiny.classifier(tmp_path / "dec.safetensors"))
    run = Run(workspace / "runs" / "people-1")
    page.get_by_role("button", name="Review the suggestions").click()
    wait_map(page)
    decide_some(page, run)
    check_export(page, run, table, tmp_path)
    assert errors_of(page) == []


def diagnose_upload(page: Page, address: str, table: Path, classifier: Path) -> None:
    page.goto(f"{address}/data")
    page.locator("[data-testid=stFileUploaderDropzone] input").set_input_files(table)
    page.get_by_role("button", name="Go on to Diagnose").click()
    page.get_by_text("More options").click()
    field = page.locator(".st-key-w_option_diagnose_classifier input")
    field.fill(str(classifier))
    field.press("Enter")
    page.locator(".st-key-start button").click()
    page.wait_for_selector("#stages")
    page.wait_for_url("**run=people-1**")
    page.reload()  # the job goes on in its own process
    page.wait_for_selector("#stages[data-state=done]")


def decide_some(page: Page, run: Run) -> None:
    first = current(page)
    page.keyboard.press("a")
    wait_decided(page, 1)
    page.wait_for_selector(f'#inspector:not([data-patch="{first[1]}"])', state="attached")
    second = current(page)
    page.keyboard.press("x")
    wait_decided(page, 2)
    page.keyboard.press("z")
    wait_decided(page, 1)
    wait_current(page, *second)
    camera = page.evaluate("JSON.stringify(window.demixMap.camera)")
    ids = lasso(page)
    patches = run.patches()
    standing = run.decisions().replay()
    wanted = patches[patches["row_id"].isin(ids) & ~patches["patch_id"].isin(standing)]
    assert len(wanted)
    page.wait_for_selector(f'#queue_head[data-n="{len(wanted)}"]', state="attached")
    page.get_by_role("button", name="Decide together").click()
    if wanted["recommended"].any():
        page.get_by_role("button", name=f"Accept {wanted['recommended'].sum()} ").wait_for()
        page.get_by_text("that DeMix recommends").click()
    page.get_by_role("button", name=f"Accept {len(wanted)} ").click()
    wait_decided(page, 1 + len(wanted))
    page.wait_for_selector("[data-testid=stPopoverBody]", state="detached")  # a second press decides nothing more
    assert page.evaluate("JSON.stringify(window.demixMap.camera)") == camera
    assert int(page.get_attribute(".demix-map", "data-selected") or 0) == len(ids)
    page.get_by_role("button", name="Undo").click()
    wait_decided(page, 1)
    page.get_by_role("button", name="Redo").click()
    wait_decided(page, 1 + len(wanted))
    states = run.decisions().replay()
    assert set(states) == {first[1], *(int(i) for i in wanted["patch_id"])}
    assert {s.kind for s in states.values()} == {DecisionKind.ACCEPT}
    take_one_back(page, run)


def take_one_back(page: Page, run: Run) -> None:
    """One suggestion of a bulk is rejected after all; the rest of the bulk stands."""
    before, patches = run.decisions().replay(), run.patches()
    rows = patches.groupby("row_id")["patch_id"].agg(list)
    row, patch = next((int(row), int(ids[0])) for row, ids in rows.items() if set(ids) <= set(before))
    page.keyboard.type(f"g{row}", delay=20)
    page.keyboard.press("Enter")
    page.wait_for_selector(f'#inspector[data-patch="{patch}"]', state="attached")
    page.wait_for_selector("[role=dialog]", state="detached")
    page.keyboard.press("x")
    page.get_by_text(f"Rejected: row {row}.").first.wait_for(state="attached")
    after = run.decisions().replay()
    assert after[patch].kind is DecisionKind.REJECT
    assert {i: s for i, s in after.items() if i != patch} == {i: s for i, s in before.items() if i != patch}


def check_export(page: Page, run: Run, table: Path, tmp_path: Path) -> None:
    page.get_by_role("link", name="Export").click()
    with page.expect_download() as download:
        page.locator(".st-key-download_cleaned button").click()
    cleaned = Path(download.value.path()).read_bytes()
    same = tmp_path / "again.csv"
    export(run, same)
    assert cleaned == same.read_bytes()
    before, after = (list(csv.reader(text.decode().splitlines())) for text in (table.read_bytes(), cleaned))
    head, states = before[0], {i: s for i, s in run.decisions().replay().items() if s.kind is DecisionKind.ACCEPT}
    changed = {(i - 1, head[j]) for i, line in enumerate(after) for j, cell in enumerate(line) if cell != before[i][j]}
    taken = run.patches().set_index("patch_id").loc[list(states)]
    cells = taken[taken["action"].isin(["relabel", "impute"])]
    assert changed == {(int(p.row_id), p.column) for p in cells.itertuples() if p.old != p.new}
    for patch in cells.itertuples():
        assert after[int(patch.row_id) + 1][head.index(patch.column)] == patch.new
    with page.expect_download() as download:
        page.locator(".st-key-download_changes button").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert len(lines) == 1 + len(taken)


def test_300_decisions_typed_ahead_are_all_heard_once_and_in_order(
    browser: Browser, address: str, workspace: Path
) -> None:
    run = Run(workspace / "runs" / "keys")
    patches = run.patches().sort_values(["confidence", "row_id"], ascending=[False, True], kind="stable")
    assert len(patches) >= TYPED
    page = opened(browser, address, "keys")
    keys = ["aax"[i % 3] for i in range(TYPED)]
    for key in keys:
        page.keyboard.press(key)
        page.wait_for_timeout(20)
    wait_decided(page, TYPED)
    events = run.decisions().events()
    assert [e.patch_ids for e in events] == [(int(i),) for i in patches["patch_id"][:TYPED]]
    words = {"a": DecisionKind.ACCEPT, "x": DecisionKind.REJECT}
    assert [e.kind for e in events] == [words[key] for key in keys]
    assert errors_of(page) == []
    page.close()


def test_the_sheet_of_keys_and_what_is_typed_ahead_of_a_field(browser: Browser, address: str, workspace: Path) -> None:
    page = opened(browser, address, "fields")
    ids = lasso(page, share=0.2)
    page.get_by_text(f"in {len(ids):,} selected rows").wait_for()
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    page.keyboard.press("a")  # no decision behind the sheet
    page.keyboard.press("Escape")
    page.wait_for_selector(".demix-sheet", state="detached")
    assert int(page.get_attribute(".demix-map", "data-selected") or 0) == len(ids), "Esc closed the sheet only"
    _, patch = current(page)
    page.keyboard.type("nask xaver", delay=20)  # the field is not there yet
    page.keyboard.press("Enter")
    page.get_by_text("Note: row").wait_for()
    page.wait_for_selector("[role=dialog]", state="detached")  # what is typed while it stands is the field's
    events = Run(workspace / "runs" / "fields").decisions().events()
    assert [(e.kind, e.patch_ids, e.reason) for e in events] == [(DecisionKind.NOTE, (patch,), "ask xaver")]
    page.keyboard.type("g17", delay=20)
    page.keyboard.press("Enter")
    page.wait_for_selector('#inspector[data-row="17"]', state="attached")
    go_to(page, "History")
    page.wait_for_selector('#history[data-n="1"]')
    page.get_by_text("ask xaver").wait_for()
    page.locator(".st-key-take_back_1 button").first.click()
    page.get_by_text("· taken back").wait_for()
    assert decided(page) == 0 and errors_of(page) == []
    page.close()


UNREADY = """() => {
  const real = HTMLElement.prototype.focus, seen = new WeakMap();
  HTMLElement.prototype.focus = function (...given) {
    if (this.closest(".st-key-note_box")) {
      if (!seen.has(this)) seen.set(this, performance.now());
      if (performance.now() - seen.get(this) < 500) return;
    }
    real.apply(this, given);
  };
}"""
"""The field stands but takes no focus yet, as a dialog on a busy machine does while it opens."""
TAKEN = """() => {
  const soon = window.requestAnimationFrame;
  window.requestAnimationFrame = (act) => setTimeout(() => soon(act), 300);
  new MutationObserver((_, watch) => {
    const field = document.querySelector(".st-key-note_box input");
    if (field) { watch.disconnect(); field.focus(); }
  }).observe(document.body, { childList: true, subtree: true });
}"""
"""The field gets its focus from somebody else, as an opening dialog gives it, a while before our own hand is on it."""
ROBBED = """() => {
  const soon = window.requestAnimationFrame;
  window.requestAnimationFrame = (act) => setTimeout(() => soon(act), 300);
  const once = (event) => {
    if (event.isTrusted || !event.target.closest(".st-key-note_box")) return;
    window.removeEventListener("input", once, true);
    setTimeout(() => event.target.blur(), 30);
  };
  window.addEventListener("input", once, true);
}"""
"""The field loses its focus just after it got what was typed ahead, as an opening dialog takes it."""
ROBBED_LATER = """() => {
  let typed = 0;
  const third = (event) => {
    if (!event.isTrusted || !event.target.closest(".st-key-note_box") || ++typed < 3) return;
    window.removeEventListener("input", third, true);
    setTimeout(() => event.target.closest("section").focus(), 5);
  };
  window.addEventListener("input", third, true);
}"""
"""The same on a busy machine: once some letters were typed into the field itself."""


@pytest.mark.parametrize(
    ("name", "hindrance"), [("late", UNREADY), ("taken", TAKEN), ("robbed", ROBBED), ("later", ROBBED_LATER)]
)
def test_what_is_typed_ahead_waits_until_the_field_takes_it(
    browser: Browser, address: str, workspace: Path, name: str, hindrance: str
) -> None:
    page = opened(browser, address, name)
    _, patch = current(page)
    page.evaluate(hindrance)
    said = "the branch says that this call was made twice, by two people"
    page.keyboard.type("n" + said, delay=20)
    page.keyboard.press("Enter")
    page.get_by_text("Note: row").wait_for()
    events = Run(workspace / "runs" / name).decisions().events()
    assert [(e.kind, e.patch_ids, e.reason) for e in events] == [(DecisionKind.NOTE, (patch,), said)]
    assert errors_of(page) == []
    page.close()


HELD_ANSWERS = """() => {
  const add = WebSocket.prototype.addEventListener, now = performance.now.bind(performance), waiting = [];
  const names = (data) => data instanceof ArrayBuffer && new TextDecoder().decode(data).includes(window.holdFrom);
  WebSocket.prototype.addEventListener = function (type, act, ...rest) {
    const later = (event) => {
      if (window.holdFrom && names(event.data)) { window.hold = true; window.holdFrom = ""; setTimeout(letGo, 1000); }
      return window.hold ? waiting.push(() => act(event)) : act(event);
    };
    return add.call(this, type, type === "message" ? later : act, ...rest);
  };
  window.letGo = () => { window.hold = false; waiting.splice(0).forEach((deliver) => deliver()); };
  performance.now = () => now() + (window.passed || 0);
}"""
"""With `window.hold` the server's answers wait for `letGo()`, or for a second from the one on that has the words
`window.holdFrom`; `window.passed` milliseconds seem to have gone by."""


def test_keys_decide_nothing_behind_an_open_question(browser: Browser, address: str, workspace: Path) -> None:
    page = opened(browser, address, "behind")
    _, patch = current(page)
    page.keyboard.press("n")
    page.locator(".st-key-note_box input:focus").wait_for()
    page.wait_for_timeout(500)  # the field is held on to for as long
    page.keyboard.press("Tab")  # to the button: letters are not typed into anything now
    page.locator(".st-key-note_box input:not(:focus)").wait_for()
    page.keyboard.type("as")
    page.keyboard.press("Escape")
    page.wait_for_selector("[role=dialog]", state="detached")
    page.keyboard.press("x")
    wait_decided(page, 1)
    events = Run(workspace / "runs" / "behind").decisions().events()
    assert [(e.kind, e.patch_ids) for e in events] == [(DecisionKind.REJECT, (patch,))]
    assert errors_of(page) == []
    page.close()


def free_row(run: Run) -> int:
    """A row for which nothing is suggested."""
    return int(np.setdiff1d(run.diagnosis()["row_id"], run.suggested()["row_id"])[0])


def test_a_person_corrects_what_nobody_suggested(
    browser: Browser, address: str, workspace: Path, tmp_path: Path
) -> None:
    run, page = Run(workspace / "runs" / "own"), opened(browser, address, "own")
    row, total = free_row(run), int(page.get_attribute("#progress", "data-total") or 0)
    age = run.rows().at[row, "age"]
    page.keyboard.type(f"g{row}", delay=20)
    page.keyboard.press("Enter")
    page.wait_for_selector(f'#inspector[data-row="{row}"]', state="attached")
    page.wait_for_selector("[role=dialog]", state="detached")
    page.keyboard.press("e")
    page.get_by_role("dialog", name=f"Correct row {row}").wait_for()
    choose(page, "Which cell is wrong?", "age")
    field = page.locator(".st-key-correct_box input")
    page.get_by_text(f"in place of “{age}”").wait_for()
    field.fill("old")
    field.press("Enter")
    page.get_by_text("'old' is no number").wait_for()
    field.fill("77")
    page.locator(".st-key-correct_save button").click()
    wait_decided(page, 1)
    page.get_by_text(f"Corrected: row {row}, age is 77.").wait_for()
    assert int(page.get_attribute("#progress", "data-total") or 0) == total + 1
    assert run.patches().iloc[-1][["row_id", "column", "new"]].tolist() == [row, "age", "77"]
    page.keyboard.press("z")
    wait_decided(page, 0)
    page.wait_for_selector(f'#inspector[data-row="{row}"][data-patch="None"]', state="attached")
    assert int(page.get_attribute("#progress", "data-total") or 0) == total
    page.keyboard.press("y")
    wait_decided(page, 1)
    page.wait_for_selector(f'#inspector[data-row="{row}"]:not([data-patch="None"])', state="attached")
    page.keyboard.press("c")
    page.get_by_role("dialog", name=f"Correct row {row}").wait_for()
    choose(page, "Which cell is wrong?", "income")
    page.locator(".st-key-correct_save button").click()
    wait_decided(page, 2)
    go_to(page, "History")
    page.wait_for_selector('#history[data-n="4"]')
    page.get_by_text(f"row {row}: age").first.wait_for()
    export(run, tmp_path / "out.csv")
    cleaned = pd.read_csv(tmp_path / "out.csv", dtype=str, keep_default_na=False)
    differs = (cleaned != run.rows().astype(str)).to_numpy()
    assert sorted(cleaned.columns[differs.any(0)]) == ["age", "income"]
    assert np.flatnonzero(differs.any(1)).tolist() == [row]
    assert errors_of(page) == []
    page.close()


def choose(page: Page, label: str, option: str) -> None:
    """Takes an option of a list."""
    page.get_by_role("combobox", name=label).click()
    page.get_by_role("option", name=option, exact=True).click()


def test_enter_typed_ahead_waits_for_the_button_that_saves(browser: Browser, address: str, workspace: Path) -> None:
    page = new_page(browser)
    page.add_init_script(f"({HELD_ANSWERS})()")
    page.goto(f"{address}/?run=button")
    wait_map(page)
    page.evaluate("window.holdFrom = 'Save the note'")  # on a busy machine the form's button comes after its field
    _, patch = current(page)
    page.keyboard.type("nseen by two", delay=20)
    page.keyboard.press("Enter")
    page.get_by_text("Note: row").wait_for()
    events = Run(workspace / "runs" / "button").decisions().events()
    assert [(e.kind, e.patch_ids, e.reason) for e in events] == [(DecisionKind.NOTE, (patch,), "seen by two")]
    assert errors_of(page) == []
    page.close()


def test_a_field_that_was_served_takes_nothing_from_the_next(browser: Browser, address: str, workspace: Path) -> None:
    page = new_page(browser)
    page.add_init_script(f"({HELD_ANSWERS})()")
    page.goto(f"{address}/?run=late")
    wait_map(page)
    page.wait_for_selector("#inspector", state="attached")
    page.keyboard.type("nonce", delay=20)
    page.keyboard.press("Enter")
    page.get_by_text("Note: row").wait_for()
    page.wait_for_selector("[role=dialog]", state="detached")
    page.evaluate("window.hold = true")
    page.keyboard.type("g17", delay=20)
    page.keyboard.press("Enter")
    page.evaluate("window.passed = 25000")  # longer than anything typed waits for the first field
    page.wait_for_timeout(3000)
    page.evaluate("letGo()")
    page.wait_for_selector('#inspector[data-row="17"]', state="attached")
    assert errors_of(page) == []
    page.close()


def test_keys_are_silent_in_a_field_and_an_edit_is_typed(browser: Browser, address: str, workspace: Path) -> None:
    run = Run(workspace / "runs" / "fields")
    page = opened(browser, address, "fields")
    search = page.get_by_label("Search in the rows")
    search.click()
    search.press_sequentially("axz")
    search.fill("")
    search.press("Enter")
    types = page.locator(".st-key-f_types")
    left = len(run.patches())
    for name, kind in (("Label error", "label_error"), ("Spurious", "spurious")):  # only cells stay
        types.get_by_role("button", name=name).click()
        left -= int((run.patches()["error_type"] == kind).sum())
        page.wait_for_selector(f'#queue_head[data-n="{left}"]', state="attached")
    assert decided(page) == 0
    page.wait_for_function(
        "[...document.querySelectorAll('.demix-queue tbody tr')].every(t => t.innerText.includes('Feature error'))"
    )
    patch = int(page.locator(".demix-queue tbody tr").nth(1).get_attribute("data-id") or -1)
    page.locator(f'.demix-queue tbody tr[data-id="{patch}"]').click()
    page.wait_for_selector(f'#inspector[data-patch="{patch}"]', state="attached")
    page.keyboard.press("e")
    page.wait_for_function(
        """() => { const a = document.activeElement; return a?.closest('.st-key-edit_box') && a.value
        && a.selectionEnd - a.selectionStart === a.value.length; }"""
    )
    page.keyboard.type("77")  # the old text is selected, so this replaces it
    page.keyboard.press("Enter")
    wait_decided(page, 1)
    edits = [e for e in run.decisions().events() if e.kind == DecisionKind.EDIT]
    assert [(e.patch_ids, e.value) for e in edits] == [((patch,), "77")]
    assert errors_of(page) == []
    page.close()


def test_the_map_keeps_its_view_and_esc_clears(browser: Browser, address: str) -> None:
    page = opened(browser, address, "map")
    box = page.locator(".demix-map .overlay").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 200, box["y"] + 150)
    page.mouse.wheel(0, -400)
    ids = lasso(page, share=0.2)
    camera = page.evaluate("JSON.stringify(window.demixMap.camera)")
    page.locator(".st-key-w_colour input").click()
    page.get_by_role("option", name="Colour by decision").click()
    page.wait_for_function("window.demixMap.head.title === 'Decision'")
    assert page.evaluate("JSON.stringify(window.demixMap.camera)") == camera
    assert int(page.get_attribute(".demix-map", "data-selected") or 0) == len(ids)
    page.locator(".demix-map .overlay").focus()
    page.keyboard.press("Escape")
    page.wait_for_selector('.demix-map[data-selected="0"]')
    assert page.locator(".demix-map").count() == 1
    page.evaluate("window.demixMap.points.gl.getExtension('WEBGL_lose_context').loseContext()")
    page.wait_for_selector(".demix-map[data-lost]")
    page.close()


def selected(page: Page) -> int:
    return int(page.get_attribute(".demix-map", "data-selected") or 0)


def drag(page: Page, corners: list[tuple[float, float]]) -> set[int]:
    """Drags over the map, corners in shares of its size; the rows that it says are selected."""
    before = page.evaluate("window.demixMap.seq")
    box = page.locator(".demix-map .overlay").bounding_box()
    assert box is not None
    spots = [(box["x"] + u * box["width"], box["y"] + v * box["height"]) for u, v in corners]
    page.mouse.move(*spots[0])
    page.mouse.down()
    for spot in spots[1:]:
        page.mouse.move(*spot, steps=4)
    page.mouse.up()
    page.wait_for_function(f"window.demixMap.seq > {before}")
    return set(page.evaluate("Array.from(window.demixMap.ids).filter((_, i) => window.demixMap.chosen[i])"))


WITHIN = """([u0, v0, u1, v1, slack]) => { const m = window.demixMap;
  return Array.from(m.ids).filter((_, i) => { const [x, y] = m.toScreen(m.x[i], m.y[i]);
    return x > u0 * m.w - slack && x < u1 * m.w + slack && y > v0 * m.h - slack && y < v1 * m.h + slack; }); }"""


def within(page: Page, corners: list[float]) -> tuple[set[int], set[int]]:
    """The rows that are in a box for certain, and those that may be: the mouse moves by whole pixels."""
    return set(page.evaluate(WITHIN, [*corners, -2])), set(page.evaluate(WITHIN, [*corners, 2]))


def test_box_shift_alt_and_the_legend_choose_those_rows(browser: Browser, address: str, workspace: Path) -> None:
    page = opened(browser, address, "map")
    page.locator(".demix-map [data-tool=box]").click()
    left = drag(page, [(0.2, 0.2), (0.5, 0.8)])
    inner, outer = within(page, [0.2, 0.2, 0.5, 0.8])
    assert inner and inner <= left <= outer
    page.keyboard.down("Shift")
    both = drag(page, [(0.45, 0.2), (0.75, 0.8)])
    page.keyboard.up("Shift")
    inner, outer = within(page, [0.45, 0.2, 0.75, 0.8])
    assert left | inner <= both <= left | outer and both > left
    page.keyboard.down("Alt")
    fewer = drag(page, [(0.1, 0.5), (0.9, 0.9)])
    page.keyboard.up("Alt")
    inner, outer = within(page, [0.1, 0.5, 0.9, 0.9])
    assert both - outer <= fewer <= both - inner and fewer < both
    patches = Run(workspace / "runs" / "map").patches()
    wanted = patches["row_id"].isin(fewer).sum()
    page.wait_for_selector(f'#queue_head[data-n="{wanted}"]', state="attached")
    clean = page.locator(".demix-map .legend button", has_text="Looks clean")
    assert re.fullmatch(r"[\d,]+ / [\d,]+", clean.locator("small").inner_text())
    clean.click()
    assert clean.get_attribute("aria-pressed") == "false"
    seen = drag(page, [(0.02, 0.02), (0.9, 0.98)])
    assert seen and seen <= set(patches["row_id"]), "hidden rows are not chosen"
    assert errors_of(page) == []
    page.close()


def test_view_and_selection_outlive_the_page_and_the_projection(browser: Browser, address: str) -> None:
    page = opened(browser, address, "map")
    box = page.locator(".demix-map .overlay").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 220, box["y"] + 180)
    page.mouse.wheel(0, -300)
    ids = set(lasso(page, share=0.25))
    camera = page.evaluate("JSON.stringify(window.demixMap.camera)")
    page.wait_for_selector("#queue_head >> text=selected rows")
    menu = page.locator("[data-testid=stSidebarNav]")
    menu.get_by_role("link", name="Check").click()
    page.wait_for_function("!document.querySelector('.demix-map')")
    menu.get_by_role("link", name="Review").click()
    wait_map(page)
    page.wait_for_selector(f'.demix-map[data-selected="{len(ids)}"]')
    assert page.evaluate("JSON.stringify(window.demixMap.camera)") == camera
    assert set(page.evaluate("Array.from(window.demixMap.ids).filter((_, i) => window.demixMap.chosen[i])")) == ids
    first = page.evaluate("window.demixMap.x[0]")
    page.get_by_role("radio", name="PCA").or_(page.get_by_role("button", name="PCA")).first.click()
    page.wait_for_function(f"window.demixMap.x[0] === {-first}")
    assert selected(page) == len(ids), "rows stay selected wherever another projection puts them"
    page.get_by_role("radio", name="UMAP").or_(page.get_by_role("button", name="UMAP")).first.click()
    page.wait_for_function(f"window.demixMap.x[0] === {first}")
    assert page.evaluate("JSON.stringify(window.demixMap.camera)") == camera
    assert errors_of(page) == []
    page.close()


def test_the_keyboard_reaches_the_map_and_the_map_is_saved(browser: Browser, address: str, tmp_path: Path) -> None:
    page = opened(browser, address, "map")
    page.locator(".demix-map [data-tool=picture]").focus()
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename == "demix-map-umap.png"
    head = Path(download.value.path()).read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n" and int.from_bytes(head[16:20], "big") > 400
    page.evaluate("window.demixMap.overlay.focus()")
    camera = page.evaluate("window.demixMap.camera.zoom")
    row = current(page)[0]
    page.keyboard.press("+")
    page.wait_for_function(f"window.demixMap.camera.zoom > {camera}")
    spot = page.evaluate(
        """() => { const m = window.demixMap; m.camera.x = m.x[5]; m.camera.y = m.y[5]; m.request();
        return m.ids[m.nearest(...m.centre())]; }"""
    )
    page.keyboard.press("Shift+Enter")
    page.wait_for_selector('.demix-map[data-selected="1"]')
    page.keyboard.press("Enter")
    page.wait_for_selector(f'#inspector[data-row="{spot}"]', state="attached")
    assert spot != row
    page.get_by_role("button", name="More", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as a page").click()
    saved = tmp_path / "map.html"
    download.value.save_as(saved)
    alone, asked = new_page(browser), []
    alone.on("request", lambda request: asked.append(request.url))
    alone.goto(saved.as_uri())
    alone.wait_for_selector(".js-plotly-plot .main-svg")
    rows = alone.evaluate(
        "document.querySelector('.js-plotly-plot')._fullData.reduce((k, t) => k + t.customdata.length, 0)"
    )
    assert rows == page.evaluate("window.demixMap.n")
    assert asked == [saved.as_uri()], "it needs no network"
    assert errors_of(page) == errors_of(alone) == []
    for tab in (page, alone):
        tab.close()


def test_without_webgl_a_box_still_chooses_the_right_rows(browser: Browser, address: str) -> None:
    page = new_page(browser)
    page.add_init_script(
        "const get = HTMLCanvasElement.prototype.getContext; HTMLCanvasElement.prototype.getContext ="
        " function (kind, ...more) { return kind.startsWith('webgl') ? null : get.call(this, kind, ...more); };"
    )
    page.goto(f"{address}/?run=map")
    page.get_by_text("offers no WebGL2").wait_for()
    plot = page.locator(".js-plotly-plot .nsewdrag")
    plot.wait_for()
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.3)
    page.mouse.down()
    for u, v in ((0.7, 0.3), (0.7, 0.7), (0.3, 0.7), (0.3, 0.32)):
        page.mouse.move(box["x"] + box["width"] * u, box["y"] + box["height"] * v, steps=5)
    page.mouse.up()
    page.wait_for_selector("#queue_head >> text=selected rows")
    chosen = page.evaluate(
        """() => document.querySelector('.js-plotly-plot')._fullData.flatMap(
        (t) => [...(t.selectedpoints || [])].map((i) => t.customdata[i]))"""
    )
    assert len(chosen) > 5
    assert f"in {len(chosen):,} selected rows" in page.inner_text("#queue_head")
    lines = page.locator(".demix-queue tbody tr")
    assert lines.count() and {int(n) for n in lines.evaluate_all("t => t.map((l) => l.dataset.row)")} <= set(chosen)
    page.close()


def test_a_click_on_the_map_shows_that_row(browser: Browser, address: str) -> None:
    page = opened(browser, address, "map")
    spot = page.evaluate(
        """() => { const m = window.demixMap, at = m.mark.findIndex((v) => v & 7);
        const r = m.overlay.getBoundingClientRect(), [x, y] = m.toScreen(m.x[at], m.y[at]);
        return {x: r.x + x, y: r.y + y, near: m.ids[m.nearest(x, y)]}; }"""
    )
    page.mouse.click(spot["x"], spot["y"])
    page.wait_for_selector(f'#inspector[data-row="{spot["near"]}"]', state="attached")
    page.wait_for_function(f"window.demixMap.ids[window.demixMap.head.current] === {spot['near']}")
    page.close()


def test_the_report_opens_without_a_network_and_runs_nobody_elses_script(
    browser: Browser, address: str, workspace: Path, tmp_path: Path
) -> None:
    page = new_page(browser)
    page.goto(f"{address}/export?run=screen")
    with page.expect_download() as waiting:
        page.locator(".st-key-download_report button").click()
    page.close()
    text = Path(waiting.value.path()).read_text("utf-8")
    saved = tmp_path / waiting.value.suggested_filename
    evil = f"<script>window.evil = 1</script><img src='{saved.name}' onerror='window.evil = 2'>"
    saved.write_text(text.replace("<main>", f"<main>{evil}"), "utf-8")  # as if escaping had failed
    for scheme in ("light", "dark"):
        report = new_page(browser, offline=True, color_scheme=scheme)
        asked: list[str] = []
        report.on("requestfinished", lambda request, asked=asked: asked.append(request.url))
        report.goto(saved.as_uri())
        report.wait_for_selector(f"body[data-drawn={scheme}]")
        drawn = report.evaluate("document.getElementById('map').data.reduce((n, t) => n + t.x.length, 0)")
        assert drawn == len(Run(workspace / "runs" / "screen").diagnosis())
        assert report.evaluate("window.evil") is None and asked == [saved.as_uri()] and errors_of(report) == []
        assert report.evaluate("document.documentElement.scrollWidth") <= 1280
        report.close()


@pytest.mark.parametrize(
    ("width", "height", "scheme"), [(1280, 800, "light"), (1280, 800, "dark"), (1920, 1080, "dark")]
)
def test_everything_to_decide_is_on_one_screen(
    browser: Browser, address: str, width: int, height: int, scheme: str
) -> None:
    page = new_page(browser, color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": height})
    page.goto(f"{address}/?run=screen")
    wait_map(page)
    for name in (
        ".demix-map",
        ".st-key-accept",
        ".st-key-edit",
        ".st-key-reject",
        ".st-key-undo",
        ".demix-queue",
        "#inspector",
    ):
        box = page.locator(name).bounding_box()
        assert box is not None and box["y"] >= 0 and box["y"] + box["height"] <= height, (name, box)
    queue = page.locator(".st-key-queue").bounding_box()
    assert queue is not None and height - queue["y"] - queue["height"] < 40, "the queue uses the window to its end"
    place, first = page.locator(".st-key-accept").bounding_box(), current(page)[1]
    page.keyboard.press("j")
    page.wait_for_selector(f'#inspector:not([data-patch="{first}"])', state="attached")
    page.keyboard.press("e")
    page.wait_for_selector(".st-key-edit_box")
    assert page.locator(".st-key-accept").bounding_box() == place
    page.close()


def test_a_sample_is_reviewed_by_key_and_sharpens_the_threshold(
    browser: Browser, address: str, workspace: Path
) -> None:
    run = Run(fake_run.make(workspace / "runs" / "trust", n=1500))
    labels = run.patches().query("error_type == 'label_error'")
    page = new_page(browser)
    page.goto(f"{address}/thresholds?run=trust")
    page.wait_for_selector(f'#evidence[data-rows="{len(labels)}"][data-low="0.0000"]', state="attached")
    page.locator(".st-key-review_sample button").first.click()
    page.wait_for_selector('#queue_head[data-n="30"]', state="attached")
    wait_map(page)
    for _ in range(6):
        page.keyboard.press("a")
    wait_decided(page, 6)
    (drawn,) = json.loads((run / "samples.json").read_text())["draws"]
    of_patch = labels.set_index("patch_id")["row_id"]
    assert [int(of_patch[e.patch_ids[0]]) for e in run.decisions().events()] == drawn["rows"][:6]
    page.get_by_role("link", name="Thresholds").click()
    page.wait_for_selector('#evidence[data-sampled="6"]:not([data-low="0.0000"])', state="attached")
    for _ in range(30):  # beyond the least confidence of all; a press may meet a slider that is being drawn anew
        page.locator("[data-testid=stSlider] input[type=range]").focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(200)
        if page.get_attribute("#evidence", "data-rows") != str(len(labels)):
            break
    page.wait_for_selector(f'#evidence:not([data-rows="{len(labels)}"])', state="attached")
    at = json.loads((run / "thresholds.json").read_text())["label_error"]
    left = int((labels["confidence"] >= at).sum())
    page.wait_for_selector(f'#evidence[data-rows="{left}"]', state="attached")
    assert errors_of(page) == []
    page.close()


def test_measure_a_batch_take_it_back_and_the_figures_return(
    browser: Browser, address: str, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demix_core.work.project", tiny.flat_map)
    table, dec = tiny.table(tmp_path / "t.csv", n=300), tiny.classifier(tmp_path / "dec.safetensors")
    run = diagnose(table, workspace / "runs" / "check", tiny.settings(dec))
    by_type = [list(g["patch_id"]) for _, g in run.patches().groupby("error_type")]
    assert len(by_type) >= 2
    accept(run, by_type[0])
    page = new_page(browser)
    page.goto(f"{address}/check?run=check")
    first = measured(page)
    accept(run, by_type[1])
    page.reload()
    page.get_by_text("have changed since").wait_for()
    second = measured(page)
    assert second != first
    newest = max(e.seq for e in run.decisions().events())
    page.locator(f".st-key-take_back_batch_{newest} button").click()
    page.wait_for_function(f"document.querySelector('#metrics')?.innerText !== {json.dumps(second)}")
    assert page.inner_text("#metrics") == first, "known already: nothing is trained again"
    assert {i for i, s in run.decisions().replay().items()} == set(by_type[0])
    assert errors_of(page) == []
    page.close()


def accept(run: Run, ids: list[int]) -> None:
    with closing(run.decisions()) as log:
        log.accept([int(i) for i in ids])


def measured(page: Page) -> str:
    """Presses the button, waits for the job, and reads the table of metrics."""
    page.locator(".st-key-measure button").first.click()
    page.wait_for_selector(".st-key-measuring")
    page.wait_for_selector(".st-key-measured #metrics")
    return str(page.inner_text("#metrics"))


def test_refresh_and_a_shared_link_come_back_to_the_same_place(browser: Browser, address: str) -> None:
    page = opened(browser, address, "links")
    page.locator(".st-key-f_states").get_by_role("button", name="accepted").click()
    page.wait_for_url("**decision=open&decision=accepted**")
    page.locator(".st-key-w_order input").click()
    page.get_by_role("option", name="Most informative first").click()
    page.wait_for_url("**sort=uncertainty**")
    ids = lasso(page, share=0.35)
    page.get_by_text(f"in {len(ids):,} selected rows").wait_for()
    n = page.get_attribute("#queue_head", "data-n")
    for done in (1, 2):
        page.keyboard.press("a")
        wait_decided(page, done)
    page.keyboard.press("j")
    page.locator(".st-key-w_colour input").click()
    page.get_by_role("option", name="Colour by decision").click()
    page.wait_for_url("**colour=Decision**")
    link = page.url
    row, patch = (int(parse_qs(link)[name][0]) for name in ("row", "patch"))
    here = (row, patch)
    page.reload()
    same_place(page, here, n, ids, link)
    other = new_page(browser)
    other.goto(link)
    same_place(other, here, n, ids, link)
    other.get_by_role("link", name="Export").click()
    other.get_by_text("What will change").wait_for()
    other.wait_for_url("**/export?run=links&**")
    other.go_back()
    same_place(other, here, n, ids, link)
    assert errors_of(page) == errors_of(other) == []
    page.close()
    other.close()


def same_place(page: Page, here: tuple[int, int], n: str | None, ids: list[int], link: str) -> None:
    """The row in view, the queue, the selection on the map and the address."""
    wait_map(page)
    page.wait_for_selector(f'#inspector[data-row="{here[0]}"][data-patch="{here[1]}"]', state="attached")
    page.wait_for_selector(f'#queue_head[data-n="{n}"]', state="attached")
    page.wait_for_selector(f'.demix-map[data-selected="{len(ids)}"]')
    page.wait_for_selector(f'.demix-queue[data-current="{here[1]}"]')
    page.wait_for_url(link)
    assert decided(page) == 2
    page.wait_for_function("window.demixMap.head.title === 'Decision'")
    chosen = page.evaluate("Array.from(window.demixMap.ids).filter((_, i) => window.demixMap.chosen[i])")
    assert chosen == ids


def named(browser: Browser, address: str, run: str, name: str) -> Page:
    """A browser of its own, with a person's name in the sidebar."""
    page = opened(browser, address, run)
    field = page.get_by_role("textbox", name="Your name")
    field.fill(name)
    field.press("Enter")
    page.wait_for_function("document.cookie.includes('demix_reviewer')")
    page.evaluate("document.activeElement.blur()")
    return page


def test_two_people_at_one_run_lose_nothing_and_see_each_other(browser: Browser, address: str, workspace: Path) -> None:
    run, presses = Run(workspace / "runs" / "two"), 8
    ann, bob = (named(browser, address, "two", name) for name in ("Ann", "Bob"))
    with closing(run.decisions()) as log:
        for i in range(presses):  # both begin at the same suggestion, so that they meet
            ann.keyboard.press("a" if i % 2 else "x")
            bob.keyboard.press("x" if i % 3 else "a")
        for page, name in ((ann, "Ann"), (bob, "Bob")):
            said = f"window.demixKeys.heard >= {presses}"
            page.wait_for_function(said)
            mine = [e.patch_ids for e in log.events() if e.reviewer == name]
            assert len(mine) == len(set(mine)) == presses, "every press is one decision"
        wait_decided(ann, len(log.replay()))
        wait_decided(bob, len(log.replay()))
        assert len(log.events()) == 2 * presses
        wait_still(ann)
        patch = current(ann)[1]
        log.reject([patch], "Cleo")  # a third person, somewhere else
        ann.get_by_text("While you were looking, Cleo rejected this").wait_for()
        assert current(ann)[1] == patch
        ann.keyboard.press("a")
        ann.get_by_text("Cleo had rejected it.").wait_for(state="attached")
        wait_decided(bob, len(log.replay()))
        ann.keyboard.press("z")
        ann.wait_for_function(f"window.demixKeys.heard >= {presses + 2}")  # the card before may still be on the screen
        ann.wait_for_selector(f'#inspector[data-patch="{patch}"]', state="attached")
        assert log.replay()[patch].kind is DecisionKind.REJECT, "her undo leaves Cleo's word standing"
        bob.keyboard.press("z")
        bob.wait_for_function(f"window.demixKeys.heard > {presses}")
        assert [e.reviewer for e in log.events()[-2:]] == ["Ann", "Bob"]
        assert log.events()[-1].reverts == max(e.seq for e in log.events() if e.reviewer == "Bob" and not e.reverts)
    for page in (ann, bob):
        assert errors_of(page) == []
        page.close()


def test_a_second_review_is_blind_also_after_a_refresh(browser: Browser, address: str, workspace: Path) -> None:
    run = Run(workspace / "runs" / "two")
    with closing(run.decisions()) as log:
        log.accept([0, 1, 2, 3], "Ann")
        standing = log.replay()
        page = named(browser, address, "two", "Dora")
        page.get_by_role("link", name="Team").click()
        page.get_by_role("spinbutton", name="Suggestions").fill("4")
        page.get_by_role("button", name="Draw", exact=True).click()
        page.locator(".st-key-start_blind button").click()
        page.wait_for_selector('#progress[data-decided="0"][data-total="4"]', state="attached")
        wait_map(page)
        page.keyboard.press("a")
        page.keyboard.press("x")
        wait_decided(page, 2)
        page.reload()
        wait_map(page)
        page.wait_for_selector('#progress[data-decided="2"][data-total="4"]', state="attached")
        assert page.get_by_role("textbox", name="Your name").input_value() == "Dora"
        assert page.locator(".st-key-history").count() == page.locator(".dx-decided").count() == 0
        page.keyboard.press("x")
        page.keyboard.press("a")
        wait_decided(page, 4)
        assert log.replay() == standing and sum(e.kind.second for e in log.events()) == 4
    page.get_by_role("link", name="Team").click()
    page.wait_for_selector('#agreement[data-pairs="4"]', state="attached")
    assert errors_of(page) == []
    page.close()


BOXES = (".demix-map", "#inspector", ".st-key-accept", ".demix-queue")


def test_the_whole_job_by_keyboard_alone(browser: Browser, address: str, workspace: Path, tmp_path: Path) -> None:
    run = Run(workspace / "runs" / "hands")
    page = opened(browser, address, "hands")
    places = layout(page)
    page.keyboard.type("axsk", delay=20)
    wait_decided(page, 2)
    page.keyboard.press("z")
    wait_decided(page, 1)
    n = int(run.patches()["recommended"].sum()) - 1
    page.keyboard.press("b")
    page.wait_for_selector(f'#preview[data-n="{n}"]')
    page.wait_for_function("document.activeElement?.closest('.st-key-bulk_accept')")
    page.keyboard.press("Enter")
    wait_decided(page, 1 + n)
    assert layout(page) == places, "nothing on the screen jumps"
    go_to(page, "Export")
    page.get_by_text("What will change").wait_for()
    tab_to(page, ".st-key-download_cleaned")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    export(run, tmp_path / "same.csv")
    assert Path(download.value.path()).read_bytes() == (tmp_path / "same.csv").read_bytes()
    assert len(run.decisions().replay()) == 1 + n and errors_of(page) == []
    page.close()


def test_decisions_teach_the_queue_and_what_is_sure_is_decided_together(
    browser: Browser, address: str, workspace: Path
) -> None:
    """Rows of an even number are right, which only decisions can tell: nothing on the screen depends on it."""
    run = Run(workspace / "runs" / "taught")
    page = opened(browser, address, "taught")
    ordered_by(page, "At random, to teach")
    patch = -1
    for done in range(1, 21):
        page.wait_for_selector(f'#inspector:not([data-patch="{patch}"])', state="attached")  # drawn after the progress
        row, patch = current(page)
        page.keyboard.press("a" if row % 2 == 0 else "x")
        wait_decided(page, done)
    ordered_by(page, "Likeliest, as you taught")
    page.get_by_role("columnheader", name="As you taught").wait_for()
    rows = [int(tr.get_attribute("data-row") or -1) for tr in page.locator(".demix-queue tbody tr").all()]
    even = [row % 2 == 0 for row in rows]
    assert sum(even[: sum(even)]) > 0.9 * sum(even) and 0 < sum(even) < len(even), "those like accepted ones come first"
    page.keyboard.press("b")
    page.wait_for_selector("#preview")
    chosen = int(page.get_attribute("#preview", "data-n") or 0)
    page.locator(".st-key-bulk_accept button").click()
    wait_decided(page, 20 + chosen)
    event = run.decisions().events()[-1]
    row_of = run.patches().set_index("patch_id")["row_id"]
    assert len(event.patch_ids) == chosen > 20
    assert sum(row_of[p] % 2 == 0 for p in event.patch_ids) > 0.98 * chosen
    page.keyboard.press("z")
    wait_decided(page, 20)
    assert errors_of(page) == []
    page.close()


def ordered_by(page: Page, name: str) -> None:
    page.locator(".st-key-w_order input").click()
    page.get_by_role("option", name=name).click()
    page.wait_for_function("document.activeElement === document.body")  # so that keys are heard again
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')


def layout(page: Page) -> list[tuple[int, ...]]:
    """Where the parts of the screen are, seen from the map."""
    boxes = [page.locator(name).bounding_box() for name in BOXES]
    top = boxes[0]["y"] if boxes[0] else 0
    return [tuple(round(v) for v in (b["x"], b["y"] - top, b["width"], b["height"])) for b in boxes if b]


def go_to(page: Page, name: str) -> None:
    """Another page, by its key."""
    links = page.locator("[data-testid=stSidebarNavLink]").all_inner_texts()
    at = next(i for i, text in enumerate(links) if text.strip().endswith(name))
    page.keyboard.press(f"Shift+Digit{at + 1}")


def tab_to(page: Page, where: str) -> None:
    """Presses Tab until something in there has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate(f"!!document.activeElement?.closest('{where}')"):
            return
    pytest.fail(f"Tab does not lead to {where}.")


def test_the_tour_is_offered_once_and_walks_by_keyboard(browser: Browser, address: str) -> None:
    page = opened(browser, address, "example")
    page.locator(".demix-offer").get_by_role("button", name="Take the tour").click()
    for step in range(len(texts.TOUR)):
        card = page.locator(f'.demix-tour .card[data-step="{step}"]')
        card.wait_for()
        box, at = card.bounding_box(), texts.TOUR[step][0]
        assert box is not None and box["x"] >= 0 and box["y"] >= 0
        assert box["x"] + box["width"] <= 1280 and box["y"] + box["height"] <= 800, step
        assert not at or page.locator(at).first.is_visible(), at
        page.keyboard.press("ArrowRight" if step % 2 else "Enter")
    page.wait_for_selector(".demix-tour", state="detached")
    page.reload()
    wait_map(page)
    assert page.locator(".demix-offer").count() == 0, "it was taken, so it is not offered again"
    page.keyboard.press("t")
    page.locator('.demix-tour .card[data-step="0"]').wait_for()
    page.keyboard.press("a")  # no decision behind the tour
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    page.locator('.demix-tour .card[data-step="0"]').wait_for()
    page.keyboard.press("Escape")
    page.wait_for_selector(".demix-tour", state="detached")
    assert decided(page) == 0 and errors_of(page) == []
    page.close()


def test_what_was_lost_on_the_way_is_drawn_again(browser: Browser, tmp_path: Path) -> None:
    """Streamlit forgets the last words of a script when the page's regular look meets its end (its issue 9921)."""
    fake_run.make(tmp_path / "runs" / "example", n=300)
    with serving(tmp_path, late=1.2) as address:
        page = opened(browser, address, "example")
        page.locator(".demix-offer").get_by_role("button", name="No").click()
        for wait in (1400, 1600, 1800):  # the next look, two seconds after the last one, meets the end of the script
            page.wait_for_timeout(wait)
            page.keyboard.press("t")
            page.locator('.demix-tour .card[data-step="0"]').wait_for()
            page.keyboard.press("Escape")
            page.wait_for_selector(".demix-tour", state="detached")
        before = page.evaluate("window.demixPulse.script")
        page.evaluate("window.demixPulse.seen = 0")  # as if the last words had been lost
        page.wait_for_function(f"window.demixPulse.script > {before}")
        assert errors_of(page) == []
        page.close()


def test_letters_for_a_field_that_lost_its_focus_are_no_keys(browser: Browser, address: str, workspace: Path) -> None:
    page = opened(browser, address, "given")
    row, patch = current(page)
    page.keyboard.press("e")
    field = page.locator(".st-key-edit_box input:focus")
    field.wait_for()
    page.wait_for_timeout(800)
    field.fill("")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.type("xa1", delay=60)
    assert page.locator(".st-key-edit_box input").input_value() == "xa1"
    assert current(page) == (row, patch) and decided(page) == 0
    page.close()


def test_what_others_decide_comes_into_view_once_a_note_is_written(
    browser: Browser, address: str, workspace: Path
) -> None:
    page = opened(browser, address, "typing")
    _, patch = current(page)
    page.keyboard.press("n")
    page.locator(".st-key-note_box input:focus").wait_for()
    page.keyboard.type("seen by ")
    with closing(Run(workspace / "runs" / "typing").decisions()) as log:
        log.accept(elsewhere(workspace / "runs" / "typing", patch), "somebody else")
    page.wait_for_function(f"window.demixPulse.beat > {page.evaluate('window.demixPulse.beat') + 2}")
    page.keyboard.type("both of us", delay=20)  # a page drawn again would have taken the focus away
    page.keyboard.press("Enter")
    page.get_by_text("Note: row").wait_for()
    wait_decided(page, 3)
    notes = [e for e in Run(workspace / "runs" / "typing").decisions().events() if e.kind is DecisionKind.NOTE]
    assert [(e.patch_ids, e.reason) for e in notes] == [((patch,), "seen by both of us")]
    assert errors_of(page) == []
    page.close()


def elsewhere(run: Path, patch: int) -> list[int]:
    """Three suggestions that are not in view."""
    ids = Run(run).suggested()["patch_id"]
    return [int(i) for i in ids[ids != patch].tail(3)]


CONTRAST = """(selector) => [...document.querySelectorAll(selector)]
  .filter((e) => e.checkVisibility() && e.innerText.trim()).slice(0, 40).map((element) => {
    const probe = Object.assign(document.createElement("canvas"), {width: 1, height: 1}).getContext("2d");
    const rgba = (text) => { probe.clearRect(0, 0, 1, 1); probe.fillStyle = text; probe.fillRect(0, 0, 1, 1);
      return [...probe.getImageData(0, 0, 1, 1).data]; };
    const over = (top, share, below) => below.map((v, i) => share * top[i] + (1 - share) * v);
    const chain = []; for (let e = element; e; e = e.parentElement) chain.unshift(e);
    let ground = [255, 255, 255], opacity = 1;
    for (const e of chain) { const css = getComputedStyle(e), [r, g, b, a] = rgba(css.backgroundColor);
      ground = over([r, g, b], a / 255, ground); opacity *= css.opacity; }
    const ink = over(rgba(getComputedStyle(element).color), opacity, ground);
    const light = (c) => c.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
      .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const [low, high] = [light(ink), light(ground)].sort((p, q) => p - q);
    return [(high + 0.05) / (low + 0.05), light(ground), element.innerText.slice(0, 40)]; })"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_can_be_read_on_every_page(browser: Browser, address: str, scheme: str) -> None:
    page = opened(browser, address, "screen", color_scheme=scheme)
    readable(page, scheme, "#progress span, .demix-queue td, .demix-queue th, .dx-change span, #queue_head span")
    readable(page, scheme, "table.dx td, .st-key-reject p, [data-testid=stSidebar] [data-testid=stWidgetLabel] p")
    page.keyboard.press("?")
    readable(page, scheme, ".demix-sheet dt, .demix-sheet dd, .demix-sheet button")
    page.keyboard.press("Escape")
    page.wait_for_selector(".demix-sheet", state="detached")
    pages = {"History": "Nothing is decided yet", "Check": "Nothing is accepted yet", "Export": "What will change"}
    for name, words in pages.items():
        go_to(page, name)
        page.get_by_text(words).first.wait_for()
        readable(page, scheme, ".dx-empty p, .dx-empty h3, [data-testid=stCaptionContainer]")
    page.close()


def readable(page: Page, scheme: str, selector: str) -> None:
    """WCAG's contrast of normal text, 4.5 : 1, and a ground that is dark in the dark."""
    page.wait_for_selector(selector.split(",")[0])
    found = page.evaluate(CONTRAST, selector)
    assert found, selector
    for ratio, ground, text in found:
        assert ratio >= 4.5, (round(ratio, 2), text)
        assert (ground < 0.2) == (scheme == "dark"), text


def test_a_slice_its_rows_to_blame_and_back(
    browser: Browser, address: str, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demix_core.work.project", tiny.flat_map)
    table, dec = tiny.table(tmp_path / "t.csv", n=300), tiny.classifier(tmp_path / "dec.safetensors")
    run = diagnose(table, workspace / "runs" / "blame", tiny.settings(dec))
    page = new_page(browser)
    page.goto(f"{address}/influence?run=blame")
    page.wait_for_selector("#blamed", timeout=180_000)  # measured by itself, in its own process
    found = Blame(Explainer(run), measure(run))
    worst = found.slices("worst")
    other = next(i for i in worst if i != found.pick(worst, None))
    name = found.means.slices[other].name
    page.locator("[class*=st-key-w_slice_] input").click()
    page.get_by_role("option", name=name).click()
    page.wait_for_selector(f"#blamed:has-text('{name}')")
    rows = found.to_blame(other, 20)["row_id"].tolist()
    shown = page.locator("table.blame tbody td:first-child").all_inner_texts()
    assert [int(text) for text in shown] == rows
    page.locator(".st-key-show_blamed button").click()
    page.wait_for_selector(f'.demix-map[data-selected="{len(rows)}"]')
    chosen = "Array.from(window.demixMap.ids).filter((_, i) => window.demixMap.chosen[i])"
    assert sorted(page.evaluate(chosen)) == sorted(rows)
    page.get_by_role("link", name="Influence").click()
    page.get_by_role("radio", name="What selected rows do").click()
    page.wait_for_selector(f'#touching[data-n="{len(rows)}"]')
    page.wait_for_selector(".st-key-touched_table table")
    assert errors_of(page) == []
    page.close()
