"""The command line: exit codes, one sentence for a mistake, results on stdout and nothing else there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
import torch

from demix_core import work
from demix_core.cli import main
from demix_core.pipeline import file_hash
from demix_core.store import Run
from demix_core.trust import limits
from demix_core.types import ErrorType
from tests import tiny

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Run]]:
    """A clean table with planted errors, diagnosed by the commands themselves: (table, run)."""
    folder = tmp_path_factory.mktemp("cli")
    dec, clean = tiny.classifier(folder / "dec.safetensors"), tiny.table(folder / "clean.csv", n=300)
    dirty = folder / "dirty.csv"
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "project", tiny.flat_map)
        assert (
            main(["inject", str(clean), "--target", "income", "--alpha", "0.8", "--seed", "1", "-o", str(dirty)]) == 0
        )
        command = ["diagnose", str(dirty), "--target", "income", "--model", "linear", "--epochs", "2", "--map", "tsne"]
        command += ["--classifier", str(dec), "--kind", "job=categorical", "--truth", str(folder / "dirty.truth.csv")]
        assert main([*command, "--out", str(folder / "run"), "--json"]) == 0
        yield dirty, Run.open(folder / "run")


def test_inject_writes_the_truth_beside_and_is_repeatable(made, tmp_path: Path, capsys) -> None:
    dirty, _ = made
    clean, truth = dirty.with_name("clean.csv"), pd.read_csv(dirty.with_name("dirty.truth.csv"))
    assert truth["row_id"].tolist() == list(range(len(pd.read_csv(dirty))))
    assert truth["label_error"].any() and truth["feature_error"].any()
    assert (
        main(
            ["inject", str(clean), "--target", "income", "--alpha", "0.8", "--seed", "1", "-o", str(tmp_path / "a.csv")]
        )
        == 0
    )
    assert (tmp_path / "a.csv").read_bytes() == dirty.read_bytes()
    assert str(tmp_path / "a.truth.csv") in capsys.readouterr().out


def test_inject_split_puts_a_clean_test_aside(made, tmp_path: Path) -> None:
    clean = made[0].with_name("clean.csv")
    command = ["inject", str(clean), "--target", "income", "--protocol", "paper", "--alpha", "0.5", "--split"]
    assert main([*command, "-o", str(tmp_path / "d.csv")]) == 0
    names = {"d.csv", "d.truth.csv", "d.validation.csv", "d.validation.truth.csv", "d.test.csv"}
    assert {p.name for p in tmp_path.iterdir()} == names
    before = set(map(tuple, pd.read_csv(clean).to_numpy().tolist()))
    test = list(map(tuple, pd.read_csv(tmp_path / "d.test.csv").to_numpy().tolist()))
    assert len(test) == 90 and set(test) <= before


def test_diagnose_prints_scores_against_the_truth(made, capsys, tmp_path: Path) -> None:
    dirty, run = made
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps(run.manifest().settings))
    command = ["diagnose", str(dirty), "--settings", str(settings), "--out", str(run.path)]
    assert main([*command, "--truth", str(dirty.with_name("dirty.truth.csv")), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    truth = pd.read_csv(dirty.with_name("dirty.truth.csv")).set_index("row_id")
    diagnosis = run.diagnosis().set_index("row_id")
    for score in said["scores"]:
        kind = score["error_type"]
        hits = int((diagnosis[kind] & truth.loc[diagnosis.index, kind]).sum())
        assert score["precision"] * score["flagged"] == pytest.approx(hits)
    assert said["rows"] == len(diagnosis)
    assert main([*command, "--truth", str(dirty.with_name("dirty.truth.csv"))]) == 0
    shown = capsys.readouterr().out
    assert "Against the truth" in shown and "average" in shown and str(run.path) in shown.replace("\n", "")
    for kind, count in said["counts"].items():
        right = said["estimated"][kind]["right"]
        wanted = f"{right['value']:.0%} ({right['low']:.0%} to {right['high']:.0%})"
        assert (wanted in shown) == (count > 0)


def test_apply_with_nothing_accepted_is_the_same_file(made, tmp_path: Path) -> None:
    dirty, run = made
    out = tmp_path / "clean.csv"
    assert main(["apply", str(run.path), "-o", str(out)]) == 0
    assert file_hash(out) == file_hash(dirty)
    assert {p.name for p in tmp_path.iterdir()} == {"clean.csv", "clean.changes.csv", "clean.decisions.jsonl"}


def test_apply_leaves_alone_what_the_persons_threshold_hides(made, tmp_path: Path) -> None:
    source, run = made
    p = run.diagnosis()["p_label_error"].max()
    limits.write_limit(run, ErrorType.LABEL, min(1.0, float(p) + 1e-6))
    try:
        out = tmp_path / "none.csv"
        assert main(["apply", str(run.path), "--accept", "label", "--min-confidence", "0", "-o", str(out)]) == 0
        assert out.read_bytes() == source.read_bytes()
    finally:
        limits.write_limit(run, ErrorType.LABEL, None)
    assert main(["apply", str(run.path), "--accept", "label", "--min-confidence", "0", "-o", str(out)]) == 0
    assert out.read_bytes() != source.read_bytes()


def test_apply_changes_the_accepted_cells_only_and_replays(made, tmp_path: Path) -> None:
    dirty, run = made
    out = tmp_path / "one.csv"
    assert main(["apply", str(run.path), "--accept", "label", "--min-confidence", "0.2", "-o", str(out)]) == 0
    patches = run.patches()
    chosen = patches[(patches["error_type"] == "label_error") & (patches["confidence"] >= 0.2)]
    before, after = pd.read_csv(dirty, dtype=str), pd.read_csv(out, dtype=str)
    assert len(chosen) and after.loc[chosen["row_id"], "income"].tolist() == chosen["new"].tolist()
    rest = before.index.difference(chosen["row_id"])
    pd.testing.assert_frame_equal(before.loc[rest], after.loc[rest])
    again = tmp_path / "two.csv"
    replay = ["apply", str(run.path), "--decisions", str(tmp_path / "one.decisions.jsonl"), "-o", str(again)]
    assert main(replay) == 0
    assert again.read_bytes() == out.read_bytes()
    assert len(pd.read_csv(tmp_path / "one.changes.csv")) == len(chosen)


def test_explain_says_why_for_eyes_and_machines(made, capsys) -> None:
    _, run = made
    row = int(run.patches()["row_id"].iloc[0])
    assert main(["explain", str(run.path), str(row)]) == 0
    shown = capsys.readouterr().out
    assert f"Row {row}" in shown and "Nearest training rows" in shown
    assert main(["explain", str(run.path), str(row), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["row_id"] == row


def test_thresholds_are_told_sampled_and_kept(made, capsys) -> None:
    _, run = made
    kind = run.patches()["error_type"].iloc[0]
    short = kind.removesuffix("_error")
    assert main(["thresholds", str(run.path), "--type", short, "--sample", "8", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    (line,), rows = said["types"], said["sample"]
    assert line["error_type"] == kind and line["basis"] == "none" and line["precision"]["value"] is None
    patches = run.patches().query("error_type == @kind")
    assert len(rows) == 8 and set(rows) <= set(patches["row_id"])
    with closing(run.decisions()) as log:
        for row in rows:
            for patch in patches.loc[patches["row_id"] == row, "patch_id"]:
                log.accept([int(patch)])
    assert main(["thresholds", str(run.path), "--type", short]) == 0
    shown = capsys.readouterr()
    assert "8 of 8 sampled rows were right" in shown.err and "1.00 [" in shown.out
    assert main(["thresholds", str(run.path), "--type", short, "--at", "0.9", "--keep"]) == 0
    assert json.loads((run / "thresholds.json").read_text()) == {kind: 0.9}
    (run / "thresholds.json").unlink()
    (run / "samples.json").unlink()
    for suffix in ("", "-wal", "-shm"):
        (run / f"decisions.sqlite{suffix}").unlink(missing_ok=True)


def test_blame_names_rows_for_eyes_and_machines(made, capsys) -> None:
    _, run = made
    row = int(run.diagnosis()["row_id"].iloc[0])
    assert main(["blame", str(run.path), "--slices", "job", "--rows", str(row), "--top", "3"]) == 0
    shown = capsys.readouterr().out
    assert all(words in shown for words in ("Mean influence on each slice", "to blame for 'job = ", "chosen rows harm"))
    assert (
        main(["blame", str(run.path), "--groups", "label", "--slices", "job", "--slice", "job = clerk", "--json"]) == 0
    )
    said = json.loads(capsys.readouterr().out)
    assert said["slice"] == "job = clerk" and len(said["mean_influence"]) == len(said["groups"]) == 2
    assert {s["name"] for s in said["slices"]} == {"job = clerk", "job = smith", "job = baker"}
    assert all(line["influence"] > 0 for line in said["to_blame"]) and "touched" not in said


MISTAKES = [
    (["diagnose", "t.csv", "--threshold", "label"], "write TYPE=VALUE"),
    (["diagnose", "t.csv", "--threshold", "lable=0.3"], "no error type 'lable'"),
    (["diagnose", "t.csv", "--threshold", "label=3"], "must lie between 0 and 1"),
    (["thresholds", "nowhere"], "no run folder 'nowhere'"),
    (["diagnose", "nothing.csv"], "no train file 'nothing.csv'"),
    (["diagnose", "t.csv", "--model", "gpt"], "no model called 'gpt'"),
    (["diagnose", "t.csv", "--kind", "age"], "write COLUMN=KIND"),
    (["diagnose", "t.csv", "--task", "divination"], "'task' can't be 'divination'"),
    (["diagnose", "t.csv", "--truth", "nothing.csv"], "no truth file 'nothing.csv'"),
    (["diagnose", "t.csv", "--settings", "nothing.json"], "settings file 'nothing.json' can't be read"),
    (["diagnose", "t.csv", "--settings", "t.csv"], "is not a settings file"),
    (["diagnose", "t.csv", "--classifier", "nothing.safetensors"], "no error classifier 'nothing.safetensors'"),
    (["inject", "t.csv", "--target", "income", "--alpha", "3", "-o", "o.csv"], "--alpha is the share of clean rows"),
    (["inject", "t.csv", "--target", "nobody", "-o", "o.csv"], "nobody"),
    (["inject", "t.csv", "--target", "income", "--protocol", "vague", "-o", "o.csv"], "vague"),
    (["apply", "nowhere", "-o", "o.csv"], "no run folder 'nowhere'"),
    (["explain", "nowhere", "1"], "no run folder 'nowhere'"),
    (["blame", "nowhere"], "no run folder 'nowhere'"),
    (["dashboard", "nowhere"], "no run folder 'nowhere'"),
    (["bench", "patience"], "no benchmark called 'patience'"),
]


@pytest.mark.parametrize(
    ("command", "sentence"), MISTAKES, ids=lambda x: " ".join(x[:3]) if isinstance(x, list) else ""
)
def test_mistakes_get_one_sentence_and_exit_2(
    command: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.table(tmp_path / "t.csv", n=40)
    assert main(command) == 2
    said = capsys.readouterr()
    assert sentence in said.err and said.err.count("\n") == 1 and "Traceback" not in said.err
    assert said.out == ""


def test_thresholds_refuse_what_they_can_not_do(made, capsys) -> None:
    _, run = made
    for words, sentence in (
        (["--sample", "5"], "Name the error type"), (["--type", "label", "--keep"], "Name the threshold"),
        (["--at", "7"], "between 0 and 1"), (["--type", "odd"], "no error type 'odd'"),
        (["--type", "label", "--sample", "0"], "at least one row"),
    ):  # fmt: skip
        assert main(["thresholds", str(run.path), *words]) == 2
        assert sentence in capsys.readouterr().err


def test_apply_refuses_what_it_does_not_know(made, tmp_path: Path, capsys) -> None:
    _, run = made
    out = ["-o", str(tmp_path / "o.csv")]
    assert main(["apply", str(run.path), "--accept", "everything", *out]) == 2
    assert "does not know 'everything'" in capsys.readouterr().err
    assert main(["apply", str(run.path), "--accept", "all", "--min-confidence", "7", *out]) == 2
    assert main(["apply", str(run.path), "-o", str(run.input_path())]) == 2
    assert main(["apply", str(run.path), "--accept", "all", "--decisions", "x.jsonl", *out]) == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", [["nonsense"], ["diagnose"], ["explain", "run", "one"]])
def test_wrong_usage_is_exit_2(command: list[str]) -> None:
    assert main(command) == 2


def test_help_is_exit_0_and_names_every_command(capsys) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(
        name in shown
        for name in ("diagnose", "inject", "apply", "explain", "blame", "thresholds", "train-dec", "dashboard", "bench")
    )


def test_interrupted_is_exit_130_and_cancelled(made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    dirty, run = made
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps(run.manifest().settings))

    def interrupted(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(work, "learn", interrupted)
    out = tmp_path / "run"
    assert main(["diagnose", str(dirty), "--settings", str(settings), "--out", str(out)]) == 130
    assert "goes on from there" in capsys.readouterr().err
    assert Run(out).status().state == "cancelled"


def test_python_dash_m_starts_it() -> None:
    done = subprocess.run([sys.executable, "-m", "demix_core", "bench", "x"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == "" and "choose one of" in done.stderr


def test_public_names_are_there_and_importing_them_brings_no_torch() -> None:
    code = (
        "import sys, demix_core\nassert 'torch' not in sys.modules and 'pandas' not in sys.modules\n"
        "assert all(getattr(demix_core, n) is not None for n in demix_core.__all__)\n"
        "assert not any(m.split('.')[0] in ('streamlit', 'plotly') for m in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize(("given", "found"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")])
def test_threads_sleep_while_they_wait_unless_told_otherwise(given: dict[str, str], found: str) -> None:
    code = f"import os, demix_core; assert os.environ['OMP_WAIT_POLICY'] == '{found}'"
    others = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, env=others | given)
