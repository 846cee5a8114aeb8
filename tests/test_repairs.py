"""What the repairs suggest, and what they decline."""

from __future__ import annotations

from dataclasses import dataclass, replace

import hypothesis
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from demix_core.repairs.base import REPAIRS, Declined, Evidence, Proposal, suggest
from demix_core.repairs.conditional import guess_cells
from demix_core.repairs.impute import FLOOR, MOST, SHARE, CellView, _odd_alone, _replaceable, suspect_cells
from demix_core.repairs.patterns import find_patterns
from demix_core.repairs.reweight import GROUPS, MOST_WEIGHT, STRENGTH, balanced_weight
from demix_core.repairs.swaps import LEAST_ROWS, adapted, find_swaps
from demix_core.signals.cells import CellModel
from demix_core.signals.oddities import Oddities, find_oddities
from demix_core.signals.shortcuts import RuleGroup, rule_groups
from demix_core.types import Action, Column, ColumnKind, ErrorType, Schema, Task

CLASSES = ("a", "b", "c", "d", "e")
KINDS = list(ErrorType)


@dataclass(frozen=True)
class Rule:
    condition: str
    target: str
    strength: float


def cells(n: int) -> CellModel:
    surprise = np.tile(np.array([6.0, 4.0], np.float32), (n, 1))
    suggestion = np.tile(np.array(["40", "Private"], object), (n, 1))
    none = np.zeros((n, 2), np.float32)
    return CellModel(
        surprise, none, suggestion, none + 0.9, none[:, 0], none, none[:, :0], none.astype(int), np.ones(2)
    )


def oddities(n: int, distance: float = 0.0, crowd: float = 0.0, form: float = 0.0) -> Oddities:
    one = np.ones((n, 2), np.float32)
    odd = np.array([1.0, 0.0], np.float32)
    return Oddities(odd * distance * one, one * 0.5, odd * crowd * one, odd * form * one, one * 0, one * 0,
                    np.array([38.0, np.nan]), np.array([45.0, np.nan]), one[:, 0] * 0, one * 0)  # fmt: skip


def evidence(n: int = 4, task: Task = Task.CLASSIFICATION, seed: int = 0) -> Evidence:
    """n rows of one number and one category."""
    r = np.random.default_rng(seed)
    target = Column("y", ColumnKind.CATEGORICAL if task is Task.CLASSIFICATION else ColumnKind.NUMERIC)
    columns = (
        Column("hours", ColumnKind.NUMERIC),
        Column("id", ColumnKind.IGNORE),
        Column("job", ColumnKind.CATEGORICAL),
        target,
    )
    classes = CLASSES if task is Task.CLASSIFICATION else ()
    given = r.integers(0, 5, n) if classes else r.normal(100, 10, n)
    labels = [CLASSES[k] for k in given] if classes else [f"{v:.1f}" for v in given]
    frame = pd.DataFrame(
        {"hours": ["999"] * n, "id": ["x"] * n, "job": ["Privat"] * n, "y": labels}, index=np.arange(n) * 10
    )
    p = r.dirichlet(np.ones(5), n) if classes else r.normal(100, 10, (n, 1))
    q = r.dirichlet(np.ones(5), n) if classes else r.normal(100, 10, (n, 1))
    return Evidence(
        frame, Schema(columns, "y", task, classes), np.full((n, 3), 0.8, np.float32), given, p, q, 5.0,
        np.tile(np.array([0.7, 0.5], np.float32), (n, 1)), cells(n), oddities(n),
        np.zeros(n, int), (Rule("race = Black", ">50K", 0.41),),
        (lambda k: CLASSES[int(k)]) if classes else (lambda v: f"{v:.1f}"),
        np.full((n, 1), -1, np.int8), (RuleGroup(8123, 0.94, 0.12, 512, 40, 0.31, 0.8, 0.06),),
    )  # fmt: skip


def propose(name: str, given_evidence: Evidence, row: int = 0) -> list[Proposal] | Declined:
    (answer,) = REPAIRS[name].propose(given_evidence, np.array([row]))
    return answer


def test_each_type_has_exactly_one_repair_and_none_drops() -> None:
    assert sorted(r.error_type for _, r in REPAIRS.items()) == sorted(ErrorType)
    assert Action.DROP not in {r.action for _, r in REPAIRS.items()}


@given(
    p=hnp.arrays(np.float64, (2, 5), elements=st.floats(1e-6, 1.0)),
    label=st.integers(0, 4),
)
def test_relabel_takes_the_likeliest_other_class(p: np.ndarray, label: int) -> None:
    p = p / p.sum(1, keepdims=True)
    known = replace(evidence(1), given=np.array([label]), model=p[:1], out_of_fold=p[1:])
    known.frame["y"] = [CLASSES[label]]
    (proposal,) = propose("relabel", known)
    mean = p.mean(0)
    others = [k for k in range(5) if k != label]
    assert mean[CLASSES.index(proposal.new)] == pytest.approx(max(mean[k] for k in others))
    assert proposal.new != proposal.old == CLASSES[label]
    assert 0 < proposal.certainty <= 1
    assert proposal.certainty == pytest.approx(mean[CLASSES.index(proposal.new)] / (1 - mean[label]))
    assert f"{mean[CLASSES.index(proposal.new)]:.2f}" in proposal.reason
    assert proposal.unseen == (mean[CLASSES.index(proposal.new)] > mean[label]), "else it is for a person to decide"


def test_relabel_says_when_the_given_class_is_not_among_the_likely_ones() -> None:
    p = np.array([[0.05, 0.5, 0.25, 0.15, 0.05]])
    known = replace(evidence(1), given=np.array([0]), model=p, out_of_fold=p)
    known.frame["y"] = ["a"]
    (proposal,) = propose("relabel", known)
    assert proposal.reason == (
        "Given 'a', but rows like this one are 'b' with probability 0.50. 'a' is not among the 3 most likely classes."
    )
    kept = replace(known, given=np.array([1]))
    kept.frame["y"] = ["b"]
    (proposal,) = propose("relabel", kept)
    assert "behaves like a wrong one" in proposal.reason and "not among" not in proposal.reason


def test_relabel_of_a_number_is_the_out_of_fold_prediction_in_the_files_form() -> None:
    known = replace(evidence(1, Task.REGRESSION), given=np.array([812.0]), out_of_fold=np.array([[310.04]]))
    known.frame["y"] = ["812.0"]
    (proposal,) = propose("relabel", known)
    assert (proposal.column, proposal.old, proposal.new) == ("y", "812.0", "310.0")
    assert proposal.certainty > 0.999
    same = replace(known, out_of_fold=np.array([[812.04]]))
    assert isinstance(propose("relabel", same), Declined)


@given(hnp.arrays(np.float32, st.integers(0, 12), elements=st.floats(0, 1, width=32)))
def test_suspect_cells_by_their_definition(wrong: np.ndarray) -> None:
    found = suspect_cells(wrong)
    assert len(found) <= MOST and len(set(found)) == len(found)
    if not len(wrong):
        assert found == []
        return
    top = wrong.max()
    assert wrong[found[0]] == top
    wanted = [s for s in np.sort(wrong)[::-1][1:MOST] if s >= max(FLOOR, SHARE * top)]
    assert [float(wrong[j]) for j in found[1:]] == [float(s) for s in wanted]


def test_impute_names_column_value_and_how_unusual() -> None:
    first, second = propose("impute", evidence())
    assert (first.column, first.old, first.new) == ("hours", "999", "40")
    assert (
        first.reason
        == "hours = 999 is 400 times less likely than usual beside the other cells, which suggest about 40."
    )
    assert (second.column, second.new) == ("job", "Private")
    assert "job = 'Privat'" in second.reason and "'Private'" in second.reason
    assert first.certainty == pytest.approx(0.7 / 0.8) and second.certainty == pytest.approx(0.5 / 0.8)


def test_impute_says_what_is_odd_about_the_cell_itself() -> None:
    first, _ = propose("impute", replace(evidence(20), oddities=oddities(20, distance=9.0, crowd=2.0)))
    assert first.reason == (
        "hours = 999: half of all rows lie between 38 and 45; 10 rows hold exactly this value, far more than values "
        "like it; the other cells suggest about 40."
    )
    first, _ = propose("impute", replace(evidence(), oddities=oddities(4, form=5.0)))
    assert first.reason == (
        "hours = 999: it is written unlike the other cells of its column; the other cells suggest about 40."
    )
    empty = evidence()
    empty.frame["hours"] = ""
    assert propose("impute", empty)[0].reason == "hours is empty; the other cells suggest about 40."


def test_impute_declines_without_a_better_value() -> None:
    known = evidence()
    nothing = np.array([["999", ""]] * 4, object)
    assert isinstance(propose("impute", replace(known, cells=replace(known.cells, suggestion=nothing))), Declined)


def test_reweight_names_the_shortcut() -> None:
    (proposal,) = propose("reweight", evidence())
    weight = 1 + STRENGTH * 0.8 * (1 - 0.8)
    assert (proposal.column, proposal.old, proposal.new) == (None, "1", f"{weight:.2f}")
    assert proposal.reason == (
        "Shortcut 'race = Black → >50K' holds in 94% of 8,123 rows (>50K in 12% of the others); this row is one of 512 "
        "that break it, model error there 31% (elsewhere 6%); more weight keeps the model from leaning on it."
    )
    (stray,) = propose("reweight", replace(evidence(), sides=np.ones((4, 1), np.int8)))
    assert "one of 40 that have >50K without the condition, model error there 80% (elsewhere 6%)" in stray.reason
    numbers = evidence(task=Task.REGRESSION)
    assert "model error there 0.31 (elsewhere 0.06)" in propose("reweight", numbers)[0].reason
    (unnamed,) = propose("reweight", replace(evidence(), against=np.full(4, -1)))
    assert "→" not in unnamed.reason and unnamed.alternatives == ()


@given(sides=hnp.arrays(np.int8, st.integers(4, 60), elements=st.integers(-1, 1)), seed=st.integers(0, 5))
def test_the_alternative_weight_balances_the_groups_of_the_rule(sides: np.ndarray, seed: int) -> None:
    n = len(sides)
    condition = np.where(sides == 0, np.random.default_rng(seed).random(n) < 0.5, sides < 0)
    groups = rule_groups(sides[:, None], np.array([condition.mean()]), np.zeros(n))
    known = replace(evidence(n), sides=sides[:, None], groups=groups)
    weights = [float(balanced_weight(known, i)) for i in np.flatnonzero(sides)]
    for side in (-1, 1):
        mine = [w for w, s in zip(weights, sides[sides != 0], strict=True) if s == side]
        if mine and mine[0] < MOST_WEIGHT:
            assert sum(mine) == pytest.approx(n / GROUPS, rel=0.03), "each of the four groups weighs a quarter"


@hypothesis.settings(deadline=None)  # the first example finds and loads the repairs
@given(flags=hnp.arrays(bool, (6, 3)), seed=st.integers(0, 5), task=st.sampled_from(list(Task)))
def test_suggestions_are_numbered_by_row_then_type_and_cover_every_flag(
    flags: np.ndarray, seed: int, task: Task
) -> None:
    known = evidence(6, task, seed)
    made = suggest(known, flags)
    assert [p.patch_id for p in made.patches] == list(range(len(made.patches)))
    order = [(p.row_id, KINDS.index(p.error_type)) for p in made.patches]
    assert order == sorted(order)
    answered = set(order) | {(row, KINDS.index(kind)) for row, kind, _ in made.declined}
    assert answered == {(int(i) * 10, int(k)) for i, k in zip(*np.nonzero(flags), strict=True)}
    assert all(0 <= p.confidence <= 0.8 + 1e-6 for p in made.patches), "never surer than the type itself"
    assert all(p.new != p.old and p.reason.endswith(".") for p in made.patches)


@pytest.mark.parametrize("task", list(Task))
def test_recommended_is_what_its_repairs_margin_allows(task: Task) -> None:
    known = evidence(6, task)
    for patch in suggest(known, np.ones((6, 3), bool)).patches:
        repair = next(r for _, r in REPAIRS.items() if r.error_type is patch.error_type)
        margin = repair.margin_of_numbers if task is Task.REGRESSION else repair.margin
        assert not patch.recommended or patch.confidence >= margin
        likelier = patch.error_type is not ErrorType.LABEL or "behaves like" not in patch.reason
        seen = patch.error_type is ErrorType.FEATURE or not likelier
        assert patch.recommended or seen or patch.confidence < margin
    assert not any(
        text in (p.old, p.new) for p in suggest(known, np.ones((6, 3), bool)).patches for text, _ in p.alternatives
    )


def column(values: list[str], kind: ColumnKind, bad: list[int]) -> tuple[pd.DataFrame, Schema, np.ndarray]:
    """One column whose cells at `bad` are surely wrong, beside one that tells nothing, and a label."""
    n = len(values)
    frame = pd.DataFrame({"v": values, "other": [str(i % 3) for i in range(n)], "y": ["a", "b"] * (n // 2)})
    schema = Schema((Column("v", kind), Column("other", ColumnKind.CATEGORICAL), Column("y", ColumnKind.CATEGORICAL)),
                    "y", Task.CLASSIFICATION, ("a", "b"))  # fmt: skip
    wrong = np.zeros((n, 2))
    wrong[bad, 0] = 0.9
    return frame, schema, wrong


def fixes(values: list[str], kind: ColumnKind, bad: list[int]) -> dict[int, tuple[str, str]]:
    frame, schema, wrong = column(values, kind, bad)
    found = find_patterns(frame, schema, wrong, find_oddities(frame, schema))
    return {row: (fix.new, fix.pattern) for (row, _), fix in found.items()}


@pytest.mark.parametrize("factor", [0.001, 0.01, 100.0, 1000.0])
def test_a_unit_shared_by_many_cells_is_undone_not_guessed(factor: float) -> None:
    numbers = np.random.default_rng(3).integers(400, 600, 200)
    bad = list(range(0, 200, 20))
    values = [f"{n * factor:g}" if i in bad else str(n) for i, n in enumerate(numbers)]
    found = fixes(values, ColumnKind.NUMERIC, bad)
    assert {row: new for row, (new, _) in found.items()} == {i: str(numbers[i]) for i in bad}
    assert len({pattern for _, pattern in found.values()}) == 1, "one suggestion for all of them"


def test_a_unit_must_be_the_usual_ratio_to_what_the_row_suggests() -> None:
    numbers = np.random.default_rng(3).integers(400, 600, 200)
    bad = list(range(0, 200, 20))
    scaled = [str(n * 4) if i in bad else str(n) for i, n in enumerate(numbers)]
    frame, schema, wrong = column(scaled, ColumnKind.NUMERIC, bad)
    odd, told = find_oddities(frame, schema), {(i, 0): str(numbers[i]) for i in bad}
    assert not find_patterns(frame, schema, wrong, odd, told), "four times is no unit"
    frame["v"] = [str(n * 10) if i in bad else str(n) for i, n in enumerate(numbers)]
    assert set(find_patterns(frame, schema, wrong, find_oddities(frame, schema), told)) == set(told)


def test_what_could_never_have_stood_in_the_column_undoes_no_mistake() -> None:
    """53 among whole numbers from 4 to 6 is not ten times 5.3: nobody ever wrote 5.3 there."""
    bad = list(range(0, 200, 20))
    whole = [str(i % 3 + 4) for i in range(200)]
    assert not fixes(["53" if i in bad else v for i, v in enumerate(whole)], ColumnKind.NUMERIC, bad)
    tenths = [f"{float(v):.1f}" for v in whole]
    some = [f"{51 + i / 20:.1f}" if i in bad else v for i, v in enumerate(tenths)]
    assert {new for new, _ in fixes(some, ColumnKind.NUMERIC, bad).values()} == {
        f"{5.1 + k / 10:.1f}" for k in range(10)
    }


def test_a_wrong_sign_is_turned_around() -> None:
    numbers = np.random.default_rng(3).integers(400, 600, 100)
    bad = list(range(0, 100, 10))
    found = fixes([str(-n if i in bad else n) for i, n in enumerate(numbers)], ColumnKind.NUMERIC, bad)
    assert {row: new for row, (new, _) in found.items()} == {i: str(numbers[i]) for i in bad}


def test_a_wrong_sign_is_seen_beside_other_errors() -> None:
    numbers = np.random.default_rng(3).integers(400, 600, 100)
    bad, far = list(range(0, 100, 10)), list(range(5, 100, 7))
    values = [str(-n if i in bad else n * 3 + i if i in far else n) for i, n in enumerate(numbers)]
    found = fixes(values, ColumnKind.NUMERIC, bad + far)
    assert {row: new for row, (new, _) in found.items()} == {i: str(numbers[i]) for i in bad}


@pytest.mark.parametrize("bad", [[0, 30, 60], list(range(0, 100, 10))])
def test_a_few_negative_cells_or_one_negative_number_over_and_over_are_no_wrong_signs(bad: list[int]) -> None:
    numbers = np.random.default_rng(3).integers(1, 9, 100)
    found = fixes(
        [str(-1 - len(bad) % 2 * i if i in bad else n) for i, n in enumerate(numbers)], ColumnKind.NUMERIC, bad
    )
    assert not any("sign" in pattern for _, pattern in found.values())


def test_a_year_of_two_digits_is_written_in_full_where_one_year_is_meant() -> None:
    numbers = np.random.default_rng(3).integers(1950, 2010, 400)
    numbers[::40] = np.random.default_rng(5).integers(1895, 1915, 10)
    bad = list(range(5, 100, 10))
    found = fixes([str(n)[2:] if i in bad else str(n) for i, n in enumerate(numbers)], ColumnKind.NUMERIC, bad)
    assert found and all(new == str(numbers[row]) for row, (new, _) in found.items())
    assert not fixes([str(n - 1900 if i in bad else n - 1000) for i, n in enumerate(numbers)], ColumnKind.NUMERIC, bad)


@pytest.mark.parametrize(
    ("text", "wanted"), [("8400 sq ft", "8400"), ("8400 Sq. Ft.", "8400"), ("8400 in the back", "")]
)
def test_a_number_with_a_unit_among_bare_ones_is_taken_as_it_stands(text: str, wanted: str) -> None:
    numbers = np.random.default_rng(3).integers(4000, 12000, 100)
    found = fixes([text if i == 5 else str(n) for i, n in enumerate(numbers)], ColumnKind.NUMERIC, [5])
    assert {row: new for row, (new, _) in found.items()} == ({5: wanted} if wanted else {})


def test_a_guess_never_replaces_a_number_in_words_unseen() -> None:
    garbled = CellView(9.0, distance=0.0, crowd=0.0, form=9.0, copies=1, low=0, high=1, garbled=True)
    assert _replaceable("unknown", garbled) and not _replaceable("circa 1200?", garbled)
    assert _replaceable("1200", replace(garbled, garbled=False)) and not _replaceable(" ", garbled)


def test_a_placeholder_becomes_missing() -> None:
    numbers = np.random.default_rng(4).integers(20, 60, 100)
    bad = list(range(0, 100, 10))
    found = fixes(["9999" if i in bad else str(n) for i, n in enumerate(numbers)], ColumnKind.NUMERIC, bad)
    assert set(found) == set(bad) and {new for new, _ in found.values()} == {""}


def test_a_day_that_stands_for_unknown_is_one_mistake() -> None:
    days = pd.Timestamp("2019-01-01") + pd.to_timedelta(np.random.default_rng(4).integers(0, 900, 200), unit="D")
    bad = list(range(0, 100, 10))
    values = ["1900-01-01" if i in bad else d for i, d in enumerate(days.strftime("%Y-%m-%d"))]
    found = fixes(values, ColumnKind.DATETIME, [*bad, 5])
    assert found == dict.fromkeys(bad, ("", "v: 1900-01-01 stands for unknown"))


def test_codes_that_repeat_as_usual_are_no_placeholders_and_never_recommended() -> None:
    values = [str(10000 + i % 12) for i in range(120)] + ["20017"] * 10
    bad = list(range(120, 130))
    assert not fixes(values, ColumnKind.NUMERIC, bad)
    assert not _odd_alone(CellView(9.0, distance=50.0, crowd=0.0, form=0.0, copies=10, low=0, high=1))
    assert not _odd_alone(CellView(9.0, distance=0.0, crowd=3.0, form=0.0, copies=60, low=0, high=1))
    assert _odd_alone(CellView(9.0, distance=50.0, crowd=3.0, form=0.0, copies=60, low=0, high=1))
    assert _odd_alone(CellView(9.0, distance=0.0, crowd=0.0, form=0.0, copies=1, low=0, high=1))


def test_few_or_scattered_cells_share_nothing() -> None:
    numbers = np.random.default_rng(5).integers(400, 600, 100)
    assert not fixes([str(n * 1000 if i < 4 else n) for i, n in enumerate(numbers)], ColumnKind.NUMERIC, [0, 1, 2, 3])
    wild = [str(n * (7 + 13 * i) if i < 8 else n) for i, n in enumerate(numbers)]
    assert not fixes(wild, ColumnKind.NUMERIC, list(range(8)))


def test_another_spelling_of_a_known_category() -> None:
    values = ["Private", "State-gov", "Self-employed", "Private"] * 30
    values[3], values[7], values[11] = "Privatte", " PRIVATE ", "Zebra"
    found = fixes(values, ColumnKind.CATEGORICAL, [3, 7, 11])
    assert {row: new for row, (new, _) in found.items()} == {3: "Private", 7: "Private"}


def test_guesses_follow_the_other_cells_and_leave_the_label_out() -> None:
    r = np.random.default_rng(6)
    n = 600
    size = r.integers(0, 100, n)
    frame = pd.DataFrame({
        "price": [str(10 * s + 5) for s in size], "size": size.astype(str),
        "class": np.where(size > 50, "big", "small"), "y": r.choice(["a", "b"], n),
    })  # fmt: skip
    kinds = (ColumnKind.NUMERIC, ColumnKind.NUMERIC, ColumnKind.CATEGORICAL, ColumnKind.CATEGORICAL)
    schema = Schema(tuple(map(Column, frame.columns, kinds)), "y", Task.CLASSIFICATION, ("a", "b"))
    asked = np.zeros((n, 3), bool)
    asked[:40, 0] = asked[40:80, 2] = True
    truth = frame.copy()
    frame.loc[:39, "price"] = "9"
    frame.loc[40:79, "class"] = np.where(frame["class"][40:80] == "big", "small", "big")
    guessed = guess_cells(frame, schema, asked.astype(float), asked)
    price = np.array([float(guessed[i, 0].text) for i in range(40)])
    spread = np.abs(truth["price"].astype(float) - truth["price"].astype(float).median())[:40].mean()
    assert np.abs(price - truth["price"][:40].astype(float)).mean() < 0.15 * spread
    assert all(float(g.low) <= float(g.text) <= float(g.high) for (_, j), g in guessed.items() if j == 0)
    right = [guessed[i, 2].text == truth["class"][i] for i in range(40, 80) if (i, 2) in guessed]
    assert np.mean(right) > 0.9 and len(right) >= 36
    shuffled = frame.assign(y=frame["y"].to_numpy()[r.permutation(n)])
    assert guess_cells(shuffled, schema, asked.astype(float), asked) == guessed


@pytest.mark.parametrize("column", ["size", "kind"])
def test_a_column_that_is_empty_wherever_is_learned_stops_no_guess(column: str) -> None:
    r = np.random.default_rng(6)
    size = r.integers(0, 100, 300)
    frame = pd.DataFrame({"size": size.astype(str), "kind": np.where(size > 50, "big", "small"), "extra": "", "y": "a"})
    kinds = (ColumnKind.NUMERIC, ColumnKind.CATEGORICAL, ColumnKind.NUMERIC, ColumnKind.CATEGORICAL)
    schema = Schema(tuple(map(Column, frame.columns, kinds)), "y", Task.CLASSIFICATION, ("a", "b"))
    asked = np.zeros((300, 3), bool)
    asked[:40, frame.columns.get_loc(column)] = True
    frame.loc[:39, column] = "1"
    frame.loc[:39, "extra"] = "7"  # only rows that nothing is learned from have a value
    assert len(guess_cells(frame, schema, asked.astype(float), asked)) == 40


def test_proposers_change_nothing() -> None:
    known = evidence()
    before = known.frame.copy(), known.wrong.copy(), known.model.copy()
    suggest(known, np.ones((4, 3), bool))
    pd.testing.assert_frame_equal(known.frame, before[0])
    assert np.array_equal(known.wrong, before[1]) and np.array_equal(known.model, before[2])


# ---- swaps -------------------------------------------------------------------------------------------------------


def swapped_table(kind: ColumnKind, swaps: int, spoilt: int) -> tuple[pd.DataFrame, Schema, np.ndarray, pd.DataFrame]:
    """(frame, schema, P(cell wrong), the clean frame): two columns that follow a third; in the first rows they changed
    places, in the next ones the first of them is wrong in another way."""
    r = np.random.default_rng(8)
    n = 500
    size = r.integers(0, 100, n)
    if kind is ColumnKind.NUMERIC:
        a, b = (20 + size // 2).astype(str), (1000 + 20 * size + r.integers(0, 50, n)).astype(str)
    else:
        a = np.where(size > 50, "north", np.where(size > 20, "south", "west")).astype(object)
        b = np.where(size > 60, "gold", np.where(size > 30, "silver", "tin")).astype(object)
    clean = pd.DataFrame({"a": a, "size": size.astype(str), "b": b, "y": r.choice(["u", "v"], n)}).astype(object)
    frame, wrong = clean.copy(), np.full((n, 3), 0.02)
    frame.loc[: swaps - 1, ["a", "b"]] = clean.loc[: swaps - 1, ["b", "a"]].to_numpy()
    wrong[:swaps, [0, 2]] = 0.9
    other = slice(swaps, swaps + spoilt)
    frame.iloc[other, 0] = "9999" if kind is ColumnKind.NUMERIC else "nowhere"
    wrong[other, 0] = 0.9
    columns = (
        Column("a", kind),
        Column("size", ColumnKind.NUMERIC),
        Column("b", kind),
        Column("y", ColumnKind.CATEGORICAL),
    )
    return frame, Schema(columns, "y", Task.CLASSIFICATION, ("u", "v")), wrong, clean


@pytest.mark.parametrize("kind", [ColumnKind.NUMERIC, ColumnKind.CATEGORICAL])
def test_cells_that_changed_places_are_named_and_no_others(kind: ColumnKind) -> None:
    frame, schema, wrong, _ = swapped_table(kind, swaps=12, spoilt=12)
    found = find_swaps(frame, schema, wrong, np.arange(24))
    assert set(found) == set(range(12))
    assert {(s.first, s.second, s.rows) for s in found.values()} == {(0, 2, 12)}
    assert find_swaps(frame, schema, wrong, np.arange(24)) == found


@pytest.mark.parametrize("kind", [ColumnKind.NUMERIC, ColumnKind.CATEGORICAL])
def test_a_few_swaps_or_cells_wrong_in_another_way_are_no_swapped_columns(kind: ColumnKind) -> None:
    frame, schema, wrong, _ = swapped_table(kind, swaps=LEAST_ROWS - 1, spoilt=20)
    assert find_swaps(frame, schema, wrong, np.arange(24)) == {}
    frame, schema, wrong, _ = swapped_table(kind, swaps=0, spoilt=20)
    wrong[:20, 2] = 0.9
    assert find_swaps(frame, schema, wrong, np.arange(20)) == {}


def test_a_swap_is_one_suggestion_for_both_cells() -> None:
    frame, schema, wrong, clean = swapped_table(ColumnKind.NUMERIC, swaps=10, spoilt=0)
    n = len(frame)
    flags = np.zeros((n, 3), bool)
    flags[:10, 1] = True
    known = replace(evidence(n), frame=frame, schema=schema, wrong=wrong, oddities=find_oddities(frame, schema))
    three = np.full((n, 3), "", object)
    known = replace(known, cells=replace(known.cells, suggestion=three, surprise=np.zeros((n, 3), np.float32)))
    patches = suggest(known, flags).patches
    assert [p.row_id for p in patches] == list(range(10)) and {p.action for p in patches} == {Action.SWAP}
    for p in patches:
        assert (p.column, p.partner) == ("a", "b")
        assert (p.new, p.old) == tuple(clean.loc[p.row_id, ["a", "b"]])
    assert len({p.pattern for p in patches}) == 1, "one suggestion for all of them"
    assert "look as if they had changed places" in patches[0].reason and "the same in 10 rows" in patches[0].reason


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 30), st.just(3)), elements=st.floats(0.01, 1)))
def test_adapted_probabilities_are_a_fixed_point_of_their_own_shares(p: np.ndarray) -> None:
    p = p / p.sum(1, keepdims=True)
    found = adapted(p)
    np.testing.assert_allclose(found.sum(1), 1)
    likelihood = [np.log((p * share).sum(1)).sum() for share in (np.full(3, 1 / 3), found.mean(0))]
    assert likelihood[1] >= likelihood[0] - 1e-9, "EM never makes the rows less likely"
