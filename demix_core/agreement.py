"""Two people on one run: a blind second review of a sample, how far both agree, and where they differ.

A second opinion is an event of the same log (DecisionKind.SECOND_…) that stands beside the decision and never in its
place. A conflict is resolved by any later decision of the patch; agreement is reckoned from what was said before that.
"""

from __future__ import annotations

import math
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from demix_core.decisions import DECIDES, OWN_FROM, STANDS, DecisionLog, PatchState, live, replay
from demix_core.errors import InputError, RunError
from demix_core.store import Run, now, write_json
from demix_core.types import DROP_VALUE, Action, DecisionKind, ErrorType, Event

FOLDER = "second_reviews"
DRAW = 30
COMMAND_LINE = "command line"
NORMAL_95 = 1.959963984540054
"""97.5 % point of the normal distribution: two-sided 95 %."""

DEGREES = ((0.0, "slight"), (0.2, "fair"), (0.4, "moderate"), (0.6, "substantial"), (0.8, "almost perfect"))
"""Landis & Koch (1977): above this κ agreement is called so."""


@dataclass(frozen=True)
class Draw:
    """A sample of decided patches for one second reviewer. drawn_by: who asked for it; made: ISO time, UTC; about: the
    suggestions that it was drawn from, as renumber was told, 0: those that were made first.
    """

    reviewer: str
    patch_ids: tuple[int, ...]
    seed: int
    drawn_by: str
    made: str
    about: int = 0


@dataclass(frozen=True)
class Pair:
    """One patch judged twice. same: both come to the same cell, weight or removal; resolved: the later decision."""

    patch_id: int
    error_type: ErrorType
    first: Event
    second: Event
    outcomes: tuple[str, str]
    resolved: Event | None

    @property
    def same(self) -> bool:
        """Whether both judgements come to the same thing."""
        return self.outcomes[0] == self.outcomes[1]

    @property
    def conflict(self) -> bool:
        """Whether they differ and nobody has decided since."""
        return not self.same and self.resolved is None


@dataclass(frozen=True)
class Agreement:
    """How far two people agree. name: 'all' or an error type; pairs: judged twice; same: how many of them alike.

    kappa in [−1, 1] with its 95 % interval low to high; None where it says nothing (no pairs, or one word throughout).
    """

    name: str
    pairs: int
    same: int
    kappa: float | None
    low: float | None
    high: float | None

    @property
    def words(self) -> str:
        """'substantial agreement: 27 of 30 the same'."""
        counted = f"{self.same:,} of {self.pairs:,} the same"
        if self.kappa is None:
            return counted
        found = [word for above, word in DEGREES if self.kappa > above]
        return f"{found[-1]} agreement: {counted}" if found else f"no agreement beyond chance: {counted}"


@dataclass(frozen=True)
class Share:
    """What one person has done: their decisions that stand now, their second opinions, and when they last acted."""

    reviewer: str
    accepted: int
    edited: int
    rejected: int
    second: int
    last: str


# ---- the sample --------------------------------------------------------------------------------------------------


def draw(run: Run, reviewer: str, size: int = DRAW, seed: int = 0, drawn_by: str = "") -> Draw:
    """Draws decided patches for a second reviewer and keeps the sample in the run folder.

    InputError: no name, no size, or nothing that somebody else has decided is left to draw.
    """
    name = " ".join(reviewer.split())
    if not name:
        raise InputError("A second review needs the name of its reviewer; give one.")
    if size < 1:
        raise InputError(f"A second review needs at least one suggestion, not {size}.")
    with closing(run.decisions()) as log:
        events, about = log.events(), log.about()
    taken = assigned(draws(run), name)
    ids = sample(run.patches(), events, name, size, seed, taken)
    if not ids:
        raise InputError(
            f"There is nothing to draw for {name}: a second review needs suggestions that somebody else has decided "
            f"and that {name} has not judged yet."
        )
    made = Draw(name, ids, seed, drawn_by, now(), about)
    stamp = made.made.replace(":", "").replace("-", "")[:15]
    write_json(run / FOLDER / f"{stamp}-{uuid.uuid4().hex[:8]}.json", asdict(made), durable=True)
    return made


def sample(
    patches: pd.DataFrame, events: Sequence[Event], reviewer: str, size: int, seed: int, taken: Iterable[int] = ()
) -> tuple[int, ...]:
    """Patch ids, ascending: decided by others, stratified by error type and decision, repeatable by the seed."""
    said = {e.seq: e for e in events}
    left = set(taken) | set(opinions(events, reviewer))
    types = dict(zip(patches["patch_id"], patches["error_type"], strict=True))
    strata: dict[tuple[str, str], list[int]] = {}
    for patch_id, state in sorted(replay(events).items()):
        if patch_id in types and patch_id not in left and said[state.seq].reviewer != reviewer:
            strata.setdefault((types[patch_id], state.kind), []).append(patch_id)
    names = sorted(strata)
    counts = allocate([len(strata[name]) for name in names], size)
    random = np.random.default_rng(seed)
    chosen = [random.choice(strata[name], count, replace=False) for name, count in zip(names, counts, strict=True)]
    return tuple(sorted(int(i) for part in chosen for i in part))


def allocate(sizes: Sequence[int], size: int) -> list[int]:
    """How many to draw of each stratum: proportional, at least one of each where `size` allows it.

    >>> allocate([80, 19, 1], 10)
    [8, 1, 1]
    """
    wanted = np.array(sizes, float) * size / max(sum(sizes), 1)
    counts = np.array([int(size >= len(sizes))] * len(sizes), int)
    while counts.sum() < min(size, sum(sizes)):
        short = np.where(counts < sizes, wanted - counts, -np.inf)
        counts[int(short.argmax())] += 1
    return [int(c) for c in counts]


def draws(run: Run) -> list[Draw]:
    """The samples of a run, oldest first. RunError: one is damaged."""
    found = []
    for path in sorted((run / FOLDER).glob("*.json")):
        content = run.json(f"{FOLDER}/{path.name}")
        try:
            found.append(Draw(**{**content, "patch_ids": tuple(int(i) for i in content["patch_ids"])}))
        except (TypeError, KeyError, ValueError) as error:
            raise RunError(f"'{path}' is no sample of a second review; remove it and draw again.") from error
    return sorted(found, key=lambda d: d.made)


def renumber(run: Run, numbers: Mapping[int, int], about: int) -> None:
    """The samples in terms of suggestions made anew, once however often it is called. numbers: new id by old id."""
    for path in sorted((run / FOLDER).glob("*.json")):
        content = run.json(f"{FOLDER}/{path.name}")
        if content.get("about", 0) == about:
            continue
        ids = [numbers.get(i, i if i >= OWN_FROM else None) for i in content["patch_ids"]]
        left = [i for i in ids if i is not None]
        if left:
            write_json(path, content | {"patch_ids": left, "about": about}, durable=True)
        else:
            path.unlink()


def assigned(drawn: Iterable[Draw], reviewer: str) -> tuple[int, ...]:
    """All patches drawn for one person, ascending."""
    return tuple(sorted({i for d in drawn if d.reviewer == reviewer for i in d.patch_ids}))


# ---- what was said twice -----------------------------------------------------------------------------------------


def opinions(events: Sequence[Event], reviewer: str) -> dict[int, PatchState]:
    """This person's standing second opinions, by patch."""
    return {
        i: PatchState(e.kind.verdict, e.value, e.seq)
        for e in live(events)
        if e.kind.second and e.reviewer == reviewer
        for i in e.patch_ids
    }


def pairs(patches: pd.DataFrame, events: Sequence[Event]) -> list[Pair]:
    """Every patch with a second opinion and, before it, a decision of somebody else's; in the order of the opinions."""
    standing = live(events)
    decisions: dict[int, list[Event]] = {}
    seconds: dict[tuple[int, str], Event] = {}
    for e in standing:
        for i in e.patch_ids:
            if e.kind in DECIDES:
                decisions.setdefault(i, []).append(e)
            elif e.kind.second:
                seconds[i, e.reviewer] = e
    known = _by_id(patches)
    found = []
    for (i, reviewer), second in sorted(seconds.items(), key=lambda item: item[1].seq):
        before = [e for e in decisions.get(i, []) if e.seq < second.seq and e.reviewer != reviewer]
        after = [e for e in decisions.get(i, []) if e.seq > second.seq]
        if before and i in known:
            patch = known[i]
            said = (outcome(before[-1], patch), outcome(second, patch))
            found.append(
                Pair(i, ErrorType(patch["error_type"]), before[-1], second, said, after[-1] if after else None)
            )
    return found


def _by_id(patches: pd.DataFrame) -> dict[int, dict[str, Any]]:
    return {int(p["patch_id"]): {str(k): v for k, v in p.items()} for p in patches.to_dict("records")}


def outcome(event: Event, patch: Mapping[str, Any]) -> str:
    """What a judgement comes to: 'accept', 'reject', or 'edit: …'. An edit to the suggested value accepts it."""
    kind = event.kind.verdict
    if kind is not DecisionKind.EDIT:
        return str(kind)
    if event.value == DROP_VALUE:
        return "accept" if patch["action"] == Action.DROP else "edit: leave the row out"
    value = _plain(str(event.value), patch["action"])
    if value == _plain(patch["new"], patch["action"]):
        return "accept"
    return "reject" if value == _plain(patch["old"], patch["action"]) else f"edit: {value}"


def _plain(text: str, action: str) -> str:
    """A cell's text without its margin; weights as numbers, so that 2 and 2.0 are one."""
    try:
        return f"{float(text):g}" if action == Action.REWEIGHT else text.strip()
    except ValueError:
        return text.strip()


def resolve(log: DecisionLog, pair: Pair, second: bool, reviewer: str, reason: str = "") -> Event:
    """Decides a conflict as the first (or the second) of the two said: a normal decision, with a reason."""
    said = pair.second if second else pair.first
    why, kind = reason.strip() or f"second review: as {said.reviewer} said", said.kind.verdict
    if kind is DecisionKind.EDIT:
        return log.edit(pair.patch_id, str(said.value), reviewer, why)
    decide = log.accept if kind is DecisionKind.ACCEPT else log.reject
    return decide([pair.patch_id], reviewer, why)


def agreement(found: Sequence[Pair]) -> list[Agreement]:
    """Over all pairs, then for each error type that has some."""
    groups = [("all", list(found))]
    groups += [(t.value, [p for p in found if p.error_type is t]) for t in ErrorType]
    return [_measured(name, group) for name, group in groups if group or name == "all"]


def _measured(name: str, found: Sequence[Pair]) -> Agreement:
    kappa, low, high = cohen_kappa([p.outcomes[0] for p in found], [p.outcomes[1] for p in found])
    return Agreement(name, len(found), sum(p.same for p in found), kappa, low, high)


def cohen_kappa(first: Sequence[str], second: Sequence[str]) -> tuple[float | None, float | None, float | None]:
    """Cohen's κ of two people's words for the same things, and its 95 % interval; None three times where undefined.

    κ = (p_o − p_e) / (1 − p_e) with p_o the share of equal words and p_e the share that chance would make equal. The
    interval is Wilson's for p_o, p_e taken as known: it keeps its promise for small samples and near-perfect agreement,
    where the textbook standard error (zero at κ = 1) does not.
    """
    n = len(first)
    one, two = Counter(first), Counter(second)
    by_chance = sum(one[word] * two[word] for word in one) / n**2 if n else 1.0
    if by_chance >= 1:
        return None, None, None
    equal = sum(a == b for a, b in zip(first, second, strict=True)) / n
    z2 = NORMAL_95**2
    middle = (equal + z2 / (2 * n)) / (1 + z2 / n)
    half = NORMAL_95 / (1 + z2 / n) * math.sqrt(equal * (1 - equal) / n + z2 / (4 * n**2))
    kappa, low, high = ((p - by_chance) / (1 - by_chance) for p in (equal, middle - half, middle + half))
    return kappa, max(low, -1.0), min(high, 1.0)


# ---- who, and all of it together ---------------------------------------------------------------------------------


def shares(events: Sequence[Event]) -> list[Share]:
    """What each person has done, busiest first."""
    said = {e.seq: e for e in events}
    stands = Counter((said[s.seq].reviewer, s.kind) for s in replay(events).values())
    seconds = Counter(e.reviewer for e in live(events) if e.kind.second for _ in e.patch_ids)
    last = {e.reviewer: e.time for e in events}
    accept, edit, reject = STANDS
    people = [
        Share(who, stands[who, accept], stands[who, edit], stands[who, reject], seconds[who], time)
        for who, time in last.items()
    ]
    return sorted(people, key=lambda p: (-(p.accepted + p.edited + p.rejected + p.second), p.reviewer))


def report(run: Run) -> dict[str, Any]:
    """Everything of this module for a run, ready for JSON: people, draws, agreement, conflicts."""
    with closing(run.decisions()) as log:
        events = log.events()
    patches, drawn = run.patches(), draws(run)
    found = pairs(patches, events)
    known = _by_id(patches)
    return {
        "people": [asdict(p) for p in shares(events)],
        "draws": [{**asdict(d), "judged": len(set(d.patch_ids) & set(opinions(events, d.reviewer)))} for d in drawn],
        "agreement": [{**asdict(a), "words": a.words} for a in agreement(found)],
        "conflicts": [_conflict(p, known[p.patch_id]) for p in found if p.conflict],
    }


def _conflict(pair: Pair, patch: Mapping[str, Any]) -> dict[str, Any]:
    said = [
        {"reviewer": e.reviewer, "said": words, "reason": e.reason, "time": e.time}
        for e, words in zip((pair.first, pair.second), pair.outcomes, strict=True)
    ]
    return {
        "patch_id": pair.patch_id, "row_id": int(patch["row_id"]), "error_type": str(pair.error_type),
        "column": patch["column"], "old": patch["old"], "new": patch["new"], "first": said[0], "second": said[1],
    }  # fmt: skip
