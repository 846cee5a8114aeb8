// Writes what the screen shows into the address line, so that a copied link or a refresh comes back to it.
// Replaces the present entry of the history: Back leaves the page in one press, whatever was decided on it.

export default function ({ data }) {
  if (typeof data !== "string") return;
  const wanted = data ? `?${data}` : "";
  if (window.location.search !== wanted) window.history.replaceState(window.history.state, "", window.location.pathname + wanted);
}
