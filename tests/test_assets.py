"""What is shipped is whole, small, explained, and made by this very code."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pandas as pd

from demix_core.benchmark._tables import BENCHMARKS, load
from demix_core.classifiers.detect import SHIPPED
from demix_core.classifiers.network import load_checkpoint
from demix_core.pipeline import diagnose
from demix_core.settings import Settings
from demix_core.store import JobState, Run
from demix_core.summary import read_truth, score

ASSETS = SHIPPED.parent
EXAMPLE = ASSETS / "example"
MANIFEST = (ASSETS / "MANIFEST.md").read_text(encoding="utf-8")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_checkpoint_has_a_card_that_speaks_of_it() -> None:
    for path in (SHIPPED, *(ASSETS / "ablations").glob("*.safetensors")):
        load_checkpoint(path)
        card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        assert card["sha256"] == digest(path)
        assert card["command"].startswith("python -m demix_core train-dec")
        assert "no real table" in card["data"]["source"] or "no benchmark table" in card["data"]["source"]
        if "refines" in card["data"]:
            assert card["data"]["refines"]["sha256"] and "--refine" in card["command"]
    assert SHIPPED.stat().st_size < 10e6


def test_manifest_names_every_file_with_its_hash() -> None:
    for path in [*sorted((ASSETS / "benchmark").glob("*.parquet")), EXAMPLE / "bank.csv"]:
        assert f"`{path.relative_to(ASSETS)}`" in MANIFEST, path.name
        assert digest(path)[:16] in MANIFEST, f"{path.name}: {digest(path)[:16]}"


def test_benchmark_tables_can_be_read() -> None:
    for name, described in BENCHMARKS.items():
        frame, schema = load(name)
        assert schema.target == described.target and len(frame) > 1000
        assert not set(described.leave_out) & set(frame.columns)


def test_the_example_is_done_fresh_and_small(tmp_path: Path) -> None:
    shipped = Run.open(EXAMPLE / "run")
    status = shipped.status()
    assert status is not None and status.state is JobState.DONE
    assert sum(p.stat().st_size for p in (EXAMPLE / "run").rglob("*")) < 17e6
    shutil.copytree(EXAMPLE / "run", tmp_path / "run")
    before = shipped.manifest()
    again = diagnose(EXAMPLE / "bank.csv", tmp_path / "run", Settings.from_dict(before.settings))
    assert again.manifest().stages == before.stages, "a stage was redone: 'make example' makes it again"


def test_the_example_finds_much_of_what_was_planted() -> None:
    scores = score(Run.open(EXAMPLE / "run").diagnosis(), read_truth(EXAMPLE / "bank.truth.csv"))
    assert all(s.f1 > 2 * s.wrong / s.rows for s in scores), "each type far better than chance"
    assert len(pd.read_csv(EXAMPLE / "bank.csv")) > 3000
