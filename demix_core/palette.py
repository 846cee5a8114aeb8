"""The colours and marks of the three error types, the same on the screen, in reports and in notebooks.

Okabe–Ito, safe for colour blindness; shapes say the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from demix_core.types import ErrorType


@dataclass(frozen=True)
class Mark:
    """How one kind of row looks. shape: 0 dot, 1 circle, 2 square, 3 triangle, 4 diamond; dark: on dark ground."""

    colour: str
    shape: int
    dark: str | None = None


CLEAN = Mark("#9A9A94", 0, "#8B8B86")
TYPE_MARKS = {
    ErrorType.LABEL: Mark("#D55E00", 1),
    ErrorType.FEATURE: Mark("#0072B2", 2, "#3D9FDC"),
    ErrorType.SPURIOUS: Mark("#009E73", 3, "#17BC8E"),
}
SEVERAL = Mark("#CC79A7", 4)
FAINT = Mark("#C7A04A", 0)

GLYPHS = ("•", "●", "■", "▲", "◆")
"""The shapes as characters, by Mark.shape."""

SYMBOLS = ("circle", "circle", "square", "triangle-up", "diamond")
"""The shapes as Plotly calls them, by Mark.shape."""

SAME_CLASS, OTHER_CLASS = "#2C8AC9", "#D55E00"
"""Influence on validation rows of the same class, and of others."""
