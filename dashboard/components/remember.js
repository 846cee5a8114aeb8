// The name of whoever sits at this tab: kept per tab across refreshes, and as a cookie for the next tab of this browser.
// data: {name, named}; named: the person has said it in this tab. Out: name, what this tab was called before a refresh.

const KEY = "demix_reviewer";

export default function ({ data, setStateValue }) {
  if (data.named) {
    sessionStorage.setItem(KEY, data.name);
    document.cookie = `${KEY}=${encodeURIComponent(data.name)}; path=/; max-age=31536000; SameSite=Strict`;
    return;
  }
  const before = sessionStorage.getItem(KEY);
  if (before) setStateValue("name", before);
}
