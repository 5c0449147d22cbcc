// The live page: updates charts, tables and values with the server's messages, in place.
import { Axis } from "./live-axis.js";
import { drawAreas, drawMap, keep } from "./live-charts.js";
import { Connection } from "./live-connection.js";
import { fillGroups, groupsOf } from "./live-groups.js";
import { fillOutliers, fillRegions, places, sortRegions } from "./live-regions.js";
import { put } from "./live-tables.js";
import { second, seconds, whole } from "./live-words.js";
import { LiveWindow } from "./live-window.js";

const root = document.getElementById("live");
const stateTag = document.getElementById("live-state");
const pauseButton = document.getElementById("live-pause");
const regions = document.getElementById("live-regions");
const STALE = 15_000; // ms without a newer record after which the page says so
const BEAT = 1_100; // ms after which the time axis advances by itself: slightly more than between two messages
const CALM_BEAT = 10_000; // for those who want less motion
const MOST_DELAY = 60; // seconds
const lessMotion = matchMedia("(prefers-reduced-motion: reduce)");

const live = new LiveWindow();
const axis = new Axis();
let shown = live; // the data and the axis that the page shows: of the moment of the pause, if it is paused
let shownAxis = axis;
let connection = "none"; // or live, lost, refused
let heardAt = null; // when the last message came (Unix seconds)
let newerAt = 0; // when the newest record last changed (ms of the page's clock)
let pausedAt = null; // Unix seconds
let drawnAt = -CALM_BEAT;
let isDrawing = false;
let next = null; // true if an update that arrived while drawing is urgent; null for none
let timer = 0;
let scores = null; // the scores by which the regions are sorted
let outliers = "";

function now() {
  return Date.now() / 1000;
}

function announce(text) {
  document.getElementById("announcer").textContent = text;
}

// The state

function state() {
  if (connection === "refused") {
    return ["refused", "Not allowed"];
  }
  if (pausedAt !== null) {
    return ["paused", `Paused at ${second(pausedAt)}${connection === "lost" ? ", no connection" : ""}`];
  }
  if (connection === "lost") {
    return ["lost", heardAt === null ? "No connection yet, trying again…" : `Reconnecting…, last frame ${second(heardAt)}`];
  }
  if (connection === "live" && live.newest !== null && performance.now() - newerAt > STALE) {
    return ["stale", `Live, nothing new since ${second(live.newest)}`];
  }
  return connection === "live" ? ["live", "Live"] : ["connecting", "Connecting…"];
}

function showState() {
  const [name, text] = state();
  if (stateTag.dataset.state !== name && !["connecting", "paused"].includes(name)) {
    announce(text);
  }
  stateTag.dataset.state = root.dataset.state = name;
  put(stateTag, text);
}

// The parts of the page

function isStreaming(feed) {
  const dimensions = [...root.querySelectorAll(`[data-feed=${feed}][data-dimension]`)].map((part) => part.dataset.dimension);
  return shown.feeds[feed]?.consumers > 0 || dimensions.some((dimension) => shown.counts[dimension]?.size);
}

// Shows the parts of the page that have data. Hidden parts keep their width, for the charts in them.
function showParts() {
  const isEmpty = shown.newest === null;
  document.getElementById("live-empty").hidden = !isEmpty;
  const changes = [[document.getElementById("live-shown"), isEmpty]];
  for (const part of root.querySelectorAll("[data-feed]")) {
    changes.push([part, !isStreaming(part.dataset.feed)]);
  }
  const changed = changes.filter(([part, isHidden]) => part.classList.contains("unseen") !== isHidden);
  changed.forEach(([part, isHidden]) => part.classList.toggle("unseen", isHidden));
  if (changed.length) {
    dispatchEvent(new Event("resize"));
  }
}

function showFeeds() {
  for (const facts of root.querySelectorAll("[data-feed] dl")) {
    const feed = shown.feeds[facts.closest("[data-feed]").dataset.feed] || {};
    const words = { rate: whole(feed.rate), lag: whole(feed.lag), delay: seconds(feed.delay), consumers: whole(feed.consumers) };
    for (const [name, text] of Object.entries(words)) {
      put(facts.querySelector(`[data-fact=${name}]`), text);
    }
  }
}

// The second of the shown values: without a connection later ones are unknown.
function at() {
  return connection === "live" && pausedAt === null ? axis.end : shownAxis.heard;
}

async function drawRegions() {
  const found = places(shown, at());
  const text = fillOutliers(found, shown).join(", ");
  if (text !== outliers) {
    announce(text ? `Anomalies: ${text}` : "No region is anomalous any more.");
    outliers = text;
  }
  if (regions.open) {
    fillRegions(found);
    if (scores !== shown.scores) {
      scores = shown.scores;
      sortRegions(found);
    }
  }
  await drawMap(found.filter((place) => place.code));
}

async function drawGroups(part) {
  const { dimension, feed } = part.dataset;
  const groups = groupsOf(dimension, shown, at());
  // Seconds younger than the delay are incomplete.
  const delay = 1 + Math.ceil(Math.min(shown.feeds[feed]?.delay ?? 0, MOST_DELAY));
  fillGroups(part.querySelector("tbody"), dimension, shown, groups, at() - delay);
  part.querySelector("[data-cuts]").hidden = !shownAxis.cuts.length;
  await drawAreas(dimension, shown, groups, shownAxis);
}

// Draws everything, if the page is visible; one frame at a time, however slow the machine is. An urgent update, such as
// of a chart that was just redrawn, waits neither for its beat nor for the end of a pause: it shows what was there before.
async function draw(isUrgent = false) {
  clearTimeout(timer);
  showState();
  if (document.hidden || connection === "refused") {
    return;
  }
  timer = setTimeout(draw, BEAT);
  if (isDrawing) {
    next = next || isUrgent;
    return;
  }
  const isTime = performance.now() - drawnAt >= (lessMotion.matches ? CALM_BEAT : 0);
  if (shownAxis.end !== null && (isUrgent || (isTime && pausedAt === null))) {
    isDrawing = true;
    next = null;
    drawnAt = performance.now();
    try {
      await drawParts(isUrgent);
    } finally {
      isDrawing = false;
    }
    if (next !== null) {
      draw(next);
      return;
    }
  }
  if (heardAt !== null || connection === "lost") {
    root.setAttribute("aria-busy", "false");
  }
}

async function drawParts(isUrgent) {
  axis.forget(axis.end - live.seconds);
  showFeeds();
  await drawRegions();
  for (const part of root.querySelectorAll("[data-dimension]:not(.unseen)")) {
    if (isUrgent || pausedAt === null) {
      await drawGroups(part);
    }
  }
}

// Events

function hear(message) {
  heardAt = now();
  if (message.newest !== live.newest) {
    newerAt = performance.now();
  }
  live.take(message);
  if (live.newest !== null) {
    axis.follow(live.newest);
  }
  showParts();
  draw();
}

function setConnection(becomes) {
  connection = becomes;
  if (becomes === "lost") {
    axis.cut();
  }
  if (becomes === "refused") {
    document.getElementById("live-refused").hidden = false;
    pauseButton.hidden = true;
    root.setAttribute("aria-busy", "false");
  }
  draw();
}

document.addEventListener("drawn", function (event) {
  const part = event.target.closest("[data-live]");
  if (part) {
    keep(part.dataset.live, event.detail);
    root.setAttribute("aria-busy", "true");
    draw(true);
  }
});
document.addEventListener("visibilitychange", function () {
  line.hurry();
  draw(pausedAt === null);
});
addEventListener("online", () => line.hurry());
regions.addEventListener("toggle", function () {
  scores = null;
  draw(true);
});
pauseButton.addEventListener("click", function () {
  if (pausedAt === null) {
    shownAxis = axis.still(at());
    shown = live.copy();
    pausedAt = now();
  } else {
    [shown, shownAxis, pausedAt] = [live, axis, null];
    showParts();
  }
  pauseButton.setAttribute("aria-pressed", String(pausedAt !== null));
  draw(pausedAt === null);
});

const line = new Connection(new URL(root.dataset.socket, location.href.replace(/^http/, "ws")), hear, setConnection);
line.open();
