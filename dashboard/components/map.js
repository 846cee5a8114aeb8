// The map of a run: WebGL2 points under a 2-D overlay. Positions and cards come from feed.js (window.demixFeed); data is
// u32 header length, header JSON, u8 colour[n], u8 mark[n] (bits 0-2 shape, 8 decided, 16 filtered out, 32 64 128: which
// of the three types are flagged). Out: selection {seq, token, n, bits} as a bitset in base64, picked {seq, id},
// unsupported true without WebGL2.

const instances = new WeakMap();
const memory = (window.demixMapMemory ||= { views: {}, hidden: {} });   // camera and hidden classes outlive the page that shows the map
const DECIDED = 8, FILTERED = 16, FLAGGED = [32, 64, 128];

const ICONS = {
  lasso: "M4 9c0-3 3-5 7-5s6 2 6 5-3 5-7 5c-3 0-5-1-5-3 0-1 1-2 2-2 2 0 2 3 0 5-1 1-2 2-2 2",
  box: "M3.5 6.5v-3h3M9 3.5h2.5M13.5 3.5h3v3M16.5 9v2.5M16.5 13.5v3h-3M11 16.5H9M6.5 16.5h-3v-3M3.5 11V9",
  pan: "M10 3v14M3 10h14M10 3 8 5M10 3l2 2M10 17l-2-2M10 17l2-2M3 10l2-2M3 10l2 2M17 10l-2-2M17 10l-2 2",
  closer: "M10 4v12M4 10h12", wider: "M4 10h12",
  fit: "M4 8V4h4M12 4h4v4M16 12v4h-4M8 16H4v-4", clear: "M5 5l10 10M15 5 5 15",
  picture: "M10 3.5v9M6.5 9l3.5 3.5L13.5 9M4 13v3.5h12V13",
};
const HINTS = {
  lasso: "Lasso: drag around rows (Shift adds, Alt takes away)", box: "Box: drag across rows (Shift adds, Alt takes away)",
  pan: "Move the map by dragging (with any tool: middle button)", closer: "Zoom in (+)", wider: "Zoom out (−)",
  fit: "Show all rows (0)", clear: "Clear the selection (Esc)", picture: "Save the map as a picture (PNG)",
};
const TOOLS = ["lasso", "box", "pan"];
const SHAPES = [
  '<circle cx="6" cy="6" r="3"/>', '<circle cx="6" cy="6" r="5"/>', '<rect x="1.5" y="1.5" width="9" height="9"/>',
  '<path d="M6 1 11 10.5H1Z"/>', '<path d="M6 .5 11.5 6 6 11.5 .5 6Z"/>',
];

const many = (n) => n.toLocaleString("en");
const same = (a, b) => { if (!a || a.length !== b.length) return false; for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false; return true; };
const count = (bits) => { let k = 0; for (const b of bits) k += b; return k; };

function pack(chosen) {
  const bits = new Uint8Array((chosen.length + 7) >> 3);
  for (let i = 0; i < chosen.length; i++) if (chosen[i]) bits[i >> 3] |= 1 << (i & 7);
  let text = "";
  for (let i = 0; i < bits.length; i += 8192) text += String.fromCharCode.apply(null, bits.subarray(i, i + 8192));
  return btoa(text);
}

function unpack(text, n) {
  const chosen = new Uint8Array(n), bits = atob(text || "");
  for (let i = 0; i < n && i >> 3 < bits.length; i++) chosen[i] = (bits.charCodeAt(i >> 3) >> (i & 7)) & 1;
  return chosen;
}

// Whether Esc belongs to something else: a field, an open list, a popover, a dialog.
const taken = () => ["INPUT", "TEXTAREA"].includes(document.activeElement?.tagName) ||
  !!document.querySelector("[data-testid=stPopoverBody], [role=dialog], [role=listbox]");

function element(tag, className, parent) {
  const node = document.createElement(tag);
  node.className = className;
  parent.append(node);
  return node;
}

class DemixMap {
  constructor(parent) {
    this.root = element("div", "demix-map", parent);
    this.canvas = element("canvas", "points", this.root);
    this.overlay = element("canvas", "overlay lasso", this.root);
    this.overlay.tabIndex = 0;
    this.overlay.setAttribute("role", "application");
    this.status = element("div", "status", this.root);
    this.status.setAttribute("role", "status");
    this.tools = element("div", "tools", this.root);
    this.tools.setAttribute("role", "toolbar");
    this.tools.setAttribute("aria-label", "Tools of the map");
    this.legend = element("div", "legend", this.root);
    this.legend.setAttribute("role", "group");
    this.legend.setAttribute("aria-label", "Legend: show or hide classes");
    this.tip = element("div", "tip", this.root);
    this.tip.setAttribute("role", "tooltip");
    this.probe = element("i", "probe", this.root);
    this.tip.hidden = true;
    this.hidden = 0; this.seq = Date.now(); this.draws = 0; this.n = 0;
    this.camera = null; this.chosen = new Uint8Array(0); this.held = {};
    this.points = new Points(this.canvas);
    if (!this.points.gl) return;
    this.buttons();
    this.listen();
    this.resizer = new ResizeObserver(() => this.resize());
    this.resizer.observe(this.root);
    this.probe.addEventListener("transitionend", () => { this.colours(); this.request(); });
  }
  get ready() { return this.n > 0 && this.head && this.colour.length === this.n; }

  // ---- data -------------------------------------------------------------------------------------------------
  take(data) {
    const bytes = new Uint8Array(data.buffer || data, data.byteOffset || 0, data.byteLength);
    const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
    this.head = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
    const n = this.head.n;
    this.colour = bytes.slice(4 + length, 4 + length + n);
    this.mark = bytes.slice(4 + length + n, 4 + length + 2 * n);
    this.root.style.height = `${this.head.height}px`;
    this.overlay.setAttribute("aria-label", this.head.label);
    this.apply();
  }
  apply() {
    const feed = window.demixFeed;
    if (!feed || !this.head || feed.n !== this.head.n || feed.version !== this.head.feed) return;
    if (this.feedVersion !== feed.version) {
      Object.assign(this, { n: feed.n, x: feed.x, y: feed.y, ids: feed.ids, card: feed, feedVersion: feed.version, run: this.head.run });
      this.remembered = memory.views[`${this.run} ${feed.version}`] ||= {};
      this.fit();
      this.camera = this.remembered.camera || this.camera;
    }
    if (this.token !== this.head.token || this.chosen.length !== this.n) {
      this.token = this.head.token;
      this.chosen = unpack(this.head.bits, this.n);
    }
    this.hidden = this.hiding()[this.head.title] || 0;
    this.colours();
    this.upload();
    this.describe();
    this.resize();
  }
  hiding() { return (memory.hidden[this.run] ||= {}); }
  upload(everything = false) {                // only what is new: a decision changes a few marks, a selection nothing here
    const arrays = [this.x, this.y, this.colour, this.mark, this.chosen];
    arrays.forEach((array, at) => {
      if (!everything && (array === this.held[at] || (at > 1 && same(this.held[at], array)))) return;
      this.points.put(at, array);
      this.held[at] = array;
      this.stale = true;
    });
    this.any = count(this.chosen) > 0;
  }
  colours() {
    if (!this.head) return;
    const dark = this.dark();
    const key = JSON.stringify([this.head.ramp || this.head.legend, dark]);
    if (key === this.painted) return;
    this.painted = key;
    this.stale = true;
    const entries = this.head.ramp ? this.ramp() : this.head.legend.map((item) => (dark && item.dark) || item.colour);
    this.points.paint(entries, dark ? "#8b8b86" : "#9a9a94");
  }
  ramp() {                                   // high values stand out from the ground: dark on light, light on dark
    const ramp = this.head.ramp.slice(0, 255);
    return [...(this.dark() ? ramp : ramp.reverse()), this.head.ramp[255]];
  }
  dark() {
    const [r, g, b] = getComputedStyle(this.root).backgroundColor.match(/[\d.]+/g).map(Number);
    return r * 0.3 + g * 0.6 + b * 0.1 < 110;
  }

  // ---- drawing ----------------------------------------------------------------------------------------------
  resize() {
    const ratio = window.devicePixelRatio || 1, w = this.root.clientWidth, h = this.root.clientHeight;
    if (!w || !h) return;
    if (this.w !== w || this.h !== h || this.ratio !== ratio) {
      Object.assign(this, { w, h, ratio, stale: true });
      for (const canvas of [this.canvas, this.overlay]) { canvas.width = Math.round(w * ratio); canvas.height = Math.round(h * ratio); }
      this.overlay.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
    }
    if (this.stale || !this.draws) this.request();
    else this.paintOverlay();
  }
  request() {
    if (!this.frame) this.frame = requestAnimationFrame(() => { this.frame = 0; this.draw(); });
  }
  view() {                                   // centre and scale in clip units, one unit of data equally long both ways
    const scale = this.camera.zoom * Math.min(this.w, this.h);
    return [this.camera.x, this.camera.y, (2 * scale) / this.w, (2 * scale) / this.h];
  }
  draw() {
    if (!this.ready || !this.w || this.points.gl.isContextLost()) return;
    this.stale = false;
    this.remembered.camera = this.camera;
    const crowd = this.n > 200000 ? 3.4 : this.n > 30000 ? 5.2 : this.n > 8000 ? 6.6 : 8;
    const size = Math.min(16, crowd * Math.pow(this.camera.zoom / this.home, 0.25)) * this.ratio;
    this.points.draw(this.n, this.view(), size, { selecting: this.any, hidden: this.hidden, ramp: !!this.head.ramp });
    this.draws += 1;
    this.root.dataset.draws = this.draws;
    this.paintOverlay();
  }
  paintOverlay() {
    const g = this.overlay.getContext("2d"), ink = getComputedStyle(this.root).color;
    g.clearRect(0, 0, this.w, this.h);
    const at = this.head && this.head.current;
    if (at >= 0 && at < this.n) {
      const [px, py] = this.toScreen(this.x[at], this.y[at]);
      for (const [radius, width, alpha] of [[11, 2.5, 1], [16, 1, 0.45]]) {
        g.beginPath(); g.arc(px, py, radius, 0, 2 * Math.PI);
        g.globalAlpha = alpha; g.lineWidth = width; g.strokeStyle = ink; g.stroke();
      }
      g.globalAlpha = 1;
    }
    if (this.keyed) this.paintCross(g, ink);
    if (this.path && this.path.length > 1) {
      g.beginPath();
      this.path.forEach(([px, py], i) => (i ? g.lineTo(px, py) : g.moveTo(px, py)));
      g.closePath();
      g.globalAlpha = 0.08; g.fillStyle = ink; g.fill(); g.globalAlpha = 1;
      g.setLineDash([5, 4]); g.lineWidth = 1.5; g.strokeStyle = ink; g.stroke(); g.setLineDash([]);
    }
  }

  paintCross(g, ink) {                       // where Enter would pick a row
    const [cx, cy] = this.centre();
    g.beginPath(); g.moveTo(cx - 9, cy); g.lineTo(cx + 9, cy); g.moveTo(cx, cy - 9); g.lineTo(cx, cy + 9);
    g.lineWidth = 1.5; g.strokeStyle = ink; g.stroke();
  }

  // ---- camera -----------------------------------------------------------------------------------------------
  fit() {
    let x0 = Infinity, x1 = -Infinity, y0 = Infinity, y1 = -Infinity;
    for (let i = 0; i < this.n; i++) {
      if (this.x[i] < x0) x0 = this.x[i]; if (this.x[i] > x1) x1 = this.x[i];
      if (this.y[i] < y0) y0 = this.y[i]; if (this.y[i] > y1) y1 = this.y[i];
    }
    const w = this.root.clientWidth || 600, h = this.root.clientHeight || 400, least = Math.min(w, h);
    const zoom = Math.min(w / Math.max(x1 - x0, 1e-6), (h - 40) / Math.max(y1 - y0, 1e-6)) * 0.92 / least;
    this.camera = { x: (x0 + x1) / 2, y: (y0 + y1) / 2 - 18 / (zoom * least), zoom };
    this.home = zoom;
  }
  centre() { return [this.w / 2, this.h / 2]; }
  toData(px, py) {
    const [cx, cy, sx, sy] = this.view();
    return [(2 * px / this.w - 1) / sx + cx, (1 - 2 * py / this.h) / sy + cy];
  }
  toScreen(x, y) {
    const [cx, cy, sx, sy] = this.view();
    return [((x - cx) * sx + 1) * this.w / 2, (1 - (y - cy) * sy) * this.h / 2];
  }
  zoom(factor, px = this.w / 2, py = this.h / 2) {
    const [bx, by] = this.toData(px, py);
    this.camera.zoom = Math.min(this.home * 400, Math.max(this.home * 0.4, this.camera.zoom * factor));
    const [ax, ay] = this.toData(px, py);
    this.camera.x += bx - ax; this.camera.y += by - ay;
    this.request();
  }
  shift(dx, dy) {                            // by pixels
    const [ax, ay] = this.toData(0, 0), [bx, by] = this.toData(dx, dy);
    this.camera.x += ax - bx; this.camera.y += ay - by;
    this.request();
  }

  // ---- choosing ---------------------------------------------------------------------------------------------
  visible(i) {
    return !(this.mark[i] & FILTERED) && (this.head.ramp || !((this.hidden >>> Math.min(this.colour[i], 31)) & 1));
  }
  select(path, mode) {
    const corners = path.map(([px, py]) => this.toData(px, py)), m = corners.length;
    const px = Float64Array.from(corners, (c) => c[0]), py = Float64Array.from(corners, (c) => c[1]);
    const x0 = Math.min(...px), x1 = Math.max(...px), y0 = Math.min(...py), y1 = Math.max(...py);
    const chosen = mode === "new" ? new Uint8Array(this.n) : this.chosen.slice();
    for (let i = 0; i < this.n; i++) {
      const a = this.x[i], b = this.y[i];
      if (a < x0 || a > x1 || b < y0 || b > y1 || !this.visible(i)) continue;
      let inside = false;
      for (let j = 0, l = m - 1; j < m; l = j++)
        if (py[j] > b !== py[l] > b && a < ((px[l] - px[j]) * (b - py[j])) / (py[l] - py[j]) + px[j]) inside = !inside;
      if (inside) chosen[i] = mode === "less" ? 0 : 1;
    }
    this.choose(chosen);
  }
  selectOne(at, mode) {
    const chosen = this.chosen.slice();
    chosen[at] = mode === "less" ? 0 : 1;
    this.choose(chosen);
  }
  choose(chosen) {
    this.chosen = chosen;
    this.upload();
    const n = count(chosen);
    this.describe();
    this.request();
    this.seq += 1;
    this.emit("selection", { seq: this.seq, token: this.token, run: this.run, n, bits: n ? pack(chosen) : "" });
  }
  clear() { if (this.any) this.choose(new Uint8Array(this.n)); }
  nearest(px, py, reach = 12) {
    let best = -1, least = reach * reach;
    const [x0, y1] = this.toData(px - reach, py - reach), [x1, y0] = this.toData(px + reach, py + reach);
    for (let i = 0; i < this.n; i++) {
      if (this.x[i] < x0 || this.x[i] > x1 || this.y[i] < y0 || this.y[i] > y1 || !this.visible(i)) continue;
      const [qx, qy] = this.toScreen(this.x[i], this.y[i]);
      const d = (qx - px) ** 2 + (qy - py) ** 2 - ((this.mark[i] & 7) ? 9 : 0);
      if (d < least) { least = d; best = i; }
    }
    return best;
  }

  // ---- the hand ---------------------------------------------------------------------------------------------
  listen() {
    const o = this.overlay;
    o.addEventListener("pointerdown", (e) => this.down(e));
    o.addEventListener("pointermove", (e) => this.move(e));
    o.addEventListener("pointerup", (e) => this.up(e));
    o.addEventListener("pointercancel", () => { this.path = this.drag = null; this.request(); });
    o.addEventListener("pointerleave", () => { this.pointer = null; this.tip.hidden = true; });
    o.addEventListener("focus", () => { this.byKeys(!this.pressed); this.paintOverlay(); });
    o.addEventListener("blur", () => { this.byKeys(false); this.tip.hidden = true; this.paintOverlay(); });
    o.addEventListener("keydown", (e) => this.key(e));
    o.addEventListener("dblclick", () => { if (this.tool === "pan") this.act("fit"); });
    o.addEventListener("wheel", (e) => {
      if (!this.ready) return;
      e.preventDefault();
      this.zoom(Math.exp(-e.deltaY * (e.deltaMode ? 0.03 : 0.0012)), e.offsetX, e.offsetY);
    }, { passive: false });
    this.canvas.addEventListener("webglcontextlost", (e) => { e.preventDefault(); this.root.dataset.lost = "1"; });
    this.canvas.addEventListener("webglcontextrestored", () => {
      delete this.root.dataset.lost;
      this.points.prepare();
      this.painted = null;
      this.colours();
      this.upload(true);
      this.request();
    });
    this.escape = (e) => { if (e.key === "Escape" && !taken()) this.clear(); };
    this.arrived = () => this.apply();
    window.addEventListener("keydown", this.escape);
    window.addEventListener("demix-feed", this.arrived);
  }
  byKeys(on) {                               // whether the keyboard brought the focus here
    this.keyed = on;
    this.overlay.classList.toggle("keyed", on);
  }
  mode(e) { return e.shiftKey || e.ctrlKey || e.metaKey ? "more" : e.altKey ? "less" : "new"; }
  down(e) {
    if (!this.ready || e.button > 1) return;
    e.preventDefault();                      // or the middle button scrolls the page
    this.overlay.setPointerCapture(e.pointerId);
    this.pressed = true;
    this.byKeys(false);
    this.overlay.focus({ preventScroll: true });
    this.pressed = false;
    this.start = [e.offsetX, e.offsetY];
    this.moved = false;
    this.how = this.mode(e);
    if (this.tool !== "pan" && e.button === 0) this.path = [this.start];
    else { this.drag = this.start; this.overlay.classList.add("dragging"); }
  }
  move(e) {
    if (!this.ready) return;
    const here = [e.offsetX, e.offsetY];
    if (!this.path && !this.drag) { this.hoverSoon(here); return; }
    if (Math.hypot(here[0] - this.start[0], here[1] - this.start[1]) > 4) this.moved = true;
    this.tip.hidden = true;
    if (this.path) {
      const [x, y] = this.start;
      if (this.tool === "box") this.path = [this.start, [here[0], y], here, [x, here[1]]];
      else this.path.push(here);
      this.paintOverlay();
      return;
    }
    this.shift(here[0] - this.drag[0], here[1] - this.drag[1]);
    this.drag = here;
  }
  up(e) {
    const path = this.path, dragged = this.drag;
    this.path = this.drag = null;
    this.overlay.classList.remove("dragging");
    if (!this.ready || !this.start) return;
    if (!this.moved) this.click(e.offsetX, e.offsetY, this.how);
    else if (path && path.length > 2) this.select(path, this.how);
    this.start = null;
    if (!dragged) this.paintOverlay();
  }
  click(px, py, how = "new") {
    const at = this.nearest(px, py);
    if (at < 0) return;
    if (how !== "new") { this.selectOne(at, how); return; }
    this.seq += 1;
    this.head.current = at;
    this.paintOverlay();
    this.emit("picked", { seq: this.seq, id: this.ids[at] });
  }
  key(e) {                                   // after a click on the map, keys still decide on rows
    if (!this.ready || !this.keyed || ((e.ctrlKey || e.metaKey) && e.key !== "Enter")) return;
    const steps = { ArrowLeft: [48, 0], ArrowRight: [-48, 0], ArrowUp: [0, 48], ArrowDown: [0, -48] };
    const acts = { "+": "closer", "=": "closer", "-": "wider", 0: "fit" };
    if (steps[e.key]) this.shift(...steps[e.key]);
    else if (acts[e.key]) this.act(acts[e.key]);
    else if (e.key === "Enter") this.click(...this.centre(), this.mode(e));
    else return;
    e.preventDefault();
    e.stopPropagation();
    requestAnimationFrame(() => this.keyed && this.hover(...this.centre()));
  }
  hoverSoon(here) {                          // once a frame: a search among a million rows takes some milliseconds
    const waiting = this.pointer;
    this.pointer = here;
    if (!waiting) requestAnimationFrame(() => { const at = this.pointer; this.pointer = null; if (at && !this.path && !this.drag) this.hover(...at); });
  }
  hover(px, py) {
    const at = this.nearest(px, py);
    this.tip.hidden = at < 0;
    if (at < 0) return;
    this.fillCard(at);
    const [qx, qy] = this.toScreen(this.x[at], this.y[at]), half = this.tip.offsetHeight / 2, wide = this.tip.offsetWidth;
    this.tip.style.left = `${qx + 14 + wide < this.w ? qx + 14 : Math.max(4, qx - 14 - wide)}px`;
    this.tip.style.top = `${Math.min(this.h - half - 4, Math.max(half + 4, qy))}px`;
  }
  fillCard(at) {                             // row, label, what is suspected and how sure, what is suggested
    const card = this.card, mark = this.mark[at], value = card.label ? card.label[at] : NaN;
    this.tip.replaceChildren();
    this.tip.dataset.row = this.ids[at];
    const line = (name, text) => { const node = element("div", name, this.tip); node.textContent = text; return node; };
    line("row", `Row ${this.ids[at]}` + (mark & DECIDED ? " · decided" : ""));
    if (card.target) line("", `${card.target}: ${card.names ? card.names[value] ?? "" : Number.isNaN(value) ? "(empty)" : +value.toPrecision(6)}`);
    if (!this.head.ramp && this.head.title !== "Error type") {
      const shown = this.head.legend[this.colour[at]]?.name;
      if (shown && shown !== card.names?.[value]) line("", `${this.head.title}: ${shown}`);
    }
    if (card.chance) {
      const types = element("div", "types", this.tip);
      [0, 1, 2].sort((a, b) => card.chance[3 * at + b] - card.chance[3 * at + a]).forEach((k) => {
        const p = card.chance[3 * at + k];
        const node = element("span", mark & FLAGGED[k] ? "on" : "", types);
        node.innerHTML = `<svg viewBox="0 0 12 12" fill="currentColor">${SHAPES[k + 1]}</svg>`;
        element("span", "", node).textContent = `${this.head.types[k]} ${(p / 100).toFixed(2)}`;
      });
    }
    const said = card.said?.[at];
    if (said) line("said", said);
  }

  // ---- words around the map ---------------------------------------------------------------------------------
  act(name) {
    if (TOOLS.includes(name)) this.arm(name);
    else if (!this.ready) return;
    else if (name === "closer") this.zoom(1.5);
    else if (name === "wider") this.zoom(1 / 1.5);
    else if (name === "fit") { this.fit(); this.request(); }
    else if (name === "clear") this.clear();
    else this.picture();
  }
  buttons() {
    for (const [name, path] of Object.entries(ICONS)) {
      const button = element("button", "", this.tools);
      button.type = "button"; button.title = HINTS[name]; button.dataset.tool = name;
      button.setAttribute("aria-label", HINTS[name]);
      button.innerHTML = `<svg viewBox="0 0 20 20"><path d="${path}"/></svg>`;
      button.addEventListener("click", () => this.act(name));
    }
    this.arm(memory.tool || "lasso");
  }
  arm(tool) {
    this.tool = memory.tool = tool;
    this.overlay.classList.toggle("lasso", tool !== "pan");
    this.overlay.classList.toggle("pan", tool === "pan");
    for (const b of this.tools.children)
      if (TOOLS.includes(b.dataset.tool)) b.setAttribute("aria-pressed", String(b.dataset.tool === tool));
  }
  describe() {
    const selected = count(this.chosen);
    this.root.dataset.selected = selected;
    this.root.dataset.current = this.head.current;
    this.status.textContent = selected ? `${many(selected)} of ${many(this.n)} rows selected` : this.head.note || "";
    this.legend.replaceChildren();
    if (this.head.ramp) { this.describeRamp(); return; }
    for (const { code, item, all, part } of this.counts()) {
      const button = element("button", "", this.legend), colour = (this.dark() && item.dark) || item.colour;
      button.type = "button";
      button.title = (item.said ? `${item.said}. ` : "") + "Show or hide on the map";
      button.dataset.code = code;
      button.setAttribute("aria-pressed", String(!((this.hidden >>> Math.min(code, 31)) & 1)));
      button.innerHTML = `<svg viewBox="0 0 12 12" fill="${colour}">${SHAPES[item.shape ?? 1]}</svg>`;
      element("span", "", button).textContent = item.name;
      element("small", "", button).textContent = part;
      button.addEventListener("click", () => this.toggle(code));
    }
  }
  counts() {                                 // per class: of all its rows, how many are selected; without a selection, how many pass the filters
    const selected = this.any, all = new Uint32Array(256), mine = new Uint32Array(256);
    for (let i = 0; i < this.n; i++) {
      all[this.colour[i]]++;
      if (selected ? this.chosen[i] : !(this.mark[i] & FILTERED)) mine[this.colour[i]]++;
    }
    return this.head.legend.map((item, code) => {
      const whole = !selected && mine[code] === all[code];
      return { code, item, all: all[code], part: whole ? many(all[code]) : `${many(mine[code])} / ${many(all[code])}` };
    }).filter((entry) => entry.all);
  }
  toggle(code) {
    this.hidden = this.hiding()[this.head.title] = this.hidden ^ (1 << Math.min(code, 31));
    this.describe();
    this.legend.querySelector(`[data-code="${code}"]`)?.focus({ preventScroll: true });
    this.request();
  }
  describeRamp() {
    const box = element("div", "ramp", this.legend);
    const stops = this.ramp().filter((_, i) => i < 255 && i % 15 === 0).join(",");
    element("span", "", box).textContent = this.head.title;
    element("small", "", box).textContent = this.head.low;
    element("i", "", box).style.background = `linear-gradient(90deg, ${stops})`;
    element("small", "", box).textContent = this.head.high;
  }

  // ---- to keep ----------------------------------------------------------------------------------------------
  picture() {                                // what is on the screen, its legend and its facts below it, as a PNG
    const style = getComputedStyle(this.root), ratio = this.ratio, foot = 52;
    const sheet = document.createElement("canvas"), g = sheet.getContext("2d");
    sheet.width = Math.round(this.w * ratio); sheet.height = Math.round((this.h + foot) * ratio);
    g.scale(ratio, ratio);
    g.fillStyle = style.backgroundColor; g.fillRect(0, 0, this.w, this.h + foot);
    this.draw();                             // in this very task: the points are still in their buffer
    for (const layer of [this.canvas, this.overlay]) g.drawImage(layer, 0, 0, this.w, this.h);
    g.fillStyle = style.color; g.font = `12px ${style.fontFamily}`;
    let left = 12;
    for (const { item, part } of this.head.ramp ? [] : this.counts()) {
      const words = `${item.name} ${part}`;
      if (left + g.measureText(words).width + 20 > this.w) break;
      const mark = new Path2D({ 0: "M6 3a3 3 0 1 0 .01 0", 1: "M6 1a5 5 0 1 0 .01 0", 2: "M1.5 1.5h9v9h-9Z", 3: "M6 1 11 10.5H1Z", 4: "M6 .5 11.5 6 6 11.5 .5 6Z" }[item.shape ?? 1]);
      g.save(); g.translate(left, this.h + 8); g.fillStyle = (this.dark() && item.dark) || item.colour; g.fill(mark); g.restore();
      g.fillText(words, left + 17, this.h + 19);
      left += g.measureText(words).width + 34;
    }
    if (this.head.ramp) g.fillText(`${this.head.title}: ${this.head.low} to ${this.head.high}`, 12, this.h + 19);
    g.globalAlpha = 0.75; g.fillText(`${this.status.textContent} · ${this.head.facts}`, 12, this.h + 40, this.w - 24);
    sheet.toBlob((blob) => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = this.head.file;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    }, "image/png");
  }
  close() {
    this.resizer?.disconnect();
    window.removeEventListener("keydown", this.escape);
    window.removeEventListener("demix-feed", this.arrived);
    this.points.gl?.getExtension("WEBGL_lose_context")?.loseContext();
    this.root.remove();
  }
}

export default function ({ data, parentElement, setStateValue }) {
  let map = instances.get(parentElement);
  if (!map) {
    map = new DemixMap(parentElement);
    instances.set(parentElement, map);
  }
  map.emit = (name, value) => setStateValue(name, value);
  window.demixMap = map;                      // for the browser tests
  if (!map.points.gl) { map.root.remove(); setStateValue("unsupported", true); return; }
  if (data) map.take(data);
  clearTimeout(map.closing);                  // a rerun calls the clean-up and mounts again at once: keep the instance
  return () => {
    map.closing = setTimeout(() => { if (!parentElement.isConnected) { instances.delete(parentElement); map.close(); } }, 500);
  };
}
