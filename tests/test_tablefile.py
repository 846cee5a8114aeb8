"""Byte for byte: what was not changed is written back as it stood, whatever the dialect."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from demix_core.errors import InputError
from demix_core.tablefile import TableFile

CELL = st.text(st.sampled_from("ab1é\"\n\r,; '|\t"), max_size=5)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=6), delimiter=st.sampled_from(",;\t|"),
    newline=st.sampled_from(["\n", "\r\n", "\r"]), encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    new=CELL, last=st.booleans(), at=st.integers(0, 5),
)  # fmt: skip
def test_one_cell_changes_and_nothing_else(tmp_path, rows, delimiter, newline, encoding, new, last, at) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator=newline, quoting=csv.QUOTE_ALL)
    writer.writerows([("col a", "col b", "col c"), *rows])
    text = buffer.getvalue() if last else buffer.getvalue().removesuffix(newline)
    path, out = tmp_path / "t.csv", tmp_path / "o.csv"
    path.write_bytes(text.encode(encoding))
    table = TableFile.read(path)
    assert list(table.frame.itertuples(index=False, name=None)) == rows
    table.rewrite(out, {})
    assert out.read_bytes() == path.read_bytes()
    row = at % len(rows)
    table.rewrite(out, {(row, "col b"): new})
    expected = [list(r) for r in rows]
    expected[row][1] = new
    after = TableFile.read(out)
    assert after.frame.to_numpy().tolist() == expected
    for place, ((a, b), (c, d)) in enumerate(zip(table.records, after.records, strict=True)):
        if place != row + 1:  # the header is the first record
            assert table.text[a:b] == after.text[c:d]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"), (b"a,b\n", "no rows"), (b"a\n1\n", "only one column"), (b"1,2\n3,4\n", "no header"),
        (b"a,b\n1,2\n1,2,3\n", "Line 3"), (b"a,a\n1,2\n", "more than one column"), (b"PK\x03\x04x", "zip"),
        (b"\x1f\x8bx", "gzip"), (b"a,b\n1,\x002\n", "line 2"),
    ],
)  # fmt: skip
def test_bad_files_get_one_sentence(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(InputError, match=words):
        TableFile.read(tmp_path / "t.csv")
