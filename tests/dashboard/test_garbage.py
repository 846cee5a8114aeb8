"""What is loaded for good is out of the collector's sight; what dies later is still collected."""

from __future__ import annotations

import gc
import weakref

import pytest

from dashboard import garbage


class Ring:
    """An object that holds itself."""

    def __init__(self) -> None:
        self.me = self


def test_libraries_are_set_aside_once_and_later_cycles_still_die(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "_frozen", garbage._Frozen())
    try:
        assert garbage.set_libraries_aside()
        assert gc.get_freeze_count() > 10_000
        assert not garbage.set_libraries_aside(), "nothing new has been loaded"
        ring = weakref.ref(Ring())
        gc.collect()
        assert ring() is None
    finally:
        gc.unfreeze()
