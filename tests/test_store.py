"""The run folder: what is written is read back the same, and nothing half-written is ever seen."""

from __future__ import annotations

import errno
import json
import multiprocessing
import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demix_core import store
from demix_core.errors import RunError, StorageError
from demix_core.store import JobState, Manifest, Run, Status
from demix_core.types import Column, ColumnKind, Schema, StageState, Task

SCHEMA = Schema(
    (Column("a", ColumnKind.NUMERIC), Column("y", ColumnKind.CATEGORICAL)), "y", Task.CLASSIFICATION, ("n", "y")
)


def manifest() -> Manifest:
    stage = StageState("load", "abc", 1.25, 30.5, ("rows.parquet",))
    return Manifest(store.now(), {"seed": 1}, {"train": {"name": "t.csv", "sha256": "0", "bytes": 3}}, {"load": stage})


def files_of(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


def test_manifest_status_and_schema_come_back_as_written(tmp_path: Path) -> None:
    run = Run(tmp_path)
    wrote = manifest()
    run.write_manifest(wrote)
    run.write_schema(SCHEMA)
    told = run.write_status(Status(JobState.RUNNING, "fit", 1, 6, 0.5, 0.25, "Épocha 3", 12.5, pid=7, pid_started=1.5))
    assert Run.open(tmp_path).manifest() == wrote
    assert run.schema() == SCHEMA
    assert run.status() == told
    assert files_of(tmp_path) == {"manifest.json", "schema.json", "status.json"}


def test_status_of_a_newer_minor_version_with_more_fields_is_still_read(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.write_status(Status(JobState.DONE))
    content = json.loads((tmp_path / "status.json").read_text()) | {"colour": "red"}
    (tmp_path / "status.json").write_text(json.dumps(content))
    assert run.status() is not None and run.status().state is JobState.DONE


def test_folder_of_another_version_is_refused_in_one_sentence(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.write_manifest(manifest())
    content = json.loads((tmp_path / "manifest.json").read_text()) | {"schema_version": 99}
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match=r"another version .* 99") as error:
        Run.open(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("manifest.json", lambda run: run.manifest()),
        ("schema.json", lambda run: run.schema()),
        ("status.json", lambda run: run.status()),
        ("patches.parquet", lambda run: run.patches()),
        ("embedding.npy", lambda run: run.array("embedding.npy")),
    ],
)
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\x93NUMPY rubbish", bytes(range(200))])
def test_damaged_files_are_told_in_one_sentence(tmp_path: Path, name: str, read, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RunError, match=r"damaged|another version"):
        read(Run(tmp_path))


def test_missing_folder_and_missing_file_are_told(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run folder"):
        Run.open(tmp_path / "nothing")
    with pytest.raises(RunError, match=r"'manifest.json' is missing"):
        Run.open(tmp_path)


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "embedding.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(RunError, match="damaged"):
        Run(tmp_path).array("embedding.npy")


@given(
    columns=st.lists(st.sampled_from(["row_id", "_row_id", "a", "", "x y", "__row_id"]), min_size=1, unique=True),
    cells=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), min_size=1, max_size=5),
)
def test_rows_come_back_whatever_the_columns_are_called(tmp_path_factory, columns: list[str], cells: list[str]) -> None:
    folder = tmp_path_factory.mktemp("run")
    frame = pd.DataFrame({c: cells for c in columns}, index=np.arange(len(cells)) * 3)
    store.write_table(folder / "rows.parquet", store.with_id(frame, "row_id"))
    read = Run(folder).rows()
    assert read.index.name == "row_id"
    assert list(read.index) == list(frame.index)
    assert list(read.columns) == columns
    assert read.astype(object).to_numpy().tolist() == frame.to_numpy().tolist()


def test_no_patches_and_no_suspects_keep_their_column_types(tmp_path: Path) -> None:
    run = Run(tmp_path)
    store.write_table(run / "patches.parquet", store.patch_table([]))
    diagnosis = pd.DataFrame({"row_id": [0, 1], "suspect_columns": [[], []], "x": [0.0, 1.0]})
    store.write_table(run / "diagnosis.parquet", diagnosis)
    assert {c: str(t) for c, t in run.patches().dtypes.items() if c != "column"} == {
        c: t for c, t in store.PATCH_COLUMNS.items() if c != "column"
    }
    assert run.diagnosis()["suspect_columns"].tolist() == [[], []]
    assert list(run.diagnosis().columns) == ["row_id", "suspect_columns", "x"]
    diagnosis["suspect_columns"] = [["a", "b"], []]
    store.write_table(run / "diagnosis.parquet", diagnosis)
    assert run.diagnosis()["suspect_columns"].tolist() == [["a", "b"], []]


def test_patch_without_a_column_says_none(tmp_path: Path) -> None:
    line = {"patch_id": 0, "row_id": 4, "error_type": "spurious", "action": "reweight", "column": None, "old": "1"}
    store.write_table(
        tmp_path / "patches.parquet", store.patch_table([{**line, "new": "2", "confidence": 0.5, "reason": "x"}])
    )
    assert Run(tmp_path).patches()["column"].tolist() == [None]


def test_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    store.write_json(path, {"old": True})

    def half(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError, match=r"'.*a.json' can't be written \(No space left on device\)"):
        store.write_file(path, half)
    assert json.loads(path.read_text()) == {"old": True}
    assert files_of(tmp_path) == {"a.json"}


def test_failed_rename_leaves_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "signals"
    store.write_folder(folder, lambda f: (f / "one").write_text("1"))

    def full(temporary: Path) -> None:
        (temporary / "one").write_text("2")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError):
        store.write_folder(folder, full)
    assert (folder / "one").read_text() == "1"
    monkeypatch.setattr(
        Path, "replace", lambda *a: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device"))
    )
    with pytest.raises(StorageError):
        store.write_json(tmp_path / "b.json", [])
    assert files_of(tmp_path) == {"signals"}


def _write_too_much(folder: str, told) -> None:
    """In a process of its own: files may hold at most 64 kB, as if the disk were full."""
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
    outcomes = []
    big = np.random.default_rng(0).random(100_000)
    for write in (
        lambda: store.write_array(Path(folder) / "a.npy", big),
        lambda: store.write_table(Path(folder) / "t.parquet", pd.DataFrame({"x": big})),
        lambda: store.write_json(Path(folder) / "j.json", big.tolist()),
    ):
        try:
            write()
            outcomes.append("wrote")
        except StorageError as error:
            outcomes.append(str(error))
    told.send(outcomes)


def test_disk_that_is_really_full_is_a_sentence_and_loses_nothing(tmp_path: Path) -> None:
    small = np.arange(3.0)
    store.write_array(tmp_path / "a.npy", small)
    store.write_table(tmp_path / "t.parquet", pd.DataFrame({"x": small}))
    store.write_json(tmp_path / "j.json", [1])
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_write_too_much, args=(str(tmp_path), theirs))
    process.start()
    assert ours.poll(60)
    outcomes = ours.recv()
    process.join()
    assert all("can't be written" in outcome and "untouched" in outcome for outcome in outcomes), outcomes
    run = Run(tmp_path)
    assert run.array("a.npy").tolist() == run.table("t.parquet")["x"].tolist() == small.tolist()
    assert run.json("j.json") == [1]
    assert files_of(tmp_path) == {"a.npy", "t.parquet", "j.json"}


def test_sweep_removes_what_a_killed_worker_left(tmp_path: Path) -> None:
    run = Run(tmp_path)
    (tmp_path / ".rows.parquet.1.tmp").write_text("half")
    (tmp_path / ".signals.1.tmp").mkdir()
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / ".train.csv.1.tmp").write_text("half")
    (tmp_path / "kept.tmp").write_text("theirs")
    run.sweep()
    assert files_of(tmp_path) == {"input", "kept.tmp"} and not files_of(tmp_path / "input")


def test_cancel_is_a_file(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert not run.cancel_requested()
    run.request_cancel()
    run.request_cancel()
    assert run.cancel_requested() and Run(tmp_path).cancel_requested()
    run.clear_cancel()
    run.clear_cancel()
    assert not run.cancel_requested()


def test_readers_of_a_json_file_never_see_half_of_it(tmp_path: Path) -> None:
    """Status is rewritten while others read it."""
    run = Run(tmp_path)
    status = run.write_status(Status(JobState.RUNNING, message="x" * 20_000))
    for i in range(50):
        run.write_status(replace(status, fraction=i / 50))
        assert run.status() is not None
