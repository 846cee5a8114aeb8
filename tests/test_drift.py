"""No false alarms where nothing drifts, and what was shifted is found: in influence, by column, by row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binom, kstest

from demix_core import work
from demix_core.cli import main
from demix_core.drift import RESULT, Samples, compare, drift, picture
from demix_core.errors import InputError
from demix_core.evaluation.two_samples import column_changes, two_samples
from demix_core.pipeline import diagnose
from demix_core.settings import FitSettings, Settings
from demix_core.store import JobState, Run
from demix_core.types import Column, ColumnKind, Schema, Task
from tests import tiny

SEEDS = 20
KINDS = {"age": ColumnKind.NUMERIC, "job": ColumnKind.CATEGORICAL, "day": ColumnKind.DATETIME, "note": ColumnKind.TEXT}
SCHEMA = Schema((*(Column(c, k) for c, k in KINDS.items()), Column("y", ColumnKind.CATEGORICAL)), "y",
                Task.CLASSIFICATION, ("no", "yes"))  # fmt: skip
QUICK = Settings(fit=FitSettings(model="linear", epochs=3))


def people(n: int, seed: int, older: float = 0, upside_down: bool = False) -> pd.DataFrame:
    """older: added to every age; upside_down: the label follows age the other way."""
    r = np.random.default_rng(seed)
    age = r.normal(45 + older, 10, n)
    yes = (age + r.normal(0, 6, n) > 45) ^ upside_down
    return pd.DataFrame({
        "age": age.round(1).astype(str), "job": r.choice(["clerk", "smith", ""], n, p=[0.6, 0.3, 0.1]),
        "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(r.integers(0, 300, n), "D"),
        "note": ["x" * k for k in r.integers(3, 30, n)], "y": np.where(yes, "yes", "no"),
    }).astype(str)  # fmt: skip


def compared(training: pd.DataFrame, batch: pd.DataFrame, seed: int = 0) -> dict:
    return compare(Samples(SCHEMA, training, batch, "batch", 0), Settings(fit=QUICK.fit, seed=seed))


def test_p_values_are_uniform_when_both_samples_have_one_source() -> None:
    p = []
    for seed in range(100):
        x = np.random.default_rng(seed).standard_t(2, (90, 6))
        p.append(two_samples(x[:50], x[50:], seed).p)
    assert np.mean(np.array(p) < 0.05) <= binom.ppf(0.995, 100, 0.05) / 100
    assert kstest(p, "uniform").pvalue > 0.005


def test_shifts_of_many_numbers_are_found_whatever_their_scale() -> None:
    r = np.random.default_rng(0)
    first, second = r.normal(size=(200, 8)), r.normal(size=(150, 8))
    second[:, 3] += 0.8
    scale = 10.0 ** np.arange(8)
    found = two_samples(first * scale, second * scale, 1)
    assert found.p < 0.01 and found.p == two_samples(first * scale, second * scale, 1).p
    assert found.second.mean() > found.first.mean()
    # the rows that speak most for the second sample are those of the shifted number
    assert second[np.argsort(-found.second)[:20], 3].mean() > second[:, 3].mean() + 0.5


def test_no_false_alarms_on_splits_of_one_table() -> None:
    """The whole way: encoder, model, influence. A batch of the same source, many times."""
    alarms, columns = 0, 0
    for seed in range(SEEDS):
        rows = people(260, seed)
        found = compared(rows.iloc[:180], rows.iloc[180:], seed)
        alarms += found["p"] < 0.05
        columns += any(c["holm"] < 0.05 for c in found["columns"])
    allowed = binom.ppf(0.999, SEEDS, 0.05)
    assert alarms <= allowed and columns <= allowed


@pytest.mark.parametrize(("change", "column"), [({"older": 8}, "age"), ({"upside_down": True}, None)])
def test_drift_is_found_and_its_column_named(change: dict, column: str | None) -> None:
    """Labels that turned around change no column's distribution: only influence can tell."""
    found = [compared(people(300, seed), people(120, seed + 100, **change), seed) for seed in range(5)]
    assert sum(f["p"] < 0.05 for f in found) >= 4
    for one in found:
        changed = [c["column"] for c in one["columns"] if c["holm"] < 0.05]
        assert column is None or changed[0] == column
        assert column is not None or "age" not in changed
    if column:
        oldest = [float(r["cells"]["age"]) for r in found[0]["typical_rows"][:10]]
        assert np.mean(oldest) > 50


def test_columns_say_what_became_of_them() -> None:
    before, after = people(400, 0), people(300, 1)
    after["age"] = np.where(np.random.default_rng(0).random(300) < 0.3, "", after["age"])
    after["job"] = "baker"
    after["day"] = "2025-06-01"
    after["note"] = "a very long note that nobody wrote before"
    found = {c.column: c for c in column_changes(before, after, SCHEMA.columns)}
    assert "missing 0.0% → 2" in found["age"].words and found["age"].holm < 0.05
    assert found["job"].words == "'baker' 0.0% → 100.0%" and found["job"].size == pytest.approx(1)
    assert found["day"].words.endswith("→ 2025-06-01") and "median length" in found["note"].words
    assert found["y"].holm > 0.05
    assert all(c.holm >= c.p for c in found.values())


def test_the_picture_shows_shares_of_both() -> None:
    x = np.random.default_rng(0).normal(size=(100, 3))
    drawn = picture(two_samples(x[:60], x[60:], 0))
    assert len(drawn["edges"]) == len(drawn["batch"]) + 1
    assert sum(drawn["training"]) == pytest.approx(1) and sum(drawn["batch"]) == pytest.approx(1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("drift")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "project", tiny.flat_map)
        table, dec = tiny.table(folder / "people.csv", n=400), tiny.classifier(folder / "dec.safetensors")
        yield diagnose(table, folder / "run", tiny.settings(dec))
    torch.set_num_threads(threads)


def test_the_command_compares_validation_rows_or_a_batch(
    made: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["drift", str(made.path)]) == 0
    assert "can't be told from" in capsys.readouterr().out
    batch = pd.read_csv(tiny.table(tmp_path / "more.csv", n=100, seed=4))
    batch["age"] = batch["age"] + 30
    batch.loc[0, "income"] = "unheard of"
    batch.to_csv(tmp_path / "more.csv", index=False)
    assert main(["drift", str(made.path), str(tmp_path / "more.csv"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["drifts"] and found["columns"][0]["column"] == "age" and found["left_out"] == 1
    assert found == made.drift.json(RESULT) and made.drift.status().state is JobState.DONE
    assert main(["drift", str(made.path), str(tmp_path / "more.csv")]) == 0
    shown = capsys.readouterr().out
    assert "act unlike" in shown and "more.csv: 99 rows" in shown and "differs" in shown


def test_batches_that_cannot_be_compared_are_told(made: Run, tmp_path: Path) -> None:
    table = pd.read_csv(tiny.table(tmp_path / "few.csv", n=19))
    with pytest.raises(InputError, match="19 rows with a known label"):
        drift(made, tmp_path / "few.csv")
    table.drop(columns="job").to_csv(tmp_path / "few.csv", index=False)
    with pytest.raises(InputError, match="lacks the column 'job'"):
        drift(made, tmp_path / "few.csv")
