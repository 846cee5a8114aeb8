// The WebGL side of the map: shaders, buffers, one draw. Stands in front of map.js in the same module.

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

const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

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

