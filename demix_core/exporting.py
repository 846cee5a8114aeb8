"""From a run and its decisions to the cleaned file, the list of changes and the replayable decisions beside it."""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from demix_core.carrying import into, said_of
from demix_core.decisions import DecisionLog, with_own
from demix_core.errors import InputError
from demix_core.repairs.apply import as_in_file, plan, write, write_changes_csv
from demix_core.store import Run
from demix_core.tablefile import TableFile
from demix_core.trust.limits import passing, read_limits
from demix_core.types import ErrorType

REVIEWER = "command line"


@dataclass(frozen=True)
class Exported:
    """What was written.

    cells, dropped, weighted: how many; with_weights: whether the table has them; files: table, changes, decisions.
    """

    cells: int
    dropped: int
    weighted: int
    with_weights: bool
    files: tuple[Path, Path, Path]


def export(
    run: Run,
    out: Path,
    accept: str | None = None,
    min_confidence: float | None = None,
    decisions: Path | None = None,
    with_weights: bool = False,
) -> Exported:
    """Write OUT, and <stem>.changes.csv and <stem>.decisions.jsonl beside it.

    accept: 'all' or words like 'label,feature': the recommended patches of these types, or, where min_confidence is
    given, all of at least that; decisions: a decisions.jsonl to replay; neither: the run's own log, which is only
    read. Nothing decided: OUT equals the input.
    InputError: an unknown word, a share outside [0, 1], OUT in place of the run's input, or decisions of another input.
    """
    source = run.input_path()
    if out.resolve() == source.resolve():
        raise InputError(f"'{out}' is the run's own copy of the input; write the cleaned table somewhere else.")
    patches = run.suggested()
    digest = run.manifest().inputs["train"]["sha256"]
    chosen = None if accept is None else accepted(run, accept, min_confidence)
    if chosen is None and decisions is None:
        with closing(run.decisions()) as log:
            return _write(run, patches, log, source, out, digest, with_weights)
    with tempfile.TemporaryDirectory() as scratch, closing(DecisionLog(Path(scratch) / "decisions.sqlite")) as log:
        if decisions is not None:
            log.import_jsonl(decisions, digest, into(run))
        elif chosen:
            log.accept(chosen, REVIEWER, query=_query(accept, min_confidence))
        return _write(run, patches, log, source, out, digest, with_weights)


def _query(accept: str | None, min_confidence: float | None) -> str:
    return f"--accept {accept}" + ("" if min_confidence is None else f" --min-confidence {min_confidence:g}")


def accepted(run: Run, accept: str, min_confidence: float | None) -> list[int]:
    """Ids of the patches that the words of --accept mean: recommended ones, or those at least so confident.

    Never those of rows below a threshold that a person keeps (thresholds.json), as in the review.
    """
    if min_confidence is not None and not 0 <= min_confidence <= 1:
        raise InputError(f"--min-confidence must lie between 0 and 1, not {min_confidence:g}.")
    words = {kind.short: kind.value for kind in ErrorType}
    given = [word.strip() for word in accept.split(",")]
    unknown = [word for word in given if word != "all" and word not in words]
    if unknown:
        raise InputError(f"--accept does not know '{unknown[0]}'; write all, or some of {', '.join(words)}.")
    patches = run.suggested()
    types = set(words.values()) if "all" in given else {words[word] for word in given}
    sure = patches["recommended"] if min_confidence is None else patches["confidence"] >= min_confidence
    wanted = patches["error_type"].isin(types) & sure & passing(run.diagnosis(), patches, read_limits(run))
    return [int(i) for i in patches.loc[wanted, "patch_id"]]


def _write(
    run: Run, patches: pd.DataFrame, log: DecisionLog, source: Path, out: Path, digest: str, with_weights: bool
) -> Exported:
    table = TableFile.read(source)
    events = log.events()
    changes = as_in_file(plan(with_own(patches, events), log.replay(), events), table, run.schema())
    changed, decided = (out.with_name(f"{out.stem}.{what}") for what in ("changes.csv", "decisions.jsonl"))
    write(table, changes, out, with_weights)
    write_changes_csv(changes, changed)
    log.export_jsonl(decided, digest, said_of(patches, events))
    files = (out, changed, decided)
    return Exported(len(changes.cells), len(changes.dropped), len(changes.weights), with_weights, files)
