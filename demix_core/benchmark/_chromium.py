"""A Streamlit script on a free port and a real Chromium in front of it, for benchmarks of the screen."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from demix_core.errors import DemixError

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[2]
FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader",
    "--disable-background-networking", "--enable-precise-memory-info",
]  # fmt: skip
UP_WITHIN = 120
"""Seconds a server may take to come up."""


@dataclass(frozen=True)
class Served:
    """A running script: its address and its process."""

    address: str
    process: psutil.Process

    def megabytes(self) -> float:
        """Resident memory of the server."""
        return float(self.process.memory_info().rss) / 2**20


@contextmanager
def serving(script: Path) -> Iterator[Served]:
    """The script behind Streamlit, ended on leaving; DemixError when it does not come up."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(f"http://localhost:{port}/_stcore/health", process)
        yield Served(f"http://localhost:{port}", psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(30)


def _wait(address: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + UP_WITHIN
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise DemixError("The page to be measured did not come up; run `make run` to see why the dashboard can't start.")


@contextmanager
def browsing() -> Iterator[Browser]:
    """A headless Chromium that draws WebGL in software; DemixError when there is none."""
    from playwright.sync_api import sync_playwright  # only who measures the screen needs it

    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    if path is None:
        raise DemixError("Chromium is missing; install the package 'chromium' and run the benchmark again.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()
