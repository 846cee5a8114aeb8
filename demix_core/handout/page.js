"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const options = { responsive: true, displaylogo: false, scrollZoom: true };

  function draw(onDark) {
    for (const [name, figure] of Object.entries(figures)) {
      const data = figure.data.map((trace) =>
        trace.meta ? { ...trace, marker: { ...trace.marker, color: onDark ? trace.meta.dark : trace.meta.light } } : trace
      );
      const layout = { ...figure.layout, uirevision: "kept", font: { ...figure.layout.font, color: onDark ? "#d9d9d4" : "#33332f" } };
      Plotly.react(name, data, layout, options);
    }
    document.body.dataset.drawn = onDark ? "dark" : "light";
  }

  dark.addEventListener("change", () => draw(dark.matches));
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((one) => { one.open = true; });
    draw(false);
  });
  window.addEventListener("afterprint", () => draw(dark.matches));
  draw(dark.matches);
})();
