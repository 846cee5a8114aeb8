"""All that can be said of a row without influence: out-of-fold predictions, cell surprise, shortcuts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from demix_core.cells import CellModel, fit_cells
from demix_core.out_of_fold import OutOfFold, out_of_fold
from demix_core.shortcuts import Shortcut, ShortcutSignals, find_shortcuts
from demix_core.types import Progress, Schema, ShouldStop, never_stop, no_progress

ARRAYS = {
    "oof": ("out_of_fold", "strong"),
    "oof_shallow": ("out_of_fold", "shallow"),
    "cell_surprise": ("cells", "surprise"),
    "cell_certainty": ("cells", "certainty"),
    "label_surprise": ("cells", "label_surprise"),
    "label_shift": ("cells", "label_shift"),
    "against": ("shortcuts", "against"),
    "shortcut_features": ("shortcuts", "features"),
}


@dataclass(frozen=True)
class Signals:
    """The three sources, each for the N rows of the frame they were computed on."""

    out_of_fold: OutOfFold
    cells: CellModel
    shortcuts: ShortcutSignals

    @property
    def oof(self) -> np.ndarray:
        """float32 [N, K] class probabilities; regression [N, 2] prediction and residual scale, target units."""
        return self.out_of_fold.strong

    @property
    def cell_surprise(self) -> np.ndarray:
        """float32 [N, F] nats above the expected."""
        return self.cells.surprise

    @property
    def cell_suggestion(self) -> np.ndarray:
        """object [N, F] cell texts."""
        return self.cells.suggestion

    @property
    def shortcut(self) -> tuple[Shortcut, ...]:
        """The strongest rules found."""
        return self.shortcuts.rules

    @property
    def against(self) -> np.ndarray:
        """int16 [N] index of the strongest rule a row goes against, −1 for none."""
        return self.shortcuts.against

    def save(self, folder: Path) -> None:
        """npy for numbers, parquet for texts, JSON for rules."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, (part, field) in ARRAYS.items():
            np.save(folder / f"{name}.npy", getattr(getattr(self, part), field), allow_pickle=False)
        texts = {str(j): self.cell_suggestion[:, j].astype(str) for j in range(self.cell_suggestion.shape[1])}
        pd.DataFrame(texts).to_parquet(folder / "cell_suggestion.parquet")
        rules = [asdict(r) for r in self.shortcut]
        (folder / "shortcuts.json").write_text(json.dumps(rules, indent=1, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Signals:
        """The inverse of save."""
        a = {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in ARRAYS}
        suggestion = pd.read_parquet(folder / "cell_suggestion.parquet").to_numpy(dtype=object)
        described = json.loads((folder / "shortcuts.json").read_text(encoding="utf-8"))
        rules = tuple(Shortcut(**{**r, "columns": tuple(r["columns"])}) for r in described)
        return cls(
            OutOfFold(a["oof"], a["oof_shallow"]),
            CellModel(a["cell_surprise"], suggestion, a["cell_certainty"], a["label_surprise"], a["label_shift"]),
            ShortcutSignals(rules, a["against"], a["shortcut_features"]),
        )


def compute(
    frame: pd.DataFrame,
    schema: Schema,
    seed: int,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> Signals:
    """Signals of the training rows (frame: Dataset.train)."""
    oof = out_of_fold(frame, schema, seed, lambda f, m: progress(0.5 * f, m), should_stop)
    cells = fit_cells(frame, schema, seed, lambda f, m: progress(0.5 + 0.45 * f, m), should_stop)
    progress(0.95, "Looking for shortcuts")
    return Signals(oof, cells, find_shortcuts(frame, schema))
