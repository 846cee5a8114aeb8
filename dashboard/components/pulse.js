// The pulse of a tab: every few seconds it says which script's last words it has seen, so that Python draws again what
// somebody else changed or what was lost on the way. It stands last on the page: who has it has all that came before.
// Silent while a script runs, as Streamlit loses the last words of a script that a look meets, and in a hidden tab.
// data: {script, every}: number of the script that drew this, ms. Out: seen {script, beat, asked}; asked: a field that a key
// opened stands there.

const PATIENCE = 5;                            // beats that a script may take before it is asked after all the same
const shared = (window.demixPulse ||= { beat: 0, skipped: 0 });

const running = () => document.querySelector("[data-testid=stApp]")?.dataset.testScriptState !== "notRunning";

const asked = () => !!document.querySelector("[data-testid=stDialog], .st-key-edit_box");

function beat() {
  if (!shared.home?.isConnected || document.hidden) return;
  if (running() && ++shared.skipped < PATIENCE) return;
  shared.skipped = 0;
  shared.beat += 1;
  shared.say("seen", { script: shared.seen, beat: shared.beat, asked: asked() });
}

export default function ({ data, parentElement, setStateValue }) {
  if (!data) return;
  Object.assign(shared, { say: setStateValue, home: parentElement, script: data.script, seen: data.script });
  clearInterval(shared.timer);
  shared.timer = setInterval(beat, data.every);
}
