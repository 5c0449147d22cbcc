// Figures and moments of the live page in words.

const root = document.getElementById("live");
const clock = { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: root.dataset.zone };
const toMinute = new Intl.DateTimeFormat("en-GB", clock);
const toSecond = new Intl.DateTimeFormat("en-GB", { ...clock, second: "2-digit" });
const wholes = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const NONE = "\u2013";
// What the server puts together beyond so many groups.
export const OTHERS = "others";

// A whole number; a dash for none.
export function whole(value) {
  return value === null || value === undefined ? NONE : wholes.format(value);
}

export function seconds(value) {
  return value === null || value === undefined ? NONE : `${value.toFixed(1)} s`;
}

export function percent(share) {
  return share > 0 && share < 0.0005 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`;
}

// With its sign, which is a real one.
export function signed(value) {
  return `${value < 0 ? "\u2212" : "+"}${Math.abs(value).toFixed(1)}`;
}

// A moment in Unix seconds on the clocks of the site's zone.
export function minute(moment) {
  return toMinute.format(moment * 1000);
}

export function second(moment) {
  return toSecond.format(moment * 1000);
}

// What a county's score says, in its parts: what the minute has, what is normal, how far away that is.
export function verdict(score) {
  const isFar = score.score === null ? score.count !== score.mean : Math.abs(score.score) >= root.dataset.threshold;
  return {
    isFar,
    sign: isFar ? (score.count > score.mean ? "▲" : "▼") : "",
    count: whole(score.count),
    normal: `${whole(score.mean)} ± ${whole(Math.ceil(score.deviation))}`,
    z: score.score !== null ? signed(score.score) : isFar ? "all before equal" : "0.0",
  };
}
