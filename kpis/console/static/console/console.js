// Draws the charts, switches the theme, and announces changes to screen readers. The server formats all values.
(function () {
  "use strict";

  const darkScreen = matchMedia("(prefers-color-scheme: dark)");
  const NARROW = 440; // CSS pixels, in which legends have two columns
  const drawn = new Map(); // a chart's element -> vega-embed's result

  function theme() {
    return document.documentElement.dataset.theme || (darkScreen.matches ? "dark" : "light");
  }

  function themed(address) {
    const url = new URL(address, location.href);
    url.searchParams.set("theme", theme());
    return url.pathname + url.search;
  }

  function announce(text) {
    document.getElementById("announcer").textContent = text;
  }

  // Charts

  async function draw(element) {
    const address = themed(element.dataset.chart);
    element.dataset.drawing = address;
    element.setAttribute("aria-busy", "true");
    try {
      const response = await fetch(address, { headers: { Accept: "application/json" }, credentials: "same-origin" });
      if (!response.ok) {
        const mediaType = response.headers.get("Content-Type") || "";
        throw new Error(mediaType.startsWith("text/plain") ? await response.text() : `The server answered ${response.status}.`);
      }
      const specification = await response.json();
      if (!wanted(element, address)) {
        return;
      }
      // Drawn over the old chart, which is removed afterwards, so that nothing flickers.
      const place = document.createElement("div");
      place.className = "plot next";
      place.setAttribute("role", "img");
      place.setAttribute("aria-label", specification.description);
      element.append(place);
      if (place.clientWidth < NARROW) {
        specification.config.legend.columns = 2;
        // A map keeps its shape, so that it needs less height where there is less width.
        specification.height = Math.min(specification.height, 1.2 * place.clientWidth);
      }
      // With the interpreter, expressions need no compiled code, which the site's policy forbids.
      const result = await vegaEmbed(place, specification, { ast: true, actions: false, renderer: "svg", tooltip: { theme: "site" } });
      if (!wanted(element, address)) {
        result.finalize();
        place.remove();
        return;
      }
      place.querySelector("svg").setAttribute("aria-hidden", "true");
      forget(element);
      element.replaceChildren(place);
      element.style.minHeight = "0";
      place.className = "plot";
      drawn.set(element, result);
      element.dispatchEvent(new CustomEvent("drawn", { detail: result.view, bubbles: true }));
      listenForZoom(element, result.view);
      element.dataset.drawn = theme();
    } catch (error) {
      if (wanted(element, address)) {
        const text = document.createElement("p");
        text.className = "problem";
        text.textContent = `This chart could not be drawn. ${error.message}`;
        forget(element);
        element.replaceChildren(text);
      }
    } finally {
      if (wanted(element, address)) {
        element.setAttribute("aria-busy", "false");
      }
    }
  }

  // True if no other chart was requested meanwhile, and the place still exists.
  function wanted(element, address) {
    return element.isConnected && element.dataset.drawing === address;
  }

  function forget(element) {
    const former = drawn.get(element);
    if (former) {
      former.finalize();
      drawn.delete(element);
    }
  }

  function forgetRemoved() {
    for (const element of drawn.keys()) {
      if (!element.isConnected) {
        forget(element);
      }
    }
  }

  function drawAll(root) {
    forgetRemoved();
    for (const element of root.querySelectorAll("[data-chart]")) {
      if (element.dataset.drawing !== themed(element.dataset.chart)) {
        draw(element);
      }
    }
    for (const link of document.querySelectorAll("a[data-themed]")) {
      link.href = themed(link.getAttribute("href"));
    }
  }

  // A span that is brushed on a chart becomes the form's "from" and "to", an interval that is clicked on its "at";
  // the server recomputes everything for it.
  function listenForZoom(element, view) {
    const form = document.getElementById(element.dataset.zooms);
    if (!form) {
      return;
    }
    function show(values) {
      for (const [name, moment] of Object.entries(values)) {
        form.elements[name].value = new Date(moment).toISOString();
      }
      form.dispatchEvent(new Event("zoom"));
    }
    let span = null;
    view.addSignalListener("brush", (_, brushed) => {
      span = Object.values(brushed)[0] || null;
    });
    element.onpointerup = function () {
      const [first, last] = span || [0, 0];
      if (last > first) {
        show({ from: first, to: last });
      }
    };
    view.addEventListener("click", (_, item) => {
      if (!span && item && item.datum && item.datum.start !== undefined && item.datum.value !== null) {
        show({ at: item.datum.start });
      }
    });
  }

  // Colours

  function setUpTheme() {
    const choice = document.getElementById("theme");
    choice.value = document.documentElement.dataset.theme || "auto";
    choice.addEventListener("change", function () {
      if (choice.value === "auto") {
        localStorage.removeItem("theme");
        delete document.documentElement.dataset.theme;
      } else {
        localStorage.setItem("theme", choice.value);
        document.documentElement.dataset.theme = choice.value;
      }
      drawAll(document);
    });
    darkScreen.addEventListener("change", () => drawAll(document));
  }

  // The menu of narrow screens

  function setUpMenu() {
    const button = document.querySelector(".menu-button");
    button.addEventListener("click", function () {
      const open = button.getAttribute("aria-expanded") !== "true";
      button.setAttribute("aria-expanded", String(open));
      document.getElementById("menu").classList.toggle("open", open);
    });
  }

  // The list of groups closes when the user does something else

  document.addEventListener("keydown", function (event) {
    const picker = event.key === "Escape" && event.target.closest("details.picker[open]");
    if (picker) {
      picker.open = false;
      picker.querySelector("summary").focus();
    }
  });
  document.addEventListener("click", function (event) {
    for (const picker of document.querySelectorAll("details.picker[open]")) {
      picker.open = picker.contains(event.target);
    }
  });

  // Parts of the page that the server replaces

  document.addEventListener("htmx:afterSettle", function (event) {
    event.target.removeAttribute("aria-busy");
    drawAll(document);
    const element = event.target.closest("[data-announce]") || event.target.querySelector("[data-announce]");
    if (element) {
      announce(element.dataset.announce);
    }
  });
  document.addEventListener("htmx:responseError", function (event) {
    const waiting = event.detail.target.closest("[aria-busy]");
    const text = `This could not be loaded: the server answered ${event.detail.xhr.status}.`;
    if (waiting) {
      waiting.textContent = text;
      waiting.removeAttribute("aria-busy");
    }
    announce(text);
  });

  document.addEventListener("DOMContentLoaded", function () {
    setUpTheme();
    setUpMenu();
    drawAll(document);
  });
})();
