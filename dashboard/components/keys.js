// Keys of the whole dashboard. Presses that Python acts upon get a sequence number and stay in a queue until they are
// heard, so that presses which arrive while Python is busy are not lost. What the browser can do alone (the sheet of
// keys, panels, pages) is done here at once. Silent while the person types in a field; what is typed after a key that
// opens a field, before the field is there, goes into it.
// data: {review, focus, nonce, heard, sheet: {title, close, lines: [[keys, words]]}}. Out: pressed {nonce, queue, tries}.

const WANTED = "aecxsjkzyng";
const OPENS = { e: "edit", c: "correct", n: "note", g: "jump" };  // keys that open a field
const FIELD_PATIENCE = 20000;                 // ms that what was typed waits for its field: a busy machine is slow to show it
const shared = (window.demixKeys ||= { nonce: String(performance.timeOrigin + performance.now()), seq: 0, queue: [] });

const boxOf = (question) => `.st-key-${question}_box`;
const typing = (event) => {
  const target = event.composedPath()[0];
  return target instanceof HTMLElement &&
    (target.isContentEditable || ["TEXTAREA", "SELECT"].includes(target.tagName) ||
      (target.tagName === "INPUT" && !["radio", "checkbox", "range", "button"].includes(target.type)));
};

const dialogOpen = () => !!document.querySelector("[role=dialog][aria-modal=true], [data-testid=stDialog]");  // ours, Streamlit's

function name(event) {
  const key = event.key.toLowerCase();
  const command = event.ctrlKey || event.metaKey;
  if (command) return key === "z" ? (event.shiftKey ? "redo" : "undo") : key === "y" ? "redo" : null;
  if (event.altKey) return null;
  if (key === "arrowdown") return "j";
  if (key === "arrowup") return "k";
  if (key.length !== 1 || !WANTED.includes(key)) return null;
  if (key === "z") return event.shiftKey ? "redo" : "undo";
  return key === "y" ? "redo" : key;
}

// ---- fields that a key opens ------------------------------------------------------------------------------------
function put(field, text) {                    // as if typed: React hears only the native setter and an input event
  const kind = field.tagName === "TEXTAREA" ? HTMLTextAreaElement : HTMLInputElement;
  Object.getOwnPropertyDescriptor(kind.prototype, "value").set.call(field, text);
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

function collect(event) {                      // typed ahead of the field; true: taken
  const ahead = shared.ahead;
  if (!ahead || event.ctrlKey || event.metaKey || event.altKey) return false;
  if (event.key === "Escape") shared.ahead = null;
  else if (event.key === "Enter") ahead.enter = true;
  else if (event.key === "Backspace") ahead.text = ahead.text.slice(0, -1);
  else if (event.key.length === 1 && !ahead.enter) ahead.text += event.key;
  event.preventDefault();
  return true;
}

function flush(field, ahead) {
  shared.ahead = null;
  if (ahead.text) put(field, ahead.text);
  if (ahead.enter) setTimeout(() => enter(field), 60);
}

function enter(field) {
  field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", code: "Enter", keyCode: 13, bubbles: true }));
}

// The dialog may take the focus away again, at once or after the first letters: what is typed is still for its field, and
// for nothing else, until the person goes elsewhere by the mouse, Tab or Esc.
function giveBack(event) {
  const field = shared.held;
  if (!field?.isConnected || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key.length === 1) { field.focus(); event.stopImmediatePropagation(); }  // the letter itself follows the focus
  if (event.key === "Enter") { event.preventDefault(); field.focus(); enter(field); }
}

function fieldIn(box) {                        // Streamlit heeds Enter only where the form has its button, which comes after the field
  return document.querySelector(`${box} [data-testid=stFormSubmitButton] button`) && document.querySelector(`${box} input, ${box} textarea`);
}

function focusField(wish) {
  if (!wish || shared.focused === wish) return;
  shared.focused = wish;
  const box = boxOf(wish.split(" ")[0]);
  const until = performance.now() + FIELD_PATIENCE;
  const mine = shared.ahead;                   // what is typed after a later key is for that key's field
  if (mine) mine.question = wish.split(" ")[0];  // E asks which cell where nothing is suggested
  const waits = () => mine && shared.ahead === mine;
  let frames = 90, found = null, typed = false;
  const stop = (event) => { if (event.isTrusted) frames = 0; };  // the person's own doing, not ours
  window.addEventListener("pointerdown", stop, { capture: true, once: true });
  const look = () => {                         // for a while, as Streamlit renders the field late and sets the caret itself
    const field = fieldIn(box);
    if (field && field !== found) {
      found = shared.held = field;
      frames = Math.max(frames, 20);
      for (const event of ["keydown", "pointerdown", "input"]) field.addEventListener(event, stop);
    }
    if (field && waits()) {                    // only once it has the focus: else what is typed next would be nobody's
      field.focus();
      if (document.activeElement === field) { typed = !!mine.text; flush(field, mine); }
    }
    if (field && frames > 0) {
      if (document.activeElement !== field) field.focus();
      if (!typed && field.selectionEnd - field.selectionStart !== field.value.length) field.select();
    }
    const late = waits() && performance.now() < until;
    if (frames-- > 0 || late) requestAnimationFrame(look);
    else if (waits()) shared.ahead = null;
  };
  look();
}

// ---- what the browser does alone --------------------------------------------------------------------------------
const press = (selector) => { const found = document.querySelector(selector); found?.click(); return !!found; };

function soon(selector, act) {                 // when it is there, for at most two seconds
  const until = performance.now() + 2000;
  const look = () => {
    const found = document.querySelector(selector);
    if (found) act(found);
    else if (performance.now() < until) requestAnimationFrame(look);
  };
  look();
}

function leaveSearch(event) {                  // Enter or Esc in the search field: back to the keys
  const field = event.composedPath()[0];
  if (["Enter", "Escape"].includes(event.key) && field.closest?.(".st-key-f_search")) setTimeout(() => field.blur(), 0);
}

function chosen(event) {                       // by a click in a list: back to the keys, which the list's field would swallow
  if (!event.composedPath()[0].closest?.("[role=option]")) return;
  setTimeout(() => {
    const field = document.activeElement;
    if (field?.closest?.("[data-testid=stSelectbox]")) field.blur();
  }, 100);                                     // once the list has closed and given the focus back to its field
}

function alone(event, review) {
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  if (event.key === "?") return openSheet();
  if (event.key.toLowerCase() === "t") return press(".st-key-tour_start button");
  const digit = /^Digit([1-9])$/.exec(event.code);
  if (digit && event.shiftKey && event.key !== digit[1]) {
    const link = document.querySelectorAll("[data-testid=stSidebarNavLink]")[digit[1] - 1];
    link?.click();
    return !!link;
  }
  if (!review) return false;
  if (/^[1-9]$/.test(event.key)) {
    const panel = document.querySelectorAll(".st-key-w_panel button")[event.key - 1];
    panel?.click();
    return !!panel;
  }
  if (event.key === "/") {
    const field = document.querySelector(".st-key-f_search input");
    field?.focus();
    field?.select();
    return !!field;
  }
  if (event.key.toLowerCase() === "b" && press(".st-key-bulk button:not([disabled])")) {
    soon(".st-key-bulk_accept button", (button) => button.focus());
    return true;
  }
  return false;
}

function element(tag, parent, text, className) {
  const node = document.createElement(tag);
  if (text) node.textContent = text;
  if (className) node.className = className;
  parent.append(node);
  return node;
}

function openSheet() {
  const words = shared.sheet;
  if (!words || shared.open) return true;
  const back = document.activeElement;
  const veil = (shared.open = element("div", shared.home, "", "demix-sheet"));
  const card = element("div", veil);
  card.setAttribute("role", "dialog");
  card.setAttribute("aria-modal", "true");
  card.setAttribute("aria-label", words.title);
  card.tabIndex = -1;
  element("h3", card, words.title);
  const list = element("dl", card);
  for (const [keys, meaning] of words.lines) {
    const dt = element("dt", list);
    keys.split(" ").forEach((key) => element(key === "/" || key === "–" ? "span" : "kbd", dt, key === "slash" ? "/" : key));
    element("dd", list, meaning);
  }
  const close = element("button", card, words.close);
  shared.closeSheet = () => {
    shared.closeSheet = null;
    setTimeout(() => { veil.remove(); shared.open = null; back?.focus?.(); }, 0);  // others must still see it at this press
  };
  close.addEventListener("click", shared.closeSheet);
  veil.addEventListener("click", (event) => { if (event.target === veil) shared.closeSheet?.(); });
  card.focus();
  return true;
}

function inSheet(event) {
  if (!shared.open) return false;
  if (event.key === "Escape" || event.key === "?") { shared.closeSheet?.(); event.preventDefault(); }
  if (event.key === "Tab") { shared.open.querySelector("button").focus(); event.preventDefault(); }
  return true;
}

// ---- what Python is told ----------------------------------------------------------------------------------------
// One message at a time: the next one waits for Python's answer, as each message makes Python begin its script anew. An
// answer that does not come is asked for again, ever more patiently: a busy machine must get the time to finish.
const FIRST_PATIENCE = 800, LONGEST_PATIENCE = 12000;

function send() {
  clearTimeout(shared.timer);
  if (shared.heard >= shared.seq) { shared.sent = 0; return; }
  const waiting = shared.sent > shared.heard && performance.now() < shared.until;
  if (!waiting) {
    shared.patience = shared.sent > shared.heard ? Math.min(2 * shared.patience, LONGEST_PATIENCE) : FIRST_PATIENCE;
    shared.until = performance.now() + shared.patience;
    shared.sent = shared.seq;
    shared.tries = (shared.tries || 0) + 1;
    shared.say("pressed", { nonce: shared.nonce, queue: shared.queue, tries: shared.tries });
  }
  shared.timer = setTimeout(send, Math.max(20, shared.until - performance.now()));
}

// The dialog may give its field the focus before we do: what is typed there by then comes after what was typed ahead.
const early = (event) => !!(shared.ahead && event.composedPath()[0].closest?.(boxOf(shared.ahead.question)));

function first(event) {                        // before the map, which has keys of its own, may take what is typed ahead
  if (["Tab", "Escape"].includes(event.key)) shared.held = null;
  if (shared.open || (typing(event) && !early(event))) return;
  if (collect(event)) event.stopImmediatePropagation();
  else giveBack(event);
}

function pressed(event) {
  leaveSearch(event);
  if (inSheet(event) || typing(event) || dialogOpen()) return;
  if (event.repeat && !["j", "k", "ArrowDown", "ArrowUp"].includes(event.key)) return;
  if (alone(event, shared.review)) { event.preventDefault(); return; }
  const key = shared.review ? name(event) : null;
  if (!key) return;
  event.preventDefault();
  shared.seq += 1;
  shared.queue = [...shared.queue, [shared.seq, key]];
  if (key in OPENS) shared.ahead = { seq: shared.seq, question: OPENS[key], text: "", enter: false };
  send();
}

export default function ({ data, parentElement, setStateValue }) {
  shared.say = setStateValue;
  shared.home = parentElement;
  shared.sheet = data?.sheet;
  shared.heard = data && data.nonce === shared.nonce ? data.heard : 0;
  shared.queue = shared.queue.filter(([seq]) => seq > shared.heard);
  if (shared.ahead && shared.heard >= shared.ahead.seq && (!data.focus || data.focus === shared.focused)) shared.ahead = null;
  focusField(data && data.focus);
  if (shared.seq > shared.heard) send();
  shared.review = !!data?.review;
  Object.assign(shared, { first, pressed, chosen });
  if (shared.listening) return;                // once for the tab: while Streamlit puts the component up anew, nobody would hear
  shared.listening = true;
  window.addEventListener("keydown", (event) => shared.first(event), true);
  window.addEventListener("keydown", (event) => shared.pressed(event));
  window.addEventListener("click", (event) => shared.chosen(event), true);
  window.addEventListener("pointerdown", () => { shared.held = null; }, true);
}
