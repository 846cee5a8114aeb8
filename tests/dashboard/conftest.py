"""Fixtures of the dashboard's tests: a workspace with one finished run, and the pages without a browser."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from tests.dashboard import fake_run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder; the shipped example is out of sight."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["app.py"])
    monkeypatch.setattr("dashboard.services.runs.EXAMPLE", tmp_path / "no example")
    st.cache_resource.clear()
    st.cache_data.clear()
    yield tmp_path
    st.cache_resource.clear()


@pytest.fixture
def run(workspace: Path) -> Path:
    """A finished run called 'fake' in the workspace."""
    return fake_run.make(workspace / ".demix" / "runs" / "fake", n=400)


@pytest.fixture
def open_app() -> Callable[..., AppTest]:
    """Opens the dashboard, on a page if one is named."""

    def open_(page: str | None = None) -> AppTest:
        app = AppTest.from_file(str(ROOT / "dashboard" / "app.py"), default_timeout=30)
        app.run()
        if page is not None:
            app.switch_page(f"views/{page}.py").run()
        assert not app.exception, app.exception
        return app

    return open_
