"""A table with the mistakes that people's tables have, as a person brings it: what is found, what mended exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from demix_core.benchmark._tables import load
from demix_core.pipeline import diagnose
from demix_core.settings import LoadSettings, MapSettings, Settings

KINDS = {"ref": "text", "email": "text"}
POUND = 0.45359237


@dataclass(frozen=True)
class Found:
    """Per column the rows with a planted mistake among those diagnosed, and the suggestions for its cells."""

    wrong: dict[str, list[int]]
    patches: pd.DataFrame
    clean: pd.DataFrame
    rows: int

    def of(self, column: str) -> pd.DataFrame:
        """Suggestions for the wrong cells of a column, by row."""
        mine = self.patches[self.patches["column"] == column].set_index("row_id")
        return mine.loc[mine.index.intersection(self.wrong[column])]


def clean_table() -> pd.DataFrame:
    """Bank marketing, with a reference, an e-mail address, a zip code, two days and a weight beside it."""
    frame = load("bank")[0].astype(str)
    rng, n = np.random.default_rng(5), len(frame)
    start = pd.Timestamp("2019-01-01") + pd.to_timedelta(rng.integers(0, 900, n), unit="D")
    end = start + pd.to_timedelta(rng.integers(1, 60, n), unit="D")
    names, ends = rng.choice(["ann", "bob", "carl", "dora"], n), rng.choice(["com", "org"], n)
    return frame.assign(
        ref=[f"AB-{i:05d}" for i in rng.permutation(n)],
        email=[f"{name}{i}@mail.{top}" for i, (name, top) in enumerate(zip(names, ends, strict=True))],
        zip=[f"{z:05d}" for z in rng.integers(1000, 99_999, n)],
        start=start.strftime("%Y-%m-%d"),
        end=end.strftime("%Y-%m-%d"),
        weight=[f"{w} kg" for w in rng.normal(70, 12, n).round(1)],
    )


MISTAKES = {
    "ref": lambda text: text.replace("-", ""),
    "email": lambda text: text.replace("@", " at "),
    "zip": lambda text: text.removeprefix("0"),
    "end": lambda text: f"2018{text[4:]}",
    "start": lambda text: f"{text[:5]}02-31",
    "weight": lambda text: f"{float(text.removesuffix(' kg')) / POUND:.1f} lb",
    "job": str.upper,
    "housing": lambda text: text[0].upper(),
    "balance": lambda _: "-9999",
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Twenty mistakes of each kind, diagnosed with everything as it is shipped."""
    clean, rng, folder = clean_table(), np.random.default_rng(6), tmp_path_factory.mktemp("mistakes")
    dirty, wrong = clean.copy(), {}
    for column, mistake in MISTAKES.items():
        able = np.flatnonzero([mistake(text) != text for text in clean[column]])
        wrong[column] = np.sort(rng.choice(able, 20, replace=False))
        dirty.loc[wrong[column], column] = [mistake(text) for text in clean.loc[wrong[column], column]]
    dirty.to_csv(folder / "table.csv", index=False)
    chosen = Settings(load=LoadSettings(target="y", kinds=KINDS), map=MapSettings(method="pca"))
    run = diagnose(folder / "table.csv", folder / "run", chosen)
    seen = run.diagnosis()["row_id"]
    kept = {column: sorted(set(rows.tolist()) & set(seen.tolist())) for column, rows in wrong.items()}
    return Found(kept, run.patches(), clean, len(seen))


@pytest.mark.parametrize("column", [c for c in MISTAKES if c != "balance"])
def test_every_cell_is_found(column: str, found: Found) -> None:
    assert found.of(column).index.tolist() == found.wrong[column]


def test_most_placeholders_are_found(found: Found) -> None:
    assert len(found.of("balance")) >= 0.8 * len(found.wrong["balance"])


@pytest.mark.parametrize("column", ["ref", "zip", "job", "housing"])
def test_these_are_mended_exactly_and_unseen(column: str, found: Found) -> None:
    mine = found.of(column)
    assert (mine["new"] == found.clean.loc[mine.index, column]).all()
    assert mine["recommended"].mean() >= 0.9 and mine["pattern"].nunique() <= 12  # a spelling each, or one for all


def test_pounds_become_kilos(found: Found) -> None:
    mine = found.of("weight")
    true = found.clean.loc[mine.index, "weight"].str.removesuffix(" kg").astype(float)
    assert np.allclose(mine["new"].astype(float), true, atol=0.06) and mine["recommended"].all()


@pytest.mark.parametrize("column", ["start", "end"])
def test_days_are_guessed_by_the_other_one(column: str, found: Found) -> None:
    mine = found.of(column)
    off = pd.to_datetime(mine["new"]) - pd.to_datetime(found.clean.loc[mine.index, column])
    assert (off.abs() <= pd.Timedelta(60, unit="D")).mean() >= 0.9


def test_what_nobody_can_tell_is_left_to_a_person(found: Found) -> None:
    mine = found.of("email")
    assert (mine["new"] == "").all() and not mine["recommended"].any()


def test_hardly_any_other_cell_is_named(found: Found) -> None:
    cells = found.patches[found.patches["error_type"] == "feature_error"]
    other = [
        row not in found.wrong.get(column, []) for row, column in zip(cells["row_id"], cells["column"], strict=True)
    ]
    assert sum(other) <= 0.01 * found.rows
    assert not cells.loc[other, "recommended"].any()
