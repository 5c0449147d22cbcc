// The regions: the present value of each, its comparison with the last hour, and the anomalous ones.
import { fold } from "./live-fold.js";
import { fill, put, write } from "./live-tables.js";
import { minute, NONE, OTHERS, verdict, whole } from "./live-words.js";

const SECONDS = +document.getElementById("live").dataset.mapSeconds;
const MOST_OUTLIERS = 5;
const MOST_ELSEWHERE = 20; // groups that are not regions

const table = document.querySelector("#live-regions tbody");
const elsewhere = document.querySelector("#live-elsewhere");
const rows = new Map([...table.rows].map((row) => [row.dataset.code, row]));
const spellings = JSON.parse(document.getElementById("spellings").textContent);
const codes = new Map(Object.entries(spellings).map(([name, code]) => [fold(name), code]));

// Each region, and each group that is not a region's name (its code is empty): `value` is the count of the last
// seconds, null if there was no record at all; `score` the server's, null if there is none.
export function places(live, last) {
  const sums = live.sums("county", last - SECONDS, last - 1);
  const nothing = sums && 0;
  const found = new Map([...rows].map(([code, row]) => [code, { code, name: row.cells[0].textContent, value: nothing, score: null }]));
  function place(name) {
    const key = codes.get(fold(name)) ?? `called ${name}`;
    if (!found.has(key)) {
      found.set(key, { code: "", name: name || OTHERS, value: nothing, score: null });
    }
    return found.get(key);
  }
  for (const [name, sum] of sums || []) {
    place(name).value += sum;
  }
  for (const score of live.scores) {
    place(score.county).score ??= score; // of several spellings, the one with the largest deviation comes first
  }
  return [...found.values()];
}

// Lists the anomalous regions; returns their names with their signs.
export function fillOutliers(places, live) {
  const scored = places.filter((place) => place.score).sort((one, other) => live.scores.indexOf(one.score) - live.scores.indexOf(other.score));
  const outliers = scored.map((place) => ({ place, judged: verdict(place.score) })).filter(({ judged }) => judged.isFar);
  const shown = outliers.slice(0, MOST_OUTLIERS);
  fill(
    document.getElementById("live-outlier-rows"),
    shown.map(({ place, judged }) => [`${judged.sign} ${place.name}`, judged.count, judged.normal, judged.z]),
    (row) => row.lastElementChild.append(Object.assign(document.createElement("span"), { className: "text tag bad" })),
  );
  shown.forEach(({ place }, number) => {
    document.getElementById("live-outlier-rows").rows[number].dataset.code = place.code;
  });
  put(document.getElementById("live-verdict"), outcome(scored.length, outliers.length));
  const start = live.newest - (live.newest % 60) - 60;
  put(document.getElementById("live-minute"), `${minute(start)} to ${minute(start + 60)} against the hour before`);
  return outliers.map(({ place, judged }) => `${judged.sign} ${place.name}`);
}

function outcome(scored, outliers) {
  if (!scored) {
    return "Not known yet: it takes five whole minutes before the last one.";
  }
  const number = outliers || "None";
  const named = outliers > MOST_OUTLIERS ? `, the first ${MOST_OUTLIERS} here` : "";
  return `${number} of ${scored} regions${named}.`;
}

// Writes every region's figures into its row.
export function fillRegions(places) {
  for (const place of places.filter((one) => one.code)) {
    write(rows.get(place.code), cells(place));
  }
  const others = places.filter((one) => !one.code).sort((one, other) => other.value - one.value);
  fill(elsewhere, others.slice(0, MOST_ELSEWHERE).map(cells), (row) => {
    const tag = document.createElement("span");
    tag.className = "tag";
    tag.textContent = "not on the map";
    row.cells[0].append(" ", tag);
  });
}

// Sorts the rows by their values, but not each second, so that they stay readable.
export function sortRegions(places) {
  const known = places.filter((one) => one.code).sort((one, other) => other.value - one.value);
  table.append(...known.map((place) => rows.get(place.code)));
}

function cells({ name, value, score }) {
  const judged = score && verdict(score);
  return [name, value === null ? "no data" : whole(value), ...(judged ? [judged.count, judged.normal, `${judged.sign} ${judged.z}`.trim()] : [NONE, NONE, NONE])];
}
