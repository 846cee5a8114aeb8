// Keys of the review: every press gets a sequence number and stays in a short queue, so that presses which arrive
// while Python is busy are not lost. Silent while the person types in a field.
// Also puts the focus into the field that an edit opens.

const WANTED = "aexsjkzy";
const shared = (window.demixKeys ||= { nonce: String(performance.timeOrigin + performance.now()), seq: 0, queue: [] });

const typing = (event) => {
  const target = event.composedPath()[0];
  return target instanceof HTMLElement &&
    (target.isContentEditable || ["TEXTAREA", "SELECT"].includes(target.tagName) ||
      (target.tagName === "INPUT" && !["radio", "checkbox", "range", "button"].includes(target.type)));
};

const dialogOpen = () => !!document.querySelector("[role=dialog][aria-modal=true]");

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

function focusField(wish) {
  if (!wish || shared.focused === wish) return;
  shared.focused = wish;
  let frames = 90, found = null;
  const stop = () => { frames = 0; };
  const look = () => {                         // for a while, as Streamlit renders the field late and sets the caret itself
    const field = document.querySelector(".st-key-edit_box input, .st-key-edit_box textarea");
    if (field && field !== found) {
      found = field;
      frames = Math.max(frames, 20);
      for (const event of ["keydown", "pointerdown", "input"]) field.addEventListener(event, stop, { once: true });
    }
    if (field && frames > 0) {
      if (document.activeElement !== field) field.focus();
      if (field.selectionEnd - field.selectionStart !== field.value.length) field.select();
    }
    if (frames-- > 0) requestAnimationFrame(look);
  };
  look();
}

// Says the queue, and says it again until Python's answer shows that the last press was heard.
function send() {
  clearTimeout(shared.timer);
  if (shared.heard >= shared.seq) return;
  shared.tries = (shared.tries || 0) + 1;
  shared.say("pressed", { nonce: shared.nonce, queue: shared.queue, tries: shared.tries });
  shared.timer = setTimeout(send, 600);
}

export default function ({ data, setStateValue }) {
  shared.say = setStateValue;
  shared.heard = data && data.nonce === shared.nonce ? data.heard : 0;
  focusField(data && data.focus);
  const press = (event) => {
    if (typing(event) || dialogOpen() || event.repeat && !"jk".includes(event.key)) return;
    const key = name(event);
    if (!key) return;
    event.preventDefault();
    shared.seq += 1;
    shared.queue = [...shared.queue, [shared.seq, key]].slice(-200);
    send();
  };
  if (shared.listener) window.removeEventListener("keydown", shared.listener);
  shared.listener = press;
  window.addEventListener("keydown", press);
  return () => {
    window.removeEventListener("keydown", press);
    if (shared.listener === press) shared.listener = null;
  };
}
