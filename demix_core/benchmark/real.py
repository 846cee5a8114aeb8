"""`bench real`: errors that nobody planted. Three tables of the Raha/Baran benchmark with their cleaned twins.

Protocol: the dirty table is diagnosed as it stands, no cell labelled (Raha asks for 20 labelled rows); a fifth is held
out and not scored. A cell counts as detected when a patch changes it. The target is one of the table's own columns, for
the benchmark names none. Cells are compared as texts, so that '12.0 oz' for '12' is an error.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from demix_core.benchmark._tables import ASSETS
from demix_core.pipeline import diagnose
from demix_core.settings import LoadSettings, MapSettings, Settings
from demix_core.types import Action

SEED = 2026
TARGETS = {"hospital": "condition", "beers": "state", "rayyan": "article_language"}


@dataclass(frozen=True)
class Tally:
    """Cells of the diagnosed rows: wrong in truth, named by a patch, both, and of these given their true text."""

    wrong: int
    named: int
    hits: int
    mended: int

    def line(self) -> dict[str, Any]:
        """Precision, recall and F1 of detection, and of repair (a named cell counts when its text is the true one)."""

        def f1(right: int) -> tuple[float, float, float]:
            precision, recall = right / max(self.named, 1), right / max(self.wrong, 1)
            return precision, recall, 2 * right / max(self.named + self.wrong, 1)

        names = ("precision", "recall", "F1")
        figures = {f"{what} {n}": round(v, 3) for what, k in (("detect", self.hits), ("repair", self.mended))
                   for n, v in zip(names, f1(k), strict=True)}  # fmt: skip
        return {"wrong cells": self.wrong, "named": self.named, **figures}


def run(*, quick: bool = False, seed: int = SEED) -> dict[str, Any]:
    """Detection and repair of single cells (quick: hospital only), for all patches and for the recommended ones."""
    lines = []
    for name in list(TARGETS)[: 1 if quick else None]:
        dirty, clean = (pd.read_parquet(ASSETS / "benchmark" / f"{name}_{side}.parquet") for side in ("dirty", "clean"))
        with tempfile.TemporaryDirectory() as scratch:
            table = Path(scratch) / f"{name}.csv"
            dirty.to_csv(table, index=False)
            settings = Settings(load=LoadSettings(target=TARGETS[name]), map=MapSettings(method="tsne"), seed=seed)
            made = diagnose(table, Path(scratch) / "run", settings)
            patches, rows = made.patches(), made.diagnosis()["row_id"]
        for words, some in (("all", patches), ("recommended", patches[patches["recommended"]])):
            line = {"table": name, "target": TARGETS[name], "rows": len(rows), "suggestions": words}
            lines.append(line | tally(dirty, clean, list(rows), some).line())
    return {"name": "real", "seed": seed, "table": lines}


def tally(dirty: pd.DataFrame, clean: pd.DataFrame, rows: list[int], patches: pd.DataFrame) -> Tally:
    """Patches against the truth, cell by cell; patches of other rows and of weights do not count."""
    cells = patches[patches["action"].isin([Action.RELABEL, Action.IMPUTE, Action.SWAP]) & patches["row_id"].isin(rows)]
    new = {(int(p["row_id"]), str(p["column"])): str(p["new"]) for p in cells.to_dict("records")}
    swapped = cells[cells["action"] == Action.SWAP]
    new |= {(int(p["row_id"]), str(p["partner"])): str(p["old"]) for p in swapped.to_dict("records")}
    wrong = (dirty != clean).loc[rows]
    hits = [at for at in new if wrong.at[at]]
    mended = sum(new[at] == str(clean.at[at]) for at in hits)
    return Tally(int(wrong.to_numpy().sum()), len(new), len(hits), mended)
