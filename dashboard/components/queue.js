// The queue of suggestions: one page of lines, whole-line click, current line kept in sight, headers sort. It reaches
// down to the end of the window: above is what stands over it, height its least height, both in px.
// data: {height, above, lines: [{id, row, type, shape, colour, column, old, new, confidence, advised, gain, state, decided}],
//        current, sort, up, empty, hints: {column: tooltip}, heads: {column: another name}}. gain: millionths of the validation loss, or null. Out: picked {seq, id} and sorted {seq, by}.

const SHAPES = [
  '<circle cx="6" cy="6" r="3"/>', '<circle cx="6" cy="6" r="5"/>', '<rect x="1.5" y="1.5" width="9" height="9"/>',
  '<path d="M6 1 11 10.5H1Z"/>', '<path d="M6 .5 11.5 6 6 11.5 .5 6Z"/>',
];
const COLUMNS = [
  ["row", "Row", "76px"], ["type", "What is wrong", "132px"], ["column", "Column", "17%"],
  ["change", "Suggested change", "auto"], ["confidence", "Confidence", "128px"], ["gain", "Gain", "72px"], ["state", "Decision", "98px"],
];
let seq = 0;

function element(tag, parent, text) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  parent.append(node);
  return node;
}

function change(cell, line) {
  if (line.old) { element("del", cell, line.old); element("span", cell, " → "); }
  element("ins", cell, line.new);
  cell.title = (line.old ? `${line.old} → ` : "") + line.new;
}

function confidence(cell, value) {
  cell.className = "number";
  element("span", cell).className = "bar";
  cell.firstChild.style.width = `${Math.round(46 * value)}px`;
  element("span", cell, value.toFixed(2));
}

function gain(cell, value) {
  cell.className = "number";
  cell.textContent = value === null ? "–" : `${value > 0 ? "+" : ""}${Math.abs(value) < 10 ? value.toFixed(1) : Math.round(value)}`;
}

function row(line, current, pick) {
  const tr = document.createElement("tr");
  tr.dataset.id = line.id;
  tr.dataset.row = line.row;
  tr.className = (line.id === current ? "current " : "") + (line.decided ? "decided" : "");
  tr.setAttribute("aria-selected", String(line.id === current));
  element("td", tr, line.row);
  const type = element("td", tr);
  type.innerHTML = `<svg viewBox="0 0 12 12">${SHAPES[line.shape]}</svg>`;
  type.firstChild.style.fill = line.colour;
  element("span", type, line.type);
  element("td", tr, line.column).title = line.column;
  change(element("td", tr), line);
  confidence(element("td", tr), line.confidence);
  if (line.advised) tr.children[4].append(" ✓");
  gain(element("td", tr), line.gain);
  element("td", tr, line.state);
  tr.addEventListener("click", () => pick(line.id));
  return tr;
}

function head(table, data, sort) {
  const tr = element("tr", element("thead", table));
  for (const [key, title, width] of COLUMNS) {
    const th = element("th", tr, data.heads?.[key] ?? title);
    th.style.width = width;
    if (key === "confidence" || key === "gain") th.classList.add("number");
    th.title = data.hints?.[key] ?? "";
    if (data.sort === key) th.classList.add("on");
    if (data.sort === key && data.up) th.classList.add("up");
    if (key !== "change") th.addEventListener("click", () => sort(key));
  }
}

export default function ({ data, parentElement, setStateValue }) {
  let box = parentElement.querySelector(".demix-queue");
  if (!box) { box = element("div", parentElement); box.className = "demix-queue"; }
  if (!data) return;
  const scroll = box.scrollTop, same = box.dataset.first === String(data.lines[0]?.id);
  box.dataset.first = String(data.lines[0]?.id);
  box.dataset.lines = data.lines.length;
  box.dataset.current = data.current;
  box.style.height = `max(${data.height}px, calc(100vh - ${data.above}px))`;
  box.replaceChildren();
  if (!data.lines.length) { element("p", box, data.empty); return; }
  const table = element("table", box);
  head(table, data, (by) => setStateValue("sorted", { seq: Date.now() * 10 + (seq++ % 10), by }));
  const body = element("tbody", table);
  const pick = (id) => setStateValue("picked", { seq: Date.now() * 10 + (seq++ % 10), id });
  for (const line of data.lines) body.append(row(line, data.current, pick));
  box.scrollTop = same ? scroll : 0;
  const current = body.querySelector(".current");
  if (current) {
    const top = current.offsetTop - 30, bottom = current.offsetTop + current.offsetHeight;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (bottom > box.scrollTop + box.clientHeight) box.scrollTop = bottom - box.clientHeight + 60;
  }
}
