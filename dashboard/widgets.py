"""The pieces that the pages are put together from. They draw; what a press does is in deciding.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from html import escape
from typing import Any, NoReturn

import numpy as np
import streamlit as st

from dashboard import components, deciding, palette, review, services, sifting, texts
from dashboard.palette import GLYPHS
from dashboard.review import Book
from dashboard.services import Status
from dashboard.state import DRAWN, STATES, State
from demix_core.lessons import SURE, UNLIKELY, said
from demix_core.types import DecisionKind, ErrorType, Event

QUEUE_HEIGHT, HISTORY_LINES = 188, 100
QUEUE_ABOVE = 612
"""px: what stands above the queue, and the page's edge below it."""

POLL_SECONDS = 0.7
"""Between two looks at a running job."""

PREVIEW_LINES, PREVIEW_COLUMNS = 8, 6
NEWLY_SHOWN = 8


def dark() -> bool:
    """Whether the browser shows the dark theme."""
    return st.context.theme.type == "dark"


def type_colour(kind: ErrorType) -> str:
    """The colour of an error type on the present ground."""
    mark = palette.TYPE_MARKS[kind]
    return mark.dark if dark() and mark.dark else mark.colour


def pill(kind: ErrorType, probability: float) -> str:
    """A type with its shape, colour and probability, as HTML."""
    return (
        f'<span class="dx-pill" style="color:{type_colour(kind)}">{GLYPHS[palette.TYPE_MARKS[kind].shape]} '
        f"{kind.short.capitalize()} <em>{probability:.2f}</em></span>"
    )


def glyph(kind: ErrorType) -> str:
    """The shape of an error type in its colour, as HTML."""
    return f'<span style="color:{type_colour(kind)}">{GLYPHS[palette.TYPE_MARKS[kind].shape]}</span>'


def type_name(kind: ErrorType) -> str:
    """A type with its shape in its colour, as HTML."""
    return f"{glyph(kind)} {texts.TYPE_NAMES[kind]}"


def empty(title: str, text: str) -> None:
    """A kind word where there is nothing to show."""
    st.html(f'<div class="dx-empty"><h3>{escape(title)}</h3><p>{escape(text)}</p></div>')


def lost(state: State) -> None:
    """Why another run is shown than the address names, until it is read."""
    if state.lost:
        words, button = st.columns([11, 1], vertical_alignment="center")
        words.error(state.lost, icon=":material/error:")
        button.button("OK", key="lost", on_click=state.lose, args=("",), width="stretch")


def page_title(title: str, words: str) -> None:
    """Name of a page and what it is for."""
    st.header(title, anchor=False)
    st.caption(words)


def pressed(state: State, button: Callable[..., Any], label: str, key: str, **options: Any) -> bool:
    """Whether this button was pressed. Streamlit's own answer is lost when another message (a key, the map, a look at
    a job) interrupts the script before it reaches the button; this one waits until a script does.

    button: st.button or form_submit_button of where it stands.
    """
    return bool(pressed_of(state, {key: (button, label)}, **options))


def pressed_of(state: State, buttons: dict[str, tuple[Callable[..., Any], str]], **options: Any) -> str:
    """The key of the button that was pressed of several side by side, each (button, label), the first of them main; ''.

    Asked once all are drawn: the script may be interrupted at each, and a press taken by then would be lost.
    """
    for key, (button, label) in buttons.items():
        button(label, key=key, on_click=state.press, args=(key,), **options)
        options.pop("type", None)
    return next((key for key in buttons if state.take_press(key)), "")


def turn_to(state: State, page: str) -> NoReturn:
    """To another page at once, whatever interrupts."""
    state.go(page)
    st.rerun()


def job_bar(status: Status) -> None:
    """How far a job is, and how long it still takes."""
    words = " · ".join(w for w in (status.message, texts.time_left(status.seconds_left)) if w)
    st.progress(min(max(status.overall, 0.0), 1.0), text=words or None)


def watch_job(key: str, run: str, look: Callable[[str], Status | None], stop: Callable[[str], object]) -> None:
    """A running job with its Cancel, looked at anew every POLL_SECONDS; the page comes anew when it ends.

    key: of the container, and of the button as stop_<key>.
    """

    def poll() -> None:
        status = look(run)
        if status is None or not status.state.active:
            st.rerun()
            return
        job_bar(status)
        st.button("Cancel", key=f"stop_{key}", icon=":material/stop:", on_click=stop, args=(run,))

    with st.container(key=key):
        st.fragment(poll, run_every=POLL_SECONDS)()


# ---- the sidebar -------------------------------------------------------------------------------------------------


def run_picker(state: State, names: list[str]) -> None:
    """Which run is open."""
    if not names:
        return
    at, key = names.index(state.run) if state.run in names else None, f"w_run_{state.run}"
    st.sidebar.selectbox(
        "Run", names, index=at, key=key, help="Every run is a folder in the workspace.",
        on_change=lambda: state.open_run(st.session_state[key]),
    )  # fmt: skip


# ---- top of the review -------------------------------------------------------------------------------------------


def progress_bar(codes: np.ndarray, message: str) -> None:
    """'12 of 310 decided' with a bar by decision, and what was done last."""
    total = max(len(codes), 1)
    parts = "".join(
        f'<i style="width:{100 * np.count_nonzero(codes == i) / total:.2f}%;'
        f'background:{palette.STATE_COLOURS[s]}" title="{s}"></i>'
        for i, s in enumerate(STATES)
        if i
    )
    counts = " · ".join(
        f"{np.count_nonzero(codes == i):,} {s}" for i, s in enumerate(STATES) if i and np.any(codes == i)
    )
    decided = int(np.count_nonzero(codes))
    left = f" · <b>{len(codes) - decided:,}</b> open"
    st.html(
        f'<div class="dx-bar" id="progress" data-decided="{decided}" data-total="{len(codes)}">'
        f"<span><b>{decided:,}</b> of <b>{len(codes):,}</b> decided{left}</span>"
        f'<span class="track">{parts}</span><span class="dx-muted">{counts}</span>'
        f'<span class="dx-said" role="status" title="{escape(message)}">{escape(message)}</span></div>'
    )


def top_bar(state: State, book: Book, codes: np.ndarray) -> None:
    """Counts, undo, redo, history; in a blind second review the person's part of it, and no history."""
    bar, undo, redo, more, _ = st.columns([5.6, 1, 1, 1.2, 0.3], gap="small", vertical_alignment="center")
    with bar:
        progress_bar(codes[deciding.to_judge(state, book)] if state.blind else codes, state.message)
    undo.button(
        "Undo", icon=":material/undo:", on_click=deciding.undo, args=(state,), key="undo", help="Z", width="stretch"
    )
    redo.button(
        "Redo",
        icon=":material/redo:",
        on_click=deciding.redo,
        args=(state,),
        key="redo",
        help="Shift+Z or Y",
        width="stretch",
    )
    if state.blind:
        more.button("Leave", key="leave_blind", on_click=state.go_blind, args=(False,), width="stretch")
        return
    with more.popover("History", icon=":material/history:", key="history", width="stretch"):
        history(state, book, services.events(str(state.run)), services.standing(str(state.run)))


def history(state: State, book: Book, events: list[Event], standing: set[int]) -> None:
    """The log in sentences, newest first, each with a button that takes it back and keeps the later ones."""
    st.caption(texts.KEYS_HELP)
    if not events:
        st.caption("Nothing is decided yet.")
        return
    with st.container(height=300, border=False):
        for event in events[::-1][:HISTORY_LINES]:
            words, button = st.columns([4, 1.2], gap="small", vertical_alignment="center")
            words.markdown(event_words(book, event) + (" :gray[· taken back]" if event.seq not in standing else ""))
            if deciding.is_decision(event) and event.seq in standing:
                button.button(
                    "Revert",
                    key=f"revert_{event.seq}",
                    on_click=deciding.revert,
                    args=(state, event.seq),
                    width="stretch",
                )


def event_words(book: Book, event: Event) -> str:
    """'7. Accepted 214 suggestions (selection, confidence ≥ 0.80)', '8. Rejected row 12: age 3 → 31'."""
    told = event.kind is not DecisionKind.NOTE and event.reason not in ("", "undo", "redo")
    why = f": “{texts.plain(event.reason)}”" if told else ""
    what, who = f"{event.seq}\\. **{texts.EVENT_WORDS[event.kind]}** ", f"{why} :gray[· {texts.plain(event.reviewer)}]"
    if event.reverts is not None:
        return what + f"no. {event.reverts}" + who
    if event.kind == DecisionKind.NOTE:
        rows = sorted({int(services.patch_of(book, i)["row_id"]) for i in event.patch_ids})
        return what + f"on row {', '.join(map(str, rows))}: “{texts.plain(event.reason)}”" + who
    if len(event.patch_ids) != 1:
        query = f" :gray[({event.query})]" if event.query else ""
        return what + texts.suggestions(len(event.patch_ids)) + query + who
    patch = services.patch_of(book, event.patch_ids[0])
    change = review.decided_change(patch, event)
    return what + f"row {patch['row_id']}: {review.column_words(patch['column'], patch['action'])} → `{change}`{who}"


def intro(state: State) -> None:
    """What the map shows and what to do, until dismissed."""
    if not state.intro:
        return
    text, close = st.columns([20, 1], gap="small", vertical_alignment="center")
    text.caption(texts.INTRO)
    close.button(
        "",
        icon=":material/close:",
        key="intro_close",
        type="tertiary",
        help="Don't show this again",
        on_click=state.close_intro,
    )


def keep(state: State, name: str, key: str) -> Any:
    """A callback that copies a widget's value into the state, where it outlives the page."""

    def copy() -> None:
        if st.session_state[key] is not None:
            setattr(state, name, st.session_state[key])

    return copy


def changed(key: str, shown: Any, act: Callable[[Any], object]) -> Callable[[], None]:
    """A callback for a widget whose key says what it shows: acts upon another value than the one shown.

    The browser repeats the value of a widget that it has just put up, at times when the next script has put up another
    in its place; Streamlit takes that for a change, and what the person has left would come back.
    """

    def callback() -> None:
        value = st.session_state[key]
        if value is not None and value != shown:
            act(value)

    return callback


# ---- the queue ---------------------------------------------------------------------------------------------------


def page_count(order: np.ndarray) -> int:
    """Pages of the queue, at least one."""
    return max(1, -(-len(order) // deciding.PAGE_ROWS))


def newly_likely(state: State) -> None:
    """While the queue is in the order that verdicts teach: rows that were not flagged and look wrong by now."""
    lessons = deciding.taught_in(state)
    if lessons is None or lessons.verdicts < deciding.ENOUGH or lessons.newly.empty:
        return
    rows = lessons.newly.drop_duplicates("row_id")
    words = {int(p.row_id): _newly_words(p) for p in rows.head(NEWLY_SHOWN).itertuples()}
    key, here = f"w_newly_{state.row}", state.row if state.row in words else None
    st.pills(
        texts.NEWLY.format(n=texts.number(len(rows))),
        list(words),
        default=here,
        key=key,
        format_func=words.__getitem__,
        on_change=changed(key, here, lambda row: deciding.look_at_row(state, int(row))),
        help=texts.NEWLY_HELP,
    )


def _newly_words(found: Any) -> str:
    """'● 412 · 87 %'."""
    shape = palette.GLYPHS[palette.TYPE_MARKS[ErrorType(found.error_type)].shape]
    return f"{shape} {found.row_id} · {found.after:.0%}"


def draw_queue(state: State, book: Book, codes: np.ndarray, order: np.ndarray) -> None:
    """One page of the queue, the current line marked."""
    page = min(state.page, page_count(order))
    if state.selection is not None:
        nothing = texts.QUEUE_EMPTY_SAMPLE if state.sort == DRAWN else texts.QUEUE_EMPTY_SELECTION
    elif state.blind:
        drawn = len(deciding.to_judge(state, book))
        nothing = texts.BLIND_DONE if drawn else texts.BLIND_NONE.format(who=state.reviewer)
    else:
        nothing = texts.QUEUE_EMPTY_FILTER if len(book.patches) else texts.QUEUE_EMPTY
        nothing = texts.QUEUE_DONE if len(book.patches) and codes.all() else nothing
    shown = order[(page - 1) * deciding.PAGE_ROWS : page * deciding.PAGE_ROWS]
    lessons = deciding.taught_in(state)
    taught = None if lessons is None else lessons.after
    components.queue(
        {
            "height": QUEUE_HEIGHT,
            "above": QUEUE_ABOVE,
            "lines": review.lines(book, codes, shown, dark(), taught),
            "current": state.patch,
            "sort": state.sort if taught is None else "confidence",
            "up": state.ascending,
            "empty": nothing,
            "hints": texts.QUEUE_HINTS if taught is None else texts.QUEUE_HINTS | texts.TAUGHT_HINTS,
            "heads": {} if taught is None else texts.TAUGHT_HEADS,
        }
    )


def bulk(state: State, book: Book, codes: np.ndarray, order: np.ndarray) -> None:
    """Decide the whole queue at once, counted first."""
    undecided = order[codes[order] == 0]
    with (
        st.container(key="bulk"),
        st.popover(
            f"Decide together: {texts.suggestions(len(undecided))}",
            key=f"w_bulk_{state.bulks}",
            disabled=not len(undecided),
            width="stretch",
        ),
    ):
        lessons = deciding.taught_in(state)
        if lessons is not None:
            _bulk_taught(state, book, undecided, lessons)
            return
        least = st.slider("Only with a confidence of at least", 0.0, 1.0, state.filters.least, 0.01, key="w_bulk_least")
        chosen = undecided[book.patches["confidence"].to_numpy()[undecided] >= least]
        advised = chosen[book.patches["recommended"].to_numpy(bool)[chosen]]
        if len(advised) and st.toggle(
            f"Only the {len(advised):,} that DeMix recommends", True, key="w_bulk_advised", help=texts.ADVISED_HELP
        ):
            chosen = advised
        where = "selection" if state.selection is not None else "queue"
        preview(book, chosen)
        st.caption(_evidence(state, book, codes, least, chosen is advised))
        _bulk_buttons(state, book, chosen, f"{where}, confidence ≥ {least:.2f}")
        _shared_mistake(state, book, codes)


def _bulk_buttons(state: State, book: Book, chosen: np.ndarray, query: str, primary: str = "accept") -> None:
    """Accept all of them, reject all of them."""
    kinds = sorted({t.short for t in book.patch_types[chosen]})
    n_rows = len(np.unique(book.patch_rows[chosen]))
    ids = [int(i) for i in book.patches["patch_id"].iloc[chosen]]
    for verb in ("accept", "reject"):
        st.button(
            texts.bulk_label(verb.capitalize(), len(ids), n_rows, kinds),
            key=f"bulk_{verb}",
            disabled=not ids,
            width="stretch",
            type="primary" if verb == primary else "secondary",
            on_click=deciding.decide_many,
            args=(state, verb, ids, query),
        )


def _bulk_taught(state: State, book: Book, undecided: np.ndarray, lessons: services.Taught) -> None:
    """The same where the queue is in the order that verdicts teach: the likeliest of it, or the least likely."""
    ascending = state.ascending
    words, key, start = ("most", "w_bulk_most", UNLIKELY) if ascending else ("least", "w_bulk_likely", SURE)
    limit = st.slider(f"Only those that are by now likely to at {words}", 0.0, 1.0, start, 0.01, key=key)
    after = lessons.after[undecided]
    chosen = undecided[after <= limit if ascending else after >= limit]
    preview(book, chosen, lessons.after)
    st.caption(texts.TAUGHT_BULK.format(n=lessons.verdicts, foretold=_foretold(lessons)))
    kind = DecisionKind.REJECT if ascending else DecisionKind.ACCEPT
    _bulk_buttons(state, book, chosen, said(kind, limit), kind.value)


def _foretold(lessons: services.Taught) -> str:
    told = [
        texts.TAUGHT_FORETOLD.format(kind=texts.TYPE_NAMES[kind], before=lesson.foretold[0], after=lesson.foretold[1])
        for kind, lesson in lessons.lessons.items()
        if lesson.foretold is not None
    ]
    return " ".join(told)


def _evidence(state: State, book: Book, codes: np.ndarray, least: float, advised: bool) -> str:
    """The evidenced precision of suggestions like these; what was judged among them is what it rests on."""
    every = deciding.decided_or_not(state, book, codes)
    every = every[book.patches["confidence"].to_numpy()[every] >= least]
    if advised:
        every = every[book.patches["recommended"].to_numpy(bool)[every]]
    share, n = services.evidenced(book.name, every)
    if share.value is None:
        return texts.EVIDENCE_UNKNOWN
    return texts.EVIDENCE_BULK.format(share=texts.interval(share.value, share.low, share.high), n=n)


def preview(book: Book, chosen: np.ndarray, taught: np.ndarray | None = None) -> None:
    """What a bulk decision would change: counts and the first changes. chosen: positions, in the order of the queue."""
    st.html(preview_counts(book, chosen) + preview_table(book, chosen, taught))


def preview_counts(book: Book, chosen: np.ndarray) -> str:
    """'● Label error 12 · ■ Feature error 30' and 'age 12 · hours 9 · 3 others 9', as HTML."""
    by_type = Counter(book.patch_types[chosen])
    kinds = " · ".join(f"{type_name(t)} {by_type[t]:,}" for t in ErrorType if by_type[t])
    part = book.patches.iloc[chosen]
    names = (review.column_words(c, a) for c, a in zip(part["column"], part["action"], strict=True))
    by_column = Counter(names).most_common()
    shown = [f"{escape(name)} {n:,}" for name, n in by_column[:PREVIEW_COLUMNS]]
    if len(by_column) > PREVIEW_COLUMNS:
        rest = by_column[PREVIEW_COLUMNS:]
        shown.append(f"{len(rest)} other{'' if len(rest) == 1 else 's'} {sum(n for _, n in rest):,}")
    return f'<div class="dx-small" id="preview" data-n="{len(chosen)}">{kinds}<br>{" · ".join(shown)}</div>'


def preview_table(book: Book, chosen: np.ndarray, taught: np.ndarray | None = None) -> str:
    """The first changes as HTML, old to new. taught: float [P], shown in place of the confidence."""
    sure = book.patches["confidence"].to_numpy(float) if taught is None else taught
    first = chosen[:PREVIEW_LINES]
    body = "".join(
        f"<tr><td class='n'>{p.row_id}</td><td>{escape(review.column_words(p.column, p.action))}</td>"
        f"<td><del>{escape(review.shown(p.old)) if p.action not in ('drop', 'reweight') else ''}</del> "
        f"→ <ins>{escape(review.change_words(p.action, p.new))}</ins></td><td class='n'>{sure[i]:.2f}</td></tr>"
        for i, p in zip(first, book.patches.iloc[first].itertuples(), strict=True)
    )
    more = len(chosen) - PREVIEW_LINES
    rest = f'<div class="dx-small">{texts.and_more(more)}</div>' if more > 0 else ""
    return f'<table class="dx preview"><tbody>{body}</tbody></table>{rest}'


def _shared_mistake(state: State, book: Book, codes: np.ndarray) -> None:
    """One button for all open suggestions that mend the same mistake as the one in view."""
    if state.patch is None:
        return
    pattern = str(book.patches["pattern"].iloc[book.patch_at[state.patch]])
    same = np.flatnonzero((book.patches["pattern"].to_numpy() == pattern) & (codes == 0)) if pattern else []
    if len(same) > 1:
        ids = [int(i) for i in book.patches["patch_id"].iloc[same]]
        st.divider()
        st.button(
            f"Accept all {len(ids):,} · {pattern}", key="bulk_pattern", width="stretch",
            on_click=deciding.decide_many, args=(state, "accept", ids, pattern), help=texts.PATTERN_HELP,
        )  # fmt: skip


def queue_head(state: State, book: Book, codes: np.ndarray, order: np.ndarray) -> None:
    """What the queue holds, its pages, and the bulk button."""
    words, sort, pages, many = st.columns([3.6, 2.4, 3, 3.6], gap="small", vertical_alignment="center")
    chosen = "sampled" if state.sort == DRAWN else "selected"
    within = f"in {len(state.selection):,} {chosen} rows" if state.selection is not None else "in the queue"
    found = f"<b>{len(order):,}</b> of {texts.suggestions(len(book.patches))} {within}"
    hidden = deciding.hidden_of(state, book, codes)
    beside = f' <span class="dx-muted">{texts.HIDDEN.format(n=texts.number(hidden))}</span>' if hidden else ""
    words.html(f'<div class="dx-bar" id="queue_head" data-n="{len(order)}"><span>{found}{beside}</span></div>')
    with sort:
        sifting.order_box(state)
    count = page_count(order)
    if count > 1:
        with pages:  # a key per page, so that J and K can turn it as well
            here = min(state.page, count)
            key = f"w_page_{here}"
            st.pagination(count, default=here, key=key, on_change=changed(key, here, state.turn))
    if not state.blind:
        with many:
            bulk(state, book, codes, order)
