"""All that can be said of a row without influence: out-of-fold predictions, cells, oddities, shortcuts, laws."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from demix_core.records import load_record, save_record
from demix_core.signals.binning import Cut
from demix_core.signals.cells import Bins, CellModel, CellReference, learn_cells
from demix_core.signals.laws import LAW_PARTS, LawReference, Laws, find_laws
from demix_core.signals.oddities import ColumnOddities, Oddities, OddityReference, find_oddities
from demix_core.signals.out_of_fold import Columns, Fold, Folds, OutOfFold, learn_out_of_fold
from demix_core.signals.pairs import PairReference, Pairs, learn_pairs
from demix_core.signals.shortcuts import Rule, Shortcut, ShortcutReference, ShortcutSignals, learn_shortcuts
from demix_core.signals.trees import Trees
from demix_core.types import Progress, Schema, ShouldStop, never_stop, no_progress

RULES_HIDDEN = 3
"""For as many of the strongest rules it is asked how likely the label is without their columns."""

TEXTS = "suggestion"
RULES = "rules"
LATER = ("garbled", "label", "negative")


@dataclass(frozen=True)
class Signals:
    """The six sources, each for the N rows of the frame they were computed on."""

    out_of_fold: OutOfFold
    cells: CellModel
    oddities: Oddities
    pairs: Pairs
    shortcuts: ShortcutSignals
    laws: Laws

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
        for part in fields(self):
            source = getattr(self, part.name)
            for field in fields(source):
                if field.name not in (TEXTS, RULES):
                    np.save(folder / f"{part.name}-{field.name}.npy", getattr(source, field.name), allow_pickle=False)
        texts = {str(j): self.cell_suggestion[:, j].astype(str) for j in range(self.cell_suggestion.shape[1])}
        pd.DataFrame(texts).to_parquet(folder / "cells-suggestion.parquet")
        rules = [asdict(r) for r in self.shortcut]
        (folder / "shortcuts-rules.json").write_text(json.dumps(rules, indent=1, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Signals:
        """The inverse of save."""
        texts = pd.read_parquet(folder / "cells-suggestion.parquet").to_numpy(dtype=object)
        described = json.loads((folder / "shortcuts-rules.json").read_text(encoding="utf-8"))
        rules = tuple(Shortcut(**{**r, "columns": tuple(r["columns"])}) for r in described)

        def array(name: str, field: str) -> np.ndarray:
            path = folder / f"{name}-{field}.npy"
            if field in LATER and not path.exists():  # a run of an earlier version
                missing = array(name, "missing")
                return np.zeros_like(missing if field != "label" else missing[:, 0])
            return np.asarray(np.load(path, allow_pickle=False))

        def part(name: str, kind: type) -> dict[str, Any]:
            given: dict[str, Any] = {TEXTS: texts, RULES: rules}
            return {f.name: given[f.name] if f.name in given else array(name, f.name) for f in fields(kind)}

        here = (folder / "laws-blame.npy").exists()  # not in a run of an earlier version
        laws = Laws(**part("laws", Laws)) if here else Laws.none(*array("oddities", "missing").shape)
        return cls(
            OutOfFold(**part("out_of_fold", OutOfFold)),
            CellModel(**part("cells", CellModel)),
            Oddities(**part("oddities", Oddities)),
            Pairs(**part("pairs", Pairs)),
            ShortcutSignals(**part("shortcuts", ShortcutSignals)),
            laws,
        )


@dataclass(frozen=True)
class Reference:
    """What the six sources learned of the run's table: rows to come are looked at without learning again."""

    folds: Folds
    cells: CellReference
    oddities: OddityReference
    pairs: PairReference
    shortcuts: ShortcutReference
    laws: LawReference | None = None

    def save(self, path: Path) -> None:
        """One .npz file."""
        save_record(self, path)

    @classmethod
    def load(cls, path: Path) -> Reference:
        """The inverse of save. RunError: missing or damaged."""
        return load_record(path, cls, REFERENCE_PARTS)

    def place(
        self, frame: pd.DataFrame, old: pd.DataFrame, schema: Schema, table: Signals, where: np.ndarray
    ) -> Signals:
        """Signals of m rows to come, by what was learned of the run's N rows; every label must be a known one.

        old: for edited rows of the table their cells as they were, any cells for others; table: the signals of the N
        rows; where: int64 [m], the place of the old version among them, placing.NEW for none.
        """
        return Signals(
            self.folds.place(frame, schema, where),
            self.cells.place(frame, schema, table.cells, where),
            self.oddities.place(frame, old, schema, where),
            self.pairs.place(frame, schema, where),
            self.shortcuts.place(frame, schema, table.shortcuts, where),
            Laws.none(len(frame), len(schema.features)) if self.laws is None else self.laws.place(frame),
        )


REFERENCE_PARTS = (
    Folds, Fold, Trees, Columns, CellReference, Bins, Cut, OddityReference, ColumnOddities, PairReference,
    ShortcutReference, Rule, LawReference, *LAW_PARTS,
)  # fmt: skip


def compute(
    frame: pd.DataFrame,
    schema: Schema,
    seed: int,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> Signals:
    """Signals of the training rows (frame: Dataset.train)."""
    return learn(frame, schema, seed, progress, should_stop)[0]


def learn(
    frame: pd.DataFrame,
    schema: Schema,
    seed: int,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> tuple[Signals, Reference]:
    """compute, with what was learned for rows to come."""
    oof, folds = learn_out_of_fold(frame, schema, seed, lambda f, m: progress(0.45 * f, m), should_stop)
    progress(0.45, "Looking for shortcuts")
    shortcuts, rules = learn_shortcuts(frame, schema)
    hidden = [rule.columns for rule in shortcuts.rules[:RULES_HIDDEN]]
    cells, bins = learn_cells(frame, schema, seed, lambda f, m: progress(0.5 + 0.48 * f, m), should_stop, hidden)
    progress(0.98, "Looking at single cells and pairs of cells")
    pairs, partners = learn_pairs(frame, schema)
    broken, laws = find_laws(frame, schema, seed)
    signals = Signals(oof, cells, find_oddities(frame, schema), pairs, shortcuts, broken)
    return signals, Reference(folds, bins, OddityReference.of(frame, schema), partners, rules, laws)
