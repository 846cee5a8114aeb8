"""Planting known errors into a table (`inject`), and drawing tables to plant them into."""

from __future__ import annotations

import numpy as np
import pandas as pd

from demix_core.corruption.base import PROTOCOLS, Corrupted
from demix_core.types import Schema

__all__ = ["PROTOCOLS", "Corrupted", "inject", "inject_all"]


def inject(frame: pd.DataFrame, schema: Schema, protocol: str, alpha: float | None, seed: int) -> Corrupted:
    """Plant errors into a copy of one table; the same seed gives the same errors."""
    return inject_all([frame], schema, protocol, alpha, seed)[0]


def inject_all(
    frames: list[pd.DataFrame], schema: Schema, protocol: str, alpha: float | None, seed: int
) -> list[Corrupted]:
    """Plant the same kind of errors (one plan, drawn from the first) into several parts of a table."""
    plan = PROTOCOLS[protocol](frames[0], schema, alpha, seed)
    return [plan.apply(f, np.random.default_rng([seed, 2, i])) for i, f in enumerate(frames)]
