// A dimension's groups, such as operators: their names, their order, and their rates.
import { fold } from "./live-fold.js";
import { fill } from "./live-tables.js";
import { OTHERS, percent, whole } from "./live-words.js";

const SECONDS = 10; // that a rate is the average of, as for the feeds
const MOST = +document.getElementById("live").dataset.groups; // with a colour of their own; the others share one

const orders = new Map(); // a dimension -> its groups' keys

// The groups, equal regardless of case and encoding: `name` is the spelling that most records have, `names` all of them. Those
// known keep their places, so that each keeps its colour; new ones follow, largest first.
export function groupsOf(dimension, live, last) {
  const spelled = new Map(); // a key -> its spellings with their sums
  for (const [name, sum] of live.sums(dimension, last - live.seconds + 1, last) || []) {
    const key = fold(name);
    spelled.set(key, [...(spelled.get(key) || []), { name, sum }].sort((one, other) => other.sum - one.sum));
  }
  const total = (key) => spelled.get(key).reduce((sum, one) => sum + one.sum, 0);
  const known = (orders.get(dimension) || []).filter((key) => spelled.has(key));
  const fresh = [...spelled.keys()].filter((key) => !known.includes(key));
  const order = [...known, ...fresh.sort((one, other) => total(other) - total(one))];
  orders.set(dimension, order);
  const groups = order.map((key) => ({ name: spelled.get(key)[0].name || OTHERS, names: spelled.get(key).map((one) => one.name) }));
  const others = groups.slice(MOST);
  if (others.length > 1) {
    return [...groups.slice(0, MOST), { name: `${others.length} others`, names: others.flatMap((group) => group.names) }];
  }
  return groups;
}

// Writes each group's rate and share of the last whole seconds, up to the last one, into the rows of a table.
export function fillGroups(body, dimension, live, groups, last) {
  const sums = live.sums(dimension, last - SECONDS + 1, last) || new Map();
  const rates = groups.map(({ names }) => names.reduce((sum, name) => sum + (sums.get(name) || 0), 0) / SECONDS);
  const total = rates.reduce((sum, rate) => sum + rate, 0);
  const rows = groups.map(({ name }, number) => [name, whole(rates[number]), percent(total && rates[number] / total)]);
  fill(body, rows, (row, number) => {
    const swatch = document.createElement("span");
    swatch.className = `swatch group-${number + 1}`;
    row.cells[0].prepend(swatch);
  });
}
