"""What a review keeps in the run folder beside its decisions: named views of the queue, selections for a link.

A view is a file of its own, so that two people who save at once lose nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from demix_core.errors import RunError
from demix_core.store import Run, storing, write_array, write_json

View = dict[str, list[str]]
"""What the queue shows, as the address says it: {parameter: values}."""

LONGEST_NAME = 60
KEPT_SELECTIONS = 200
KEY_LENGTH = 10


def saved_views(run: Run) -> dict[str, View]:
    """All views of a run by name, in alphabetical order; a damaged file is left out."""
    found = {}
    for path in (run / "views").glob("*.json"):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            found[str(content["name"])] = {str(k): [str(v) for v in values] for k, values in content["view"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # a view is a convenience: a broken one must not close the review
    return dict(sorted(found.items()))


def save_view(run: Run, name: str, view: Mapping[str, Sequence[str]]) -> str:
    """Keeps a view under a name, in place of one of that name; the name without outer spaces.

    RunError: no name, or one longer than LONGEST_NAME characters. StorageError: it can't be written.
    """
    name = name.strip()
    if not 0 < len(name) <= LONGEST_NAME:
        raise RunError(f"A view needs a name of 1 to {LONGEST_NAME} characters; shorten it and save again.")
    write_json(_view_path(run, name), {"name": name, "view": {k: list(v) for k, v in view.items()}}, durable=True)
    return name


def delete_view(run: Run, name: str) -> None:
    """Forgets a view; nothing happens when there is none of that name."""
    with storing(_view_path(run, name)):
        _view_path(run, name).unlink(missing_ok=True)


def keep_selection(run: Run, row_ids: np.ndarray) -> str:
    """Keeps a set of rows so that a link can name it; its key, the same for the same rows.

    row_ids: int [n], not negative. Stored as a bitset; the newest KEPT_SELECTIONS are kept.
    """
    bits = np.packbits(np.bincount(row_ids.astype(np.int64)) > 0, bitorder="little")
    key = hashlib.sha256(bits.tobytes()).hexdigest()[:KEY_LENGTH]
    path = _selection_path(run, key)
    if not path.is_file():
        write_array(path, bits)
        kept = sorted(path.parent.glob("*.npy"), key=lambda p: -p.stat().st_mtime_ns)
        for old in kept[KEPT_SELECTIONS:]:
            old.unlink(missing_ok=True)
    return key


def selection(run: Run, key: str) -> np.ndarray | None:
    """The rows kept under a key, int64 ascending; None when there is no such selection (any more)."""
    if len(key) != KEY_LENGTH or not set(key) <= set("0123456789abcdef") or not _selection_path(run, key).is_file():
        return None
    bits = run.array(_selection_path(run, key).relative_to(run.path).as_posix())
    return np.flatnonzero(np.unpackbits(bits, bitorder="little"))


def _view_path(run: Run, name: str) -> Path:
    return run / "views" / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"


def _selection_path(run: Run, key: str) -> Path:
    return run / "selections" / f"{key}.npy"
