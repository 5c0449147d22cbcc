// The text format of the live page's values and times.

const root = document.getElementById("live");
const clock = { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: root.dataset.zone };
const toMinute = new Intl.DateTimeFormat("en-GB", clock);
const toSecond = new Intl.DateTimeFormat("en-GB", { ...clock, second: "2-digit" });
const toWhole = new Intl.DateTimeFormat("en-GB", {
  ...clock, second: "2-digit", year: "numeric", month: "2-digit", day: "2-digit",
});
const HOUR = 3600000;
// A local time that occurs twice is at most this far from the change of the clocks.
const CHANGE = 3 * HOUR;
const wholes = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const NONE = "\u2013";
// The server's name for all further groups.
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

// With its sign; the minus is U+2212.
export function signed(value) {
  return `${value < 0 ? "\u2212" : "+"}${Math.abs(value).toFixed(1)}`;
}

// A time in Unix seconds, in the site's zone.
export function minute(moment) {
  return textOf(toMinute, moment * 1000);
}

export function second(moment) {
  return textOf(toSecond, moment * 1000);
}

// With its offset if the local time occurs twice.
function textOf(format, moment) {
  const text = format.format(moment);
  const [before, now, after] = [moment - CHANGE, moment, moment + CHANGE].map(offset);
  const back = before - after;
  if (back <= 0 || offset(now === before ? moment + back : moment - back) !== (now === before ? after : before)) {
    return text;
  }
  const [hours, minutes] = [Math.floor(Math.abs(now) / HOUR), (Math.abs(now) % HOUR) / 60000];
  return `${text} (${now < 0 ? "-" : "+"}${String(hours).padStart(2, "0")}${String(minutes).padStart(2, "0")})`;
}

// How far the zone's clocks are ahead of UTC at a moment, in milliseconds.
function offset(moment) {
  const parts = Object.fromEntries(toWhole.formatToParts(moment).map(({ type, value }) => [type, +value]));
  const { year, month, day, hour, minute, second } = parts;
  return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(moment / 1000) * 1000;
}

// A county's score in words: the minute's count, the normal range, and the deviation.
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
