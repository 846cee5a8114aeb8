"""The colours and marks of the whole dashboard (Okabe–Ito, safe for colour blindness); shapes say the same."""

from __future__ import annotations

import numpy as np

from demix_core.palette import CLEAN, FAINT, GLYPHS, OTHER_CLASS, SAME_CLASS, SYMBOLS, TYPE_MARKS, Mark

__all__ = ["CLEAN", "FAINT", "GLYPHS", "OTHER_CLASS", "SAME_CLASS", "SYMBOLS", "TYPE_MARKS", "Mark"]

STATE_COLOURS = {"open": "#E69F00", "accepted": "#009E73", "edited": "#56B4E9", "rejected": "#6B6B6B"}
STATE_DARK = {"rejected": "#C9C9C4"}

CATEGORY_COLOURS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#8C6BB1",
    "#B8860B",
    "#44AA99",
    "#882255",
    "#117733",
)
OTHER_COLOUR = "#9A9A94"
MISSING_COLOUR = "#B9B9B4"

CIVIDIS = ("#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fee838")
"""Ten even stops of cividis (Nuñez et al. 2018): even in lightness and readable with any colour vision."""


def ramp(n: int = 255) -> list[str]:
    """n hex colours along cividis, low first."""
    stops = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in CIVIDIS], float)
    at = np.linspace(0, len(stops) - 1, n)
    channels = [np.interp(at, np.arange(len(stops)), stops[:, k]).round().astype(int) for k in range(3)]
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in zip(*channels, strict=True)]
