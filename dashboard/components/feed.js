// Hands the map what stays the same whatever is decided: a header u32 n, u32 version, u32 length of the JSON, the JSON
// {target, names, said} padded to a multiple of 4, then f32 x[n], f32 y[n], u32 row id[n], f32 label[n], u8 chance[3n]
// in hundredths. Apart from the map, so that a new colour or a decision does not send it again; n alone, without a body,
// when the window is known to hold that version already. Out: held, the version that this window holds.

export default function ({ data, setStateValue }) {
  if (!data) return;
  const bytes = new Uint8Array(data.buffer || data, data.byteOffset || 0, data.byteLength);
  const head = new DataView(bytes.buffer, bytes.byteOffset);
  const n = head.getUint32(0, true), version = head.getUint32(4, true);
  const known = window.demixFeed && window.demixFeed.version === version && window.demixFeed.n === n;
  if (bytes.length === 8) {
    if (!known) setStateValue("held", 0);       // it was promised and is not here: Python sends it whole
    return;
  }
  if (!known) {
    const length = head.getUint32(8, true), body = bytes.slice(12 + length).buffer;
    const card = JSON.parse(new TextDecoder().decode(bytes.subarray(12, 12 + length)));
    window.demixFeed = {
      n, version, ...card,
      x: new Float32Array(body, 0, n),
      y: new Float32Array(body, 4 * n, n),
      ids: new Uint32Array(body, 8 * n, n),
      label: new Float32Array(body, 12 * n, n),
      chance: new Uint8Array(body, 16 * n, 3 * n),
    };
    window.dispatchEvent(new Event("demix-feed"));
  }
  if (bytes.length > 2_000_000) setStateValue("held", version);
}
