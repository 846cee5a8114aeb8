"""Several people on one run: who did what, the blind second review, where two people differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dashboard import review
from dashboard.services.results import book, log
from dashboard.services.runs import run_path
from demix_core import agreement
from demix_core.agreement import Agreement, Draw, Pair, Share
from demix_core.store import Run
from demix_core.types import DecisionKind, Event


@dataclass(frozen=True)
class Team:
    """people: who did what; draws: (sample, how many of it are judged); agreement: all, then by error type;
    conflicts: pairs that differ and that nobody has resolved.
    """

    people: list[Share]
    draws: list[tuple[Draw, int]]
    agreement: list[Agreement]
    conflicts: list[Pair]


def team(name: str) -> Team:
    """Everything of the team page."""
    events, run = log(name).events(), Run(run_path(name))
    drawn = agreement.draws(run)
    judged = [len(set(d.patch_ids) & set(agreement.opinions(events, d.reviewer))) for d in drawn]
    found = agreement.pairs(book(name).patches, events)
    conflicts = [p for p in found if p.conflict]
    return Team(agreement.shares(events), list(zip(drawn, judged, strict=True)), agreement.agreement(found), conflicts)


def draw_second(name: str, reviewer: str, size: int, seed: int, by: str) -> Draw:
    """Draws a sample for a second reviewer; InputError where there is nothing to draw."""
    return agreement.draw(Run(run_path(name)), reviewer, size, seed, by)


def assigned(name: str, reviewer: str) -> tuple[int, ...]:
    """The patches that this person is to judge again, or has."""
    return agreement.assigned(agreement.draws(Run(run_path(name))), reviewer)


def blind_codes(name: str, reviewer: str) -> np.ndarray:
    """uint8 [P] as services.codes, but only this person's second opinions: all else looks open."""
    return review.state_codes(book(name), agreement.opinions(log(name).events(), reviewer))


def opine(name: str, kind: DecisionKind, patch_id: int, who: str, value: str | None = None) -> Event:
    """A second opinion; returns when it is on disk."""
    return log(name).second(kind, patch_id, who, value)


def resolve(name: str, pair: Pair, second: bool, who: str, reason: str) -> Event:
    """Decides a conflict as one of the two said."""
    return agreement.resolve(log(name), pair, second, who, reason)
