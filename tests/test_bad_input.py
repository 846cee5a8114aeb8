"""Bad input gets one clear sentence, or a diagnosis that says what was odd; never a traceback, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from demix_core import work
from demix_core.cli import main
from demix_core.store import Run
from tests import tiny

N = 120


def good() -> pd.DataFrame:
    r = np.random.default_rng(0)
    return pd.DataFrame({
        "age": r.integers(18, 80, N), "job": r.choice(["a", "b", "c"], N), "pay": r.normal(30, 5, N).round(1),
        "y": r.choice(["no", "yes"], N),
    }).astype(str)  # fmt: skip


def one_of_a_class(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(y=["maybe", *frame["y"][1:]])


def odd_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(pay=["nan", "inf", "-inf", "1e308", "-1e308", "", *frame["pay"][6:]])


SURVIVE: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "a class with one row": one_of_a_class,
    "a constant column": lambda f: f.assign(job="same"),
    "a column without a value": lambda f: f.assign(job=""),
    "not a number, infinite, huge": odd_numbers,
    "a category per row": lambda f: f.assign(job=[f"kind {i}" for i in range(N)]),
    "two rows alike but for the label": lambda f: pd.concat(
        [f, f.assign(y=f["y"].replace({"no": "yes", "yes": "no"}))]
    ),
    "labels missing here and there": lambda f: f.assign(y=["", "?", *f["y"][2:]]),
    "one feature only": lambda f: f[["age", "y"]],
    "spaces around everything": lambda f: f.map(lambda v: f" {v} "),
    "texts with every sign": lambda f: f.assign(job=['=1+1, "q"\n', "@x;y", "\ttab", "ünï — ☃", *f["job"][4:]]),
}
REFUSE: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "target of one value": (lambda f: f.assign(y="no"), "same value in every row"),
    "target without a value": (lambda f: f.assign(y=""), "no value in any row"),
    "10,000 classes": (
        lambda f: pd.DataFrame({"a": range(10_000), "y": [f"k{i}" for i in range(10_000)]}),
        "10000 classes",
    ),
    "nothing to learn from": (lambda f: f[["y"]].assign(a="same", b=""), "No column is left"),
    "three rows": (lambda f: f.head(3).assign(y=["no", "yes", "no"]), "give more rows"),
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(work, "project", tiny.flat_map)


def diagnose(frame: pd.DataFrame, folder: Path, *more: str) -> int:
    frame.to_csv(folder / "t.csv", index=False)
    dec = tiny.classifier(folder / "dec.safetensors")
    settings = ["--model", "linear", "--epochs", "2", "--map", "tsne", "--classifier", str(dec)]
    return main(["diagnose", str(folder / "t.csv"), "--target", "y", "--out", str(folder / "run"), *settings, *more])


@pytest.mark.parametrize("case", SURVIVE)
def test_odd_tables_are_diagnosed(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = SURVIVE[case](good()).reset_index(drop=True)
    assert diagnose(frame, tmp_path) == 0, capsys.readouterr().err
    run = Run.open(tmp_path / "run")
    found = run.diagnosis()
    assert np.isfinite(found[["p_label_error", "p_feature_error", "p_spurious", "x", "y"]].to_numpy()).all()
    assert main(["apply", str(run.path), "-o", str(tmp_path / "same.csv")]) == 0
    assert (tmp_path / "same.csv").read_bytes() == (tmp_path / "t.csv").read_bytes()
    assert main(["apply", str(run.path), "--accept", "all", "-o", str(tmp_path / "all.csv")]) == 0
    assert len(pd.read_csv(tmp_path / "all.csv", dtype=str, skip_blank_lines=False)) == len(frame)


@pytest.mark.parametrize("case", REFUSE)
def test_hopeless_tables_get_one_sentence(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, words = REFUSE[case]
    assert diagnose(change(good()), tmp_path) == 2
    said = capsys.readouterr().err.strip()
    assert words in said and "\n" not in said and "Traceback" not in said


def test_ten_thousand_categories_in_a_feature_are_no_trouble(tmp_path: Path) -> None:
    r = np.random.default_rng(1)
    rows = 12_000
    frame = pd.DataFrame({"a": [f"k{i % 10_000}" for i in range(rows)], "b": r.normal(size=rows).round(3)})
    assert diagnose(frame.assign(y=r.choice(["no", "yes"], rows)), tmp_path, "--kind", "a=categorical") == 0


def test_columns_by_the_names_of_our_own_files_stay_the_persons(tmp_path: Path) -> None:
    frame = good().rename(columns={"age": "row_id", "job": "validation_id"})
    assert diagnose(frame, tmp_path) == 0
    rows = Run.open(tmp_path / "run").rows()
    assert rows["row_id"].tolist() == frame["row_id"].tolist()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_any_encoding_comes_back_as_it_was(encoding: str, tmp_path: Path) -> None:
    frame = good().assign(job=["Müller", "Çelik", *good()["job"][2:]])
    (tmp_path / "t.csv").write_bytes(frame.to_csv(index=False, sep=";", lineterminator="\r\n").encode(encoding))
    dec = tiny.classifier(tmp_path / "dec.safetensors")
    command = [
        "diagnose",
        str(tmp_path / "t.csv"),
        "--target",
        "y",
        "--out",
        str(tmp_path / "run"),
        "--model",
        "linear",
    ]
    assert main([*command, "--epochs", "1", "--map", "tsne", "--classifier", str(dec)]) == 0
    assert main(["apply", str(tmp_path / "run"), "-o", str(tmp_path / "same.csv")]) == 0
    assert (tmp_path / "same.csv").read_bytes() == (tmp_path / "t.csv").read_bytes()
    assert Run.open(tmp_path / "run").rows()["job"].tolist()[:2] == ["Müller", "Çelik"]
