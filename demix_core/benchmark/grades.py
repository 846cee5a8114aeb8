"""`bench grades`: wrong labels that others planted, by no rule of ours: the student grades of MIT's course on data.

The table (941 students, three exams, a note, 188 wrong letters) is under a licence that we do not pass on, so it is not
shipped: FILE says where it comes from and where to put it. Every split holds out a fifth, which is not scored; the true
letters are seen by nobody but the tally. Peers get the same rows as in bench detect.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon
from sklearn.metrics import average_precision_score, precision_recall_fscore_support

from demix_core.benchmark._peers import PEERS
from demix_core.benchmark._tables import ASSETS
from demix_core.classifiers.detect import Case, detect
from demix_core.classifiers.planted import calibrate, make_case
from demix_core.errors import InputError
from demix_core.modalities.tabular import TabularEncoder, infer_schema
from demix_core.repairs.base import suggest
from demix_core.settings import LoadSettings, Settings
from demix_core.types import ErrorType, Schema
from demix_core.work import evidence_of
from demix_core.workers import in_order

FILE = ASSETS / "benchmark" / "student_grades.csv"
SOURCE = "https://github.com/dcai-course/dcai-lab, label_errors/student-grades.csv (AGPL-3.0)"
TARGET, TRUTH, NAME = "noisy_letter_grade", "letter_grade", "stud_ID"
SEEDS = (2026, 2027, 2028, 2029, 2030)
HELD_OUT = 0.2
OURS, CALIBRATED = "DeMix", "DeMix, calibrated"


@dataclass(frozen=True)
class Half:
    """Rows of one side of a split with their true letters."""

    rows: pd.DataFrame
    true: np.ndarray


def run(*, quick: bool = False, seed: int = SEEDS[0]) -> dict[str, Any]:
    """Precision, recall, F1 at each method's own threshold, average precision; relabels that are right (quick: one
    split)."""
    read()  # a missing file is said before any worker starts
    jobs = [seed + i for i in range(1 if quick else len(SEEDS))]
    return report(pd.DataFrame(in_order(_one, jobs)))


def read() -> pd.DataFrame:
    """The table as texts and numbers. InputError: it is not there."""
    if not FILE.exists():
        raise InputError(f"The student grades are not shipped: get them from {SOURCE} and put them at '{FILE}'.")
    return pd.read_csv(FILE)


def _one(seed: int) -> list[dict[str, Any]]:
    """One split: a line per method."""
    schema, train, held = split(read(), seed)
    settings = Settings(seed=seed)
    case = make_case(train.rows, held.rows, schema, settings)
    wrong = (train.rows[TARGET] != train.true).to_numpy()
    return [line | {"seed": seed} for line in _methods(case, train, held.rows, wrong, settings)]


def split(table: pd.DataFrame, seed: int) -> tuple[Schema, Half, Half]:
    """Four fifths to diagnose and one to validate on, at random; no name and no true letter among the cells."""
    cells = table.drop(columns=[TRUTH, NAME])
    schema = infer_schema(cells, LoadSettings(target=TARGET))[0]
    order = np.random.default_rng(seed).permutation(len(table))
    cut = int(HELD_OUT * len(table))
    train, held = (
        Half(cells.iloc[rows].reset_index(drop=True), table[TRUTH].to_numpy()[rows])
        for rows in (order[cut:], order[:cut])
    )
    return schema, train, held


def _methods(
    case: Case, train: Half, held: pd.DataFrame, wrong: np.ndarray, settings: Settings
) -> Iterator[dict[str, Any]]:
    found = detect(case, settings)
    flags = found.probabilities >= np.array([found.thresholds[k] for k in ErrorType])
    evidence = evidence_of(case, TabularEncoder.fit(case.frame, case.schema), found)
    labels = [p for p in suggest(evidence, flags).patches if p.error_type is ErrorType.LABEL]
    mended = [p.new == train.true[p.row_id] for p in labels if wrong[p.row_id]]
    at = list(ErrorType).index(ErrorType.LABEL)
    yield score(OURS, wrong, found.probabilities[:, at], flags[:, at]) | {
        "relabels right": float(np.mean(mended)) if mended else None
    }
    here = calibrate(found, case, held, settings)
    p = here.probabilities[:, at]
    yield score(CALIBRATED, wrong, p, p >= here.thresholds[ErrorType.LABEL])
    for name, peer in PEERS[ErrorType.LABEL].items():
        theirs = peer(case, settings.seed)
        yield score(name, wrong, theirs.scores, theirs.flags)


def score(method: str, wrong: np.ndarray, scores: np.ndarray, flags: np.ndarray | None) -> dict[str, Any]:
    """One line; told: F1 when as many rows are flagged as are wrong. wrong, flags: bool [N]; scores: float [N]."""
    top = np.zeros(len(wrong), bool)
    top[np.argsort(-scores, kind="stable")[: int(wrong.sum())]] = True
    line = {
        "method": method,
        "AP": average_precision_score(wrong, scores),
        "told": float((top & wrong).sum() / wrong.sum()),
    }
    if flags is None:
        return line
    precision, recall, f1, _ = precision_recall_fscore_support(wrong, flags, average="binary", zero_division=0.0)
    return line | {"precision": precision, "recall": recall, "F1": f1}


def report(runs: pd.DataFrame) -> dict[str, Any]:
    """Mean and sd over splits; Wilcoxon of our average precision against each peer's on the same splits."""
    figures = ["precision", "recall", "F1", "told", "AP", "relabels right"]
    ours = runs[runs["method"] == OURS].set_index("seed")["AP"]
    table = []
    for method, some in runs.groupby("method", sort=False):
        line: dict[str, Any] = {"method": method}
        for name in figures:
            values = some[name].dropna() if name in some else some["AP"].iloc[:0]
            line[name] = None if values.empty else f"{values.mean():.3f} ± {values.std(ddof=0):.3f}"
        theirs = some.set_index("seed")["AP"]
        apart = (ours - theirs).to_numpy()
        line["p"] = None if method == OURS or not apart.any() else round(float(wilcoxon(apart).pvalue), 4)
        table.append(line)
    return {"name": "grades", "source": SOURCE, "table": table, "runs": runs.to_dict("records")}
