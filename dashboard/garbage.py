"""Keeps a rerun from walking through every object of the loaded libraries.

Streamlit collects garbage after each script, over all that Python knows: with torch, pandas and plotly loaded that is
more than 400,000 objects and most of the time that a rerun takes. What is loaded for good is taken out of its sight.
"""

from __future__ import annotations

import gc
import sys
from dataclasses import dataclass

NEW_MODULES = 30
"""Freezing again is worth its own collection when at least so many modules have come since."""


@dataclass
class _Frozen:
    modules: int = 0


_frozen = _Frozen()


def set_libraries_aside() -> bool:
    """Hides what is loaded by now from the garbage collector, where enough has come since; whether it did.

    What dies later within reference cycles is still collected, but for cycles that stand at this moment.
    """
    loaded = len(sys.modules)
    if loaded < _frozen.modules + NEW_MODULES:
        return False
    _frozen.modules = loaded
    gc.collect()
    gc.freeze()
    return True
