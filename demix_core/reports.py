"""What the command line shows: progress on stderr, results on stdout."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from demix_core.evidence import CROWD
from demix_core.lessons import SURE, UNLIKELY, Lessons
from demix_core.store import Run
from demix_core.trust.words import between, how, interval, shares
from demix_core.types import ErrorType, Event, Progress

if TYPE_CHECKING:
    import pandas as pd

    from demix_core.blame.view import Blame, View
    from demix_core.explain import Explainer, Explanation
    from demix_core.exporting import Exported
    from demix_core.planting import Planted
    from demix_core.summary import Score
    from demix_core.trust.evidence import Look
    from demix_core.trust.planted import Rehearsed

MOST_LAWS = 12
NEWLY_SHOWN = 10
TYPE_WORDS = {ErrorType.LABEL: "label error", ErrorType.FEATURE: "feature error", ErrorType.SPURIOUS: "spurious"}


def say(sentence: str) -> None:
    """One sentence on stderr."""
    Console(stderr=True, soft_wrap=True, highlight=False).print(escape(sentence))


def as_json(content: Any) -> None:
    """JSON on stdout, for machines."""
    Console(soft_wrap=True, highlight=False, markup=False).print(json.dumps(content, indent=1, ensure_ascii=False))


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar with the time left, on stderr; where that is no terminal, nothing."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
        TextColumn("left:"), TimeRemainingColumn(),
    )  # fmt: skip
    console = Console(stderr=True)
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Starting", total=1.0)

        def tell(fraction: float, message: str) -> None:
            bar.update(task, completed=fraction, description=escape(message))

        yield tell


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on stdout; all cells but the first to the right when they are numbers."""
    shown = Table()
    for i, name in enumerate(columns):
        numbers = bool(rows) and all(isinstance(row[i], int | float) for row in rows)
        shown.add_column(escape(name), justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(escape(_text(value)) for value in row))
    out = Console()
    out.print(escape(title), style="bold", soft_wrap=True, highlight=False)
    out.print(shown)


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def records(title: str, rows: Sequence[dict[str, Any]]) -> None:
    """A table of dicts with the same keys."""
    columns = list(rows[0]) if rows else []
    table(title, columns, [[row[c] for c in columns] for row in rows])


def diagnosis(run: Run, scores: Sequence[Score], json_wanted: bool) -> None:
    """The summary of a finished run, with the scores where the truth was given."""
    summary = run.summary()
    if json_wanted:
        as_json({"run": str(run.path), **summary, **({"scores": [asdict(s) for s in scores]} if scores else {})})
        return
    thresholds = summary["thresholds"]
    rows = [[TYPE_WORDS[k], summary["counts"][k.value], thresholds[k.value], _right(summary, k)] for k in ErrorType]
    heads = ["error type", "rows", "threshold", "of them right, estimated"]
    table(f"{summary['rows']:,} rows, {summary['flagged_rows']:,} flagged", heads, rows)
    if summary.get("laws"):
        broken = [[one["law"], one["rows"]] for one in summary["laws"][:MOST_LAWS]]
        table("Laws between columns that rows break", ["nearly all rows keep", "rows that break it"], broken)
    costs = [[name, s["seconds"], s["peak_mb"]] for name, s in summary["stages"].items()]
    costs.append(["all", summary["seconds"], summary["peak_mb"]])
    table("Cost", ["stage", "seconds", "peak MB"], costs)
    if scores:
        lines = [[TYPE_WORDS[s.error_type], s.wrong, s.flagged, s.precision, s.recall, s.f1] for s in scores]
        lines.append(["average", "", "", "", "", sum(s.f1 for s in scores) / len(scores)])
        table("Against the truth", ["error type", "wrong", "flagged", "precision", "recall", "F1"], lines)
    for note in summary["notes"]:
        say(note)
    Console(soft_wrap=True).print(f"Run folder: {escape(str(run.path))}")


def _right(summary: dict[str, Any], kind: ErrorType) -> str:
    """What share of the flagged rows has the error, with the range; "" where nothing is known of that threshold."""
    known = summary["estimated"].get(kind.value)
    if not known or not summary["counts"][kind.value] or kind.value in summary["thresholds_by_hand"]:
        return ""
    right = known["right"]
    return f"{right['value']:.0%} ({right['low']:.0%} to {right['high']:.0%})"


def blame(
    found: Blame, view: View, chosen: int, rows: pd.DataFrame, touched: pd.DataFrame | None, json_wanted: bool
) -> None:
    """Groups × slices, the rows to blame for one slice, and what chosen rows do; for eyes or machines."""
    slices = [found.means.slices[i] for i in view.slices]
    this = found.means.slices[chosen]
    if json_wanted:
        content: dict[str, Any] = {
            "groups": [{"name": g.name, "rows": len(g.members)} for g in view.groups],
            "slices": [asdict(s) for s in slices], "mean_influence": view.mean.round(6).tolist(),
            "slice": this.name, "to_blame": rows.to_dict("records"),
        }  # fmt: skip
        as_json(content | ({} if touched is None else {"touched": touched.to_dict("records")}))
        return
    about = [[i, s.name, s.rows, s.loss, "" if s.right is None else s.right] for i, s in enumerate(slices, 1)]
    table("Slices of the validation rows", ["no.", "slice", "rows", "loss", "right"], about)
    lines = [
        [f"{g.name} ({len(g.members):,})", *(f"{v:+.2f}" for v in means)]
        for g, means in zip(view.groups, view.mean, strict=True)
    ]
    heads = ["training rows", *(str(i) for i in range(1, len(slices) + 1))]
    table("Mean influence on each slice (negative helps, positive harms)", heads, lines)
    table(f"Training rows to blame for '{this.name}'", *_to_blame(rows, found.explainer.schema.target))
    if this.one_label:
        say("All rows of this slice have one label, so rows of other labels push against it; --flagged names suspects.")
    if touched is not None:
        lines = [list(r) for r in touched.iloc[:, :3].itertuples(index=False)]
        heads = ["validation row", "influence", found.explainer.schema.target]
        table("Validation rows that the chosen rows harm (positive) or help most", heads, lines)


def _to_blame(rows: pd.DataFrame, target: str) -> tuple[list[str], list[list[object]]]:
    """(heads, lines) of the rows to blame."""
    lines = []
    for row in rows.to_dict("records"):
        flags = ", ".join(TYPE_WORDS[kind] for kind in ErrorType if row[kind.value])
        lines.append([row["row_id"], row["label"], row["influence"], row["overall"], flags])
    return ["row", target, "on the slice", "on all rows", "flagged"], lines


def explanation(found: Explanation, explainer: Explainer, json_wanted: bool) -> None:
    """One row, for eyes or machines."""
    if json_wanted:
        as_json(found.to_dict())
        return
    lines = [[TYPE_WORDS[k], p, found.why.get(k, "")] for k, p in found.probabilities.items()]
    table(f"Row {found.row_id}: given '{found.given}'", ["error type", "probability", "why"], lines)
    odd = {s.column: s for s in found.suspects}
    cells = [[n, v, odd[n].suggestion if n in odd else ""] for n, v in found.cells.items()]
    table("Cells", ["column", "value", "suspect: likelier"], cells)
    likely = [[p.value, p.model, p.out_of_fold] for p in found.likelihoods]
    table("Target", ["value", "model", "out of fold"], likely)
    measured = explainer.run.validation()
    target = explainer.schema.target
    influence = [
        [word, int(measured.index[j]), str(measured[target].iloc[j]), float(found.profile[j])]
        for word, places in (("helps", found.helped), ("harms", found.harmed))
        for j in places
    ]
    table("Influence on validation rows (negative helps)", ["effect", "row", target, "influence"], influence)
    near = [[i, str(explainer.rows.at[i, target])] for i in found.neighbours]
    table("Nearest training rows", ["row", target], near)
    for suspect in found.suspects:
        say(f"{suspect.column}: {suspect.where}")
    if found.training is not None:
        t = found.training
        say(
            f"Its loss was above that of three quarters of the rows like it in {t.above} of {len(t.own)} epochs; "
            f"in the one that was kept it was {t.own[t.kept]:.3f}, the median {t.median[t.kept]:.3f}."
        )
    say(f"Of the {CROWD} rows most like it, {found.crowd:.0%} have its label.")


def thresholds(looks: Sequence[Look], drawn: Sequence[int], json_wanted: bool) -> None:
    """What the reviewed rows say of each type's threshold, and the rows to review next."""
    if json_wanted:
        as_json({"types": [look.to_dict() for look in looks], "sample": list(drawn)})
        return
    found = [(TYPE_WORDS[look.evidence.error_type], look.evidence) for look in looks]
    lines = [[word, f"{e.threshold:.3f}", e.flagged, e.reviewed, interval(e.precision)] for word, e in found]
    table("Precision, with its 95 % interval", ["error type", "threshold", "rows", "reviewed", "precision"], lines)
    more = [[word, interval(e.everywhere), interval(e.kept), interval(e.found)] for word, e in found]
    heads = ["error type", "at any threshold", "right rows kept", "share of all rows"]
    table("For a threshold chosen after looking; what it keeps; right rows in the table, at least", heads, more)
    for look in looks:
        say(f"{TYPE_WORDS[look.evidence.error_type].capitalize()}: {how(look.evidence)}")
    if drawn:
        say(f"Review these {len(drawn):,} rows, in this order, and look again:")
        Console(soft_wrap=True, highlight=False).print(" ".join(map(str, drawn)))


def rehearsed(found: Sequence[Rehearsed], json_wanted: bool) -> None:
    """What the thresholds find of planted errors."""
    if json_wanted:
        as_json({"types": [f.to_dict() for f in found]})
        return
    lines = [
        [TYPE_WORDS[f.error_type], f"{f.threshold:.3f}", f.planted, shares(f.found, f.found_range), between(*f.right)]
        for f in found
    ]
    heads = ["error type", "threshold", "planted", "found (single copies)", "right among the flags, between"]
    table(f"Errors planted into {found[0].copies} copies of the table", heads, lines)
    say("Planted errors are not the table's own: a measure of what is found here, no count of what is wrong here.")


def evaluation(found: dict[str, Any], json_wanted: bool) -> None:
    """What the decisions do to the model, for eyes or machines."""
    if json_wanted:
        as_json(found)
        return
    for name, part in found["parts"].items():
        table(
            f"On the {part['rows']:,} {name} rows, {len(found['seeds'])} seeds",
            _DIFFERENCE,
            _differences(part["metrics"]),
        )
    if found["ruler"]["suspects"] and found["ruler"]["metrics"]:
        title = f"On the validation rows without {found['ruler']['suspects']:,} that look mislabelled themselves"
        table(title, _DIFFERENCE, _differences(found["ruler"]["metrics"]))
    lines = [
        [
            f"{c['kind']} {c['name']}",
            c["patches"],
            *_differences(c["metrics"])[0][:1],
            *_differences(c["metrics"])[0][3:],
        ]
        for c in found["contributions"]
        if c["metrics"]
    ]
    if lines:
        table("What each part adds to the rest", ["part", "decisions", "measure", *_DIFFERENCE[3:]], lines)
    gain = found["estimate"]["gain"]
    if gain is not None:
        say(f"Expected from influence alone: validation loss {-gain:+.4f}.")


def agreement(found: dict[str, Any], json_wanted: bool) -> None:
    """Who decided what, how far two people agree, where they differ; for eyes or machines."""
    if json_wanted:
        as_json(found)
        return
    counts = ("accepted", "edited", "rejected", "second")
    people = [[p["reviewer"], *(p[c] for c in counts), p["last"][:16]] for p in found["people"]]
    table("Decisions that stand", ["reviewer", *counts[:3], "second opinions", "last (UTC)"], people)
    if found["draws"]:
        drawn = [
            [d["reviewer"], len(d["patch_ids"]), d["judged"], d["drawn_by"], d["made"][:16]] for d in found["draws"]
        ]
        table("Second reviews", ["reviewer", "drawn", "judged", "drawn by", "on (UTC)"], drawn)
    whole, lines = (
        found["agreement"][0],
        [[TYPE_WORDS.get(a["name"], a["name"]), a["pairs"], a["same"], *_kappa(a)] for a in found["agreement"]],
    )
    heads = ["error type", "judged twice", "the same", "Cohen's κ", "95 % interval"]
    table(f"Second review: {whole['words']}", heads, lines)
    if found["conflicts"]:
        rows = [
            [c["row_id"], TYPE_WORDS[c["error_type"]], c["column"] or "", _change(c), *_both(c)]
            for c in found["conflicts"]
        ]
        table("They differ", ["row", "error type", "column", "suggested", "first", "second"], rows)


def lessons(
    found: Mapping[ErrorType, Lessons], left: pd.DataFrame, newly: pd.DataFrame, made: Sequence[Event],
    json_wanted: bool,
) -> None:  # fmt: skip
    """What verdicts teach of the open suggestions `left`, which rows look wrong by now though none was made for them,
    and what was decided by it; for eyes or machines."""
    types = [_lesson(lesson, left[left["error_type"] == kind.value]) for kind, lesson in found.items()]
    if json_wanted:
        columns = ["patch_id", "row_id", "error_type", "confidence", "after"]
        decided = {e.kind.value: len(e.patch_ids) for e in made}
        as_json({
            "types": types, "decided": decided, "open": left[columns].round(4).to_dict("records"),
            "newly": newly.round(4).to_dict("records"),
        })  # fmt: skip
        return
    heads = ["error type", "right", "wrong", "open", f"≥ {SURE:.0%} likely", f"≤ {UNLIKELY:.0%}", "verdicts foretold"]
    lines = [
        [TYPE_WORDS[ErrorType(t["error_type"])], t["right"], t["wrong"], t["open"],
         f"{t['likely']} ({t['likely_before']} before)", f"{t['unlikely']} ({t['unlikely_before']})", _foretold(t)]
        for t in types
    ]  # fmt: skip
    table("What your verdicts teach", heads, lines)
    if len(newly):
        first = ", ".join(str(row) for row in newly["row_id"].head(NEWLY_SHOWN))
        more = f" and {len(newly) - NEWLY_SHOWN:,} more (--json)" if len(newly) > NEWLY_SHOWN else ""
        say(
            f"Not flagged, but likelier wrong than not by now: rows {first}{more}. Look at them: nothing is suggested "
            "there, 'correct' mends a cell."
        )
    for event in made:
        say(f"{event.kind.value.capitalize()}ed {len(event.patch_ids):,} suggestions: {event.query}.")
    if not any(t["right"] + t["wrong"] for t in types):
        say("Nothing was decided one by one yet. Review some thirty rows, then ask again.")


def _lesson(lesson: Lessons, left: pd.DataFrame) -> dict[str, Any]:
    """Counts of one type; likely, unlikely: of the open suggestions, by now and as diagnosed."""
    counts = {
        f"{word}{when}": int(some(left[of]).sum())
        for word, some in (("likely", lambda p: p >= SURE), ("unlikely", lambda p: p <= UNLIKELY))
        for when, of in (("", "after"), ("_before", "confidence"))
    }
    return {
        "error_type": lesson.error_type.value, "right": lesson.right, "wrong": lesson.wrong, "open": len(left),
        **counts, "foretold": None if lesson.foretold is None else [round(share, 4) for share in lesson.foretold],
    }  # fmt: skip


def _foretold(told: dict[str, Any]) -> str:
    """'83 % of pairs (61 % before)'."""
    if told["foretold"] is None:
        return "–"
    before, after = told["foretold"]
    return f"{after:.0%} of pairs ({before:.0%} before)"


def _kappa(a: dict[str, Any]) -> list[str]:
    return ["–", "–"] if a["kappa"] is None else [f"{a['kappa']:.2f}", f"{a['low']:.2f} to {a['high']:.2f}"]


def _change(conflict: dict[str, Any]) -> str:
    return f"{conflict['old']} → {conflict['new']}"


def _both(conflict: dict[str, Any]) -> list[str]:
    return [f"{said['reviewer']}: {said['said']}" for said in (conflict["first"], conflict["second"])]


_DIFFERENCE = ("measure", "before", "after", "difference", "95 % interval", "p", "")


def _differences(metrics: Sequence[dict[str, Any]]) -> list[list[object]]:
    verdict = {True: "better", False: "worse", None: "could be chance"}
    return [
        [
            m["title"], f"{m['before']:.4f}", f"{m['after']:.4f}", f"{m['delta']:+.4f}",
            f"{m['low']:+.4f} to {m['high']:+.4f}", f"{m['p']:.3f}", verdict[m["better"]],
        ]
        for m in metrics
    ]  # fmt: skip


def rounds(found: dict[str, Any], json_wanted: bool) -> None:
    """What changed from one run to the next."""
    if json_wanted:
        as_json(found)
        return
    lines = [
        [
            TYPE_WORDS[k], t["no_longer"], t["still"], t["newly"], f"{t['median_change_of_flagged']:+.3f}",
            f"{t['median_change']:+.3f}",
        ]
        for k, t in ((k, found["types"][k.value]) for k in ErrorType)
    ]  # fmt: skip
    lines.append(["any", *(found["any"][n] for n in ("no_longer", "still", "newly")), "", ""])
    names = ["error type", "no longer", "still", "newly", "change of flagged", "change of all"]
    table(f"{found['rows']:,} training rows of both runs, {found['dropped']:,} dropped", names, lines)


def drift(found: dict[str, Any], json_wanted: bool) -> None:
    """Whether, and where, a batch differs from the training rows."""
    if json_wanted:
        as_json(found)
        return
    lines = [
        [c["column"], c["words"], c["size"], f"{c['holm']:.3f}", "differs" if c["holm"] < 0.05 else ""]
        for c in found["columns"]
    ]
    title = f"{found['batch']}: {found['rows']['batch']:,} rows beside {found['rows']['training']:,} training rows"
    table(title, ["column", "training → batch", "difference", "p (Holm)", ""], lines)
    if found["drifts"]:
        rows = [[r["row"], r["witness"], *[f"{k} = {v}" for k, v in r["cells"].items()]] for r in found["typical_rows"]]
        width = max(len(r) for r in rows)
        table("Rows that speak most for a difference", ["row", "how much", *[""] * (width - 2)], rows[:10])
    verdict = "act unlike" if found["drifts"] else "can't be told from"
    out = Console(soft_wrap=True, highlight=False)
    out.print(f"On the model these rows {verdict} the training rows (p = {found['p']:.3f}).")


def planted(made: Planted) -> None:
    """What `inject` wrote."""
    rows = [[TYPE_WORDS[k], made.counts[k]] for k in ErrorType]
    table(f"{made.rows:,} rows written", ["error type", "rows"], rows)
    for path in made.files:
        Console(soft_wrap=True).print(escape(str(path)))


def written(path: Path) -> None:
    """One file that a command wrote, with its size."""
    Console(soft_wrap=True).print(f"{escape(str(path))} ({path.stat().st_size / 1e6:.1f} MB)")


def exported(made: Exported) -> None:
    """What `apply` wrote."""
    out = Console(soft_wrap=True)
    weights = (
        ""
        if made.with_weights or not made.weighted
        else " (their weights are not in the table; --with-weights adds them)"
    )
    out.print(f"{made.cells:,} cells changed, {made.dropped:,} rows dropped, {made.weighted:,} rows weighted{weights}.")
    for path in made.files:
        out.print(escape(str(path)))
