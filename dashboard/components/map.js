// The map of a run: WebGL2 points under a 2-D overlay. Positions come from feed.js (window.demixFeed); data is
// u32 header length, header JSON, u8 colour[n], u8 mark[n] (bits 0-2 shape, 8 decided, 16 filtered out).
// Out: selection {seq, token, n, bits} as a bitset in base64, picked {seq, id}, unsupported true without WebGL2.

const instances = new WeakMap();
const DECIDED = 8, FILTERED = 16;

const VERTEX = `#version 300 es
layout(location=0) in float ax; layout(location=1) in float ay;
layout(location=2) in uint colour; layout(location=3) in uint mark; layout(location=4) in uint chosen;
uniform vec4 view; uniform float size; uniform bool selecting; uniform uint hidden; uniform int pass;
uniform sampler2D palette; uniform bool ramp;
out vec4 tint; flat out uint shape; flat out uint hollow; flat out float pixels;
void main() {
  shape = mark & 7u; hollow = mark & 8u;
  bool off = (mark & 16u) != 0u || (!ramp && ((hidden >> min(colour, 31u)) & 1u) == 1u);
  bool plain = off || (selecting && chosen == 0u);
  if ((pass == 0) != (plain || shape == 0u) || (!ramp && ((hidden >> min(colour, 31u)) & 1u) == 1u)) {
    gl_Position = vec4(2.0, 2.0, 2.0, 1.0); gl_PointSize = 0.0; return;
  }
  gl_Position = vec4((vec2(ax, ay) - view.xy) * view.zw, 0.0, 1.0);
  pixels = size * (shape == 0u ? 0.55 : shape == 1u ? 1.0 : 1.12);
  gl_PointSize = pixels + 2.0;
  vec4 base = texelFetch(palette, ivec2(int(colour), 0), 0);
  if (plain) base = vec4(texelFetch(palette, ivec2(0, 1), 0).rgb, off ? 0.10 : 0.28);
  else base.a = shape == 0u && !ramp ? 0.55 : 0.92;
  tint = base;
}`;

const FRAGMENT = `#version 300 es
precision mediump float;
in vec4 tint; flat in uint shape; flat in uint hollow; flat in float pixels; out vec4 colour;
float inside(vec2 p) {                       // signed distance in units of the half width, negative inside
  if (shape == 2u) return max(abs(p.x), abs(p.y)) - 0.82;
  if (shape == 3u) return max(abs(p.x) * 0.88 - (p.y + 0.95) * 0.48, p.y - 0.72);
  if (shape == 4u) return (abs(p.x) + abs(p.y)) * 0.78 - 0.78;
  return length(p) - 0.92;
}
void main() {
  vec2 p = (gl_PointCoord * 2.0 - 1.0) * (pixels + 2.0) / pixels;
  float edge = 2.0 / pixels, d = inside(p);
  float cover = 1.0 - smoothstep(-edge * 0.5, edge * 0.5, d);
  if (hollow != 0u) cover *= smoothstep(-edge * 1.6, -edge * 0.9, d) * 0.95 + 0.05;
  float alpha = cover * tint.a;
  if (alpha < 0.01) discard;
  colour = vec4(tint.rgb * alpha, alpha);
}`;

const ICONS = {
  lasso: "M4 9c0-3 3-5 7-5s6 2 6 5-3 5-7 5c-3 0-5-1-5-3 0-1 1-2 2-2 2 0 2 3 0 5-1 1-2 2-2 2",
  pan: "M10 3v14M3 10h14M10 3 8 5M10 3l2 2M10 17l-2-2M10 17l2-2M3 10l2-2M3 10l2 2M17 10l-2-2M17 10l-2 2",
  closer: "M10 4v12M4 10h12", wider: "M4 10h12",
  fit: "M4 8V4h4M12 4h4v4M16 12v4h-4M8 16H4v-4", clear: "M5 5l10 10M15 5 5 15",
};
const HINTS = {
  lasso: "Lasso: drag around rows (Shift pans, Ctrl adds, Alt takes away)", pan: "Move the map by dragging (Shift draws a lasso)",
  closer: "Zoom in", wider: "Zoom out", fit: "Show all rows", clear: "Clear the selection (Esc)",
};
const SHAPES = [
  '<circle cx="6" cy="6" r="3"/>', '<circle cx="6" cy="6" r="5"/>', '<rect x="1.5" y="1.5" width="9" height="9"/>',
  '<path d="M6 1 11 10.5H1Z"/>', '<path d="M6 .5 11.5 6 6 11.5 .5 6Z"/>',
];

const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
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

class Points {                               // the WebGL side: buffers, shaders, one draw
  constructor(canvas) {
    this.gl = canvas.getContext("webgl2", { antialias: false, alpha: true, premultipliedAlpha: true });
    if (this.gl) this.prepare();
  }
  prepare() {
    const gl = this.gl, program = (this.program = gl.createProgram());
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS) && !gl.isContextLost()) throw new Error(gl.getShaderInfoLog(shader));
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    gl.useProgram(program);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    this.buffers = {};
    this.places = {};
    for (const name of ["view", "size", "selecting", "hidden", "pass", "ramp"]) this.places[name] = gl.getUniformLocation(program, name);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
  }
  put(location, array) {
    const gl = this.gl;
    gl.bindBuffer(gl.ARRAY_BUFFER, (this.buffers[location] ||= gl.createBuffer()));
    gl.bufferData(gl.ARRAY_BUFFER, array, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(location);
    if (array instanceof Float32Array) gl.vertexAttribPointer(location, 1, gl.FLOAT, false, 0, 0);
    else gl.vertexAttribIPointer(location, 1, gl.UNSIGNED_BYTE, 0, 0);
  }
  paint(colours, grey) {                     // row 0: the 256 colours; row 1: the grey of what is not chosen
    const gl = this.gl, texels = new Uint8Array(256 * 2 * 4);
    colours.forEach((hex, i) => texels.set([...rgb(hex), 255], 4 * i));
    texels.set([...rgb(grey), 255], 4 * 256);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 256, 2, 0, gl.RGBA, gl.UNSIGNED_BYTE, texels);
  }
  draw(n, view, size, options) {
    const gl = this.gl, at = this.places;
    gl.viewport(0, 0, gl.canvas.width, gl.canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.uniform4fv(at.view, view);
    gl.uniform1f(at.size, size);
    gl.uniform1i(at.selecting, options.selecting);
    gl.uniform1ui(at.hidden, options.hidden >>> 0);
    gl.uniform1i(at.ramp, options.ramp);
    for (const pass of [0, 1]) {
      gl.uniform1i(at.pass, pass);
      gl.drawArrays(gl.POINTS, 0, n);
    }
  }
}

class DemixMap {
  constructor(parent) {
    this.root = element("div", "demix-map", parent);
    this.canvas = element("canvas", "points", this.root);
    this.overlay = element("canvas", "overlay lasso", this.root);
    this.overlay.tabIndex = 0;
    this.overlay.setAttribute("role", "application");
    this.status = element("div", "status", this.root);
    this.tools = element("div", "tools", this.root);
    this.legend = element("div", "legend", this.root);
    this.tip = element("div", "tip", this.root);
    this.probe = element("i", "probe", this.root);
    this.tip.hidden = true;
    this.tool = "lasso"; this.hidden = 0; this.seq = Date.now(); this.draws = 0; this.n = 0;
    this.camera = null; this.chosen = new Uint8Array(0);
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
      const other = this.run !== this.head.run;
      Object.assign(this, { n: feed.n, x: feed.x, y: feed.y, ids: feed.ids, feedVersion: feed.version, run: this.head.run });
      this.fit();
      if (other) this.hidden = 0;
    }
    if (this.token !== this.head.token || this.chosen.length !== this.n) {
      this.token = this.head.token;
      this.chosen = unpack(this.head.bits, this.n);
    }
    if (this.scheme !== this.head.title) { this.scheme = this.head.title; this.hidden = 0; }
    this.colours();
    this.upload();
    this.describe();
    this.resize();
  }
  upload() {
    const p = this.points;
    p.put(0, this.x); p.put(1, this.y); p.put(2, this.colour); p.put(3, this.mark); p.put(4, this.chosen);
    this.any = count(this.chosen) > 0;
  }
  colours() {
    if (!this.head) return;
    const dark = this.dark();
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
      Object.assign(this, { w, h, ratio });
      for (const canvas of [this.canvas, this.overlay]) { canvas.width = Math.round(w * ratio); canvas.height = Math.round(h * ratio); }
      this.overlay.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
    }
    this.request();
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
    if (this.path && this.path.length > 1) {
      g.beginPath();
      this.path.forEach(([px, py], i) => (i ? g.lineTo(px, py) : g.moveTo(px, py)));
      g.closePath();
      g.globalAlpha = 0.08; g.fillStyle = ink; g.fill(); g.globalAlpha = 1;
      g.setLineDash([5, 4]); g.lineWidth = 1.5; g.strokeStyle = ink; g.stroke(); g.setLineDash([]);
    }
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
  choose(chosen) {
    this.chosen = chosen;
    this.points.put(4, chosen);
    const n = count(chosen);
    this.any = n > 0;
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
    o.addEventListener("pointerleave", () => { this.tip.hidden = true; });
    o.addEventListener("wheel", (e) => {
      if (!this.ready) return;
      e.preventDefault();
      this.zoom(Math.exp(-e.deltaY * (e.deltaMode ? 0.03 : 0.0012)), e.offsetX, e.offsetY);
    }, { passive: false });
    this.canvas.addEventListener("webglcontextlost", (e) => { e.preventDefault(); this.root.dataset.lost = "1"; });
    this.canvas.addEventListener("webglcontextrestored", () => {
      delete this.root.dataset.lost;
      this.points.prepare();
      this.colours();
      this.upload();
      this.request();
    });
    this.escape = (e) => { if (e.key === "Escape" && !taken()) this.clear(); };
    this.arrived = () => this.apply();
    window.addEventListener("keydown", this.escape);
    window.addEventListener("demix-feed", this.arrived);
  }
  down(e) {
    if (!this.ready || e.button > 1) return;
    this.overlay.setPointerCapture(e.pointerId);
    this.overlay.focus({ preventScroll: true });
    this.start = [e.offsetX, e.offsetY];
    this.moved = false;
    const lasso = (this.tool === "lasso") !== (e.shiftKey || e.button === 1);
    if (lasso) { this.path = [this.start]; this.mode = e.ctrlKey || e.metaKey ? "more" : e.altKey ? "less" : "new"; }
    else { this.drag = this.start; this.overlay.classList.add("dragging"); }
  }
  move(e) {
    if (!this.ready) return;
    const here = [e.offsetX, e.offsetY];
    if (!this.path && !this.drag) { this.hover(...here); return; }
    if (Math.hypot(here[0] - this.start[0], here[1] - this.start[1]) > 4) this.moved = true;
    this.tip.hidden = true;
    if (this.path) { this.path.push(here); this.paintOverlay(); return; }
    const [ax, ay] = this.toData(...this.drag), [bx, by] = this.toData(...here);
    this.camera.x += ax - bx; this.camera.y += ay - by;
    this.drag = here;
    this.request();
  }
  up(e) {
    const path = this.path;
    this.path = this.drag = null;
    this.overlay.classList.remove("dragging");
    if (!this.ready || !this.start) return;
    if (!this.moved) this.click(e.offsetX, e.offsetY);
    else if (path && path.length > 2) this.select(path, this.mode);
    this.start = null;
    this.request();
  }
  click(px, py) {
    const at = this.nearest(px, py);
    if (at < 0) return;
    this.seq += 1;
    this.head.current = at;
    this.emit("picked", { seq: this.seq, id: this.ids[at] });
  }
  hover(px, py) {
    const at = this.nearest(px, py);
    this.tip.hidden = at < 0;
    if (at < 0) return;
    const kind = this.head.shapes[this.mark[at] & 7] + (this.mark[at] & DECIDED ? ", decided" : "");
    const value = this.head.ramp ? "" : this.head.legend[this.colour[at]]?.name;
    this.tip.textContent = `row ${this.ids[at]} · ${kind}` + (value && value !== this.head.shapes[this.mark[at] & 7] ? ` · ${value}` : "");
    const [qx, qy] = this.toScreen(this.x[at], this.y[at]);
    this.tip.style.left = `${Math.min(qx, this.w - this.tip.offsetWidth - 20)}px`;
    this.tip.style.top = `${Math.max(14, qy)}px`;
  }

  // ---- words around the map ---------------------------------------------------------------------------------
  buttons() {
    const act = {
      lasso: () => this.arm("lasso"), pan: () => this.arm("pan"), closer: () => this.zoom(1.5), wider: () => this.zoom(1 / 1.5),
      fit: () => { this.fit(); this.request(); }, clear: () => this.clear(),
    };
    for (const [name, path] of Object.entries(ICONS)) {
      const button = element("button", "", this.tools);
      button.type = "button"; button.title = HINTS[name]; button.dataset.tool = name;
      button.setAttribute("aria-label", HINTS[name]);
      button.innerHTML = `<svg viewBox="0 0 20 20"><path d="${path}"/></svg>`;
      button.addEventListener("click", act[name]);
    }
    this.arm("lasso");
  }
  arm(tool) {
    this.tool = tool;
    this.overlay.classList.toggle("lasso", tool === "lasso");
    this.overlay.classList.toggle("pan", tool === "pan");
    for (const b of this.tools.children)
      if (["lasso", "pan"].includes(b.dataset.tool)) b.setAttribute("aria-pressed", String(b.dataset.tool === tool));
  }
  describe() {
    const selected = count(this.chosen);
    this.root.dataset.selected = selected;
    this.root.dataset.current = this.head.current;
    this.status.textContent = selected ? `${selected.toLocaleString("en")} of ${this.n.toLocaleString("en")} rows selected` : this.head.note || "";
    this.legend.replaceChildren();
    if (this.head.ramp) { this.describeRamp(); return; }
    const all = new Uint32Array(256), mine = new Uint32Array(256);
    for (let i = 0; i < this.n; i++) { all[this.colour[i]]++; mine[this.colour[i]] += this.chosen[i]; }
    this.head.legend.forEach((item, code) => {
      if (!all[code]) return;
      const button = element("button", "", this.legend), colour = (this.dark() && item.dark) || item.colour;
      button.type = "button";
      button.title = "Show or hide on the map";
      button.setAttribute("aria-pressed", String(!((this.hidden >>> Math.min(code, 31)) & 1)));
      button.innerHTML = `<svg viewBox="0 0 12 12" fill="${colour}">${SHAPES[item.shape ?? 1]}</svg>`;
      element("span", "", button).textContent = item.name;
      element("small", "", button).textContent = (selected ? `${mine[code].toLocaleString("en")} / ` : "") + all[code].toLocaleString("en");
      button.addEventListener("click", () => { this.hidden ^= 1 << Math.min(code, 31); this.describe(); this.request(); });
    });
  }
  describeRamp() {
    const box = element("div", "ramp", this.legend);
    const stops = this.ramp().filter((_, i) => i < 255 && i % 15 === 0).join(",");
    element("span", "", box).textContent = this.head.title;
    element("small", "", box).textContent = this.head.low;
    element("i", "", box).style.background = `linear-gradient(90deg, ${stops})`;
    element("small", "", box).textContent = this.head.high;
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
