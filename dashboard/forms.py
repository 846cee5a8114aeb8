"""The forms of the data and the diagnose page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from html import escape
from typing import Any

import streamlit as st

from dashboard import services, texts
from dashboard.services import Option, Preview
from dashboard.state import DataChoice, State
from demix_core.types import ColumnKind, Schema, Task

SOURCES = ("Upload", "Path", "Example")


@dataclass(frozen=True)
class OwnModel:
    """Paths, '' for none; problem: why a file can't be used, in a sentence."""

    weights: str = ""
    predictions: str = ""
    problem: str = ""


SECTION_NAMES = {
    "fit": "Task model",
    "influence": "Influence",
    "diagnose": "Error classifier",
    "map": "Map",
    "": "Repeatability",
}


# ---- the data page -----------------------------------------------------------------------------------------------


def source(state: State) -> None:
    """Where the table comes from: the shipped example, an upload, a path."""
    example = services.example_file()
    choices = SOURCES if example is not None else SOURCES[:-1]
    way = st.segmented_control(
        "Where is the table?", choices, default=_first_source(state, choices), required=True, key="w_source"
    )
    if way == "Example" and example is not None:
        st.caption(texts.EXAMPLE_WORDS.format(name=example.name))
        if state.data.path != str(example):
            st.button(
                "Use the example", key="use_example", type="primary", on_click=state.choose_data, args=(str(example),)
            )
    elif way == "Upload":
        taken = st.file_uploader("CSV, TSV or parquet", type=["csv", "tsv", "txt", "parquet"], key="w_upload")
        if taken is not None:
            state.choose_data(services.keep_upload(taken.name, taken.getvalue()))
    else:
        typed = st.text_input("Path on this machine", state.data.path, key="w_path", placeholder="data/train.csv")
        if typed:
            state.choose_data(typed.strip())


def _first_source(state: State, choices: tuple[str, ...]) -> str:
    example = services.example_file()
    if state.data.path:
        return "Example" if example is not None and state.data.path == str(example) else "Path"
    return choices[0]


def held_out(state: State) -> None:
    """What influence is measured on: a share of the rows, or a file; and a clean test file if there is one."""
    st.subheader(
        "Held-out rows", help="Influence is each training row's effect on rows that the model did not train on."
    )
    way = st.segmented_control(
        "Held-out rows",
        ("A share", "A file"),
        default="A file" if state.data.validation else "A share",
        required=True,
        key="w_held",
        label_visibility="collapsed",
    )
    if way == "A share":
        share = st.slider("Share of the rows", 5, 50, round(100 * state.data.share), 5, format="%d %%", key="w_share")
        state.correct_data(share=share / 100, validation="")
    else:
        upload_to(state, "validation", "Validation file, same columns")
    with st.expander("A clean test file (optional)", expanded=bool(state.data.test)):
        upload_to(state, "test", "Rows you trust, same columns")


def upload_to(state: State, role: str, label: str) -> None:
    """One more file of the run."""
    taken = st.file_uploader(label, type=["csv", "tsv", "txt", "parquet"], key=f"w_{role}")
    if taken is not None:
        state.correct_data(**{role: services.keep_upload(taken.name, taken.getvalue())})
    kept = getattr(state.data, role)
    if kept:
        st.caption(f"Using {kept.rsplit('/', 1)[-1]}")


def target_and_task(state: State, seen: Preview) -> None:
    """Which column the model predicts, and what kind of answer it is."""
    found = seen.schema.target if seen.schema is not None else state.data.target
    at = seen.columns.index(found) if found in seen.columns else 0
    target = st.selectbox("Target: the column that the model predicts", seen.columns, index=at, key="w_target")
    if target != found:
        state.correct_data(target=target)
        st.rerun()
    tasks = [t.value for t in Task]
    task_found = seen.schema.task.value if seen.schema is not None else tasks[0]
    task = st.segmented_control("Task", tasks, default=task_found, required=True, key=f"w_task_{target}_{task_found}")
    if task != task_found:
        state.correct_data(target=target, task=task)
        st.rerun()


def column_kinds(state: State, seen: Preview) -> None:
    """The kinds as found, to be corrected by hand."""
    facts = seen.facts
    edited = st.data_editor(
        facts,
        hide_index=True,
        height=420,
        key=f"w_kinds_{seen.n_rows}_{state.data.path}_{state.data.target}",
        disabled=["column", "missing", "distinct", "examples"],
        column_config=_column_titles()
        | {
            "kind": st.column_config.SelectboxColumn(
                "Kind", options=[k.value for k in ColumnKind], required=True, help=texts.KINDS_HELP
            )
        },
    )
    changed = edited["kind"] != facts["kind"]
    if changed.any():
        kinds = dict(state.data.kinds) | dict(zip(edited["column"][changed], edited["kind"][changed], strict=True))
        state.correct_data(kinds=tuple(sorted(kinds.items())))
        st.rerun()


def table_of_run(state: State, name: str, choice: DataChoice) -> None:
    """What the run in view was made from; to look at, or to start from with other settings."""
    seen = services.preview(choice)
    st.subheader(f"{texts.plain(name)}, the table of this run")
    if seen.schema is not None:
        target, task = seen.schema.target, seen.schema.task
        st.caption(f"{texts.rows(seen.n_rows)}, {len(seen.columns)} columns; target {texts.plain(target)}, {task}.")
        broken = services.laws(state.run) if state.run is not None else []
        first, second, *third = st.tabs(["Columns", "First rows", *(["Broken laws"] if broken else [])])
        with first:
            st.dataframe(seen.facts, hide_index=True, height=420, key="run_columns", column_config=_column_titles())
        with second:
            preview_table(seen)
        for tab in third:
            with tab:
                st.caption(texts.LAWS_WORDS)
                st.dataframe(
                    broken, hide_index=True, key="run_laws",
                    column_config={"law": "Nearly all rows keep", "rows": "Rows that break it"},
                )  # fmt: skip
    problems(replace(seen, notes=tuple(services.notes(state.run))) if state.run is not None else seen)
    st.button(
        "Diagnose it anew, with other settings", key="take_data", icon=":material/replay:", on_click=_take,
        args=(state, name, choice), help=texts.TAKE_DATA_HELP,
    )  # fmt: skip


def _take(state: State, name: str, choice: DataChoice) -> None:
    """The run's own copy is called train.csv; the new run is to be called after the table."""
    state.take_data(replace(choice, path=services.keep_copy(name, choice.path)))


def _column_titles() -> dict[str, Any]:
    """How Preview.facts are shown."""
    return {
        "column": "Column",
        "kind": "Kind",
        "missing": st.column_config.ProgressColumn(
            "Missing", min_value=0.0, max_value=1.0, format="percent", width="small"
        ),
        "distinct": st.column_config.NumberColumn("Distinct", width="small"),
        "examples": "Examples",
    }


def problems(seen: Preview) -> None:
    """What stops the table, or what to know about it, told at once."""
    if seen.problem:
        st.error(seen.problem, icon=":material/error:")
    if seen.notes:
        with st.expander(
            f"{len(seen.notes)} thing{'' if len(seen.notes) == 1 else 's'} to know about this table", expanded=True
        ):
            st.markdown("\n".join(f"- {note}" for note in seen.notes))


def preview_table(seen: Preview) -> None:
    """The first rows."""
    st.dataframe(seen.head, height=420, key="preview")
    st.caption(f"First {min(len(seen.head), seen.n_rows):,} of {texts.rows(seen.n_rows)}, {len(seen.columns)} columns.")


# ---- the diagnose page -------------------------------------------------------------------------------------------


def control(option: Option) -> Any:
    """One setting as the control that fits its type, with the engine's own help below."""
    label, key = option.name.replace("_", " ").capitalize(), f"w_option_{option.section}_{option.name}"
    if option.choices:
        value: Any = st.selectbox(label, option.choices, index=option.choices.index(option.default), key=key)
    elif isinstance(option.default, bool):
        value = st.toggle(label, option.default, key=key)
    elif isinstance(option.default, float):
        value = st.number_input(
            label, value=option.default, format="%g", min_value=0.0, step=option.default or 0.01, key=key
        )
    elif isinstance(option.default, int):
        value = st.number_input(label, value=option.default, step=1, min_value=0, key=key)
    else:
        value = st.text_input(label, option.default, key=key)
    st.caption(option.help)
    return value


def settings_form(found: list[Option]) -> dict[tuple[str, str], Any]:
    """The model and the map in front, everything else folded away; {(section, name): value}."""
    front = [o for o in found if o.name in ("model", "method", "calibrate", "seed")]
    values = {}
    for place, option in zip(st.columns(len(front)), front, strict=True):
        with place:
            values[option.section, option.name] = control(option)
    with st.expander("More options"):
        for section in dict.fromkeys(o.section for o in found):
            rest = [o for o in found if o.section == section and o not in front]
            if rest:
                st.markdown(f"**{SECTION_NAMES.get(section, section)}**")
            for place, option in zip(st.columns(4), rest, strict=False):
                with place:
                    values[option.section, option.name] = control(option)
    return values


WEIGHTS, PREDICTIONS = "Its weights", "What it predicts"


def own_model(state: State, seen: Preview) -> OwnModel:
    """The person's own trained model, if there is one: weights of the chosen network, or predictions of any model."""
    if seen.schema is None:
        return OwnModel()
    with st.expander("I already have a trained model"):
        way = st.segmented_control(
            "I have",
            (PREDICTIONS, WEIGHTS),
            default=PREDICTIONS,
            required=True,
            key="w_own",
            label_visibility="collapsed",
        )
        if way == WEIGHTS:
            taken = st.file_uploader("Weights of the chosen model (safetensors)", type=["safetensors"], key="w_weights")
            st.caption(texts.WEIGHTS_WORDS)
            return OwnModel() if taken is None else OwnModel(services.keep_upload(taken.name, taken.getvalue()))
        return _predictions(state, seen, seen.schema)


def _predictions(state: State, seen: Preview, schema: Schema) -> OwnModel:
    taken = st.file_uploader(
        "Predictions for the rows of the table", type=["csv", "tsv", "txt", "parquet"], key="w_predictions"
    )
    st.caption(texts.predictions_words(schema))
    with st.expander("How to make such a file"):
        st.code(texts.predictions_code(schema, state.data.path.rsplit("/", 1)[-1]), language="python")
    if taken is None:
        return OwnModel()
    path = services.keep_upload(taken.name, taken.getvalue())
    problem = services.trouble_with_predictions(path, schema, seen.n_rows)
    if problem:
        st.error(problem, icon=":material/error:")
    return OwnModel(predictions=path, problem=problem)


def chosen_data(state: State, seen: Preview) -> None:
    """What the diagnosis will start from."""
    d = state.data
    lines = {
        "Table": d.path.rsplit("/", 1)[-1],
        "Rows": f"{seen.n_rows:,}",
        "Target": seen.schema.target if seen.schema is not None else d.target,
        "Task": str(seen.schema.task) if seen.schema is not None else d.task,
        "Columns used": f"{len(seen.schema.features)} of {len(seen.columns) - 1}" if seen.schema is not None else "",
        "Held out": d.validation.rsplit("/", 1)[-1] or f"{d.share:.0%} of the rows",
        "Clean test file": d.test.rsplit("/", 1)[-1] or "none",
    }
    body = "".join(f"<tr><th>{name}</th><td>{escape(value)}</td></tr>" for name, value in lines.items())
    st.html(f'<table class="dx">{body}</table>')
