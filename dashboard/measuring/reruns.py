"""How long the review's script takes after a decision: `python -m dashboard.measuring.reruns RUN_FOLDER DECISIONS`.

Prints JSON: seconds of each rerun (the press, the decision on disk, the whole page made again), as wall and CPU time.
The browser's part is not in it; as in a browser, the map's positions are held there after the first run.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from streamlit.testing.v1 import AppTest

from dashboard import mapping, services

PATIENCE = 600


def measure(run: Path, decisions: int) -> dict[str, object]:
    """Seconds of the first run of the page and of the reruns after each of so many decisions."""
    sys.argv = ["app.py", "--workspace", str(run.parents[1])]
    app = AppTest.from_file(str(Path(__file__).resolve().parents[1] / "app.py"), default_timeout=PATIENCE)
    app.query_params["run"] = run.name
    begin = time.perf_counter()
    app.run()
    first = time.perf_counter() - begin
    state = app.session_state["demix"]
    state.holds(mapping.feed_version(services.book(run.name), state.projection))
    app.run()
    wall, cpu = [], []
    for i in range(decisions):
        app.button(key="accept" if i % 2 else "reject").click()
        clocks = time.perf_counter(), time.process_time()
        app.run()
        wall.append(round(time.perf_counter() - clocks[0], 4))
        cpu.append(round(time.process_time() - clocks[1], 4))
    decided = int((services.codes(run.name) > 0).sum())
    return {"first": round(first, 3), "wall": wall, "cpu": cpu, "decided": decided, "failed": len(app.exception)}


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), int(sys.argv[2]))))
