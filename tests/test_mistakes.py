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
    """Per kind the rows with a planted mistake among those diagnosed, and the suggestions for these cells."""

    wrong: dict[str, list[int]]
    patches: pd.DataFrame
    clean: pd.DataFrame
    rows: int

    def of(self, kind: str) -> pd.DataFrame:
        """Suggestions for the cells with a kind of mistake, by row; true: what they held."""
        mine = self.patches[self.patches["column"] == column_of(kind)].set_index("row_id")
        mine = mine.loc[mine.index.intersection(self.wrong[kind])]
        return mine.assign(true=self.clean.loc[mine.index, column_of(kind)])


def column_of(kind: str) -> str:
    """Of a kind of mistake."""
    return kind.partition(" ")[0]


def clean_table() -> pd.DataFrame:
    """Bank marketing, with what people's tables have beside it: a reference, days, measures and more."""
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
        weekday=rng.choice(["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"], n),
        area=rng.gamma(9, 150, n).astype(int).astype(str),
        built=rng.integers(1950, 2015, n).astype(str),
        seen=(pd.Timestamp("2015-01-01") + pd.to_timedelta(rng.integers(0, 900, n), unit="D")).strftime("%Y-%m-%d"),
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
    "weekday": lambda text: text[:3],
    "area in words": lambda text: f"{text} sq ft",
    "area negated": lambda text: f"-{text}",
    "built": lambda text: text[2:],
    "seen days first": lambda text: pd.Timestamp(text).strftime("%d/%m/%Y"),
    "seen months in words": lambda text: pd.Timestamp(text).strftime("%b %d, %Y"),
    "seen never": lambda _: "1900-01-01",
}
"""What becomes of a cell, by column and kind."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Twenty mistakes of each kind, diagnosed with everything as it is shipped."""
    clean, rng, folder = clean_table(), np.random.default_rng(7), tmp_path_factory.mktemp("mistakes")
    dirty, wrong = clean.copy(), {}
    for kind, mistake in MISTAKES.items():
        column = column_of(kind)
        able = np.flatnonzero(
            [mistake(t) != t and t == now for t, now in zip(clean[column], dirty[column], strict=True)]
        )
        wrong[kind] = np.sort(rng.choice(able, 20, replace=False))
        dirty.loc[wrong[kind], column] = [mistake(text) for text in clean.loc[wrong[kind], column]]
    dirty.to_csv(folder / "table.csv", index=False)
    chosen = Settings(load=LoadSettings(target="y", kinds=KINDS), map=MapSettings(method="pca"))
    run = diagnose(folder / "table.csv", folder / "run", chosen)
    seen = run.diagnosis()["row_id"]
    kept = {kind: sorted(set(rows.tolist()) & set(seen.tolist())) for kind, rows in wrong.items()}
    return Found(kept, run.patches(), clean, len(seen))


@pytest.mark.parametrize("kind", [kind for kind in MISTAKES if kind != "balance"])
def test_every_cell_is_found(kind: str, found: Found) -> None:
    assert found.of(kind).index.tolist() == found.wrong[kind]


def test_most_placeholders_are_found(found: Found) -> None:
    assert len(found.of("balance")) >= 0.8 * len(found.wrong["balance"])


@pytest.mark.parametrize(
    "kind", ["ref", "zip", "job", "housing", "weekday", "area in words", "seen days first", "seen months in words"]
)
def test_these_are_mended_exactly_and_unseen(kind: str, found: Found) -> None:
    mine = found.of(kind)
    assert (mine["new"] == mine["true"]).all()
    assert mine["recommended"].mean() >= 0.9 and mine["pattern"].nunique() <= 12  # a spelling each, or one for all


@pytest.mark.parametrize("kind", ["area negated", "built"])
def test_these_are_mended_exactly_where_the_classifier_is_sure(kind: str, found: Found) -> None:
    mine = found.of(kind)
    assert (mine["new"] == mine["true"]).mean() >= 0.9 and mine["pattern"].nunique() <= 2


def test_pounds_become_kilos(found: Found) -> None:
    mine = found.of("weight")
    true = mine["true"].str.removesuffix(" kg").astype(float)
    assert np.allclose(mine["new"].astype(float), true, atol=0.06) and mine["recommended"].all()


@pytest.mark.parametrize("kind", ["start", "end"])
def test_days_are_guessed_by_the_other_one(kind: str, found: Found) -> None:
    mine = found.of(kind)
    off = pd.to_datetime(mine["new"]) - pd.to_datetime(mine["true"])
    assert (off.abs() <= pd.Timedelta(60, unit="D")).mean() >= 0.9


@pytest.mark.parametrize("kind", ["email", "seen never"])
def test_what_nobody_can_tell_is_left_to_a_person(kind: str, found: Found) -> None:
    mine = found.of(kind)
    assert (mine["new"] == "").all() and not mine["recommended"].any()


def test_hardly_any_other_cell_is_named(found: Found) -> None:
    cells = found.patches[found.patches["error_type"] == "feature_error"]
    planted = {(row, column_of(kind)) for kind, rows in found.wrong.items() for row in rows}
    other = [at not in planted for at in zip(cells["row_id"], cells["column"], strict=True)]
    assert sum(other) <= 0.01 * found.rows
    assert not cells.loc[other, "recommended"].any()
