// The map's slider says where it is while it moves, and a row of a table that is pointed at is outlined on the map.
(function () {
  "use strict";

  let view = null;

  function tellStep(slider) {
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
      tellStep(event.target);
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

  // The map stays in its place; what the server has exchanged beside it says what to draw next.
  document.addEventListener("htmx:afterSettle", function () {
    const shown = document.querySelector("[data-map]");
    const canvas = document.querySelector("#map-figure [data-chart]");
    if (shown && canvas) {
      canvas.dataset.chart = shown.dataset.map;
    }
  });
})();
