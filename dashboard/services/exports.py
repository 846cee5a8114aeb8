"""What the decisions change, and the files that are handed on."""

from __future__ import annotations

import shlex
from pathlib import Path

import pandas as pd

from dashboard.services.results import log
from dashboard.services.runs import run_path
from demix_core import carrying
from demix_core.repairs import apply
from demix_core.store import Run, storing


def changes(name: str) -> pd.DataFrame:
    """What the decisions would change, one line per cell, row or weight."""
    run = Run.open(run_path(name))
    events_ = log(name).events()
    return apply.plan(run.patches(), log(name).replay(), events_).rows


def own_value(name: str, patch_id: int, typed: str) -> tuple[str, str]:
    """(an own value for this suggestion as the run holds it, why it can't stand; '' where it can)."""
    run = Run.open(run_path(name))
    patch = run.patches().set_index("patch_id").loc[patch_id]
    return apply.own_value(run.schema(), patch["column"], typed)


def export_names(name: str) -> dict[str, str]:
    """File names of the three downloads."""
    given = Path(Run(run_path(name)).manifest().inputs["train"]["name"])
    stem = f"{given.stem}-cleaned"
    return {
        "cleaned": f"{stem}{given.suffix}",
        "changes": f"{stem}.changes.csv",
        "decisions": f"{stem}.decisions.jsonl",
    }


def export_file(name: str, kind: str, with_weights: bool) -> bytes:
    """Writes the three files into the run's export folder and returns one of them."""
    from demix_core.exporting import export

    names = export_names(name)
    folder = run_path(name) / "export"
    with storing(folder):
        folder.mkdir(exist_ok=True)
    export(Run.open(run_path(name)), folder / names["cleaned"], with_weights=with_weights)
    return (folder / names[kind]).read_bytes()


def export_command(name: str, with_weights: bool) -> str:
    """The commands that write the same cleaned file: from this run, and from the downloaded decisions."""
    names = export_names(name)
    words = ["python", "-m", "demix_core", "apply", str(run_path(name)), "-o", names["cleaned"]]
    words += ["--with-weights"] if with_weights else []
    replayed = [*words, "--decisions", names["decisions"]]
    report = ["python", "-m", "demix_core", "report", str(run_path(name)), "-o", report_name(name)]
    return (
        f"{shlex.join(words)}\n# or, from the downloaded decisions:\n{shlex.join(replayed)}\n"
        f"# the report:\n{shlex.join(report)}"
    )


def report_name(name: str) -> str:
    """File name of the report."""
    return f"{Path(Run(run_path(name)).manifest().inputs['train']['name']).stem}-report.html"


def report_file(name: str) -> bytes:
    """The report as it is now, one HTML page."""
    from demix_core.handout.page import report_html

    return report_html(Run.open(run_path(name))).encode()


def decisions_file(name: str) -> bytes:
    """The whole log as decisions.jsonl, which `apply --decisions` replays."""
    run = Run.open(run_path(name))
    path = run.path / "export" / export_names(name)["decisions"]
    decided = log(name)
    said = carrying.said_of(run.suggested(), decided.events())
    decided.export_jsonl(path, run.manifest().inputs["train"]["sha256"], said)
    return path.read_bytes()
