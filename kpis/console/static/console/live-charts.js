// The live page's charts: their data is updated in place, and only changes are drawn.
import { minute, verdict, whole } from "./live-words.js";

const views = new Map(); // a chart's name -> its Vega view
const narrow = matchMedia("(max-width: 40rem)");

// Stores the view of a chart that was drawn, for the first time or in another theme.
export function keep(name, view) {
  views.set(name, view);
}

// The regions' places; see `places` in live-regions.js.
export async function drawMap(places) {
  const most = Math.max(10, ...places.map((place) => place.value));
  const values = places.map(({ code, value, score }) => {
    const judged = score && verdict(score);
    return {
      code,
      // A logarithmic scale has no zero.
      value: value && Math.max(1, value),
      figure: value === null ? "no records" : `${whole(value)} calls`,
      normal: judged ? `${judged.count} calls, normally ${judged.normal}` : "normal not known yet",
      sign: judged ? judged.sign : "",
    };
  });
  await views.get("map")?.signal("most", ceiling(most)).data("values", values).runAsync();
}

// Groups stacked from the axis's first second to its last; `groups` as `groupsOf` in live-groups.js gives them. Only
// seconds that changed are redrawn.
export async function drawAreas(dimension, live, groups, axis) {
  const view = views.get(dimension);
  if (!view) {
    return;
  }
  const last = axis.end;
  const first = last - live.seconds + 1;
  const marks = ticks(first, last);
  // The last second is still under way.
  const { gone, fresh, most } = exchange(view, live, dimension, groups, first, last - 1);
  await view
    .signal("span", [first, last])
    .signal("marks", marks)
    .signal("labels", marks.map(minute))
    .signal("most", ceiling(most))
    .change("points", view.changeset().remove(gone).insert(fresh))
    .data("cuts", axis.cuts.map(({ start, end }) => ({ start, end: end ?? last })))
    .runAsync();
}

const drawn = new WeakMap(); // a view -> second -> the counts and groups that its points show, and these

// The points of a view to remove and to add, and the highest of those that remain.
function exchange(view, live, dimension, groups, first, last) {
  const former = drawn.get(view) ?? new Map();
  const names = groups.map((group) => group.names.join("\n")).join("\n\n");
  const now = new Map();
  const fresh = [];
  let run = former.get(first)?.run ?? first;
  let most = 1;
  for (let second = first; second <= last; second++) {
    const counts = live.second(dimension, second);
    if (!counts) {
      run = null;
      continue;
    }
    run ??= second;
    let shown = former.get(second);
    if (shown?.counts !== counts || shown.names !== names || shown.run !== run) {
      shown = { counts, names, run, points: stack(second, run, counts, groups) };
      fresh.push(...shown.points);
    }
    now.set(second, shown);
    most = Math.max(most, shown.points.at(-1).high);
  }
  const gone = [...former].filter(([second, shown]) => now.get(second) !== shown).flatMap(([, shown]) => shown.points);
  drawn.set(view, now);
  return { gone, fresh, most };
}

function stack(second, run, counts, groups) {
  let high = 0;
  return groups.map(({ names }, group) => {
    const low = high;
    high = names.reduce((sum, name) => sum + (counts.get(name) || 0), low);
    return { at: second + 0.5, group, run, low, high };
  });
}

// A round number that rarely changes: the end of colour scales and axes.
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find((step) => step * power >= value);
}

function ticks(first, last) {
  const step = narrow.matches ? 300 : 180;
  const marks = [];
  for (let mark = Math.ceil(first / step) * step; mark <= last; mark += step) {
    marks.push(mark);
  }
  return marks;
}
