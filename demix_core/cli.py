"""The same engine without a screen. Results on stdout, progress and errors on stderr.

Exit codes: 0 done, 2 bad usage or input (one sentence says what, where and how to mend it), 130 cancelled.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from demix_core import reports
from demix_core.errors import Cancelled, DemixError, InputError, RunError
from demix_core.settings import DiagnoseSettings, FitSettings, LoadSettings, MapSettings, Settings
from demix_core.store import Run, storing, write_file
from demix_core.types import ErrorType, Progress

app = typer.Typer(
    name="python -m demix_core",
    help="DeMix finds which rows of a training table are wrong, says what is wrong, and repairs them with you.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

RUNS = Path(".demix") / "runs"
SEED_HELP = "The number that makes it repeatable."


def _help(settings: type, name: str) -> str:
    """The help text of a setting, as the dashboard shows it, with its choices."""
    about = next(f for f in fields(settings) if f.name == name).metadata
    return str(about["help"]) + (f" ({', '.join(about['choices'])})" if about["choices"] else "")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # being ended politely is being cancelled
    try:
        app(arguments)
    except DemixError as error:
        reports.say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        reports.say("Cancelled.")
        return Cancelled.exit_code
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 2
    return 0


@app.command()
def diagnose(
    train: Annotated[Path, typer.Argument(help="The table: CSV, TSV or parquet.")],
    target: Annotated[str | None, typer.Option(help=_help(LoadSettings, "target"))] = None,
    validation: Annotated[
        Path | None, typer.Option(help="Rows to measure influence on; else some are held out.")
    ] = None,
    validation_share: Annotated[float | None, typer.Option(help=_help(LoadSettings, "validation_share"))] = None,
    test: Annotated[Path | None, typer.Option(help="A clean test file, kept with the run.")] = None,
    task: Annotated[str | None, typer.Option(help=_help(LoadSettings, "task"))] = None,
    kind: Annotated[list[str] | None, typer.Option(help="A column's kind set by hand: COL=KIND. Repeatable.")] = None,
    model: Annotated[str | None, typer.Option(help=_help(FitSettings, "model"))] = None,
    weights: Annotated[Path | None, typer.Option(help="Weights you trained (safetensors), instead of fitting.")] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(help="What your own model, of any kind, predicts for the rows: a column per class."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help=_help(FitSettings, "epochs"))] = None,
    classifier: Annotated[str | None, typer.Option(help=_help(DiagnoseSettings, "classifier"))] = None,
    calibrate: Annotated[
        bool | None, typer.Option("--calibrate/--no-calibrate", help=_help(DiagnoseSettings, "calibrate"))
    ] = None,
    expected_error_share: Annotated[
        float | None, typer.Option(help=_help(DiagnoseSettings, "expected_error_share"))
    ] = None,
    threshold: Annotated[
        list[str] | None, typer.Option(help="A type's threshold set by hand: TYPE=VALUE, as in label=0.2. Repeatable.")
    ] = None,
    map_method: Annotated[str | None, typer.Option("--map", help=_help(MapSettings, "method"))] = None,
    seed: Annotated[int | None, typer.Option(help=SEED_HELP)] = None,
    settings_file: Annotated[
        Path | None, typer.Option("--settings", help="All choices from a JSON file (as in manifest.json); flags win.")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="The truth that 'inject' wrote: precision, recall, F1 per type.")
    ] = None,
    update: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="TRAIN holds new or edited rows (column row_id): diagnose them by RUN, no fitting."
        ),
    ] = None,
    taught: Annotated[
        bool, typer.Option("--taught", help="With --update: hear what was decided one by one on RUN as well.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="The run folder. Default: .demix/runs/<name of the table>.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The summary as JSON on stdout.")] = False,
) -> None:
    """Find the wrong rows of TRAIN and write a run folder; the same command again goes on where it was stopped."""
    chosen = _settings(
        settings_file,
        {
            "load": {"target": target, "validation_share": validation_share, "task": task, "kinds": _kinds(kind)},
            "fit": {"model": model, "epochs": epochs},
            "diagnose": {
                "classifier": classifier,
                "calibrate": calibrate,
                "expected_error_share": expected_error_share,
                "thresholds": _thresholds(threshold),
            },
            "map": {"method": map_method},
        },
        seed,
    )
    from demix_core.pipeline import diagnose as run_pipeline
    from demix_core.summary import read_truth, score

    if taught and update is None:
        raise InputError("--taught says that the decisions on a run are heard; name the run with --update.")
    known = read_truth(truth) if truth else None
    with reports.progress_bar() as progress:
        if update is None:
            place = out or RUNS / train.stem
            run = run_pipeline(train, place, chosen, validation, test, weights, progress, predictions=predictions)
        else:
            if chosen != Settings() or validation or test or weights or predictions:
                raise InputError("With --update everything is as in that run; leave the other choices out.")
            run = _update(Run.open(update), train, out, progress, taught)
    scores = [] if known is None else score(run.diagnosis(), known)
    reports.diagnosis(run, scores, as_json)


def _update(run: Run, rows: Path, out: Path | None, progress: Progress, taught: bool) -> Run:
    """Beside the run unless told otherwise."""
    from demix_core.update import update

    return update(run, rows, out or run.path.with_name(f"{run.path.name}-{rows.stem}"), progress, taught)


def _kinds(given: list[str] | None) -> dict[str, str] | None:
    """['age=numeric'] -> {'age': 'numeric'}; names may hold '=' themselves."""
    if not given:
        return None
    pairs = [text.rpartition("=") for text in given]
    wrong = next((text for text, (name, _, _) in zip(given, pairs, strict=True) if not name), None)
    if wrong is not None:
        raise InputError(f"'--kind {wrong}' is not understood; write COLUMN=KIND, as in '--kind age=numeric'.")
    return {name: kind for name, _, kind in pairs}


def _thresholds(given: list[str] | None) -> dict[str, float] | None:
    """['label=0.2'] -> {'label_error': 0.2}."""
    if not given:
        return None
    found = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            found[_type(name).value] = float(value)
        except ValueError as error:
            raise InputError(f"'--threshold {text}' is not understood; write TYPE=VALUE, as in label=0.2.") from error
    return found


def _type(word: str) -> ErrorType:
    """'label' or 'label_error'."""
    found = next((kind for kind in ErrorType if word in (kind.short, kind.value)), None)
    if found is None:
        raise InputError(f"There is no error type '{word}'; choose one of {', '.join(k.short for k in ErrorType)}.")
    return found


def _settings(path: Path | None, flags: dict[str, dict[str, Any]], seed: int | None) -> Settings:
    """The defaults, then the file, then the flags that were given."""
    settings = Settings()
    if path is not None:
        try:
            settings = Settings.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise InputError(f"The settings file '{path}' can't be read ({error.strerror}); check the path.") from error
        except (ValueError, TypeError, AttributeError) as error:
            raise InputError(
                f"'{path}' is not a settings file ({error}); see 'settings' in a manifest.json."
            ) from error
    for part, values in flags.items():
        given = {name: value for name, value in values.items() if value is not None}
        settings = replace(settings, **{part: replace(getattr(settings, part), **given)})
    return settings if seed is None else replace(settings, seed=seed)


@app.command()
def inject(
    table: Annotated[Path, typer.Argument(metavar="IN", help="A clean table.")],
    target: Annotated[str, typer.Option(help=_help(LoadSettings, "target"))],
    out: Annotated[Path, typer.Option("--out", "-o", help="The table with errors; the truth goes to OUT.truth.csv.")],
    protocol: Annotated[str, typer.Option(help="paper: the published one; broad: what real pipelines do.")] = "broad",
    alpha: Annotated[float | None, typer.Option(help="Share of clean rows (0 to 1); else the protocol's own.")] = None,
    task: Annotated[str, typer.Option(help=_help(LoadSettings, "task"))] = "auto",
    split: Annotated[
        bool,
        typer.Option("--split", help="First put 30 % aside (OUT.test, clean), then 20 % of the rest (OUT.validation)."),
    ] = False,
    seed: Annotated[int, typer.Option(help=SEED_HELP)] = 0,
) -> None:
    """Plant known errors into a copy of a table."""
    from demix_core.planting import plant

    reports.planted(plant(table, out, LoadSettings(target=target, task=task), protocol, alpha, seed, split))


@app.command()
def apply(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The cleaned table; changes and decisions go beside it.")],
    accept: Annotated[
        str | None, typer.Option(help="all, or some of label,feature,spurious: accept the recommended patches.")
    ] = None,
    min_confidence: Annotated[
        float | None, typer.Option(help="With --accept: all patches at least this sure, not only recommended ones.")
    ] = None,
    decisions: Annotated[Path | None, typer.Option(help="Replay the decisions of this decisions.jsonl.")] = None,
    with_weights: Annotated[
        bool, typer.Option("--with-weights", help="Add a column with the accepted weights.")
    ] = False,
) -> None:
    """Write the cleaned table. Without --accept or --decisions: what was decided in the dashboard."""
    from demix_core.exporting import export

    if accept is not None and decisions is not None:
        raise InputError("Give either --accept or --decisions, not both.")
    made = export(Run.open(folder), out, accept, min_confidence, decisions, with_weights)
    reports.exported(made)


@app.command()
def blame(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run.")],
    groups: Annotated[str, typer.Option(help="Training rows by: type, label, clusters, or a column.")] = "type",
    slices: Annotated[
        str, typer.Option(help="Validation rows by: worst (highest loss), label, correctness, or a column.")
    ] = "worst",
    slice_: Annotated[
        str | None, typer.Option("--slice", help="Whose rows to blame: its name or number. Default: highest loss.")
    ] = None,
    flagged: Annotated[bool, typer.Option("--flagged", help="Blame only rows that are flagged.")] = False,
    rows: Annotated[
        str | None, typer.Option(help="The other way round: what these training rows do (as in 4,10-20).")
    ] = None,
    top: Annotated[int, typer.Option(help="Rows listed.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON on stdout.")] = False,
) -> None:
    """Say which training rows harm a slice of the validation rows, and which validation rows a training row touches."""
    from demix_core.blame.measure import measure
    from demix_core.blame.view import Blame, row_numbers
    from demix_core.explain import Explainer

    run = Run.open(folder)
    with reports.progress_bar() as progress:
        found = Blame(Explainer(run), measure(run, progress))
    view = found.view(groups, slices)
    chosen = found.pick(view.slices, slice_)
    touched = None if rows is None else found.touched_rows(row_numbers(rows), top)
    reports.blame(found, view, chosen, found.to_blame(chosen, top, flagged=flagged), touched, as_json)


@app.command()
def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run.")],
    accept: Annotated[
        str | None, typer.Option(help="all, or some of label,feature,spurious. Default: the run's own decisions.")
    ] = None,
    min_confidence: Annotated[
        float | None, typer.Option(help="With --accept: all patches at least this sure, not only recommended ones.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each version (2 to 20).")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON on stdout.")] = False,
) -> None:
    """Train the model before and after the decisions, and say what they are worth."""
    from demix_core.check import evaluate as compare

    run = Run.open(folder)
    with reports.progress_bar() as progress:
        found = compare(run, seeds, accept, min_confidence, progress)
    reports.evaluation(found, as_json)


@app.command()
def agreement(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run.")],
    draw: Annotated[
        int | None, typer.Option(help="Draw so many decided suggestions for a blind second review by --reviewer.")
    ] = None,
    reviewer: Annotated[str | None, typer.Option(help="Who judges the drawn suggestions again.")] = None,
    seed: Annotated[int, typer.Option(help=SEED_HELP)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON on stdout.")] = False,
) -> None:
    """Say how far two people agree on the same suggestions, and where they differ."""
    from demix_core import agreement as two

    run = Run.open(folder)
    if (draw is None) != (reviewer is None):
        raise InputError("--draw and --reviewer belong together: how many suggestions, and who judges them again.")
    if draw is not None and reviewer is not None:
        made = two.draw(run, reviewer, draw, seed, two.COMMAND_LINE)
        reports.say(f"Drawn for {made.reviewer}: {len(made.patch_ids):,} suggestions, on the dashboard's Team page.")
    reports.agreement(two.report(run), as_json)


@app.command()
def again(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run with accepted suggestions.")],
    out: Annotated[
        Path | None, typer.Option(help="The next round's folder, beside RUN. Default: RUN-round-2, and so on.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The summary as JSON on stdout.")] = False,
) -> None:
    """Diagnose the table that RUN's decisions make of it, with the same settings; 'compare' shows what changed."""
    from demix_core.pipeline import diagnose as run_pipeline
    from demix_core.rounds import next_name, next_round

    before = Run.open(folder)
    place = out or before.path.with_name(next_name(before.path.resolve().name))
    start = next_round(before, place)
    if start.predictions_left_out:
        reports.say("The predictions you gave were of the table as it was; this round fits a network to the labels.")
    with reports.progress_bar() as progress:
        run = run_pipeline(start.train, place, start.settings, start.validation, start.test, start.weights, progress)
    reports.diagnosis(run, [], as_json)


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(metavar="RUN_A", help="A finished run.")],
    after: Annotated[Path, typer.Argument(metavar="RUN_B", help="A run of the same table, or of the cleaned one.")],
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON on stdout.")] = False,
) -> None:
    """Say which rows are flagged no longer, still and newly from one run to the next."""
    from demix_core.rounds import compare_runs

    reports.rounds(compare_runs(Run.open(before), Run.open(after)), as_json)


@app.command()
def drift(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run.")],
    batch: Annotated[
        Path | None, typer.Argument(metavar="[BATCH]", help="New rows with labels. Default: the validation rows.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON on stdout.")] = False,
) -> None:
    """Say whether a batch acts on the model as the training rows do, and which columns and rows are different."""
    from demix_core.drift import drift as compare

    run = Run.open(folder)
    with reports.progress_bar() as progress:
        found = compare(run, batch, progress)
    reports.drift(found, as_json)


@app.command()
def explain(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run.")],
    row: Annotated[int, typer.Argument(help="The row id: 0-based position in the table.")],
    as_json: Annotated[bool, typer.Option("--json", help="Everything, the whole profile included, as JSON.")] = False,
) -> None:
    """Say why a row is flagged."""
    from demix_core.explain import Explainer

    explainer = Explainer(Run.open(folder))
    reports.explanation(explainer.row(row), explainer, as_json)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The page.")] = Path("report.html"),
) -> None:
    """Write one HTML page about the run, to send to a colleague; it works offline."""
    from demix_core.handout.page import write_report

    made = write_report(Run.open(folder), out)
    reports.written(made)


@app.command()
def correct(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run.")],
    row: Annotated[int, typer.Option(help="The training row, by its number in the file, from 0.")],
    column: Annotated[str | None, typer.Option(help="The cell's column.")] = None,
    to: Annotated[str | None, typer.Option(help="The cell's right value; '' for none.")] = None,
    drop: Annotated[bool, typer.Option("--drop", help="Leave the whole row out.")] = False,
    reviewer: Annotated[str, typer.Option(help="In whose name.")] = "command line",
    reason: Annotated[str, typer.Option(help="Why; it is kept with the decision.")] = "",
) -> None:
    """Correct a cell yourself, or leave a row out, whether or not something was suggested for it."""
    from demix_core import corrections as own

    if drop == (column is not None or to is not None) or (column is None) != (to is None):
        raise InputError("Say --column and --to for a cell, or --drop for the whole row.")
    run = Run.open(folder)
    table = own.Table(run.schema(), run.rows(), run.diagnosis(), run.patches())
    with closing(run.decisions()) as log:
        if column is not None and to is not None:
            own.correct(log, table, row, column, to, reviewer, reason)
        else:
            own.leave_out(log, table, row, reviewer, reason)
    what = f"left out row {row}" if drop else f"'{column}' of row {row} is '{to}' from now on"
    reports.say(f"Kept in the run's decisions: {what}. 'apply' writes it.")


@app.command()
def lessons(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run, some of whose rows were reviewed.")],
    accept_from: Annotated[
        float | None, typer.Option(min=0, max=1, help="Accept every open suggestion at least so likely by now.")
    ] = None,
    reject_to: Annotated[
        float | None, typer.Option(min=0, max=1, help="Reject every open suggestion at most so likely by now.")
    ] = None,
    reviewer: Annotated[str, typer.Option(help="In whose name.")] = "command line",
    as_json: Annotated[bool, typer.Option("--json", help="Every open suggestion as JSON on stdout.")] = False,
) -> None:
    """Say what your decisions so far teach of the open suggestions, and decide the sure ones if asked."""
    from demix_core import lessons as taught

    run = Run.open(folder)
    found = taught.read_lessons(run)
    left = taught.open_suggestions(run, found)
    made = taught.decide(run, left, accept_from, reject_to, reviewer)
    reports.lessons(found, left, taught.newly_likely(run.diagnosis(), found, run.patches()), made, as_json)


@app.command()
def thresholds(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run.")],
    kind: Annotated[str | None, typer.Option("--type", help="label, feature or spurious. Default: all.")] = None,
    at: Annotated[
        float | None, typer.Option(help="The threshold to look at (0 to 1). Default: the one in force.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="With --type and --at: the review hides suggestions below it from now on.")
    ] = False,
    sample: Annotated[
        int | None, typer.Option(help="With --type: draw this many rows to review, and print their row ids.")
    ] = None,
    seed: Annotated[int, typer.Option(help=SEED_HELP)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON on stdout.")] = False,
) -> None:
    """Say how many of the suggestions above a threshold are right, from the rows that were reviewed."""
    from demix_core.trust.evidence import draw_sample, look
    from demix_core.trust.limits import write_limit

    run = Run.open(folder)
    if kind is None and (keep or sample is not None):
        raise InputError("Name the error type that --keep or --sample speaks of: --type label, for instance.")
    if at is None and keep:
        raise InputError("Name the threshold to keep: --at 0.7, for instance.")
    kinds = tuple(ErrorType) if kind is None else (_type(kind),)
    if keep:
        write_limit(run, kinds[0], at)
    rows = draw_sample(run, kinds[0], sample, at, seed).rows if sample is not None else ()
    reports.thresholds(look(run, kinds, at), rows, as_json)


@app.command()
def rehearse(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run.")],
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON on stdout.")] = False,
) -> None:
    """Plant known errors into copies of the table and say how many of them the thresholds find."""
    from demix_core.rehearsal import rehearse as plant
    from demix_core.trust.limits import in_force
    from demix_core.trust.planted import assess

    run = Run.open(folder)
    with reports.progress_bar() as progress:
        found = plant(run, progress)
    diagnosis = run.diagnosis()
    reports.rehearsed([assess(found, diagnosis, kind, at) for kind, at in in_force(run).items()], as_json)


@app.command("train-dec")
def train_dec(
    out: Annotated[Path, typer.Option("--out", "-o", help="The checkpoint (safetensors); its card goes beside it.")],
    corpus: Annotated[Path, typer.Option(help="Keeps the drawn tables, for a second training.")] = Path(".demix")
    / "corpus",
    tables: Annotated[int, typer.Option(help="How many tables to draw.")] = 500,
    epochs: Annotated[int, typer.Option(help="Passes over all rows.")] = 4,
    without: Annotated[
        list[str] | None,
        typer.Option(
            help="Leave out: influence, similarity, side, cells or context; network: trees alone. Repeatable."
        ),
    ] = None,
    refine: Annotated[
        str, typer.Option(help="Go on from this checkpoint, on public tables instead of synthetic ones.")
    ] = "",
    twin_of: Annotated[
        str, typer.Option(help="Keep this checkpoint's network; grow its boosted trees on public tables.")
    ] = "",
    unseen: Annotated[str, typer.Option(help="With public tables: leave out this corruption protocol.")] = "",
    calibrate: Annotated[
        str, typer.Option(help="Keep this checkpoint; learn only how far a table's own share of errors is believed.")
    ] = "",
    workers: Annotated[int, typer.Option(help="Processes that draw tables.")] = 2,
    seed: Annotated[int, typer.Option(help=SEED_HELP)] = 1,
) -> None:
    """Train the error classifier on tables with planted errors."""
    from demix_core.classifiers.train import TrainSettings
    from demix_core.classifiers.train import train_dec as train

    chosen = TrainSettings(
        tables=tables, seed=seed, epochs=epochs, workers=workers, without=tuple(without or ()), refine=refine,
        twin_of=twin_of, unseen=unseen, calibrate=calibrate,
    )  # fmt: skip
    with reports.progress_bar() as progress, storing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        card = train(corpus, out, chosen, progress)
    reports.as_json(card)


@app.command()
def dashboard(
    folder: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="The run to open first.")] = None,
    workspace: Annotated[Path, typer.Option(help="Where runs and uploads are kept.")] = Path(".demix"),
    port: Annotated[int, typer.Option(help="The port on this machine.")] = 8501,
) -> None:
    """Open the dashboard on this machine; it listens to nobody else."""
    if folder is not None:
        Run.open(folder)
    root = Path(__file__).resolve().parents[1]
    screen = root / "dashboard" / "app.py"
    if not screen.is_file():
        raise RunError(f"The dashboard is missing: '{screen}' should lie beside demix_core; take the whole checkout.")
    command = [sys.executable, "-m", "streamlit", "run", str(screen)]
    command += [
        "--server.address",
        "localhost",
        "--server.port",
        str(port),
        "--",
        "--workspace",
        str(workspace.resolve()),
    ]
    command += [str(folder.resolve())] if folder is not None else []
    raise typer.Exit(subprocess.run(command, cwd=root, check=False).returncode)


@app.command()
def bench(
    name: Annotated[str, typer.Argument(help="Which one; a wrong name lists them.")],
    quick: Annotated[bool, typer.Option("--quick", help="Smaller and rougher.")] = False,
    seed: Annotated[int | None, typer.Option(help=SEED_HELP)] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="All figures as JSON.")] = None,
) -> None:
    """Measure something and print a table."""
    from demix_core import benchmark

    known = [m.name for m in pkgutil.iter_modules(benchmark.__path__) if not m.name.startswith("_")]
    if name not in known:
        raise InputError(f"There is no benchmark called '{name}'; choose one of {', '.join(known)}.")
    given = {} if seed is None else {"seed": seed}
    result = importlib.import_module(f"demix_core.benchmark.{name}").run(quick=quick, **given)
    if out is not None:
        text = json.dumps(result, indent=1, default=str) + "\n"
        write_file(out, lambda p: p.write_text(text, encoding="utf-8"))
    reports.records(f"bench {name}", result["table"])
