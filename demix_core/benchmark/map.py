"""How fast the map is: recolour and lasso against st.plotly_chart, 200,000 and 1,000,000 rows, memory, reruns.

A real Chromium with software WebGL in front of dashboard/measuring/maps.py; reruns after a decision by
dashboard/measuring/reruns.py on a synthetic run. Everything in one go, so that rows can be compared with each other.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demix_core.benchmark._chromium import ROOT, Served, browsing, serving
from demix_core.benchmark._synthetic_run import make
from demix_core.errors import DemixError

if TYPE_CHECKING:
    from playwright.sync_api import Browser, CDPSession, Page

SCRIPT = ROOT / "dashboard" / "measuring" / "maps.py"
SIZE = {"width": 1400, "height": 900}
REPEATS, MOVES, LASSO = 3, 24, 0.33
PATIENCE = 600_000
"""Milliseconds; only reached when something is broken."""

PAINTED = """() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {
  for (const c of document.querySelectorAll('canvas.points, canvas.gl-canvas-context')) {
    const gl = c.getContext('webgl2') || c.getContext('webgl');
    if (gl) gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));  // waits for the drawing
  }
  done(true); })))"""
OWN_TIME = """() => { window.ownTime = 0; let depth = 0; const m = Object.getPrototypeOf(window.demixMap);
  for (const name of Object.getOwnPropertyNames(m)) {
    const own = Object.getOwnPropertyDescriptor(m, name).value;
    if (name === 'constructor' || typeof own !== 'function') continue;
    m[name] = function (...words) { const begin = performance.now(); depth += 1;
      try { return own.apply(this, words); }
      finally { depth -= 1; if (!depth) window.ownTime += performance.now() - begin; } };
  } }"""


def run(*, quick: bool = False, seed: int = 0) -> dict[str, Any]:
    """A line per measure; seconds are medians of REPEATS. quick: a twentieth of the rows and of the interactions."""
    part = 20 if quick else 1
    versus, large, huge, many = 50_000 // part, 200_000 // part, 1_000_000 // part, 500 // part
    with serving(SCRIPT) as served, browsing() as browser:
        lines = compared(browser, served, versus)
        lines += [line for n in (large, huge) for line in alone(browser, served, n)]
        memory = stability(browser, served, versus, many)
    reruns = [after_decisions(n, seed) for n in (versus, huge)]
    lines += [_line("rerun after a decision (script)", r["rows"], statistics.median(r["wall"])) for r in reruns]
    return {"name": "map", "quick": quick, "webgl": "SwiftShader", "memory": memory, "reruns": reruns, "table": lines}


def _line(what: str, rows: int, ours: float, plotly: float | None = None, own: float | None = None) -> dict[str, Any]:
    """own: what our JavaScript and Python took of it; the rest is Streamlit, the browser and software drawing."""
    faster = round(plotly / ours, 1) if plotly is not None else ""
    return {
        "measure": what, "rows": rows, "seconds": round(ours, 3), "own seconds": "" if own is None else round(own, 3),
        "st.plotly_chart": "" if plotly is None else round(plotly, 3), "times faster": faster,
    }  # fmt: skip


# ---- one page ----------------------------------------------------------------------------------------------------


class Tab:
    """One map in a tab of its own: what a person does with it, and how long it takes until Python and eyes have it."""

    def __init__(self, browser: Browser, served: Served, kind: str, rows: int) -> None:
        self.rows, self.kind = rows, kind
        self.page: Page = browser.new_context(viewport=SIZE).new_page()  # type: ignore[arg-type]
        self.page.set_default_timeout(PATIENCE)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        begin = time.perf_counter()
        self.page.goto(f"{served.address}/?kind={kind}&n={rows}")
        self.shown(0)
        self.seconds_to_load = time.perf_counter() - begin
        if kind == "ours":
            self.page.evaluate(OWN_TIME)

    def close(self) -> None:
        """Ends the tab; DemixError when its scripts failed."""
        self.page.context.close()
        if self.errors:
            raise DemixError(f"The {self.kind} map failed while it was measured: {self.errors[0]}")

    def out(self, name: str) -> float:
        """What Python wrote on the page."""
        return float(self.page.get_attribute("#out", f"data-{name}") or "nan")

    def shown(self, turn: int) -> None:
        """Waits until Python has run and the map shows the colours of this turn."""
        self.page.wait_for_selector(f'#out[data-turn="{turn}"]', state="attached")
        ours = f"window.demixMap?.ready && window.demixMap.draws && window.demixMap.head.title === 'turn {turn}'"
        theirs = f"document.querySelector('.js-plotly-plot .legendtext')?.textContent.endsWith('turn {turn}')"
        self.page.wait_for_function(ours if self.kind == "ours" else theirs, polling=10)
        self.page.evaluate(PAINTED)

    def recolour(self) -> float:
        """Every point into another class."""
        turn = int(self.out("turn")) + 1
        begin = time.perf_counter()
        self.page.get_by_role("button", name="recolour", exact=True).click()
        self.shown(turn)
        return time.perf_counter() - begin

    def lasso(self, moves: int = MOVES, share: float = LASSO) -> tuple[float, float]:
        """Around the middle; seconds from pressing the mouse, and from letting go, until Python has the row ids."""
        runs = self.out("runs")
        cx, cy, rx, ry = self._middle(share)
        self.page.mouse.move(cx + rx, cy)
        begin = time.perf_counter()
        self.page.mouse.down()
        for i in range(1, moves + 1):
            angle = i / moves * 2 * math.pi
            self.page.mouse.move(cx + rx * math.cos(angle), cy + ry * math.sin(angle))
        released = time.perf_counter()
        self.page.mouse.up()
        self.page.wait_for_function(f"+document.querySelector('#out').dataset.runs > {runs}", polling=10)
        end = time.perf_counter()
        if not 0 < self.out("n") < self.rows:
            raise DemixError(f"The lasso on the {self.kind} map selected {self.out('n'):.0f} rows.")
        return end - begin, end - released

    def zoom(self) -> float:
        """One notch in and out again."""
        cx, cy, _, _ = self._middle(0.1)
        self.page.mouse.move(cx, cy)
        begin = time.perf_counter()
        for step in (-100, 100):
            self.page.mouse.wheel(0, step)
            self.page.evaluate(PAINTED)
        return time.perf_counter() - begin

    def hover(self) -> float:
        """The pointer over four places."""
        cx, cy, rx, ry = self._middle(0.2)
        begin = time.perf_counter()
        for u, v in ((1, 0), (0, 1), (-1, 0), (0, -1)):
            self.page.mouse.move(cx + u * rx, cy + v * ry)
            self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return (time.perf_counter() - begin) / 4

    def hide(self) -> float:
        """A class hidden by its legend and shown again."""
        entry = self.page.locator(".demix-map .legend button").first
        begin = time.perf_counter()
        for _ in range(2):
            entry.click()
            self.page.evaluate(PAINTED)
        return (time.perf_counter() - begin) / 2

    def own(self, act: Callable[[], object]) -> float:
        """Seconds of our own JavaScript and Python within an act."""
        self.page.evaluate("window.ownTime = 0")
        runs = self.out("runs")
        act()
        python = self.out("seconds") if self.out("runs") > runs else 0.0
        return float(self.page.evaluate("window.ownTime")) / 1000 + python

    def agrees(self) -> None:
        """DemixError unless Python has exactly the rows that the map marks."""
        n, total = self.page.evaluate(
            """() => { const m = window.demixMap; let n = 0, sum = 0;
            for (let i = 0; i < m.n; i++) if (m.chosen[i]) { n += 1; sum += m.ids[i]; } return [n, sum]; }"""
        )
        if (n, total) != (self.out("n"), self.out("sum")):
            raise DemixError(f"Python heard of {self.out('n'):.0f} rows where the map shows {n}.")

    def _middle(self, share: float) -> tuple[float, float, float, float]:
        """Centre and half axes of a loop around the middle of the drawing area."""
        area = ".demix-map .overlay" if self.kind == "ours" else ".js-plotly-plot .nsewdrag"
        box = self.page.locator(area).first.bounding_box()
        assert box is not None
        middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        return *middle, box["width"] * share, box["height"] * share


# ---- what is measured --------------------------------------------------------------------------------------------


def compared(browser: Browser, served: Served, rows: int) -> list[dict[str, Any]]:
    """Ours and st.plotly_chart in turn, so that what else the machine does falls on both."""
    ours, theirs = Tab(browser, served, "ours", rows), Tab(browser, served, "plotly", rows)
    found: dict[str, list[list[float]]] = {"recolour": [[], []], "lasso": [[], []], "release": [[], []]}
    for repeat in range(REPEATS + 1):
        for side, tab in enumerate((ours, theirs)):
            tab.page.bring_to_front()
            seconds, (whole, after) = tab.recolour(), tab.lasso()
            if repeat:  # the first is a warm-up
                for name, value in (("recolour", seconds), ("lasso", whole), ("release", after)):
                    found[name][side].append(value)
    ours.agrees()
    for tab in (ours, theirs):
        tab.close()
    lines = [_line("load", rows, ours.seconds_to_load, theirs.seconds_to_load)]
    titles = {"recolour": "recolour", "lasso": "lasso until Python has it", "release": "of it after letting go"}
    return lines + [_line(titles[k], rows, *(statistics.median(side) for side in v)) for k, v in found.items()]


def alone(browser: Browser, served: Served, rows: int) -> list[dict[str, Any]]:
    """Every interaction on our map, with our own share of it."""
    tab = Tab(browser, served, "ours", rows)
    lines = [_line("load", rows, tab.seconds_to_load)]
    acts: dict[str, Callable[[], float]] = {
        "recolour": tab.recolour, "lasso until Python has it": lambda: tab.lasso()[0], "zoom in and out": tab.zoom,
        "hover": tab.hover, "hide a class": tab.hide,
    }  # fmt: skip
    for name, act in acts.items():
        act()
        seconds: list[float] = []
        own = [tab.own(lambda act=act, seconds=seconds: seconds.append(act())) for _ in range(2)]  # type: ignore[misc]
        lines.append(_line(name, rows, statistics.median(seconds), own=max(own)))
        if name.startswith("lasso"):
            tab.agrees()
    tab.close()
    return lines


def stability(browser: Browser, served: Served, rows: int, interactions: int) -> dict[str, Any]:
    """Memory of the page (after collecting garbage) and of the server over many interactions."""
    tab = Tab(browser, served, "ours", rows)
    session = tab.page.context.new_cdp_session(tab.page)
    acts = (tab.recolour, lambda: tab.lasso(6), tab.zoom, tab.hide, tab.hover)
    points = [max(1, round(interactions * share)) for share in (0.1, 0.4, 0.7, 1)]
    samples = []
    for done in range(1, interactions + 1):
        acts[done % len(acts)]()
        if done in points:
            samples.append({"after": done, "page_mb": _heap(session), "server_mb": round(served.megabytes(), 1)})
    tab.close()
    return {"rows": rows, "interactions": interactions, "samples": samples}


def _heap(session: CDPSession) -> float:
    """MB of JavaScript objects and of their buffers."""
    session.send("HeapProfiler.collectGarbage")
    used = session.send("Runtime.getHeapUsage")
    return round((used["usedSize"] + used.get("backingStorageSize", 0)) / 2**20, 1)


def after_decisions(rows: int, seed: int) -> dict[str, Any]:
    """Script time of the review page after each of some decisions, on a synthetic run of that many rows."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = make(Path(scratch) / "runs" / "synthetic", rows, seed).path
        command = [sys.executable, "-m", "dashboard.measuring.reruns", str(folder), str(3 * REPEATS)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DemixError(f"The review could not be measured: {done.stderr.strip().splitlines()[-1]}")
    return {"rows": rows, **json.loads(done.stdout.splitlines()[-1])}
