"""Every sentence and name that the screen says, in one place."""

from __future__ import annotations

from demix_core.types import ErrorType

APP = "DeMix"
PROMISE = "Which rows hurt your model, what is wrong with each, and what to do about it."

TYPE_NAMES = {
    ErrorType.LABEL: "Label error",
    ErrorType.FEATURE: "Feature error",
    ErrorType.SPURIOUS: "Spurious",
}
CLEAN_NAME = "Looks clean"
SEVERAL_NAME = "Several"

STATE_NAMES = ("open", "accepted", "edited", "rejected")

INTRO = (
    "**Each mark is one training row; rows that affect your model in a similar way lie together.** "
    "Shapes and colours show what DeMix suspects. Take the suggestions one by one on the right, "
    "or drag around a group on the map and decide it at once. Nothing in your file changes until you export."
)

KEYS_HELP = (
    "**A** accept · **E** edit · **X** reject · **S** skip · **J / K** next / previous · **Z** undo · **Shift+Z** or **Y** redo · "
    "**Esc** clear the selection"
)

WHAT_TYPES_MEAN = {
    ErrorType.LABEL: "the target is probably wrong",
    ErrorType.FEATURE: "a cell is probably wrong",
    ErrorType.SPURIOUS: "the row goes against a shortcut that the model may have learned",
}

ACTION_WORDS = {
    "relabel": "Change the label",
    "impute": "Change the cell",
    "drop": "Leave the row out",
    "reweight": "Give the row more weight",
}

NO_RUN = "No diagnosis is open yet. Choose data first; the diagnosis takes a minute or two, and the review starts from it."
QUEUE_EMPTY_FILTER = "No suggestion passes the filters. Loosen them in the sidebar."
QUEUE_EMPTY_SELECTION = "No suggestion among the selected rows. Clear the selection with Esc, or draw another lasso."
QUEUE_EMPTY = "Nothing was suggested for this table: no row passed the thresholds."
NOTHING_DECIDED = (
    "Nothing is decided yet, so the exported file would be identical to your input. Accept suggestions in the review first."
)
NO_WEBGL = "This browser offers no WebGL2, so the map is a smaller picture: a sample of {shown} of {all} rows, all suspects first."
ROW_CLEAN = "Nothing is suspected in this row."
EXAMPLE_MISSING = "The shipped example is not part of this checkout."


def number(n: int) -> str:
    """12345 as 12,345."""
    return f"{n:,}"


def rows(n: int) -> str:
    """'1 row', '2 rows'."""
    return f"{n:,} row{'' if n == 1 else 's'}"


def suggestions(n: int) -> str:
    """'1 suggestion', '2 suggestions'."""
    return f"{n:,} suggestion{'' if n == 1 else 's'}"


def bulk_label(verb: str, n_patches: int, n_rows: int, kinds: list[str]) -> str:
    """'Accept 214 label suggestions of 198 rows'."""
    kind = f"{kinds[0]} " if len(kinds) == 1 else ""
    return f"{verb} {n_patches:,} {kind}suggestion{'' if n_patches == 1 else 's'} of {rows(n_rows)}"


def time_left(seconds: float | None) -> str:
    """'about 40 s left', 'about 3 min left', '' when unknown."""
    if seconds is None or seconds < 0:
        return ""
    return f"about {seconds:.0f} s left" if seconds < 90 else f"about {seconds / 60:.0f} min left"
