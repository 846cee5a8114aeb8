"""Every sentence and name that the screen says, in one place."""

from __future__ import annotations

import re

from demix_core.evidence import CROWD
from demix_core.sift import Condition
from demix_core.types import Schema
from demix_core.words import TYPE_NAMES, WHAT_TYPES_MEAN, mostly_faint, rows

__all__ = ["TYPE_NAMES", "WHAT_TYPES_MEAN", "mostly_faint", "rows"]

APP = "DeMix"
PROMISE = "Which rows hurt your model, what is wrong with each, and what to do about it."

FITS = 0.6
"""Share of its neighbours with its label from which a row is said to fit in."""

HARDLY = 0.02
"""Mean influence below which a group does nothing worth a word."""

STATE_NAMES = ("open", "accepted", "edited", "rejected")

INTRO = (
    "**Each mark is one training row; rows that act alike on the model lie together.** Shape and colour say what is "
    "suspected. Decide one by one on the right, or drag around a group and decide it at once. Your file "
    "stays as it is until you export."
)

NAME_HELP = "Your name stands beside every decision that you make in this tab. Undo takes back only your own."
NOTHING_TO_UNDO = "Nothing of yours to undo; the history takes back anybody's decision."
NOTHING_TO_REDO = "Nothing of yours to do again."
IN_PLACE_OF = "{who} had {what} it."
LEFT_TO_OTHERS = "{n} that others have just decided were left alone."
JUST_DECIDED = "While you were looking, {who} {what} this. Deciding it anyway puts yours in its place."
HISTORY_BLIND = "The history names every decision. Leave the blind second review on the review page to see it."
NOT_DRAWN = "This suggestion is not among those drawn for you; J goes on with yours."
BLIND_WORDS = (
    "**Blind second review.** You see the suggestions drawn for **{who}** as if nobody had decided them. What you say "
    "is kept beside the decisions and changes none."
)
BLIND_DONE = "You have judged all suggestions that were drawn for you. The Team page says how far you agree."
BLIND_NONE = "Nothing is drawn for '{who}'. Draw a second review on the Team page, or write your name in the sidebar."
TEAM_WORDS = "Who decided what, a blind second review of a sample, how far two people agree, and where they differ."
PEOPLE_HEAD = "Who decided what"
NOBODY_DECIDED = "Nobody has decided anything yet; decisions are made on the review page."
SECOND_HEAD = "Blind second review"
SECOND_WORDS = (
    "A second person judges a sample of what others have decided, without seeing the decisions: some of every error "
    "type and of every decision. It changes nothing; it shows how far the decisions can be trusted."
)
AGREEMENT_HEAD = "How far two people agree"
NOTHING_TWICE = "Nothing is judged twice yet. Draw a second review, and let its reviewer go through it."
KAPPA_HELP = (
    "Cohen's κ: 1 is full agreement, 0 what chance alone would give. The interval holds the true value in 95 of 100 "
    "such samples."
)
CONFLICTS_HEAD = "Where they differ"
NO_CONFLICTS = "No open conflict: every suggestion that was judged twice has one answer."
CONFLICT_REASON = "Your reason, kept with the decision"
RESOLVED = "Row {row}: decided as {who} said."
RESOLVED_BEFORE = "Row {row} has been decided by somebody else in the meantime."
DRAWN = "Drawn for {who}: {n}."

KEYS_HELP = (
    "**A** accept · **E** edit · **X** reject · **S** skip · **N** note · **J / K** next / previous · **Z** undo · "
    "**Y** redo · **?** all keys"
)
SHEET = {
    "title": "Keys",
    "close": "Close (Esc)",
    "lines": [
        ("A", "accept the suggestion and go on"),
        ("X", "reject it and go on"),
        ("E", "edit: your own value; Enter saves it"),
        ("C", "correct any cell of the row, suggested or not"),
        ("S", "skip: it stays open"),
        ("N", "note: a remark for the history; Enter saves it"),
        ("J / ↓", "next suggestion of the queue"),
        ("K / ↑", "previous one"),
        ("G", "go to a row by its number"),
        ("B", "decide together: what would change, then accept or reject all"),
        ("Z", "undo, single or together"),
        ("Y", "redo (also Shift+Z)"),
        ("1 – 9", "evidence: cells, why and so on"),
        ("slash", "search in the rows"),
        ("Esc", "clear the selection on the map; close what is open"),
        ("Shift + 1 – 9", "pages: Data, Diagnose, Review, Check, Export and so on"),
        ("Tab", "to the next field or button; Enter presses it"),
        ("T", "the tour"),
        ("?", "this sheet"),
    ],
}
NO_CORRECTION_BLIND = "A second review judges what was drawn; correct cells when it is done."
BY_HAND = "corrected by hand"
CORRECT_HELP = "Write the right value into any cell of this row, suggested or not (key C)"
CORRECTED = "Corrected: row {row}, {column} is {value}."
CORRECTED_OUT = "Left out: row {row}."
RIGHT_VALUE = "What is right in place of “{now}”?"
CORRECTION_WORDS = (
    "Your correction counts like an accepted suggestion: it is on disk at once, Z takes it back, the check measures "
    "it, and the export writes it."
)
NOTHING_TO_NOTE = "Nothing is suggested for this row, so there is nothing to note on."
NO_SUCH_ROW = "There is no row {text} among the training rows; row numbers count from 0 in your file."
NOTE_HELP = "It is kept with the decisions, in the history and in the exported decisions; it changes nothing."
HISTORY_WORDS = "Everything that was decided or noted, newest first. Any line can be taken back; later ones stand."
HISTORY_EMPTY = (
    "Nothing is decided yet. Go to the review and accept, edit or reject a suggestion: each becomes a line here."
)
HISTORY_NONE = "No line passes these filters; loosen them."

TOUR_HELP = "Two minutes over this screen, in plain words (key T)"
WORDS_HELP = "What the words of the field mean"
TOUR_WORDS = {
    "offer": "New here? Two minutes show you around: what is suspected, how to decide, and how to take the "
    "result along.",
    "take": "Take the tour", "decline": "No, thanks", "next": "Next →", "back": "← Back", "close": "Close (Esc)",
    "end": "Done", "of": "of",
}  # fmt: skip
TOUR = (
    ("", "Around DeMix in two minutes",
     "This table is what a model learns from, and some of its rows are wrong. DeMix has looked at every row "
     "and suggests repairs; you decide. Your file stays as it is until you export. The arrow keys go on and back."),
    (".demix-map", "The map",
     "Each mark is one row; rows that act alike on the model lie together. Grey: nothing is suspected; small ochre "
     "dots: something is, but faintly. Shape and colour say what. Drag around a group to look at those rows only; "
     "a click shows one row."),
    (".st-key-inspector", "One row",
     "Here is the row in view: what is suspected, how sure that is, the suggested change and why. Below it the "
     "row's cells, the reasons, what the row does to the model, and rows like it."),
    (".st-key-accept", "Decide",
     "Accept (A), write your own value (E) or reject (X); the next row comes by itself. Z takes anything back. "
     "S skips, N keeps a note. Every decision is on disk at once."),
    (".demix-queue", "The queue",
     "All suggestions that wait, one per line: the old value, the new one, and the chance that accepting is "
     "right. A tick marks those sure enough to accept unseen."),
    (".st-key-w_order", "What to look at first",
     "What helps the model most per look, unless you choose another order: the surest, where your word tells "
     "most, or, once you have decided some, as your decisions teach."),
    (".st-key-bulk", "Many at once",
     "Accept or reject the whole queue, or the rows that you have drawn around. You see what would change "
     "before you press, and one Z takes it all back."),
    (".st-key-f_types", "Fewer rows",
     "Show one kind of error, one column, certain values, or a text. The address above carries all of it: "
     "copy it and a colleague sees the same screen."),
    ('[data-testid="stSidebarNavLink"][href*="/check"]', "Check",
     "Trains the model with and without your decisions and says what they change, and which part helps or hurts."),
    ('[data-testid="stSidebarNavLink"][href*="/export"]', "Export",
     "The cleaned file, the list of changes and your decisions. Untouched rows stay byte for byte. Now try "
     "it: press ? at any time for all keys."),
)  # fmt: skip
GLOSSARY = {
    "Label": "the answer that the model shall learn to give, one column of your table (also: target).",
    "Label error": "the label of a row is probably wrong.",
    "Feature error": "another cell of the row is probably wrong.",
    "Spurious": "most rows follow a shortcut that does not hold in truth (a spurious correlation), and this "
    "row is an exception to it. Nothing in it is wrong; more weight keeps the model from trusting the shortcut.",
    "Faint": "suspected, but with a probability below one third. Where errors can hardly be told, thresholds that find "
    "most of them go so low; of such rows most are as they should be.",
    "Suggestion": "one change to one row. Nothing is changed until you accept it and export.",
    "Confidence": "the chance that accepting the suggestion is right.",
    "Most informative": "where your decision tells most of the suggestion itself: a confidence near one half, by its "
    "entropy in bits. Of the other suggestions, rows at random teach more.",
    "As you taught": "decisions made one by one teach what errors look like in this table. Thirty, best "
    "of rows at random, sort the rest better, most of all shortcuts; what is sure by then can be decided together.",
    "Gain": "by how much the model's error on held-out rows is expected to fall (validation loss, by "
    "influence functions).",
    "Influence": "what a training row does to the model's answer for another row: helps it or harms it.",
    "Validation rows": "rows held out of the training, to see how well the model does.",
    "Weight": "how much a row counts in the training; 1 is usual.",
    "Threshold": "the probability above which a kind of error is suspected.",
    "UMAP, t-SNE": "two ways to draw rows so that those with a similar effect lie near each other. Distances between "
    "far groups mean little.",
    "Recommended ✓": "sure enough to be accepted without a look.",
}

ACTION_WORDS = {
    "relabel": "Change the label",
    "impute": "Change the cell",
    "drop": "Leave the row out",
    "reweight": "Give the row more weight",
    "swap": "Swap the cells",
}

DATA_WORDS = "Choose the table that your model is trained on. Nothing leaves this machine."
DIAGNOSE_WORDS = (
    "Train the task model, measure every row's influence, and name what is wrong. It runs in its own process."
)
QUEUE_HINTS = {
    "confidence": "The chance that accepting it is right; ✓ sure enough to be accepted unseen",
    "gain": "What influence expects it to take off the validation loss, in millionths; more is better",
}
ADVISED_HELP = "Sure enough to be accepted unseen; the others pay only with a look at each."
PATTERN_HELP = "They share one mistake, as the suggestion in view says; all are mended in the same way."
QUEUE_HELP = "The queue lists suggestions; the numbers here count those of the whole table, whatever is filtered."
CONFIDENCE_HELP = "The chance that accepting a suggestion is right, as the classifier sees it."
REVIEWER_HELP = "Whose decision stands; it shows decided suggestions, whatever 'Decision' said before."
CELLS_HELP = "Only rows with certain values, or a number in a range, in a column; several conditions must all hold."
VIEWS_HELP = "A set of filters with an order, kept in the run folder under a name, for you and for others."
ORDER_HELP = (
    "Most useful: where a look mends the model most, by what influence expects, and for numbers sure labels first. "
    "Surest: highest confidence. Most informative: where your word tells most, confidence nearest to a half. "
    "At random: what you decide then teaches most of the rest. As you taught: by what your decisions so far say of "
    "rows like these; with each decision anew."
)
LINK_SELECTION_GONE = "The rows that this link had selected are not kept any more; the rest is as it was."
CHECK_WORDS = (
    "What your decisions do to the model: the same training, before and after, on rows that it did not learn from."
)
NOTHING_TO_CHECK = (
    "Accept some suggestions first; then the model is trained with and without them, and you see the difference."
)
ESTIMATE = "Expected from influence alone: validation loss {change}. Measure to be sure."
ESTIMATE_UNKNOWN = "Influence alone can't say what they do; measure to know."
ESTIMATE_LEFT_OUT = "Values of your own are not in it: {n}."
MEASURE_HELP = "Trains the model several times: on the table as it was, as it would be, and without each part."
MEASURE_CANCELLED = "Cancelled; the last measurement, if there is one, is below."
OUT_OF_DATE = "Your decisions have changed since; what follows speaks of the earlier ones."
MEASURED_ON = (
    "{rows}; mean of {seeds} trainings of '{model}' on {before:,} rows before and {after:,} after. The "
    "interval comes "
    "from drawing rows and trainings again; unclear: chance explains it. ↑ more is better, ↓ less is better."
)
DIRTY_RULER = (
    "These rows come from the same source as the training rows and may be wrong as well: AUC and RMSE bear "
    "that best, log-loss worst."
)
CONTRIBUTIONS_WORDS = "{measure} with all decisions, less without this part (on the {ruler} rows)."
SLICES_WORDS = (
    "Mean probability of the true class (for numbers: the error, negative), surest changes first; chance is judged "
    "over all slices together (false discovery rate 5 %)."
)
RULER_STRAIGHT = "None of the validation rows looks mislabelled to the models of either side."
RULER_BENT = "{n} of the validation rows look mislabelled themselves; the comparison can be read without them."
BALANCED_WEIGHT = "× {weight:g} balances the groups"
OWN_VALUE_OF_SWAP = "Your own value for {column}; {partner} stays as it is"
INFLUENCE_WORDS = (
    "Each training row pushes the model towards or away from being right on each validation row; here the pushes are "
    "averaged over groups of rows."
)
MATRIX_WORDS = (
    "Blue: these training rows help the model there; vermilion: they harm it. Rows and columns that behave alike lie "
    "together. Click a cell to blame its rows. From −1 to 1: 1 would be a push straight into the wrong direction."
)
SLICES_CANCELLED = "Influence on slices is measured once per diagnosis, in some seconds per 25,000 rows."
NOBODY_TO_BLAME = "No row of this choice pushes the model away from being right on this slice."
BLAMED = "The <b>{n}</b> that push the model hardest the wrong way on <b>{slice}</b>; <b>{flagged}</b> of them flagged."
ONE_LABEL = (
    "All rows of this slice have the same label, so every row with another label pushes against it, right or wrong. "
    "Look at flagged rows."
)
NO_SELECTION = "Draw around some rows on the map in Review; what they do to the validation rows is then told here."
TOUCHES = "On average, the <b>{n}</b> selected on the map do this to the validation rows:"
EXPORT_WORDS = (
    "The cleaned file, the list of changes, and the decisions to replay. Untouched records stay byte for byte."
)
REPORT_WORDS = (
    "One page to send to a colleague: what was found and why, the map, your decisions, what they do to the model. It "
    "opens without a network and holds cells of your table."
)
EXAMPLE_WORDS = "`{name}`, the table shipped with DeMix, errors included."
NO_DATA = "Take the shipped example, upload a CSV, TSV or parquet file, or name a path on this machine."
LAWS_WORDS = (
    "Laws between columns that nearly all rows keep. Rows that break one are flagged as feature errors; which cell is "
    "to blame, and what it should be, stands beside each of them in the review."
)
TAKE_DATA_HELP = "Takes the table, its target and its kinds over; this run stays as it is."
NO_DATA_TO_DIAGNOSE = "A diagnosis starts from a table: choose one on the data page first."
KINDS_HELP = "How the model reads the column; 'ignore' leaves it out (identifiers, leaks)."
WEIGHTS_WORDS = "They must fit the model chosen above; nothing is trained then, influence is measured on your model."
PREDICTIONS_OR_CALIBRATE = (
    "Calibrating trains the model on copies with planted errors; a file of predictions can't, so it is left out."
)
PREDICTIONS_CODE = """import pandas as pd
from sklearn.model_selection import cross_val_predict

table = pd.{read}({table!r})
X, y = table.drop(columns={target!r}), table[{target!r}]
{predict}
{made}.to_csv("predictions.csv", index=False)"""


def predictions_words(schema: Schema) -> str:
    """What the file of predictions must hold."""
    what = "one column with the predicted number"
    if schema.classes:
        named = ", ".join(schema.classes[:3]) + (" …" if len(schema.classes) > 3 else "")
        what = f"a column per class with its probability ({named})"
    return (
        f"For a model of any kind, trees or a service: {what}, a line per row in the table's order. A network learns "
        "to answer like it and is looked at in its place. Predictions must come from cross-validation."
    )


def predictions_code(schema: Schema, table: str) -> str:
    """How to make the file with scikit-learn."""
    read = "read_parquet" if table.endswith(".parquet") else "read_csv"
    predict, made = "p = cross_val_predict(model, X, y, cv=5)", 'pd.DataFrame({"prediction": p})'
    if schema.classes:
        predict = 'p = cross_val_predict(model, X, y, cv=5, method="predict_proba")'
        made = "pd.DataFrame(p, columns=sorted(y.unique()))"
    return PREDICTIONS_CODE.format(read=read, table=table, target=schema.target, predict=predict, made=made)


WEIGHTS_COLUMN_HELP = (
    "For training code that takes sample weights: accepted 'more weight' suggestions, 1 for all other rows."
)
CLASSES_HEAD = "What the label would be, judged by the other rows"
PREDICTION = "Given {given}; the model says {model:.4g}, the other rows {other:.4g}"
JOB_DONE = "The diagnosis is done."
JOB_CANCELLED = "Cancelled. Finished stages are kept; going on continues from there."
JOB_FAILED = "The diagnosis ended without a word; the file worker.log in the run folder says more."
STAGE_WORDS = {
    "load": "Read the table, find column kinds, hold rows out",
    "fit": "Train the task model",
    "signals": "Out-of-fold predictions, surprising cells, shortcuts",
    "detect": "Influence of every row, then the error classifier",
    "suggest": "One suggestion per suspected row and type",
    "map": "Lay the rows out",
}

CHANGE_COUNTS = {
    "relabel": "**{n:,}** label{s}",
    "impute": "**{n:,}** cell{s}",
    "swap": "**{n:,}** swapped cell{s}",
    "drop": "**{n:,}** row{s} left out",
    "reweight": "**{n:,}** weight{s} (only in the weights column)",
}

NO_RUN = (
    "No diagnosis is open yet. Choose data first; the diagnosis takes a minute or two, and the review starts from it."
)
QUEUE_EMPTY_FILTER = "No suggestion passes the filters. Loosen them in the sidebar."
QUEUE_EMPTY_SELECTION = "No suggestion among the selected rows. Clear the selection with Esc, or draw another lasso."
QUEUE_EMPTY = (
    "Nothing was suggested for this table: no row passed the thresholds. Lower them, or diagnose it with another model."
)
QUEUE_DONE = (
    "Everything is decided. Next: Check (Shift+4) says what it does to the model, Export (Shift+5) has the files."
)
NOTHING_DECIDED = (
    "Nothing is accepted yet, so the exported file would be identical to your input. Accept suggestions in the review."
)
NO_WEBGL = "This browser offers no WebGL2, so the map is a smaller picture: {shown} of {all} rows, all suspects first."
TYPES_HEAD = 'How likely each kind of error is <span class="dx-muted">(line: threshold)</span>'
FAINT_WORDS = "Flagged, but each with a probability below one third: of such rows most are as they should be"
MAP_HELP = "Ways to lay rows of similar effect near each other; one with dots is drawn when you choose it."
MAP_LABEL = (
    "Map of all training rows. Drag to select, scroll to zoom. With the keyboard: arrows move the map, plus and minus "
    "zoom, 0 shows all rows, Enter looks at the row in the middle, Shift+Enter selects it."
)
MAP_HANDS = (
    "Drag to select: **Shift** adds, **Alt** takes away, **Esc** clears. Click a row to look at it. Scroll zooms, the "
    "middle button moves. Click a class in the legend to hide it. With the keyboard (Tab to the map): arrows, **+**, "
    "**−**, **0**, **Enter**, **Shift+Enter**."
)
MAP_MORE = "How the map was drawn, mouse and keys, save it as a page"
MAP_FACTS = "{method} of what the error classifier makes of each row: {parameters}, seed {seed}."
MAP_FACTS_UNKNOWN = "{method}; this run was made by a version that did not note its parameters."
MAP_SAMPLED = (
    "Fitted to {fitted_rows:,} of {rows:,} rows, {fitted_flagged_rows:,} of the {flagged_rows:,} flagged ones among "
    "them; the others are placed by it."
)
MAP_PARAMETERS = {
    "n_neighbors": "neighbours", "min_dist": "least distance", "n_epochs": "epochs", "n_iter": "iterations",
    "early_exaggeration": "early exaggeration", "n_components": "components", "metric": "metric", "init": "start",
}  # fmt: skip
PAGE_HELP = "A page that opens in any browser, without a network. Above {most} rows it holds a sample, which it says."
PAGE_SAMPLED = "{shown}: all suspects and an even sample of the others"
PROFILE_WORDS = (
    '<span class="dx-muted">Thick: this row; thin: typical rows of its label, grey clean, {typical}. '
    "Below 0 helps, above 0 harms.</span>"
)
SPARK_WORDS = "All values of the column; filled: this row's value, framed: the suggested one"
UNDECIDED = "Nothing was decided about this row yet."
TAKEN_BACK = " · taken back"
LEFT_OUT = "leave the row out"
NO_TRAINING = "The weights were given, so there is no training to look back on."
ROW_WITHOUT_SUGGESTION = (
    "Nothing is suggested for this row. Its evidence is below; if you see that a cell is wrong, E corrects it. "
    "J goes on with the queue."
)
ROW_CLEAN = "Nothing is suspected in this row."
EXAMPLE_MISSING = "The shipped example is not part of this checkout."


THRESHOLDS_WORDS = (
    "From which probability on a row is suspected, and how many of those are right: judged by rows that are drawn at "
    "random and that you review."
)
NOTHING_SUGGESTED = "Nothing is suggested for this type, so there is nothing to judge."
THRESHOLD_KEPT = "Kept in the run: the queue of the review hides {n} below {at:.2f}. Nothing is lost; move it back."
THRESHOLD_BELOW = (
    "Rows below {made:.2f} have no suggestion, so the review can't show them. Suggestions can be made again from "
    "{at:.2f} on; what is decided stays decided."
)
EVERYWHERE_HELP = "Wider, and holds even when you choose the threshold after looking at these figures."
RECALL_UNKNOWN = (
    "'Kept' speaks of the right rows among the suggestions. Rows below {at:.2f} have none to judge, so how many errors "
    "lie there, and with it the recall over the whole table, is not known."
)
KEPT_HELP = "Of the right rows among all suggestions of this type, the share that lies from this threshold on."
FOUND_HELP = (
    "Right rows among the suggestions, as a share of all rows; rows below the diagnosis' threshold come on top."
)
SAMPLE_HELP = (
    "Rows drawn at random within bands of the probability, most of them from the threshold on. Only rows that were "
    "drawn speak for the others; what you chose yourself, and what was decided together, does not."
)
PLANTED_NONE = (
    "How many errors a threshold misses, reviewed rows can't tell. Errors planted into three copies of the table can: "
    "they are known. It takes three trainings and looks at 20,000 rows at most each time."
)
PLANTED_HELP = (
    "Errors of many kinds are planted into copies of the table, and looked for as this run looked for its own. They "
    "are of our making: a measure of how well errors are found in this table, no count of the errors that are in it."
)
PLANTED_COUNT_HELP = "Rows with a planted error of this type, in {copies} copies together."
PLANTED_FOUND_HELP = (
    "The share of the planted errors at or above the threshold; in brackets the single copies, from worst to best."
)
PLANTED_RIGHT_HELP = (
    "The share of the flagged rows in the copies that a planted error is in: at least, every other flag counted as "
    "wrong; at most, rows left out that this run suspects itself. It falls where errors are rarer than planted."
)
QUEUE_EMPTY_SAMPLE = "The sample is reviewed: the page Thresholds shows what it says. Esc brings the whole queue back."
EVIDENCE_UNKNOWN = "How many of these are right is unknown: no sampled row among them is reviewed yet (see Thresholds)."
EVIDENCE_BULK = "Estimated precision {share} from {n} sampled rows."
TAUGHT_BULK = "Learnt from {n} rows that were decided one by one. {foretold}"
TAUGHT_FORETOLD = (
    "{kind}: of a right and a wrong one, the other verdicts tell which is which in {after:.0%} of the pairs "
    "({before:.0%} before)."
)
TAUGHT_NEWS = "{n} decisions: the queue can be sorted as you taught it now, see its order."
TAUGHT_HEADS = {"confidence": "As you taught"}
TAUGHT_HINTS = {"confidence": "The confidence, once your decisions so far have had their say."}
TAUGHT_ROW = "As you taught: <b>{after:.0%}</b> likely, {before:.0%} before your {n} verdicts"
NEWLY = "Not flagged, but likelier wrong than not by now: {n}"
NEWLY_HELP = (
    "Rows that the diagnosis let pass and that are like those you found wrong. Nothing is suggested for them: look at "
    "the row, and where a cell is wrong, E corrects it."
)
HIDDEN = "{n} hidden by your threshold"


def number(n: int) -> str:
    """12345 as 12,345."""
    return f"{n:,}"


def harm_words(own: float | None, clean: float | None) -> str:
    """The influence profile in a sentence; own, clean: shares of the validation rows with its label that are harmed."""
    if own is None:
        return "No validation row has its label."
    than = "" if clean is None else f"; a typical clean row harms {clean:.0%}"
    return f"It pushes the model the wrong way on <b>{own:.0%}</b> of the validation rows with its own label{than}."


def crowd_words(share: float) -> str:
    """The neighbourhood in one sentence."""
    verdict = "so the label fits its neighbours" if share >= FITS else "so rows like it mostly carry another label"
    if 1 - FITS < share < FITS:
        verdict = "so it lies between the labels"
    return (
        f"Of the {CROWD} training rows most like it, <b>{share:.0%}</b> have its label, {verdict}. "
        '<span class="dx-muted">Grey: same as in this row.</span>'
    )


def loss_words(above: int, epochs: int) -> str:
    """The training in one sentence."""
    if above == 0:
        verdict = "the model learned it as easily as most rows with its label"
    elif above >= epochs * 0.75:
        verdict = "the model hardly ever learned it, as happens with wrong rows"
    else:
        verdict = "the model learned it later than most rows with its label"
    return (
        f"In <b>{above} of {epochs}</b> rounds of training its error (loss) was above that of three quarters of the "
        f'rows with its label: {verdict}. <span class="dx-muted">Thick: this row; dashed: their median; band: their '
        "middle half; dots: the round that was kept.</span>"
    )


def division(name: str) -> str:
    """A way to divide rows, by its name in the engine, in words."""
    fixed = {
        "type": "suspected error", "label": "label", "clusters": "similarity (clusters)",
        "worst": "where the model is worst", "correctness": "right or wrong prediction",
    }  # fmt: skip
    return fixed.get(name, name.removeprefix("column:"))


def cell_words(group: str, n: int, slice_: str, m: int, value: float) -> str:
    """One cell of the influence map as a sentence, as HTML."""
    verb = "hardly touch" if abs(value) < HARDLY else "help" if value < 0 else "harm"
    return f"{rows(n)} ‹{group}›<br><b>{verb}</b> the model on<br>{rows(m)} ‹{slice_}›<br>mean influence {value:+.3f}"


def slice_words(name: str, n: int, loss: float, right: float | None) -> str:
    """'age > 48 · 159 rows · loss 0.376 · 88 % right'."""
    told = "" if right is None else f" · {right:.0%} right"
    return f"{name} · {rows(n)} · loss {loss:.3f}{told}"


def these(n: int) -> str:
    """'this row', 'these 20 rows'."""
    return "this row" if n == 1 else f"these {n:,} rows"


def interval(value: float, low: float, high: float) -> str:
    """'0.91 [0.86–0.95]'."""
    return f"{value:.2f} [{low:.2f}–{high:.2f}]"


def suggestions(n: int) -> str:
    """'1 suggestion', '2 suggestions'."""
    return f"{n:,} suggestion{'' if n == 1 else 's'}"


def more_filters(n: int) -> str:
    """'More filters', 'More filters · 2'."""
    return f"More filters · {n}" if n else "More filters"


def condition(given: Condition) -> str:
    """'age 17 – 30', 'age ≥ 17', 'sex: Male, Female'."""
    if given.values:
        return f"{given.column}: {', '.join(v or '(empty)' for v in given.values)}"
    if given.low is not None and given.high is not None:
        return f"{given.column} {given.low:g} – {given.high:g}"
    return f"{given.column} ≥ {given.low:g}" if given.low is not None else f"{given.column} ≤ {given.high:g}"


def bulk_label(verb: str, n_patches: int, n_rows: int, kinds: list[str]) -> str:
    """'Accept 214 label suggestions of 198 rows'."""
    kind = f"{kinds[0]} " if len(kinds) == 1 else ""
    return f"{verb} {n_patches:,} {kind}suggestion{'' if n_patches == 1 else 's'} of {rows(n_rows)}"


DRIFT_WORDS = "Whether new rows act on the model as the training rows do; if not, which columns and which rows."
DRIFTS = "On the model, {batch} acted unlike the training rows."
DRIFTS_NOT = "By the effect on the model, {batch} can't be told from the training rows."
DRIFT_LEFT_OUT = "{rows} without a known label are left out."
DRIFT_PICTURE = (
    "Rows by how much they speak for a difference: each is placed by its influence on validation rows, under a model "
    "that has seen neither side. Where nothing drifts, both outlines lie on each other; p says how often chance alone "
    "sets them this far apart."
)
DRIFT_COLUMNS = (
    "Each column by itself: the largest gap between the two distributions, or the sum of moved shares; p is corrected "
    "for the number of columns (Holm). A column may differ without any effect on the model, and labels may turn around "
    "without any column changing."
)
NOT_COMPARED = (
    "Compare the validation rows, or a file of new rows with labels. A small model is trained anew for it; it takes "
    "some seconds."
)

EVENT_WORDS = {
    "accept": "Accepted",
    "edit": "Edited",
    "reject": "Rejected",
    "correct": "Corrected by hand",
    "revert": "Took back",
    "note": "Note",
    "second_accept": "Second opinion: accepted",
    "second_edit": "Second opinion: edited",
    "second_reject": "Second opinion: rejected",
}


EVENT_GROUPS = {
    "Accepted": ("accept",),
    "Edited": ("edit",),
    "Rejected": ("reject",),
    "Corrected by hand": ("correct",),
    "Took back": ("revert",),
    "Note": ("note",),
    "Second opinion": ("second_accept", "second_edit", "second_reject"),
}
"""What the history can be narrowed to."""

EVENT_BACK = {
    "accept": "These suggestions are open again; later decisions stand",
    "edit": "This suggestion is open again; later decisions stand",
    "reject": "These suggestions are open again; later decisions stand",
    "correct": "The cell is as it was; later decisions stand",
    "revert": "What was taken back stands again",
    "note": "The note is struck out; it stays in the log",
    "second_accept": "This opinion no longer counts; it stays in the log",
    "second_edit": "This opinion no longer counts; it stays in the log",
    "second_reject": "This opinion no longer counts; it stays in the log",
}


def and_more(n: int) -> str:
    """'and 1,276 more'."""
    return f"and {n:,} more"


def time_left(seconds: float | None) -> str:
    """'about 40 s left', 'about 3 min left', '' when unknown."""
    if seconds is None or seconds < 0:
        return ""
    return f"about {seconds:.0f} s left" if seconds < 90 else f"about {seconds / 60:.0f} min left"


# ---- rounds ------------------------------------------------------------------------------------------------------

ROUNDS_WORDS = "The cleaned table diagnosed again: errors hide behind errors, and what is mended shows the rest."
LATER_ROUNDS = "Started from here already:"
FIRST_ROUND = (
    "Accept suggestions, then diagnose the cleaned table: here you will see which rows are flagged no longer, which "
    "still, and which only now."
)
NEXT_ROUND = (
    "The table as your decisions make it, {rows} of it changed, diagnosed with the same settings as a run of its own. "
    "What you rejected stays rejected there. This run stays as it is."
)
NEXT_ROUND_FITS = (
    "Your own model's predictions were of the table as it was: the next round fits a network to the labels."
)
NEXT_ROUND_WEIGHTS = "{n} of new weights are left out: the table can't carry them into training."
NO_NEXT_ROUND = "No cell is changed and no row left out yet, so a second round would find the same."
SINCE = (
    "Of the {rows} that both rounds train on; rows left out by a decision are not counted. Probability: its median "
    "change over them."
)


def round_words(cells: int, dropped: int) -> str:
    """'12 cells changed, 3 rows left out'."""
    said = [f"{cells:,} cell{'' if cells == 1 else 's'} changed"] if cells else []
    return ", ".join([*said, f"{rows(dropped)} left out"] if dropped else said)


def plain(text: str) -> str:
    """A person's own words inside Markdown, taken as they are."""
    return re.sub(r"([\\`*_{}\[\]<>#$~:|])", r"\\\1", text)
