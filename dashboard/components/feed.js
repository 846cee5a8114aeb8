// Hands the map its positions: a header u32 n, u32 version, then f32 x[n], f32 y[n], u32 row id[n].
// Apart from the map, so that a new colour or a decision does not send the positions again.

export default function ({ data }) {
  if (!data) return;
  const bytes = new Uint8Array(data.buffer || data, data.byteOffset || 0, data.byteLength);
  const head = new DataView(bytes.buffer, bytes.byteOffset);
  const n = head.getUint32(0, true), version = head.getUint32(4, true);
  if (window.demixFeed && window.demixFeed.version === version && window.demixFeed.n === n) return;
  const body = bytes.slice(8).buffer;
  window.demixFeed = {
    n, version,
    x: new Float32Array(body, 0, n),
    y: new Float32Array(body, 4 * n, n),
    ids: new Uint32Array(body, 8 * n, n),
  };
  window.dispatchEvent(new Event("demix-feed"));
}
