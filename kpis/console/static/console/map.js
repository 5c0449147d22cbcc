// Shows the slider's time while it moves, and outlines the region of the table row under the pointer.
(function () {
  "use strict";

  let view = null;

  function showStep(slider) {
    const label = JSON.parse(document.getElementById("steps").textContent)[slider.value];
    slider.form.querySelector("output").textContent = label;
    slider.setAttribute("aria-valuetext", label);
  }

  function point(code) {
    if (view && view.container().isConnected) {
      view.signal("pointed", code).run();
    }
  }

  function pointAt(event) {
    const row = event.target.closest("tr[data-code]");
    point(row ? row.dataset.code : "");
  }

  document.addEventListener("input", function (event) {
    if (event.target.id === "step") {
      showStep(event.target);
    }
  });
  document.addEventListener("drawn", function (event) {
    const known = event.detail.getState({ data: () => false, signals: (name) => name === "pointed" }).signals;
    if (known.pointed !== undefined) {
      view = event.detail;
    }
  });
  document.addEventListener("focusin", pointAt);
  document.addEventListener("pointerover", pointAt);

  // The map stays in place; the part that the server replaced beside it names the chart to draw next.
  document.addEventListener("htmx:afterSettle", function () {
    const shown = document.querySelector("[data-map]");
    const canvas = document.querySelector("#map-figure [data-chart]");
    if (shown && canvas) {
      canvas.dataset.chart = shown.dataset.map;
    }
  });
})();
