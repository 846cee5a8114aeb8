"""The real tables that benchmarks run on, shipped in assets/; none of them was seen by the shipped classifier."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from demix_core.errors import InputError
from demix_core.modalities.tabular import infer_schema, plain_frame
from demix_core.settings import LoadSettings
from demix_core.types import Schema

ASSETS = Path(__file__).resolve().parents[2] / "assets"


@dataclass(frozen=True)
class Benchmark:
    """One table: its file in assets/benchmark, the target, columns that would give it away."""

    file: str
    target: str
    leave_out: tuple[str, ...] = ()


BENCHMARKS = {
    "adult": Benchmark("adult.parquet", "income"),
    "bank": Benchmark("bank.parquet", "y"),
    "credit": Benchmark("credit.parquet", "default_payment_next_month", ("ID",)),
    "covertype": Benchmark("covertype.parquet", "Cover_Type", ("Id",)),
    "bike": Benchmark("bike.parquet", "cnt", ("instant", "dteday", "casual", "registered")),
    "air": Benchmark("air.parquet", "C6H6(GT)"),
}


def load(name: str) -> tuple[pd.DataFrame, Schema]:
    """(table, schema). InputError: no benchmark table of that name."""
    if name not in BENCHMARKS:
        raise InputError(f"There is no benchmark table '{name}'; choose one of {', '.join(BENCHMARKS)}.")
    chosen = BENCHMARKS[name]
    frame = pd.read_parquet(ASSETS / "benchmark" / chosen.file).drop(columns=list(chosen.leave_out))
    schema, _ = infer_schema(frame, LoadSettings(target=chosen.target))
    return plain_frame(frame, schema), schema
