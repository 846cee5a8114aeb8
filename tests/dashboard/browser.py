"""A dashboard server and a real Chromium for tests that need eyes and hands; waits for marks in the page, not time."""

from __future__ import annotations

import math
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader", "--disable-background-networking",
]  # fmt: skip
LATE_SERVER = Path(__file__).with_name("late_server.py")
PATIENCE = 60_000  # ms; only reached when something is broken


def chromium() -> str:
    """Path of the installed Chromium."""
    found = next((p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None)
    if found is None:
        pytest.fail(
            "Chromium is missing: install the package 'chromium' (on Debian: apt-get install chromium) and run again."
        )
    return found


@contextmanager
def serving(workspace: Path, late: float = 0) -> Iterator[str]:
    """The dashboard on a free port, with its runs in `workspace`; yields its address. late: see late_server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    streamlit = [str(LATE_SERVER), str(late)] if late else ["-m", "streamlit"]
    command = [sys.executable, *streamlit, "run", "dashboard/app.py", "--server.port", str(port)]
    command += ["--server.headless", "true", "--", "--workspace", str(workspace)]
    with (workspace / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait_until_up(f"http://localhost:{port}", process)
            yield f"http://localhost:{port}"
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_up(address: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=1) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    pytest.fail("The dashboard's server did not come up.")


@contextmanager
def browsing() -> Iterator[Browser]:
    """A Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def new_page(browser: Browser, **options: object) -> Page:
    """A tab at 1280 × 800 whose script errors fail the test at the end (see errors_of)."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}, **options).new_page()  # type: ignore[arg-type]
    page.set_default_timeout(PATIENCE)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.errors = errors  # type: ignore[attr-defined]
    return page


def errors_of(page: Page) -> list[str]:
    """The script errors of a tab so far."""
    found: list[str] = page.errors  # type: ignore[attr-defined]
    return found


def decided(page: Page) -> int:
    """The count on the progress line."""
    return int(page.get_attribute("#progress", "data-decided") or -1)


def wait_decided(page: Page, n: int) -> None:
    """Until the progress line says n."""
    page.wait_for_selector(f'#progress[data-decided="{n}"]', state="attached")


def current(page: Page) -> tuple[int, int]:
    """(row id, patch id) in the inspector."""
    return int(page.get_attribute("#inspector", "data-row") or -1), int(
        page.get_attribute("#inspector", "data-patch") or -1
    )


def wait_current(page: Page, row: int, patch: int) -> None:
    """Until the inspector, which is drawn after the progress line, shows this suggestion."""
    page.wait_for_selector(f'#inspector[data-row="{row}"][data-patch="{patch}"]', state="attached")


def wait_still(page: Page) -> None:
    """Until nothing is being drawn: what the inspector shows then goes with the progress line above it."""
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]', state="attached")


def wait_map(page: Page) -> None:
    """Until the map has drawn its points and the inspector stands."""
    page.wait_for_selector(".demix-map[data-draws]")
    page.wait_for_selector("#inspector", state="attached")
    page.wait_for_function("!!window.demixKeys?.listening")


def lasso(page: Page, share: float = 0.3) -> list[int]:
    """Draws a loop around the middle of the map; the row ids that the map says are selected."""
    before = page.evaluate("window.demixMap.seq")
    box = page.locator(".demix-map .overlay").bounding_box()
    assert box is not None
    cx, cy = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    rx, ry = box["width"] * share, box["height"] * share
    page.mouse.move(cx + rx, cy)
    page.mouse.down()
    for i in range(1, 25):
        angle = i / 24 * 2 * math.pi
        page.mouse.move(cx + rx * math.cos(angle), cy + ry * math.sin(angle))
    page.mouse.up()
    page.wait_for_function(f"window.demixMap.seq > {before}")
    ids: list[int] = page.evaluate("Array.from(window.demixMap.ids).filter((_, i) => window.demixMap.chosen[i])")
    return ids
