// The guided tour: a card of plain words beside the part of the screen it speaks of, the rest dimmed. Offered once where
// data.offer says so; that it was taken or declined is remembered in this browser.
// data: {offer, start, steps: [{at: selector, title, text}], words: {offer, take, decline, next, back, close, end, of}}.

const MEMORY = "demix-tour";
const shared = (window.demixTour ||= { start: 0, step: -1 });

function remembered() {
  try { return !!localStorage.getItem(MEMORY); } catch { return false; }
}

function remember() {
  try { localStorage.setItem(MEMORY, "seen"); } catch { /* a private window: it will be offered again */ }
}

function element(tag, parent, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text) node.textContent = text;
  parent.append(node);
  return node;
}

function button(parent, text, act, main) {
  const node = element("button", parent, main ? "main" : "", text);
  node.addEventListener("click", act);
  return node;
}

function close() {
  remember();
  clearInterval(shared.timer);
  window.removeEventListener("keydown", shared.keys, true);
  shared.step = -1;
  setTimeout(() => { shared.veil?.remove(); shared.veil = null; shared.back?.focus?.(); }, 0);  // others see it at this press
}

function open() {
  shared.offer?.remove();
  shared.offer = null;
  if (shared.veil) return;
  shared.back = document.activeElement;
  shared.veil = element("div", shared.home, "demix-tour");
  shared.ring = element("i", shared.veil, "ring");
  shared.card = element("div", shared.veil, "card");
  shared.card.setAttribute("role", "dialog");
  shared.card.setAttribute("aria-modal", "true");
  shared.keys = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) go(shared.step + step);
    else if (event.key === "Escape") close();
    else if (event.key !== "Tab" || shared.card.contains(document.activeElement)) return;
    else shared.card.querySelector(".main").focus();
    event.preventDefault();
  };
  window.addEventListener("keydown", shared.keys, true);
  shared.timer = setInterval(place, 250);       // the page below may still be drawing itself
  go(0);
}

function go(step) {
  const { steps, words } = shared.data;
  if (step < 0) return;
  if (step >= steps.length) { close(); return; }
  shared.step = step;
  const { title, text } = steps[step], card = shared.card, last = step === steps.length - 1;
  card.replaceChildren();
  card.setAttribute("aria-label", title);
  card.dataset.step = step;
  element("small", card, "", `${step + 1} ${words.of} ${steps.length}`);
  element("h3", card, "", title);
  element("p", card, "", text);
  const foot = element("div", card, "foot");
  button(foot, words.close, close);
  element("span", foot);
  if (step) button(foot, words.back, () => go(step - 1));
  const next = button(foot, last ? words.end : words.next, () => go(step + 1), true);
  shared.target = null;
  place();
  next.focus({ preventScroll: true });
}

function place() {                             // the ring around the target, the card where there is most room
  const { ring, card } = shared, at = shared.data.steps[shared.step]?.at;
  const target = at ? document.querySelector(at) : null;
  if (target && shared.target !== target) { target.scrollIntoView({ block: "nearest" }); shared.target = target; }
  const box = target?.getBoundingClientRect(), w = innerWidth, h = innerHeight;
  const size = card.getBoundingClientRect(), gap = 14;
  if (!box || !box.width) {
    Object.assign(ring.style, { left: "50%", top: "40%", width: "0px", height: "0px" });
    Object.assign(card.style, { left: `${(w - size.width) / 2}px`, top: `${(h - size.height) / 2}px` });
    return;
  }
  Object.assign(ring.style, {
    left: `${box.left - 5}px`, top: `${box.top - 5}px`, width: `${box.width + 10}px`, height: `${box.height + 10}px`,
  });
  const fit = (value, room) => Math.max(gap, Math.min(value, room - gap));
  const room = { right: w - box.right, left: box.left, below: h - box.bottom, above: box.top };
  const wide = size.width + 2 * gap, high = size.height + 2 * gap;
  let x = fit(box.left + box.width / 2 - size.width / 2, w - size.width), y = fit(box.top, h - size.height);
  if (room.right > wide) x = box.right + gap;
  else if (room.left > wide) x = box.left - size.width - gap;
  else if (room.below > high) y = box.bottom + gap;
  else y = room.above > high ? box.top - size.height - gap : fit(box.top + gap, h - size.height);
  Object.assign(card.style, { left: `${x}px`, top: `${y}px` });
}

function offer() {
  const { words } = shared.data;
  const card = (shared.offer = element("div", shared.home, "demix-offer"));
  card.setAttribute("role", "region");
  card.setAttribute("aria-label", words.take);
  element("p", card, "", words.offer);
  const foot = element("div", card, "foot");
  button(foot, words.decline, () => { remember(); card.remove(); shared.offer = null; });
  button(foot, words.take, open, true);
}

export default function ({ data, parentElement }) {
  if (!data) return;
  shared.data = data;
  shared.home = parentElement;
  if (data.start > shared.start) { shared.start = data.start; open(); }
  else if (data.offer && !remembered() && !shared.veil && !shared.offer) offer();
  if (!data.offer && shared.offer) { shared.offer.remove(); shared.offer = null; }
  return () => {
    if (parentElement.isConnected) return;     // a later call took this one's place while it was still being loaded
    if (shared.veil) close();
    shared.offer?.remove();
    shared.offer = null;
  };
}
