"""The sections of the handout: from facts to HTML, in the order in which a colleague asks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from demix_core.columns import labels
from demix_core.figures import MOST_POINTS
from demix_core.handout.facts import Facts
from demix_core.markup import Html, join, node, table
from demix_core.palette import GLYPHS, TYPE_MARKS
from demix_core.signals.shortcuts import RuleGroup
from demix_core.trust.words import how, interval
from demix_core.types import Action, DecisionKind, ErrorType
from demix_core.words import TYPE_NAMES, WHAT_TYPES_MEAN, change_words, column_words, rows, shown

TOP = 12
"""Suggestions of each type that are shown, the surest ones."""

MOST_CLASSES, MOST_COLUMNS, MOST_PATTERNS, MOST_EVENTS = 12, 60, 40, 30

DECIDED_WORDS = {DecisionKind.ACCEPT: "accepted", DecisionKind.EDIT: "edited", DecisionKind.REJECT: "rejected"}
EVENT_WORDS = DECIDED_WORDS | {
    DecisionKind.CORRECT: "corrected by hand",
    DecisionKind.REVERT: "took back",
    DecisionKind.NOTE: "note on",
    DecisionKind.SECOND_ACCEPT: "second opinion, accept:",
    DecisionKind.SECOND_EDIT: "second opinion, edit:",
    DecisionKind.SECOND_REJECT: "second opinion, reject:",
}
VERDICTS = {True: "better", False: "worse", None: "could be chance"}
RULERS = {"test": "Clean test rows", "validation": "Validation rows"}


def body(facts: Facts, still: Html) -> Html:
    """All sections. still: the map where no script draws it."""
    before = (opening, what_it_is, found)
    after = (suggestions, patterns, laws, shortcuts, review, measured, how_made)
    return join([*(one(facts) for one in before), the_map(facts, still), *(one(facts) for one in after)])


def type_name(kind: ErrorType) -> Html:
    """A type with its mark in its colour."""
    return node("span", node("b", GLYPHS[TYPE_MARKS[kind].shape]), " ", TYPE_NAMES[kind], cls=f"type {kind.short}")


def _section(title: str, *inside: object, name: str) -> Html:
    return node("section", node("h2", title), *inside, id=name)


def _wide(made: Html) -> Html:
    return node("div", made, cls="wide")


# ---- what it is ---------------------------------------------------------------------------------------------------


def opening(facts: Facts) -> Html:
    """The answer in a sentence, and how to take it."""
    n, flagged = len(facts.diagnosis), int(facts.flags.any(axis=1).sum())
    lead = f"{flagged:,} of {rows(n)} that the model is trained on look wrong."
    how = (
        "DeMix names them, says what is wrong with each, and suggests a repair. All of it is suspicion until a person "
        "has looked. This page holds cells of the table: pass it on only to people who may see those."
    )
    return node("header", node("h1", "Diagnosis of ", facts.name), node("p", lead, cls="lead"), node("p", how))


def what_it_is(facts: Facts) -> Html:
    """Table, columns, target."""
    schema, target = facts.schema, facts.schema.target
    kinds = Counter(str(c.kind) for c in schema.features)
    said = [
        ("File", facts.name),
        ("Target", f"{target} ({schema.task})"),
        (
            "Columns",
            f"{len(schema.columns)}: " + ", ".join(f"{n} {kind}" for kind, n in kinds.items()) + ", the target",
        ),
        ("Rows diagnosed", f"{len(facts.diagnosis):,} (what the model is trained on)"),
        ("Rows held out", f"{facts.summary.get('validation_rows', 0):,} (influence is measured on them)"),
    ]
    columns = [[c.name, "target" if c.name == target else str(c.kind)] for c in schema.columns[:MOST_COLUMNS]]
    more = len(schema.columns) - len(columns)
    left = node("dl", *(part for name, value in said for part in (node("dt", name), node("dd", value))))
    listed = node("details", node("summary", "Columns and their kinds"), _wide(table(["column", "kind"], columns)),
                  node("p", f"and {more} more") if more else None)  # fmt: skip
    notes = node("ul", *(node("li", note) for note in facts.summary.get("notes", [])))
    return _section("The table", left, _classes(facts), notes, listed, name="table")


def _classes(facts: Facts) -> Html | None:
    if not facts.schema.classes:
        return None
    counts = Counter(labels(facts.rows[facts.schema.target]).tolist()).most_common(MOST_CLASSES)
    lines = [[shown(name), n, f"{100 * n / len(facts.rows):.1f} %"] for name, n in counts]
    return table([f"{facts.schema.target} as given", "rows", "share"], lines, numbers=[1, 2])


# ---- what was found -------------------------------------------------------------------------------------------------


def found(facts: Facts) -> Html:
    """Counts per type, and what can honestly be said of how sure they are."""
    lines = []
    for k, kind in enumerate(ErrorType):
        flagged, mine, evidence = int(facts.flags[:, k].sum()), facts.of_type(kind), facts.evidence[kind]
        threshold = facts.summary.get("thresholds", {}).get(kind.value)
        lines.append([
            join([type_name(kind), node("small", WHAT_TYPES_MEAN[kind])]), f"{flagged:,}",
            f"{100 * flagged / max(len(facts.flags), 1):.1f} %", "" if threshold is None else f"{threshold:.2f}",
            f"{len(mine):,}", f"{int(mine['recommended'].sum()):,}",
            interval(evidence.precision),
        ])  # fmt: skip
    heads = ["suspected", "rows", "share", "threshold", "suggestions", "recommended", "share that is right"]
    made = _wide(table(heads, lines, numbers=range(1, 7)))
    return _section("What was found", made, *(node("p", text) for text in _how_sure(facts)), name="found")


def _how_sure(facts: Facts) -> Iterator[str]:
    yield (
        "A row may have several errors. A row is flagged from the threshold on; recommended means: sure enough to be "
        "accepted without looking. How many flags are right is known from reviewed rows alone, with 95 % intervals; "
        "the classifier's own estimate was too often off on real tables, so it is left out here."
    )
    for kind in ErrorType:
        yield f"{TYPE_NAMES[kind]}: {how(facts.evidence[kind])}"


def the_map(facts: Facts, still: Html) -> Html:
    """Where the drawing goes, and how to read it."""
    n = len(facts.diagnosis)
    sample = (
        f" It shows {MOST_POINTS:,} of {rows(n)}: every suspect row, a sample of the others." if n > MOST_POINTS else ""
    )
    words = (
        "Each mark is one row; rows that act alike on the model lie together. Shape and colour say what is suspected; "
        f"the axes have no meaning of their own. Click a name to hide it, drag to move, scroll to zoom.{sample}"
    )
    drawn = node("div", node("noscript", still), id="map", cls="figure", role="img",
                 aria_label="Map of all rows, marked by suspected error")  # fmt: skip
    return _section("The map", node("p", words), drawn, name="where")


# ---- suggestions ----------------------------------------------------------------------------------------------------


def suggestions(facts: Facts) -> Html:
    """The surest of each type, with reasons."""
    return join(_of_type(facts, kind) for kind in ErrorType)


def _of_type(facts: Facts, kind: ErrorType) -> Html | None:
    mine = facts.of_type(kind)
    if mine.empty:
        return None
    top = mine.sort_values(["confidence", "row_id"], ascending=[False, True]).head(TOP)
    lines = [_suggestion(facts, patch) for patch in top.to_dict("records")]
    heads = ["row", "column", "now", "suggested", "confidence", "review", "why"]
    first = f"The {len(top)} surest of {len(mine):,} suggestions." if len(mine) > len(top) else "All suggestions."
    words = f"{first} Confidence is the chance, by the classifier, that accepting it is right; ✓ recommended."
    title = join([type_name(kind), ": suggestions"])
    made = _wide(table(heads, lines, numbers=[0, 4], cls="suggestions"))
    return node("section", node("h2", title), node("p", words), made, id=f"suggestions-{kind.short}")


def _suggestion(facts: Facts, patch: Mapping[Any, Any]) -> list[object]:
    state, action = facts.states.get(int(patch["patch_id"])), str(patch["action"])
    whole = action in (Action.DROP, Action.REWEIGHT)
    sure = f"{patch['confidence']:.2f}{' ✓' if patch['recommended'] else ''}"
    named = column_words(patch["column"], action, patch["partner"])
    return [
        f"{patch['row_id']}", named, "" if whole else node("del", shown(patch["old"])),
        node("ins", change_words(action, patch["new"])), sure, DECIDED_WORDS[state.kind] if state else "open",
        str(patch["reason"]),
    ]  # fmt: skip


def patterns(facts: Facts) -> Html | None:
    """Mistakes that many cells share."""
    shared = facts.patches[facts.patches["pattern"].fillna("") != ""]
    if shared.empty:
        return None
    groups = sorted(shared.groupby("pattern"), key=lambda one: (-len(one[1]), one[0]))
    lines = [_pattern(facts, str(name), mine) for name, mine in groups[:MOST_PATTERNS]]
    heads = ["mistake", "cells", "for example", "recommended", "accepted"]
    words = "Mistakes that several cells share; each is undone for all of them in one press."
    left_out = f" The {MOST_PATTERNS} largest of {len(groups)}." if len(groups) > MOST_PATTERNS else ""
    made = _wide(table(heads, lines, numbers=[1, 3, 4]))
    return _section("Shared mistakes", node("p", words + left_out), made, name="patterns")


def _pattern(facts: Facts, name: str, mine: pd.DataFrame) -> list[object]:
    first, decided = mine.iloc[0], facts.decided(mine)
    example = join(
        [node("del", shown(first["old"])), " → ", node("ins", shown(first["new"])), f" (row {first['row_id']})"]
    )
    taken = decided[DecisionKind.ACCEPT] + decided[DecisionKind.EDIT]
    return [name, f"{len(mine):,}", example, f"{int(mine['recommended'].sum()):,}", f"{taken:,}"]


def laws(facts: Facts) -> Html | None:
    """Laws between columns that some rows break."""
    found = facts.summary.get("laws", [])
    if not found:
        return None
    words = (
        "What nearly all rows keep. A row that breaks a law has a wrong cell; which of its cells it is is told by the "
        "other laws that it breaks and keeps, and by how odd each cell looks beside the rest of its row."
    )
    lines = [[one["law"], f"{one['rows']:,}"] for one in found[:MOST_PATTERNS]]
    made = _wide(table(["law", "rows that break it"], lines, numbers=[1]))
    return _section("Laws between columns", node("p", words), made, name="laws")


def shortcuts(facts: Facts) -> Html | None:
    """Rules that the model may lean on, whom they hold for and who breaks them."""
    if not facts.rules:
        return None
    lines = [
        [
            join([node("b", r.shortcut.condition), " ↔ ", node("b", r.shortcut.target)]), f"{r.shortcut.strength:.2f}",
            f"{r.group.meets:,}", f"{100 * r.group.hit:.0f} %", f"{100 * r.group.elsewhere:.0f} %",
            f"{r.group.exceptions + r.group.strays:,}", f"{r.flagged:,}", *_errors(facts, r.group),
        ]
        for r in facts.rules
    ]  # fmt: skip
    target, unit = facts.schema.target, "" if facts.schema.classes else " (absolute)"
    heads = [
        f"condition ↔ {target}", "strength", "rows", "hold", "else", "against", "flagged", f"error against{unit}",
        "elsewhere",
    ]  # fmt: skip
    words = (
        "The strongest simple rules of the table, strongest first. Strength is the correlation of condition and "
        "target; 'hold' is the share of the rows with the condition that have the target, 'else' that share among the "
        "other rows; 'against' are the rows with one and not the other, 'flagged' those among them flagged as "
        "spurious. A rule may be perfectly right: it is a shortcut where it stops holding once the model is used."
    )
    made = _wide(table(heads, lines, numbers=range(1, len(heads))))
    return _section("Named shortcuts", node("p", words), made, name="shortcuts")


def _errors(facts: Facts, group: RuleGroup) -> tuple[str, str]:
    """The model's error on the rows against the rule, and on the others."""
    parts = [(n, e) for n, e in ((group.exceptions, group.error), (group.strays, group.stray_error)) if n]
    against = sum(n * e for n, e in parts) / sum(n for n, _ in parts) if parts else math.nan
    return _error(facts, against), _error(facts, group.other_error)


def _error(facts: Facts, value: float) -> str:
    if math.isnan(value):
        return ""
    return f"{100 * value:.0f} %" if facts.schema.classes else f"{value:.4g}"


# ---- what was decided -----------------------------------------------------------------------------------------------


def review(facts: Facts) -> Html:
    """Decisions so far."""
    if not facts.states:
        return _section("Decisions so far", node("p", "Nothing is decided yet: the table is as it was."), name="review")
    lines = []
    for kind in ErrorType:
        mine, decided = facts.of_type(kind), facts.decided(facts.of_type(kind))
        counts = [decided[k] for k in DECIDED_WORDS]
        lines.append([type_name(kind), *(f"{n:,}" for n in counts), f"{len(mine) - sum(counts):,}"])
    made = table(["suspected", *DECIDED_WORDS.values(), "open"], lines, numbers=range(1, 5))
    changes = facts.changes
    words = (
        f"They change {len(changes.cells):,} cells, leave {rows(len(changes.dropped))} out and give "
        f"{rows(len(changes.weights))} another weight."
    )
    last = [
        [e.time[:16].replace("T", " "), e.reviewer, f"{EVENT_WORDS[e.kind]} {len(e.patch_ids):,}", e.query or e.reason]
        for e in reversed(facts.events[-MOST_EVENTS:])
    ]
    history = node("details", node("summary", f"The last {len(last)} of {len(facts.events):,} entries of the log"),
                   _wide(table(["when (UTC)", "who", "what", "how chosen, or why"], last)))  # fmt: skip
    return _section("Decisions so far", _wide(made), node("p", words), history, name="review")


def measured(facts: Facts) -> Html | None:
    """The model before and after, if somebody measured it."""
    if facts.evaluation is None and not facts.states:
        return None
    if facts.evaluation is None:
        expected = (
            ""
            if facts.gain is None
            else f" Influence alone expects a change of the validation loss by {-facts.gain:+.4f}."
        )
        words = f"What the decisions do to the model was not measured yet.{expected}"
        return _section("The model before and after", node("p", words), name="measured")
    result = facts.evaluation
    stale = "These figures speak of earlier decisions; they were changed since."
    said = (
        f"The model '{result['model']}', trained {len(result['seeds'])} times on {result['rows']['before']:,} rows "
        f"as they were and {result['rows']['after']:,} as they would be. The interval comes from drawing rows and "
        "trainings again."
    )
    parts = [
        join([node("h3", f"{RULERS.get(name, name)} ({part['rows']:,})"), _metrics(part["metrics"])])
        for name, part in sorted(result["parts"].items())
    ]
    bent = result["ruler"]["suspects"]
    if bent and result["ruler"]["metrics"]:
        head = f"Without {rows(bent)} that look mislabelled themselves"
        parts.append(join([node("h3", head), _metrics(result["ruler"]["metrics"])]))
    warned = None if facts.current else node("p", stale, cls="warn")
    return _section("The model before and after", warned, node("p", said), *parts, name="measured")


def _metrics(metrics: Sequence[Mapping[str, Any]]) -> Html:
    lines = [
        [
            f"{m['title']} {'↑' if m['higher'] else '↓'}", f"{m['before']:.4f}", f"{m['after']:.4f}",
            f"{m['delta']:+.4f}", f"{m['low']:+.4f} to {m['high']:+.4f}", f"{m['p']:.3f}", VERDICTS[m["better"]],
        ]
        for m in metrics
    ]  # fmt: skip
    heads = ["measure", "before", "after", "difference", "95 % interval", "p", ""]
    return _wide(table(heads, lines, numbers=range(1, 6)))


# ---- how it was made ------------------------------------------------------------------------------------------------


def how_made(facts: Facts) -> Html:
    """What somebody needs to make it again."""
    summary = facts.summary
    files = [
        [role, i["name"], f"{i['bytes']:,}", node("code", i["sha256"])] for role, i in facts.manifest.inputs.items()
    ]
    settings = [[name, f"{value}"] for name, value in _flat(facts.manifest.settings)]
    versions = [[name, str(v)] for name, v in summary.get("versions", {}).items()]
    stages = [[n, f"{s['seconds']:.1f}", f"{s['peak_mb']:,.0f}"] for n, s in summary.get("stages", {}).items()]
    parts = [
        _wide(table(["input", "file", "bytes", "SHA-256"], files, numbers=[2])),
        node("p", f"Diagnosed {facts.manifest.created}; thresholds: {summary.get('thresholds_chosen', 'as given')}."),
        _fold("Settings and seed", table(["setting", "value"], settings)),
        _fold("Versions", table(["package", "version"], versions)),
        _fold("Cost", table(["stage", "seconds", "peak MB"], stages, numbers=[1, 2])),
    ]
    return _section("How it was made", *parts, name="made")


def _fold(title: str, made: Html) -> Html:
    return node("details", node("summary", title), _wide(made))


def _flat(settings: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value
