"""The change plan: who wins, what is refused, and a list of changes that no spreadsheet runs."""

from pathlib import Path

import pandas as pd
import pytest

from demix_core.decisions import DecisionLog
from demix_core.errors import RunError
from demix_core.repairs.apply import own_value, plan, repaired, safe, write, write_changes_csv
from demix_core.tablefile import TableFile
from demix_core.types import DROP_VALUE, Column, ColumnKind, Notation, Schema, Task

RAW = b'a,b,y\r\n1,"x, z",no\r\n2,w,yes\r\n3,,no'


def _patches(*rows: tuple[int, int, str, str | None, str, str]) -> pd.DataFrame:
    names = ["patch_id", "row_id", "action", "column", "old", "new"]
    return pd.DataFrame(rows, columns=names).assign(error_type="label_error", confidence=0.9, reason="why")


PATCHES = _patches(
    (0, 0, "relabel", "y", "no", "yes"), (1, 0, "relabel", "y", "no", "maybe"), (2, 1, "impute", "a", "2", "=1+1"),
    (3, 2, "reweight", None, "1", "0.5"),
)  # fmt: skip


@pytest.fixture
def log(tmp_path: Path) -> DecisionLog:
    return DecisionLog(tmp_path / "d.sqlite")


@pytest.fixture
def table(tmp_path: Path) -> TableFile:
    path = tmp_path / "t.csv"
    path.write_bytes(RAW)
    return TableFile.read(path)


def test_the_later_decision_on_a_cell_wins(log: DecisionLog) -> None:
    log.accept([1], "ann")
    log.accept([0], "bob")
    changes = plan(PATCHES, log.replay(), log.events())
    assert changes.cells == {(0, "y"): "yes"}
    assert list(changes.rows["reviewer"]) == ["bob"]


def test_a_drop_beats_cell_changes_and_only_its_record_goes(log: DecisionLog, table: TableFile, tmp_path: Path) -> None:
    log.edit(0, DROP_VALUE)
    log.accept([1])
    write(table, plan(PATCHES, log.replay()), tmp_path / "o.csv")
    assert (tmp_path / "o.csv").read_bytes() == b"a,b,y\r\n2,w,yes\r\n3,,no"


def test_weights_are_a_column_on_request_only(log: DecisionLog, table: TableFile, tmp_path: Path) -> None:
    log.accept([3])
    changes = plan(PATCHES, log.replay())
    write(table, changes, tmp_path / "o.csv")
    assert (tmp_path / "o.csv").read_bytes() == RAW
    write(table, changes, tmp_path / "o.csv", with_weights=True)
    assert (tmp_path / "o.csv").read_bytes() == b'a,b,y,demix_weight\r\n1,"x, z",no,1.0\r\n2,w,yes,1.0\r\n3,,no,0.5'


def test_a_cell_that_changed_since_is_refused(log: DecisionLog, table: TableFile, tmp_path: Path) -> None:
    log.accept([0])
    stale = PATCHES.assign(old="other")
    with pytest.raises(RunError, match="Row 0, column 'y'"):
        write(table, plan(stale, log.replay()), tmp_path / "o.csv")
    assert not (tmp_path / "o.csv").exists()


def test_the_list_of_changes_holds_no_formula(log: DecisionLog, tmp_path: Path) -> None:
    log.accept([2])
    write_changes_csv(plan(PATCHES, log.replay()), tmp_path / "c.csv")
    assert "'=1+1" in (tmp_path / "c.csv").read_text()
    assert [safe(t) for t in ("-1.5", "-a", "@x", "plain")] == ["-1.5", "'-a", "'@x", "plain"]


SWAP = _patches((0, 0, "swap", "a", "1", "x, z"), (1, 1, "swap", "a", "2", "w")).assign(partner="b")


def test_a_swap_writes_both_cells_and_nothing_else(log: DecisionLog, table: TableFile, tmp_path: Path) -> None:
    log.accept([0])
    changes = plan(SWAP, log.replay(), log.events())
    assert changes.cells == {(0, "a"): "x, z", (0, "b"): "1"}
    assert changes.rows[["column", "old", "new", "action"]].to_numpy().tolist() == [
        ["a", "1", "x, z", "swap"], ["b", "x, z", "1", "swap"],
    ]  # fmt: skip
    write(table, changes, tmp_path / "o.csv")
    assert (tmp_path / "o.csv").read_bytes() == b'a,b,y\r\n"x, z","1",no\r\n2,w,yes\r\n3,,no'
    frame = table.frame.astype(object)
    assert repaired(frame, changes)[0].loc[0, ["a", "b"]].tolist() == ["x, z", "1"]


def test_an_own_value_or_a_drop_in_place_of_a_swap_leaves_the_other_cell(log: DecisionLog) -> None:
    log.edit(0, "5")
    log.edit(1, DROP_VALUE)
    changes = plan(SWAP, log.replay())
    assert changes.cells == {(0, "a"): "5"} and changes.dropped == {1}


def test_a_swap_whose_other_cell_changed_since_is_refused(log: DecisionLog, table: TableFile, tmp_path: Path) -> None:
    log.accept([1])
    with pytest.raises(RunError, match="'b'"):
        write(table, plan(SWAP.assign(new="gone"), log.replay()), tmp_path / "o.csv")
    assert not (tmp_path / "o.csv").exists()


OWN = Schema(
    (
        Column("price", ColumnKind.NUMERIC, Notation("$", grouped=True)), Column("age", ColumnKind.NUMERIC),
        Column("weight", ColumnKind.NUMERIC, Notation(after=" kg", thousands=".", decimal=",")),
        Column("day", ColumnKind.DATETIME), Column("job", ColumnKind.CATEGORICAL), Column("y", ColumnKind.CATEGORICAL),
    ),
    "y", Task.CLASSIFICATION, ("no", "yes"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("column", "typed", "held"),
    [
        ("price", "$1,200", "1200"), ("price", "1,200.50", "1200.50"), ("price", "1200", "1200"), ("price", "", ""),
        ("weight", "70,5 kg", "70.5"), ("weight", "154 lb", "69.853225"), ("weight", "2.500.000.000 g", "2500000"),
        ("age", "41", "41"),
        ("day", "2021-04-30", "2021-04-30"), ("day", "", ""), ("job", "nurse", "nurse"),
        ("y", "yes", "yes"), (None, "0.5", "0.5"),
    ],
)  # fmt: skip
def test_an_own_value_is_read_as_its_column_is_written(column: str | None, typed: str, held: str) -> None:
    assert own_value(OWN, column, typed) == (held, "")


@pytest.mark.parametrize(
    ("column", "typed", "why"),
    [
        ("price", "€12", "no number"), ("price", "cheap", "no number"), ("weight", "3 km", "no number"),
        ("age", "1,200", "no number"), ("day", "2021-02-31", "no time"), ("day", "soon", "no time"),
        ("y", "maybe", "no known label"), ("y", "", "no known"), (None, "-1", "no weight"), (None, "much", "no weight"),
    ],
)  # fmt: skip
def test_an_own_value_that_can_not_stand_is_refused(column: str | None, typed: str, why: str) -> None:
    value, refused = own_value(OWN, column, typed)
    assert value == typed and f"'{typed}' is {why}" in refused
