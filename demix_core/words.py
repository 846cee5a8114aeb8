"""What error types and suggestions are called, and what they mean: one place for the screen, reports and notebooks."""

from __future__ import annotations

from demix_core.types import Action, ErrorType

TYPE_NAMES = {
    ErrorType.LABEL: "Label error",
    ErrorType.FEATURE: "Feature error",
    ErrorType.SPURIOUS: "Spurious",
}
CLEAN_NAME = "Looks clean"
SEVERAL_NAME = "Several"
FAINT_NAME = "Faint"
FAINT_BELOW = 1 / 3
"""A flag of a lower probability is a faint suspicion: at least two in three of its like are wrong. Thresholds that find
most go lower where errors can hardly be told.
"""

WHAT_TYPES_MEAN = {
    ErrorType.LABEL: "the target is probably wrong",
    ErrorType.FEATURE: "a cell is probably wrong",
    ErrorType.SPURIOUS: "the row goes against a shortcut that the model may have learned",
}


def mostly_faint(kind: ErrorType, faint: int, flagged: int) -> str:
    """What is said of a type most of whose flags are faint; '' for any other. faint, flagged: rows.

    >>> mostly_faint(ErrorType.SPURIOUS, 700, 819), mostly_faint(ErrorType.LABEL, 3, 40)
    ('700 of the 819 rows flagged as spurious are faint suspicions', '')
    """
    if faint <= flagged / 2:
        return ""
    which = f"All {faint:,}" if faint == flagged else f"{faint:,} of the {flagged:,}"
    return f"{which} rows flagged as {TYPE_NAMES[kind].lower()} are faint suspicions"


EMPTY = "(empty)"


def shown(value: object) -> str:
    """A cell as text; a missing one says so.

    >>> shown("40"), shown(" "), shown(None), shown(float("nan"))
    ('40', '(empty)', '(empty)', '(empty)')
    """
    text = "" if value is None or value != value else str(value)
    return text if text.strip() else EMPTY


def column_words(column: object, action: str, partner: str = "") -> str:
    """The column a suggestion changes, or what it touches instead.

    >>> column_words("age", "impute"), column_words("age", "swap", "hours"), column_words(None, "reweight")
    ('age', 'age ⇄ hours', 'row weight')
    """
    touched = {Action.DROP: "whole row", Action.REWEIGHT: "row weight"}
    if isinstance(column, str) and column:
        return f"{column} ⇄ {partner}" if partner else column
    return touched.get(Action(action), "")


def change_words(action: str, new: object) -> str:
    """The new value in words.

    >>> change_words("impute", "40"), change_words("reweight", "2.50"), change_words("drop", "")
    ('40', '× 2.5', 'leave out')
    """
    if action == Action.DROP:
        return "leave out"
    return f"× {float(str(new)):g}" if action == Action.REWEIGHT and _is_number(new) else shown(new)


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True


def rows(n: int) -> str:
    """A count of rows.

    >>> rows(1), rows(2500)
    ('1 row', '2,500 rows')
    """
    return f"{n:,} row{'' if n == 1 else 's'}"
