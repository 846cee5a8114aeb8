"""For all tests: no test may fail because the machine was busy, so hypothesis has no deadline."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("ours", deadline=None)
settings.load_profile("ours")
