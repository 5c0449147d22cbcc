// Draws the charts, switches the colours, and tells what changed. All figures come from the server as they are shown.
(function () {
  "use strict";

  const darkScreen = matchMedia("(prefers-color-scheme: dark)");
  const drawn = new Map(); // a chart's element -> what vega-embed gave

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
        const told = response.headers.get("Content-Type") || "";
        throw new Error(told.startsWith("text/plain") ? await response.text() : `The server answered ${response.status}.`);
      }
      const specification = await response.json();
      if (element.dataset.drawing !== address) {
        return; // asked for anew meanwhile
      }
      const place = document.createElement("div");
      place.className = "plot";
      forget(element);
      element.replaceChildren(place);
      // With the interpreter, expressions need no compiled code, which the site's policy forbids.
      const result = await vegaEmbed(place, specification, { ast: true, actions: false, renderer: "svg", tooltip: { theme: "site" } });
      drawn.set(element, result);
      listenForZoom(element, result.view);
      element.dataset.drawn = theme();
    } catch (error) {
      if (element.dataset.drawing === address) {
        const text = document.createElement("p");
        text.className = "problem";
        text.textContent = `This chart could not be drawn. ${error.message}`;
        forget(element);
        element.replaceChildren(text);
      }
    } finally {
      if (element.dataset.drawing === address) {
        element.setAttribute("aria-busy", "false");
      }
    }
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

  // A span that is brushed on a chart becomes the form's, and the server figures the series anew for it.
  function listenForZoom(element, view) {
    const form = document.getElementById(element.dataset.zooms || "");
    if (!form) {
      return;
    }
    let span = null;
    view.addSignalListener("brush", (_, brushed) => {
      span = Object.values(brushed)[0] || null;
    });
    element.onpointerup = function () {
      if (span && span[1] > span[0]) {
        const [first, last] = [Math.min(...span), Math.max(...span)].map((moment) => new Date(moment).toISOString());
        span = null;
        form.dispatchEvent(new CustomEvent("zoom", { detail: { from: first, to: last }, bubbles: true }));
      }
    };
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

  // Parts that the server exchanges

  document.addEventListener("htmx:afterSettle", function (event) {
    drawAll(document);
    const told = event.target.closest("[data-announce]") || event.target.querySelector("[data-announce]");
    if (told) {
      announce(told.dataset.announce);
    }
  });
  document.addEventListener("htmx:responseError", function (event) {
    announce("The server refused: " + event.detail.xhr.status);
  });

  document.addEventListener("DOMContentLoaded", function () {
    setUpTheme();
    setUpMenu();
    drawAll(document);
  });
})();
