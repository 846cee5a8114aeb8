"""A table file that can be written back with nothing changed but the cells that were meant to change.

Text files are read by the csv module; its line counter tells where each record lies in the text, so a rewrite copies
every untouched record as it stands and replaces the field's characters only. Encodings must round-trip exactly.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from demix_core.errors import InputError
from demix_core.store import write_file

MAX_BYTES = 2 << 30
DELIMITERS = (",", ";", "\t", "|")
SNIFFED_RECORDS = 200
SNIFFED_CHARACTERS = 1 << 16
QUOTE = '"'
BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
FOREIGN = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook"), (b"\x1f\x8b", "gzip-compressed"),
    (b"BZh", "bzip2-compressed"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"), (b"%PDF", "a PDF"), (b"SQLite format 3", "an SQLite database"),
)  # fmt: skip


@dataclass(frozen=True)
class Dialect:
    """How a text file is written. bom: the byte order mark found at the start, or empty."""

    delimiter: str = ","
    quote: str = QUOTE
    newline: str = "\n"
    encoding: str = "utf-8"
    bom: bytes = b""


@dataclass(frozen=True)
class TableFile:
    """A table as it lies in a file. frame: raw cells (str for text files, native for parquet), index = row id.

    records: int64 [n + 1, 2] start and stop of each record in text (the header first), newline included.
    """

    path: Path
    format: str
    frame: pd.DataFrame
    content_hash: str
    dialect: Dialect
    text: str = ""
    records: np.ndarray | None = None

    @classmethod
    def read(cls, path: Path, max_bytes: int = MAX_BYTES, learnable: bool = True) -> TableFile:
        """Reads .parquet or a text table of any delimiter and encoding. InputError: what, where, the way out.

        learnable: there must be a target and a feature, with names; else one column will do, and numbers as names.
        """
        path = Path(path)
        data = _bytes(path, max_bytes)
        digest = hashlib.sha256(data).hexdigest()
        if data[:4] == b"PAR1":
            frame = _checked(path, _parquet(path, data).to_pandas(ignore_metadata=True), learnable)
            return cls(path, "parquet", frame, digest, Dialect())
        _refuse_foreign(path, data)
        encoding, bom, text = _decode(path, data)
        delimiter = _sniff(text)
        rows, records = _parse(path, text, delimiter)
        frame = _checked(path, _frame(path, rows, text, records, learnable), learnable)
        newline = "\r\n" if "\r\n" in text else "\r" if "\r" in text and "\n" not in text else "\n"
        return cls(path, "csv", frame, digest, Dialect(delimiter, QUOTE, newline, encoding, bom), text, records)

    def rewrite(
        self,
        out: Path,
        cells: Mapping[tuple[int, str], str],
        dropped: Collection[int] = (),
        extra: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Writes the table with cells {(row id, column): new text} changed, rows dropped, columns added at the end.

        Everything else stays byte for byte. Atomic. InputError: no such cell, or the text does not fit the column's
        type or the file's encoding; StorageError: the disk is full.
        """
        self._check(cells, dropped, extra or {})
        if not cells and not dropped and not extra:
            data = self._original()
        elif self.format == "parquet":
            data = self._parquet(cells, dropped, extra or {})
        else:
            data = self._encoded(self._changed(cells, set(dropped), extra or {}))
        write_file(Path(out), lambda temporary: temporary.write_bytes(data), durable=True)

    def _original(self) -> bytes:
        return self.path.read_bytes() if self.format == "parquet" else self._encoded(self.text)

    def _check(
        self, cells: Mapping[tuple[int, str], str], dropped: Collection[int], extra: Mapping[str, Sequence[str]]
    ) -> None:
        n, names = len(self.frame), set(self.frame.columns)
        for row, column in cells:
            if column not in names or not 0 <= row < n:
                raise InputError(
                    f"{self.path.name} has no cell in row {row}, column '{column}'; check the list of changes."
                )
        for row in dropped:
            if not 0 <= row < n:
                raise InputError(f"{self.path.name} has no row {row} to drop; check the list of changes.")
        for name, values in extra.items():
            if name in names or len(values) != n:
                raise InputError(
                    f"Column '{name}' can't be added to {self.path.name}: it needs a new name and {n} values."
                )

    def _encoded(self, text: str) -> bytes:
        try:
            return self.dialect.bom + text.encode(self.dialect.encoding)
        except UnicodeEncodeError as error:
            bad = text[error.start]
            raise InputError(
                f"{self.path.name} is written in {self.dialect.encoding}, which has no '{bad}'; use another value."
            ) from error

    def _changed(
        self, cells: Mapping[tuple[int, str], str], dropped: set[int], extra: Mapping[str, Sequence[str]]
    ) -> str:
        assert self.records is not None
        place = {name: j for j, name in enumerate(self.frame.columns)}
        wanted: dict[int, dict[int, str]] = {}
        for (row, column), new in cells.items():
            wanted.setdefault(row, {})[place[column]] = new
        touched = range(-1, len(self.frame)) if extra else sorted(wanted.keys() | dropped)
        pieces: list[str] = []
        at = 0
        for row in touched:
            start, stop = (int(v) for v in self.records[row + 1])
            pieces.append(self.text[at:start])
            at = stop
            if row not in dropped:
                added = [name if row < 0 else values[row] for name, values in extra.items()]
                pieces.append(self._record(self.text[start:stop], wanted.get(row, {}), added))
        pieces.append(self.text[at:])
        return "".join(pieces)

    def _record(self, record: str, new: Mapping[int, str], added: Sequence[str]) -> str:
        body = record.rstrip("\r\n") if added or new else record
        spans = field_spans(body, self.dialect.delimiter)
        pieces, at = [], 0
        for j in sorted(new):
            start, stop = spans[j]
            pieces += [body[at:start], self._field(new[j], body[start:stop].startswith(QUOTE))]
            at = stop
        pieces.append(body[at:])
        pieces += [self.dialect.delimiter + self._field(value, False) for value in added]
        return "".join(pieces) + record[len(body) :]

    def _field(self, value: str, quoted: bool) -> str:
        if quoted or any(c in value for c in (self.dialect.delimiter, QUOTE, "\n", "\r")):
            return QUOTE + value.replace(QUOTE, QUOTE * 2) + QUOTE
        return value

    def _parquet(
        self, cells: Mapping[tuple[int, str], str], dropped: Collection[int], extra: Mapping[str, Sequence[str]]
    ) -> bytes:
        data = self.path.read_bytes()
        table = _parquet(self.path, data)
        per_column: dict[str, dict[int, str]] = {}
        for (row, column), new in cells.items():
            per_column.setdefault(column, {})[row] = new
        for column, changes in per_column.items():
            j = table.schema.get_field_index(column)
            table = table.set_column(j, table.schema.field(j), self._replaced(table.column(j), column, changes))
        for name, values in extra.items():
            table = table.append_column(name, pa.array(values, pa.string()))
        if dropped:
            keep = np.ones(table.num_rows, bool)
            keep[list(dropped)] = False
            table = table.filter(pa.array(keep))
        buffer = io.BytesIO()
        meta = pq.ParquetFile(io.BytesIO(data)).metadata
        compression = meta.row_group(0).column(0).compression if meta.num_row_groups else "SNAPPY"
        pq.write_table(table, buffer, compression="NONE" if compression == "UNCOMPRESSED" else compression)
        return buffer.getvalue()

    def _replaced(self, column: Any, name: str, changes: Mapping[int, str]) -> Any:
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        rows = sorted(changes)
        texts = [None if changes[r] == "" and not _is_string(kind) else changes[r] for r in rows]
        mask = np.zeros(len(column), bool)
        mask[rows] = True
        try:
            new = pa.array(texts, pa.string()).cast(kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            shown = ", ".join(repr(t) for t in texts[:3])
            raise InputError(f"Column '{name}' of {self.path.name} holds {kind} and can't take {shown}.") from error
        plain = column.cast(kind).combine_chunks()
        done = pc.replace_with_mask(plain, pa.array(mask), new)
        return done.dictionary_encode().cast(column.type) if pa.types.is_dictionary(column.type) else done


def field_spans(record: str, delimiter: str) -> list[tuple[int, int]]:
    """Start and stop of each field of one record (without its newline), quotes included."""
    spans, start, i, n = [], 0, 0, len(record)
    while True:
        if record.startswith(QUOTE, start) and i == start:
            i = _past_quotes(record, start)
        stop = record.find(delimiter, i)
        spans.append((start, n if stop < 0 else stop))
        if stop < 0:
            return spans
        start = i = stop + 1


def _past_quotes(record: str, start: int) -> int:
    at = start + 1
    while True:
        close = record.find(QUOTE, at)
        if close < 0:
            return len(record)
        if not record.startswith(QUOTE, close + 1):
            return close + 1
        at = close + 2


def _is_string(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _bytes(path: Path, max_bytes: int) -> bytes:
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise InputError(
                f"{path.name} has {size:,} bytes, more than the limit of {max_bytes:,}; give a smaller part of it."
            )
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"There is no file {path}; check the path.") from None
    except OSError as error:
        raise InputError(f"{path} can't be read ({error.strerror}); give a table file that you may read.") from error
    if not data.strip():
        raise InputError(f"{path.name} is empty; give a table with a header line and rows.")
    return data


def _refuse_foreign(path: Path, data: bytes) -> None:
    for magic, what in FOREIGN:
        if data.startswith(magic):
            raise InputError(f"{path.name} is {what}, not a text table; save it as CSV or Parquet first.")


def _decode(path: Path, data: bytes) -> tuple[str, bytes, str]:
    for bom, encoding in BOMS:
        if data.startswith(bom):
            return encoding, bom, _strict(path, data[len(bom) :], encoding)
    if b"\0" in data:
        return _decode_with_nul(path, data)
    for encoding in ("utf-8", "cp1252", "latin-1"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if text.encode(encoding) == data:
            return encoding, b"", text
    raise InputError(f"{path.name} is in an unknown encoding; save it as UTF-8.")


def _decode_with_nul(path: Path, data: bytes) -> tuple[str, bytes, str]:
    half = len(data[:2000]) // 2
    for encoding, zeros in (("utf-16-le", data[1:2000:2]), ("utf-16-be", data[0:2000:2])):
        if zeros.count(0) > 0.7 * half:
            return encoding, b"", _strict(path, data, encoding)
    line = data[: data.index(b"\0")].count(b"\n") + 1
    raise InputError(f"{path.name} holds a NUL byte in line {line}, so it is binary or damaged; save it again as CSV.")


def _strict(path: Path, data: bytes, encoding: str) -> str:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(f"{path.name} begins as {encoding} but breaks it in line {line}; save it as UTF-8.") from error
    if "\0" in text:
        raise InputError(f"{path.name} holds a NUL character, so it is binary or damaged; save it again as CSV.")
    return text


def _sniff(text: str) -> str:
    sample = text[:SNIFFED_CHARACTERS]
    cut = len(text) > len(sample)
    best, score = ",", (0.0, 0)
    for delimiter in DELIMITERS:
        rows: list[list[str]] = []
        try:
            for row in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter):
                rows.append(row)
                if len(rows) > SNIFFED_RECORDS:
                    break
        except csv.Error:
            continue
        counts = [len(r) for r in (rows[:-1] if cut and len(rows) > 1 else rows) if r]
        if counts and counts[0] > 1:
            score_here = (sum(c == counts[0] for c in counts) / len(counts), counts[0])
            if score_here > score:
                best, score = delimiter, score_here
    return best


def _lines(text: str, starts: list[int]) -> Iterator[str]:
    at = 0
    for line in io.StringIO(text, newline=""):
        starts.append(at)
        at += len(line)
        yield line
    starts.append(at)


def _parse(path: Path, text: str, delimiter: str) -> tuple[list[list[str]], np.ndarray]:
    starts: list[int] = []
    reader = csv.reader(_lines(text, starts), delimiter=delimiter)
    rows: list[list[str]] = []
    lines: list[tuple[int, int]] = []
    before = 0
    try:
        for row in reader:
            if len(row) > 1 or (row and row[0].strip()):
                rows.append(row)
                lines.append((before, reader.line_num))
            before = reader.line_num
    except csv.Error as error:
        raise InputError(
            f"{path.name} can't be read from line {before + 1} on ({error}); is a quote left open there?"
        ) from error
    return rows, np.asarray(starts, np.int64)[np.asarray(lines, np.int64).reshape(-1, 2)]


def _frame(path: Path, rows: list[list[str]], text: str, records: np.ndarray, learnable: bool) -> pd.DataFrame:
    if not rows or (learnable and len(rows[0]) < 2):
        raise InputError(f"{path.name} has only one column; a table needs a target and at least one feature.")
    width = len(rows[0])
    for row, (start, _) in zip(rows, records, strict=True):
        if len(row) != width:
            line = text.count("\n", 0, int(start)) + 1
            raise InputError(
                f"Line {line} of {path.name} has {len(row)} fields but the header has {width}; mend that line."
            )
    names = [name.strip() or f"column {j + 1}" for j, name in enumerate(rows[0])]
    body = rows[1:]
    if learnable and body and all(_is_number(name) for name in rows[0]):
        raise InputError(f"{path.name} has no header: its first line holds only numbers; add a line with column names.")
    columns = list(zip(*body, strict=True)) or [()] * width
    _refuse_duplicates(path, names)
    return pd.DataFrame({name: pd.Series(cells, dtype="str") for name, cells in zip(names, columns, strict=True)})


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _refuse_duplicates(path: Path, names: Sequence[str]) -> None:
    twice = next((a for a, b in pairwise(sorted(names)) if a == b), None)
    if twice is not None:
        raise InputError(f"{path.name} has more than one column called '{twice}'; rename one of them.")


def _parquet(path: Path, data: bytes) -> Any:
    try:
        return pq.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path.name} looks like Parquet but can't be read; write it again.") from error


def _checked(path: Path, frame: pd.DataFrame, learnable: bool) -> pd.DataFrame:
    _refuse_duplicates(path, list(frame.columns))
    if learnable and frame.shape[1] < 2:
        raise InputError(f"{path.name} has only one column; a table needs a target and at least one feature.")
    if not len(frame):
        raise InputError(f"{path.name} has a header but no rows; give a table with rows.")
    return frame
