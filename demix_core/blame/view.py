"""What a person asks of the means: the map of groups × slices, the rows to blame, and what chosen rows do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import leaves_list, linkage

from demix_core.blame.measure import COLUMN, CORRECTNESS, LABEL, WORST, Means
from demix_core.blame.parts import Part, by_label, by_type, by_value, divided
from demix_core.errors import InputError
from demix_core.explain import Explainer
from demix_core.influence.vectors import stream
from demix_core.settings import InfluenceSettings
from demix_core.store import TARGET_ID
from demix_core.types import Encoded, ErrorType, Progress, ShouldStop, never_stop, no_progress

TYPE, CLUSTER = "type", "clusters"


@dataclass(frozen=True)
class View:
    """Groups of training rows × slices of validation rows, both in the order of their clustering.

    slices: positions in Means.slices; mean: float64 [G, S], the mean influence (< 0 helps, > 0 harms).
    """

    groups: tuple[Part, ...]
    slices: tuple[int, ...]
    mean: np.ndarray


class Blame:
    """Answers for one finished run whose means are measured. explainer: of the same run."""

    def __init__(self, explainer: Explainer, means: Means) -> None:
        self.explainer, self.means = explainer, means

    @cached_property
    def groupings(self) -> tuple[str, ...]:
        """Names of all ways to group training rows: type, label, clusters, column:NAME."""
        return (TYPE, LABEL, CLUSTER, *(COLUMN + c.name for c in divided(self.explainer.schema)))

    @cached_property
    def slicings(self) -> tuple[str, ...]:
        """Names of all ways to slice validation rows: worst, label, correctness, column:NAME."""
        ways = dict.fromkeys(s.by for s in self.means.slices)
        worst = (WORST,) if any(s.rank is not None for s in self.means.slices) else ()
        return (*worst, LABEL, CORRECTNESS, *(by for by in ways if by.startswith(COLUMN)))

    def groups(self, by: str) -> list[Part]:
        """Training rows grouped, as positions in the diagnosis. InputError: no such grouping."""
        by = self._known(by, self.groupings, "training rows")
        schema = self.explainer.schema
        if by == TYPE:
            return by_type(self.explainer.diagnosis)
        if by == CLUSTER:
            codes = self.means.clusters
            return [Part(name, np.flatnonzero(codes == k)) for k, name in enumerate(self.means.cluster_names)]
        if by == LABEL:
            return by_label(schema, self._train[schema.target], self._train[schema.target])
        column = next(c for c in schema.columns if c.name == by.removeprefix(COLUMN))
        return by_value(column, self._train[column.name], self._train[column.name])

    def slices(self, by: str) -> list[int]:
        """Positions in Means.slices, of the worst ones the worst first. InputError: no such slicing."""
        by = self._known(by, self.slicings, "validation rows")
        known = list(enumerate(self.means.slices))
        if by == WORST:
            return [i for _, i in sorted((s.rank, i) for i, s in known if s.rank is not None)]
        return [i for i, s in known if s.by == by]

    def highest_loss(self, slices: Sequence[int]) -> int:
        """The slice on which the model does worst, of those with several labels where there are any."""
        return max(slices, key=lambda i: (not self.means.slices[i].one_label, self.means.slices[i].loss))

    def pick(self, slices: Sequence[int], wanted: str | None) -> int:
        """The slice of this name, or of this number in the list (from 1); None: the one with the highest loss.

        InputError: none is called so.
        """
        if wanted is None:
            return self.highest_loss(slices)
        names = [self.means.slices[i].name for i in slices]
        if wanted in names:
            return slices[names.index(wanted)]
        if wanted.isdigit() and 1 <= int(wanted) <= len(slices):
            return slices[int(wanted) - 1]
        raise InputError(
            f"There is no slice '{wanted}' here; choose a number from 1 to {len(names)}, or a name: {'; '.join(names)}."
        )

    def view(self, groups: str, slices: str) -> View:
        """Mean influence of each group on each slice, neighbours alike."""
        found, chosen = self.groups(groups), self.slices(slices)
        phi = np.asarray(self.means.phi[chosen], np.float64)  # [S, N]
        mean = np.stack([phi[:, g.members].mean(1) for g in found])
        down, across = in_order(mean), in_order(mean.T)
        return View(tuple(found[i] for i in down), tuple(chosen[j] for j in across), mean[np.ix_(down, across)])

    def to_blame(self, slice_: int, top: int, among: Part | None = None, flagged: bool = False) -> pd.DataFrame:
        """Training rows by mean influence on a slice, most harmful first, at most `top` and only harmful ones.

        Columns: row_id, influence (on the slice), overall (on all validation rows), the target's name (its given text),
        and per error type its flag and probability. among: only rows of this group; flagged: only rows with a flag.
        """
        diagnosis = self.explainer.diagnosis
        phi = np.array(self.means.phi[slice_])
        asked = phi > 0
        if among is not None:
            asked &= np.isin(np.arange(len(phi)), among.members)
        if flagged:
            asked &= diagnosis[[k.value for k in ErrorType]].to_numpy(bool).any(1)
        places = np.flatnonzero(asked)
        places = places[np.argsort(-phi[places], kind="stable")][:top]
        kinds = [name for k in ErrorType for name in (k.value, k.probability_column)]
        found = diagnosis.iloc[places][["row_id", *kinds]].reset_index(drop=True)
        found.insert(1, "influence", phi[places])
        found.insert(2, "overall", diagnosis["harm"].to_numpy()[places])
        found.insert(3, "label", self._train[self.explainer.schema.target].to_numpy()[places])
        return found

    def touched(
        self, row_ids: Sequence[int], progress: Progress = no_progress, should_stop: ShouldStop = never_stop
    ) -> np.ndarray:
        """float32 [M]: mean influence of these training rows on each validation row (< 0 they help it).

        Rows that were held out are passed over. Cost: 2·n·M·Σ_l(D_l + K_l) operations for n rows. InputError: there is
        no such row, or all were held out. Cancelled: asked to stop.
        """
        explainer = self.explainer
        unknown = np.setdiff1d(row_ids, explainer.rows.index)
        if len(unknown):
            raise InputError(f"There is no row {unknown[0]}; row ids go from 0 to {len(explainer.rows) - 1}.")
        chosen = np.intersect1d(row_ids, explainer.diagnosis["row_id"])
        if not len(chosen):
            raise InputError("None of these rows is a training row; held-out rows influence nothing.")
        data: Encoded = explainer.encoder.transform(explainer.rows.loc[chosen])
        settings = InfluenceSettings(**explainer.run.manifest().settings["influence"])
        total = np.zeros(len(explainer.target_ids))
        for block in stream(
            explainer.network, data, explainer.schema.task, explainer.factors, settings, progress, should_stop, False
        ):
            total += block.phi.sum(0, dtype=np.float64)
        return (total / len(chosen)).astype(np.float32)

    def touched_rows(
        self,
        row_ids: Sequence[int],
        top: int,
        progress: Progress = no_progress,
        should_stop: ShouldStop = never_stop,
    ) -> pd.DataFrame:
        """The validation rows that these training rows harm or help, strongest first, at most `top` of either sign.

        Columns: validation_id, influence, then the raw cells, the target first. Errors as in `touched`.
        """
        phi = self.touched(row_ids, progress, should_stop)
        order = np.argsort(-phi, kind="stable")
        harmed, helped = [i for i in order[:top] if phi[i] > 0], [i for i in order[::-1][:top] if phi[i] < 0]
        target = self.explainer.schema.target
        held = self.explainer.run.validation().drop(columns=TARGET_ID)
        shown = held[[target, *(c for c in held if c != target)]].iloc[[*harmed, *helped]]
        found = shown.reset_index(names="validation_id")
        found.insert(1, "influence", phi[[*harmed, *helped]])
        return found

    def slices_touched(self, row_ids: Sequence[int]) -> np.ndarray:
        """float64 [S]: mean influence of these training rows on each slice of Means.slices."""
        inside = np.isin(self.explainer.diagnosis["row_id"].to_numpy(), row_ids)
        return np.asarray(self.means.phi[:, inside], np.float64).mean(1)

    @cached_property
    def _train(self) -> pd.DataFrame:
        """Raw cells of the training rows, in the order of the diagnosis."""
        return self.explainer.rows.loc[self.explainer.diagnosis["row_id"].to_numpy()]

    def _known(self, by: str, ways: tuple[str, ...], of: str) -> str:
        """by, or a column's bare name, as it stands among the ways."""
        for name in (by, LABEL if by == self.explainer.schema.target else COLUMN + by):
            if name in ways:
                return name
        shown = ", ".join(way.removeprefix(COLUMN) for way in ways)
        raise InputError(f"The {of} can't be divided by '{by}'; choose one of {shown}.")


def in_order(profiles: np.ndarray) -> list[int]:
    """Rows of a matrix [n, k] so that neighbours are alike: leaves of a hierarchical clustering (average linkage)."""
    if len(profiles) < 3:
        return list(range(len(profiles)))
    return [int(i) for i in leaves_list(linkage(profiles, "average", optimal_ordering=True))]


def row_numbers(text: str) -> list[int]:
    """Row ids as a person lists them; InputError: not understood.

    >>> row_numbers("4, 10-12")
    [4, 10, 11, 12]
    """
    found: list[int] = []
    for word in text.split(","):
        ends = [end.strip() for end in word.split("-")]
        if len(ends) > 2 or not all(end.isdigit() for end in ends):
            raise InputError(f"'{text}' is no list of row numbers; write them as in 4,10-20.")
        found += range(int(ends[0]), int(ends[-1]) + 1)
    return list(dict.fromkeys(found))
