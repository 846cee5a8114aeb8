"""Frozen records of arrays, numbers and texts as one .npz file without pickle, so that what was learned can be kept.

The record's shape is JSON in which every array is named; only classes that the reader names are made again.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from demix_core.errors import RunError

R = TypeVar("R")
SHAPE, CLASS, ARRAY = "shape", "@", "#"


def save_record(record: Any, path: Path) -> None:
    """Writes a dataclass of arrays, numbers, texts, None, tuples and further dataclasses. path ends in .npz."""
    arrays: dict[str, np.ndarray] = {}
    shape = json.dumps(_taken_apart(record, arrays), ensure_ascii=False)
    with Path(path).open("wb") as file:
        np.savez(file, **{SHAPE: np.frombuffer(shape.encode(), np.uint8)}, **arrays)  # type: ignore[arg-type]


def load_record(path: Path, kind: type[R], parts: Sequence[type] = ()) -> R:
    """The inverse of save_record. parts: the classes that may stand inside. RunError: missing or damaged."""
    known = {one.__name__: one for one in (kind, *parts)}
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            made = _put_together(json.loads(arrays[SHAPE].tobytes().decode()), arrays, known)
    except (OSError, KeyError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise RunError(f"'{Path(path).name}' is missing or damaged; diagnose the table again into a new folder.") from (
            error
        )
    if not isinstance(made, kind):
        raise RunError(f"'{Path(path).name}' holds something else; diagnose the table again into a new folder.")
    return made


def _taken_apart(thing: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(thing, np.ndarray):
        name = f"a{len(arrays)}"
        arrays[name] = thing.astype(str) if thing.dtype == object else thing
        return {ARRAY: name}
    if is_dataclass(thing) and not isinstance(thing, type):
        inner = {f.name: _taken_apart(getattr(thing, f.name), arrays) for f in fields(thing)}
        return {CLASS: type(thing).__name__, **inner}
    if isinstance(thing, tuple):
        return [_taken_apart(one, arrays) for one in thing]
    return thing


def _put_together(node: Any, arrays: Any, known: dict[str, type]) -> Any:
    if isinstance(node, list):
        return tuple(_put_together(one, arrays, known) for one in node)
    if not isinstance(node, dict):
        return node
    if ARRAY in node:
        return arrays[node[ARRAY]]
    return known[node[CLASS]](**{k: _put_together(v, arrays, known) for k, v in node.items() if k != CLASS})
