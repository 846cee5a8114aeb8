"""A finished run in the exact format of the run folder, made in a second and without any model, for the screen."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd

TARGET = "income"
CLASSES = ("<=50K", ">50K")


def table(n: int, seed: int = 0) -> pd.DataFrame:
    """A small census-like table of n rows, every cell a text."""
    r = np.random.default_rng(seed)
    age = r.normal(40, 12, n).clip(17, 90).round()
    hours = r.normal(40, 9, n).clip(5, 90).round()
    frame = pd.DataFrame({
        "age": age.astype(int).astype(str),
        "workclass": r.choice(["Private", "Self-emp", "State-gov", "?"], n, p=[0.7, 0.15, 0.1, 0.05]),
        "education": r.choice(["HS-grad", "Bachelors", "Masters", "Some-college", "11th"], n),
        "hours": hours.astype(int).astype(str),
        "occupation": r.choice(["Sales", "Exec-managerial", "Craft-repair", "Adm-clerical", "Other-service"], n),
        "sex": r.choice(["Male", "Female"], n),
        "capital-gain": np.where(r.random(n) < 0.9, 0, r.integers(100, 9999, n)).astype(str),
    })  # fmt: skip
    rich = (age > 40) & frame["education"].isin(["Bachelors", "Masters"]) & (r.random(n) < 0.8)
    frame[TARGET] = np.where(rich, CLASSES[1], CLASSES[0])
    return frame


def _diagnosis(n: int, r: np.random.Generator) -> pd.DataFrame:
    p = r.beta(1.2, 12, (n, 3)).astype(np.float32)
    kind = r.choice(5, n, p=[0.86, 0.05, 0.04, 0.03, 0.02])
    for code, columns in {1: [0], 2: [1], 3: [2], 4: [0, 1]}.items():
        rows = np.flatnonzero(kind == code)
        p[np.ix_(rows, columns)] = r.uniform(0.55, 0.99, (len(rows), len(columns)))
    centres = r.normal(0, 4, (9, 2))
    xy = (
        centres[r.integers(0, 9, n)]
        + r.normal(0, 0.9, (n, 2))
        + np.eye(5, 2)[np.minimum(kind, 4) % 5] * 5 * (kind > 0)[:, None]
    )
    flags = p > 0.5
    suspects = [[str(r.choice(["age", "hours", "capital-gain", "education"]))] if f[1] else [] for f in flags]
    return pd.DataFrame({
        "row_id": np.arange(n), "p_label_error": p[:, 0], "p_feature_error": p[:, 1], "p_spurious": p[:, 2],
        "label_error": flags[:, 0], "feature_error": flags[:, 1], "spurious": flags[:, 2], "suspect_columns": suspects,
        "x": xy[:, 0].astype(np.float32), "y": xy[:, 1].astype(np.float32), "harm": p[:, 0] - 0.2,
    })  # fmt: skip


def _patches(frame: pd.DataFrame, diagnosis: pd.DataFrame) -> pd.DataFrame:
    lines = []
    for d in diagnosis.itertuples():
        given = frame.at[d.row_id, TARGET]
        if d.label_error:
            other = CLASSES[1 - CLASSES.index(given)]
            reason = f"The label is '{given}', but rows like this one are '{other}' in {d.p_label_error:.0%} of cases."
            lines.append((d.row_id, "label_error", "relabel", TARGET, given, other, d.p_label_error, reason))
        if d.feature_error:
            column = d.suspect_columns[0]
            old, new = frame.at[d.row_id, column], "Bachelors" if column == "education" else "40"
            reason = f"'{column}' is {old}; given the other cells {new} would be expected."
            lines.append((d.row_id, "feature_error", "impute", column, old, new, d.p_feature_error, reason))
        if d.spurious:
            reason = "The row goes against 'sex = Male ↔ >50K'; more weight keeps the model from leaning on that rule."
            lines.append((d.row_id, "spurious", "reweight", None, "1", "2", d.p_spurious, reason))
    names = ["row_id", "error_type", "action", "column", "old", "new", "confidence", "reason"]
    patches = pd.DataFrame(lines, columns=names)
    patches.insert(0, "patch_id", np.arange(len(patches)))
    patches["gain"], patches["recommended"] = 1e-5, patches["confidence"] >= 0.75
    others = {"label_error": "[]", "feature_error": '[["42", null], ["", null]]', "spurious": '[["3.1", null]]'}
    patches["alternatives"] = patches["error_type"].map(others)
    swap = patches["column"] == "capital-gain"
    patches["partner"] = np.where(swap, "age", "")
    patches.loc[swap, ["action", "alternatives"]] = ["swap", "[]"]
    patches.loc[swap, "new"] = frame.loc[patches.loc[swap, "row_id"], "age"].to_numpy()
    patches["pattern"] = np.where(patches["column"] == "hours", "hours: 999 stands for unknown", "")
    return patches


def _write_means(folder: Path, n: int, r: np.random.Generator) -> None:
    """Means of influence on slices as blame.measure keeps them, with the key of a diagnosis that names none."""
    place = folder / "blame" / hashlib.sha256(b"1 ").hexdigest()[:24]
    place.mkdir(parents=True)
    names = [("label", f"{TARGET} = {c}") for c in CLASSES] + [("column:sex", f"sex = {s}") for s in ("Male", "Female")]
    slices = [
        {"by": by, "name": name, "rows": 50, "loss": 0.1 * (i + 1), "right": 0.8, "one_label": i < 2, "rank": 3 - i}
        for i, (by, name) in enumerate(names)
    ]
    slices.append(slices[0] | {"by": "correctness", "name": "the model is wrong", "rank": None})
    np.save(place / "means.npy", r.uniform(-1, 1, (len(slices), n)).astype(np.float32))
    np.save(place / "clusters.npy", np.arange(n) % 3)
    _write_json(place / "slices.json", {"slices": slices, "clusters": ["1. old", "2. young", "3. others"]})


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def make(folder: Path, n: int = 3000, seed: int = 0) -> Path:
    """Writes the run folder and returns it. n: rows of the table; the last fifth is validation."""
    r = np.random.default_rng(seed)
    frame = table(n, seed)
    (folder / "input").mkdir(parents=True)
    frame.to_csv(folder / "input" / "train.csv", index=False)
    m = n // 5
    n_train = n - m
    diagnosis = _diagnosis(n_train, r)
    patches = _patches(frame, diagnosis)
    frame.rename_axis("row_id").reset_index().to_parquet(folder / "rows.parquet")
    part = np.where(np.arange(n) < n_train, "train", "validation")
    pd.DataFrame({"row_id": np.arange(n), "part": part}).to_parquet(folder / "split.parquet")
    held = frame.iloc[n_train:].reset_index(drop=True)
    held.insert(0, "validation_id", np.arange(n_train, n))
    held["__target_id"] = [CLASSES.index(v) for v in held[TARGET]]
    held.to_parquet(folder / "validation.parquet")
    diagnosis.to_parquet(folder / "diagnosis.parquet")
    patches.to_parquet(folder / "patches.parquet")
    (folder / "detection").mkdir(exist_ok=True)
    described = r.integers(-25, 26, (n_train, 6)).astype(np.int8)
    described[:, 0] = np.where(diagnosis["row_id"] % 2 == 0, 100, -100)  # what verdicts can teach: odd or even
    np.save(folder / "detection" / "described.npy", described)
    for method, turn in (("umap", (1, 1)), ("tsne", (1, -1)), ("pca", (-1, 1))):
        places = diagnosis[["row_id", "x", "y"]] * np.array([1, *turn], np.float32)
        places.astype({"row_id": np.int64}).to_parquet(folder / f"map_{method}.parquet")
        facts = {
            "method": method,
            "parameters": {"n_neighbors": 15},
            "seed": 0,
            "rows": n_train,
            "fitted_rows": n_train,
        }
        _write_json(folder / f"map_{method}.json", facts)
    _write_meta(folder, n_train, m, patches)
    _write_means(folder, n_train, r)
    return folder


def _write_meta(folder: Path, n: int, m: int, patches: pd.DataFrame) -> None:
    numeric = {"age", "hours", "capital-gain"}
    names = list(table(2))
    columns = [{"name": c, "kind": "numeric" if c in numeric else "categorical"} for c in names]
    schema = {"columns": columns, "target": TARGET, "task": "classification", "classes": list(CLASSES)}
    counts = patches["error_type"].value_counts().to_dict()
    _write_json(folder / "schema.json", schema)
    _write_json(
        folder / "summary.json",
        {"rows": n, "validation_rows": m, "counts": counts, "thresholds": dict.fromkeys(counts, 0.5)},
    )
    source = folder / "input" / "train.csv"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    now = "2026-01-01T00:00:00+00:00"
    _write_json(folder / "manifest.json", {
        "schema_version": 1, "created": now, "settings": {}, "stages": {},
        "inputs": {"train": {"name": "census.csv", "file": "input/train.csv", "sha256": digest, "bytes": 1}},
    })  # fmt: skip
    _write_json(folder / "status.json", {
        "state": "done", "stage": "map", "stage_index": 5, "stage_count": 6, "fraction": 1.0, "overall": 1.0,
        "message": "Done", "seconds_left": 0, "started": now, "updated": now, "pid": 0, "pid_started": 0,
        "error": None,
    })  # fmt: skip
