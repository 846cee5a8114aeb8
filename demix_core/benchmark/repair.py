"""`bench repair`: what repairs bring on six real tables that neither the DEC nor the repairs' settings ever saw.

Every arm trains the same model with the same budget on the same corrupted rows, differently repaired, and is measured
on clean test rows. Settings of our repairs (margins, strengths) were chosen on other tables. Some arms train boosted
trees as well: what a network's influence found is repaired for whatever model comes next.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr, wilcoxon
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from demix_core.benchmark._peers import PEERS
from demix_core.benchmark._tables import BENCHMARKS, load
from demix_core.classifiers.detect import Case, detect
from demix_core.classifiers.planted import make_case
from demix_core.columns import to_numeric
from demix_core.evaluation.arms import Arm, Trainer, truth
from demix_core.evaluation.metrics import METRICS, Measured
from demix_core.influence.head import head_of
from demix_core.modalities.tabular import TabularEncoder
from demix_core.planting import Parts, split_and_plant
from demix_core.repairs.base import Evidence, suggest
from demix_core.settings import Settings
from demix_core.sift import benefit
from demix_core.types import Action, ErrorType, Patch, Schema, Task
from demix_core.work import cell_texts, evidence_of, gains_of
from demix_core.workers import in_order, one_thread

SEEDS = (2026, 2027, 2028, 2029, 2030)
CONDITIONS = (("paper", 0.5), ("paper", 0.9))
MODELS = ("mlp1",)
TREES = "boosted trees"
TRAININGS = 1
"""Seeds of the model per run."""

REVIEWED = (100, 500)
SUREST = ", surest first"
NOTHING, CLEAN, OURS, PAPER = "nothing", "oracle: clean cells", "DeMix, recommended", "the paper's repairs, our flags"
ORACLE = "oracle: clean cells, true weights"
CLEANLAB, DROPPED = "cleanlab: wrong labels repaired", "all flagged rows dropped"
ALTERNATIVES = (NOTHING, PAPER, DROPPED, CLEANLAB)
FOR_TREES = (OURS, CLEAN, *ALTERNATIVES)
CLOSE = 0.5
"""A repaired number is right when at least this share of its error is gone."""


def reviewed(n: int) -> str:
    """The name of the arm in which a reviewer looked at the n most useful suggestions and accepted the right ones."""
    return f"DeMix, {n} reviewed"


@dataclass(frozen=True)
class Scene:
    """One corrupted table with its diagnosis; frames as texts, train and clean row by row alike."""

    parts: Parts
    schema: Schema
    case: Case
    encoder: TabularEncoder
    evidence: Evidence
    flags: np.ndarray
    patches: tuple[Patch, ...]
    dirty: pd.DataFrame
    clean: pd.DataFrame

    @property
    def spurious(self) -> np.ndarray:
        """bool [N], the truth."""
        return self.parts.train.truth[ErrorType.SPURIOUS.value].to_numpy(bool)

    def right(self, patch: Patch) -> bool:
        """Whether a reviewer who knows the truth accepts it: a class or category is the true one, most of a number's
        error is gone, a row with more weight does go against the planted shortcut."""
        if patch.action is Action.REWEIGHT:
            return bool(self.spurious[patch.row_id])
        if patch.action is Action.SWAP:
            known = ((patch.column, patch.new), (patch.partner, patch.old))
            return all(same(text, str(self.clean.at[patch.row_id, name])) for name, text in known)
        old, true = (str(f.at[patch.row_id, patch.column]).strip() for f in (self.dirty, self.clean))
        if same(old, true):
            return False
        given, new, wanted = to_numeric(pd.Series([old, patch.new, true], dtype=object))
        if np.isfinite([new, wanted]).all() and not (patch.action is Action.RELABEL and self.schema.classes):
            return bool(np.isnan(given) or abs(new - wanted) <= (1 - CLOSE) * abs(given - wanted))
        return patch.new.strip() == true


def same(a: str, b: str) -> bool:
    """Whether two cells hold the same: 278.0 is 278."""
    x, y = to_numeric(pd.Series([a, b], dtype=object))
    return a.strip() == b.strip() or bool(x == y)


def run(*, quick: bool = False, seed: int = SEEDS[0]) -> dict[str, Any]:
    """All arms on six tables, two conditions, five seeds (quick: two tables, one of each)."""
    tables = ("bank", "air") if quick else tuple(BENCHMARKS)
    conditions, models = (CONDITIONS[:1], MODELS[:1]) if quick else (CONDITIONS, MODELS)
    seeds = [seed + i for i in range(1 if quick else len(SEEDS))]
    jobs = [(t, p, a, s, m) for t in tables for p, a in conditions for m in models for s in seeds]
    return report(pd.DataFrame(in_order(_one, jobs)))


def _one(job: tuple[str, str, float, int, str]) -> list[dict[str, Any]]:
    """One table, one corruption, one model: a row per arm."""
    name, protocol, alpha, seed, model = job
    warnings.simplefilter("ignore")
    frame, schema = load(name)
    settings = Settings(seed=seed, fit=replace(Settings().fit, model=model))
    scene = make_scene(split_and_plant(frame, schema, protocol, alpha, seed), schema, settings)
    test = cell_texts(scene.parts.test)
    trainer = Trainer(schema, settings.fit, cell_texts(scene.parts.validation.frame), {"test": test})
    y = truth(test, schema)
    facts = _facts(scene)
    rows = []
    for arm in arms(scene, seed):
        answers = {model: trainer.predictions(arm, range(TRAININGS))["test"]}
        if arm.name in FOR_TREES:
            answers[TREES] = [by_trees(arm, schema, test, seed)]
        for learner, predicted in answers.items():
            line = {
                "table": name, "protocol": protocol, "alpha": alpha, "seed": seed, "model": learner, "arm": arm.name,
                **_scores(predicted, y, schema),
            }  # fmt: skip
            rows.append(line | (facts if arm.name == OURS and learner == model else {}))
    return rows


def _scores(predicted: Sequence[np.ndarray], y: np.ndarray, schema: Schema) -> dict[str, float]:
    """Every metric of the task, mean over trainings."""
    each, one = [Measured(p, y, np.full(len(y), -1)) for p in predicted], np.ones((1, len(y)))
    return {m.name: float(np.mean([m.measure(e, one)[0] for e in each])) for m in METRICS[schema.task]}


@one_thread()
def by_trees(arm: Arm, schema: Schema, test: pd.DataFrame, seed: int) -> np.ndarray:
    """What boosted trees trained on an arm predict of the test rows: [n, K] probabilities, or [n, 1]."""
    encoder = TabularEncoder.fit(arm.frame, schema)
    x, rows = encoder.transform(arm.frame).x, encoder.transform(test).x
    settings: dict[str, Any] = {"early_stopping": False, "random_state": seed}
    if schema.task is Task.REGRESSION:
        trees = HistGradientBoostingRegressor(**settings).fit(x, truth(arm.frame, schema), arm.weights)
        return np.asarray(trees.predict(rows)[:, None])
    y, p = truth(arm.frame, schema), np.zeros((len(rows), len(schema.classes)))
    if len(np.unique(y)) == 1:  # where all rows of the other class were dropped
        p[:, y[0]] = 1.0
        return p
    model = HistGradientBoostingClassifier(**settings).fit(x, y, arm.weights)
    p[:, model.classes_] = model.predict_proba(rows)
    return p


def make_scene(parts: Parts, schema: Schema, settings: Settings) -> Scene:
    """Diagnose, as the product does."""
    case = make_case(parts.train.frame, parts.validation.frame, schema, settings)
    found = detect(case, settings)
    encoder = TabularEncoder.fit(case.frame, schema)
    flags = found.probabilities >= np.array([found.thresholds[k] for k in ErrorType])
    evidence = evidence_of(case, encoder, found)
    patches = suggest(evidence, flags).patches
    dirty, clean = cell_texts(parts.train.frame), cell_texts(parts.clean)
    return Scene(parts, schema, case, encoder, evidence, flags, patches, dirty, clean)


# ---- the arms ----------------------------------------------------------------------------------------------------


def arms(scene: Scene, seed: int) -> Iterator[Arm]:
    """Every way to treat the corrupted rows."""
    yield Arm(NOTHING, scene.dirty)
    yield Arm(CLEAN, scene.clean)
    yield Arm(ORACLE, scene.clean, np.where(scene.spurious, 2.0, 1.0))
    yield patched(OURS, scene, [p for p in scene.patches if p.recommended])
    for how, order in _orders(scene).items():
        for n in REVIEWED:
            yield patched(f"{reviewed(n)}{how}", scene, [p for p in order[:n] if scene.right(p)])
    yield _of_the_paper(scene)
    yield Arm(DROPPED, scene.dirty.iloc[np.flatnonzero(~scene.flags.any(1))])
    yield _cleanlab(scene, seed)


def _orders(scene: Scene) -> dict[str, list[Patch]]:
    """In which a person reviews: the most useful first, as the queue offers it, and the surest first."""
    patches = list(scene.patches)
    relabels = np.array([p.action is Action.RELABEL for p in patches], bool)
    sure, gain = np.array([p.confidence for p in patches]), _gains(scene, patches)
    useful = np.argsort(-benefit(relabels, sure, gain, scene.schema.task is Task.REGRESSION), kind="stable")
    return {"": [patches[i] for i in useful], SUREST: [patches[i] for i in np.argsort(-sure, kind="stable")]}


def patched(name: str, scene: Scene, patches: Sequence[Patch]) -> Arm:
    """The dirty rows with these patches, surest last."""
    frame, weights = scene.dirty.copy(), np.ones(len(scene.dirty))
    for patch in sorted(patches, key=lambda p: p.confidence):
        if patch.action is Action.REWEIGHT:
            weights[patch.row_id] = float(patch.new)
        else:
            frame.at[patch.row_id, patch.column] = patch.new
            if patch.partner:
                frame.at[patch.row_id, patch.partner] = patch.old
    return Arm(name, frame, weights if (weights != 1).any() else None)


def _of_the_paper(scene: Scene) -> Arm:
    """ANCHORS B: binary labels flipped, other wrong labels and wrong cells dropped, all but spurious rows halved."""
    label, feature, spurious = (np.asarray(scene.flags[:, k]) for k in range(3))
    frame, kept = scene.dirty.copy(), ~feature
    if len(scene.schema.classes) == 2:
        target, (a, b) = scene.schema.target, scene.schema.classes
        frame.loc[label, target] = frame.loc[label, target].str.strip().map({a: b, b: a})
    else:
        kept &= ~label
    weights = np.where(spurious, 1.0, 0.5) if spurious.any() else np.ones(len(frame))
    at = np.flatnonzero(kept)
    return Arm(PAPER, frame.iloc[at], weights[at])


def _cleanlab(scene: Scene, seed: int) -> Arm:
    """Confident learning with the same out-of-fold trees, labels set to the likeliest class; numbers: as many of the
    largest residuals as we flag, dropped (cleanlab gives scores there and no flags)."""
    found = PEERS[ErrorType.LABEL]["cleanlab, boosted trees"](scene.case, seed)
    frame = scene.dirty.copy()
    if scene.schema.task is Task.REGRESSION:
        worst = np.argsort(-found.scores, kind="stable")[: int(scene.flags[:, 0].sum())]
        return Arm(CLEANLAB, frame.drop(index=frame.index[worst]))
    if found.flags is not None:
        likeliest = np.array(scene.schema.classes, object)[scene.case.signals.oof.argmax(1)]
        frame.loc[found.flags, scene.schema.target] = likeliest[found.flags]
    return Arm(CLEANLAB, frame)


# ---- what the suggestions are worth by themselves ----------------------------------------------------------------


def _facts(scene: Scene) -> dict[str, float]:
    """How right the suggested values are, and what influence expects of the recommended ones."""
    relabels = [p for p in scene.patches if p.recommended and p.action is Action.RELABEL]
    facts = {"relabels": float(len(relabels)), "relabels right": _share(scene.right(p) for p in relabels)}
    numbers, medians, categories, modes = _imputed(scene)
    chosen = [p for p in scene.patches if p.recommended]
    return facts | {
        "numeric error": float(np.sum(numbers)), "numeric error of the median": float(np.sum(medians)),
        "categories right": _share(categories), "modes right": _share(modes), "expected gain": _expected(scene, chosen),
    }  # fmt: skip


def _share(hits: Iterator[bool] | Sequence[bool]) -> float:
    found = list(hits)
    return float(np.mean(found)) if found else np.nan


def _imputed(scene: Scene) -> tuple[list[float], list[float], list[bool], list[bool]]:
    """Of suggestions for truly wrong cells: errors of numbers (in deviations), the median's; hits, the mode's."""
    numbers: list[float] = []
    medians: list[float] = []
    categories: list[bool] = []
    modes: list[bool] = []
    for p in scene.patches:
        if p.action is not Action.IMPUTE or p.column is None:
            continue
        old, true = (str(f.at[p.row_id, p.column]) for f in (scene.dirty, scene.clean))
        if same(old, true) or true == "":
            continue
        column = scene.dirty[p.column]
        if scene.schema.kind(p.column) == "numeric":
            values = to_numeric(column)
            middle = np.nanmedian(values)
            spread = float(np.nanstd(to_numeric(scene.clean[p.column]))) + 1e-9
            wanted, new = to_numeric(pd.Series([true, p.new], dtype=object))
            if np.isfinite([wanted, new]).all():
                numbers.append(abs(new - wanted) / spread)
                medians.append(abs(middle - wanted) / spread)
        else:
            categories.append(p.new.strip() == true.strip())
            modes.append(str(column[column != old].mode().iloc[0]).strip() == true.strip())
    return numbers, medians, categories, modes


def _expected(scene: Scene, patches: Sequence[Patch]) -> float:
    """The fall of the validation loss that influence expects."""
    return float(_gains(scene, patches).sum()) if patches else np.nan


def _gains(scene: Scene, patches: Sequence[Patch]) -> np.ndarray:
    """float64 [P], of each patch by itself."""
    case = scene.case
    head = head_of(case.fitted.network, case.train, case.validation, case.schema.task)
    return gains_of(head, scene.encoder, scene.dirty, patches)


# ---- the figures -------------------------------------------------------------------------------------------------


def _score(runs: pd.DataFrame) -> pd.Series:
    """One figure per run, more is better: macro F1, or −RMSE."""
    return runs["f1"].where(runs["f1"].notna(), -runs["rmse"])


def report(runs: pd.DataFrame) -> dict[str, Any]:
    """All figures from the runs, one line per table, corruption, seed, model and arm."""
    for name in ("f1", "rmse", "auc"):
        runs[name] = runs.get(name, pd.Series(np.nan, runs.index))
    runs["score"] = _score(runs)
    own, of_trees = runs[runs["model"] != TREES], runs[runs["model"] == TREES]
    wide, gain, per_table = _compared(own)
    found = {
        "name": "repair", "table": _table(gain, per_table), "by_table": _by_table(gain),
        "significance": _significance(per_table), "values": _values(own), "estimate": _estimate(own, wide),
    }  # fmt: skip
    if len(of_trees):
        _, gain, per_table = _compared(of_trees)
        found |= {"trees": _table(gain, per_table), "trees_significance": _significance(per_table)}
    return found | {"runs": runs.round(5).replace({np.nan: None}).to_dict("list")}


def _compared(runs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """(scores, gains over no repair: a line per run, a column per arm; gains averaged per table and corruption)."""
    wide = runs.pivot_table(index=["table", "protocol", "alpha", "seed", "model"], columns="arm", values="score")
    gain = wide.sub(wide[NOTHING], axis=0).div(wide[NOTHING].abs(), axis=0)
    return wide, gain, gain.groupby(level=["protocol", "alpha", "table"]).mean()


def _conditions(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for (protocol, alpha), part in frame.groupby(level=["protocol", "alpha"]):
        yield f"{protocol} {alpha:g}", part


def _table(gain: pd.DataFrame, per_table: pd.DataFrame) -> list[dict[str, Any]]:
    """Mean relative gain over no repair in percent, its spread over runs, and the share of the gap to clean cells."""
    lines = []
    for condition, part in _conditions(gain):
        means = per_table.loc[part.index[0][1:3]]
        gap = means[CLEAN]
        for arm in part.columns:
            lines.append({
                "errors": condition, "arm": arm, "gain %": round(100 * float(means[arm].mean()), 2),
                "sd over runs": round(100 * float(part[arm].std()), 2),
                "share of the gap": round(float(means[arm].sum() / gap.sum()), 2),
                "tables worse": int((means[arm] < 0).sum()),
            })  # fmt: skip
    return lines


def _by_table(gain: pd.DataFrame) -> list[dict[str, Any]]:
    """Per table and arm: mean gain in percent, and whether it is significantly worse than nothing (t over runs)."""
    lines = []
    for condition, part in _conditions(gain):
        for name, runs in part.groupby(level="table"):
            for arm in runs.columns:
                v = runs[arm].to_numpy()
                error = v.std(ddof=1) / np.sqrt(len(v)) if len(v) > 1 else np.nan
                lines.append({
                    "errors": condition, "table": name, "arm": arm, "gain %": round(100 * float(v.mean()), 2),
                    "worse": bool(v.mean() + 2.26 * error < 0),
                })  # fmt: skip
    return lines


def _significance(per_table: pd.DataFrame) -> list[dict[str, Any]]:
    """Paired Wilcoxon over tables × conditions of the protocol (means over seeds and models), ours against each."""
    lines = []
    pools: list[tuple[str, Callable[[pd.DataFrame], pd.DataFrame]]] = [("all conditions", lambda f: f)]
    pools += [(name, lambda f, name=name: dict(_conditions(f))[name]) for name, _ in _conditions(per_table)]  # type: ignore[misc]
    for pool, choose in pools:
        part = choose(per_table)
        pairs = [(OURS, other) for other in ALTERNATIVES] + [(reviewed(REVIEWED[-1]), DROPPED)]
        for arm, other in [pair for pair in pairs if pair[0] in part]:
            gap = (part[arm] - part[other]).to_numpy()
            p = float(wilcoxon(gap).pvalue) if np.any(gap) else 1.0
            lines.append({
                "over": pool, "of": arm, "against": other, "mean difference %": round(100 * float(gap.mean()), 2),
                "pairs": len(gap), "won": int((gap > 0).sum()), "p": round(p, 5),
            })  # fmt: skip
    return lines


def _values(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """How right suggested labels and cells are, per condition."""
    ours, lines = runs[runs["arm"] == OURS], []
    for (protocol, alpha), part in ours.groupby(["protocol", "alpha"]):
        two = part[part["table"].isin(("adult", "bank", "credit"))]
        lines.append({
            "errors": f"{protocol} {alpha:g}", "binary relabels right": round(_weighted(two), 3),
            "relabels right": round(_weighted(part), 3),
            "numeric error / median's": round(
                float(part["numeric error"].sum() / part["numeric error of the median"].sum()), 3
            ),
            "categories right": round(float(part["categories right"].mean()), 3),
            "modes right": round(float(part["modes right"].mean()), 3),
        })  # fmt: skip
    return lines


def _weighted(part: pd.DataFrame) -> float:
    n = part["relabels"].to_numpy()
    return float((part["relabels right"].fillna(0) * n).sum() / max(n.sum(), 1))


def _estimate(runs: pd.DataFrame, wide: pd.DataFrame) -> dict[str, Any]:
    """How well the expected gain orders the measured gains of the recommended repairs, over runs."""
    ours = runs[runs["arm"] == OURS].set_index(wide.index.names)
    measured = (wide[OURS] - wide[NOTHING]) / wide[NOTHING].abs()
    both = pd.concat([ours["expected gain"], measured.rename("measured")], axis=1).dropna()
    if len(both) < 3 or both["expected gain"].nunique() < 2 or both["measured"].nunique() < 2:
        return {"runs": len(both)}
    rho, p = spearmanr(both["expected gain"], both["measured"])
    same = float((np.sign(both["expected gain"]) == np.sign(both["measured"])).mean())
    return {"runs": len(both), "spearman": round(float(rho), 3), "p": round(float(p), 5), "same sign": round(same, 3)}
