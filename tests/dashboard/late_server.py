"""Streamlit as on a busy machine: `python late_server.py SECONDS run …`, and what a script says comes that much later.

Messages of the browser come through at once, so they meet a script that has ended with its last words still under way.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable

from streamlit.runtime.app_session import AppSession


def delay(seconds: float) -> None:
    """Whatever a script does is told to the event loop's callers this much later, in the same order."""

    def call_late(self: AppSession, callback: Callable[[], None]) -> None:
        loop = self._event_loop
        loop.call_soon_threadsafe(lambda: loop.call_later(seconds, callback))

    AppSession._call_soon_on_event_loop = call_late  # type: ignore[method-assign]


if __name__ == "__main__":
    delay(float(sys.argv.pop(1)))
    runpy.run_module("streamlit", run_name="__main__")
