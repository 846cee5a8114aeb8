"""`make pictures`: the README's pictures, taken anew of the shipped example by somebody who works with it."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from demix_core.store import Run
from tests.dashboard.browser import ROOT, browsing, lasso, new_page, serving, wait_decided, wait_map

ASSETS = ROOT / "assets"
SIZE, SECONDS = (960, 600), 1.8


def checked_example(workspace: Path) -> None:
    """The example with all that is recommended but weights accepted, and what that does to the model."""
    path = workspace / "runs" / "example"
    shutil.copytree(ASSETS / "example" / "run", path)
    run = Run(path)
    patches = run.patches()
    with closing(run.decisions()) as log:
        for kind, ids in patches[patches.recommended & (patches.action != "reweight")].groupby("error_type")[
            "patch_id"
        ]:
            log.accept([int(i) for i in ids], "Ada", query=f"{kind}, recommended")
    evaluate = [sys.executable, "-m", "demix_core", "evaluate", str(path)]
    subprocess.run(evaluate, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def settled(page: Page, wait: float = 1.2) -> None:
    """Until the script has ended and what it drew has come to rest."""
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    page.wait_for_timeout(1000 * wait)


def opened(page: Page, address: str, name: str = "") -> None:
    """A page of the example, without the offer of a tour."""
    page.goto(f"{address}/{name}?run=example")
    page.wait_for_selector('[data-testid="stSidebarNav"]')
    if not name:
        wait_map(page)
    settled(page, 2.5)
    if page.get_by_text("No, thanks").count():
        page.get_by_text("No, thanks").click()
        settled(page)


def walk(page: Page, address: str) -> list[bytes]:
    """A minute with the example, a picture after each step."""
    shots: list[bytes] = []

    def shoot() -> None:
        settled(page)
        shots.append(page.screenshot())

    opened(page, address)
    shoot()
    for panel in ("Why", "Influence", "Similar rows"):
        page.locator("#root").get_by_text(panel, exact=True).last.click()
        settled(page, 2)
        shoot()
    page.locator("#root").get_by_text("Cells", exact=True).last.click()
    settled(page)
    for n, key in enumerate("aax", 1):
        page.keyboard.press(key)
        wait_decided(page, n)
    shoot()
    page.locator("#root").get_by_text("PCA", exact=True).click()
    settled(page, 2)
    lasso(page, 0.25)
    shoot()
    page.locator(".st-key-bulk button").first.click()
    shoot()
    page.keyboard.press("Escape")
    for name in ("history", "thresholds", "export"):
        page.locator(f'[data-testid="stSidebarNavLink"][href*="/{name}"]').click()
        settled(page, 2)
        shoot()
    return shots


def animated(shots: list[bytes], path: Path) -> None:
    """The pictures one after the other, in one palette of 128 colours."""
    frames = [Image.open(io.BytesIO(s)).convert("RGB").resize(SIZE, Image.Resampling.LANCZOS) for s in shots]
    few = [f.quantize(128, dither=Image.Dither.NONE) for f in frames]
    few[0].save(path, save_all=True, append_images=few[1:], duration=round(1000 * SECONDS), loop=0, optimize=True)


def main() -> None:
    """Takes all of them."""
    with tempfile.TemporaryDirectory() as folder, browsing() as browser:
        first, second = Path(folder) / "fresh", Path(folder) / "checked"
        first.mkdir()
        checked_example(second)
        with serving(first) as address:
            page = new_page(browser)
            opened(page, address)
            page.screenshot(path=ASSETS / "review.png")
            animated(walk(new_page(browser), address), ASSETS / "walk.gif")
        with serving(second) as address:
            page = new_page(browser)
            opened(page, address, "check")
            page.screenshot(path=ASSETS / "check.png")


if __name__ == "__main__":
    main()
