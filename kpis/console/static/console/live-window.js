// The server's data of the last minutes: each feed's state, the scores, and the counts by second.
//
// A second is missing where the feed had no record at all in it. Of the others, groups that are not named had none. The
// counts of a second that changed are another Map.
export class LiveWindow {
  constructor() {
    this.newest = null;
    this.seconds = 0;
    this.feeds = {};
    this.scores = [];
    this.counts = {}; // dimension -> second -> group -> count
  }

  // Applies a window, which has all data, or a frame, which has the changes since the previous message.
  take(message) {
    if (message.type === "window") {
      this.seconds = message.seconds;
      this.counts = {};
    }
    for (const [dimension, groups] of Object.entries(message.counts)) {
      const seconds = (this.counts[dimension] ??= new Map());
      const changed = new Map();
      for (const [group, counts] of Object.entries(groups)) {
        for (const [second, count] of message.type === "window" ? numbered(counts, message.newest) : counts) {
          if (!changed.has(second)) {
            changed.set(second, new Map(seconds.get(second)));
          }
          changed.get(second).set(group, count);
        }
      }
      changed.forEach((counts, second) => seconds.set(second, counts));
    }
    this.newest = message.newest;
    this.feeds = message.feeds;
    this.scores = message.scores || this.scores;
    this.#forget();
  }

  // The window as it is now, which later messages do not change.
  copy() {
    const copy = Object.assign(new LiveWindow(), this);
    copy.counts = Object.fromEntries(Object.entries(this.counts).map(([dimension, seconds]) => [dimension, new Map(seconds)]));
    return copy;
  }

  // One second's counts by group; undefined where there was no record.
  second(dimension, second) {
    return this.counts[dimension]?.get(second);
  }

  // The sums by group from one second to another, both included; null where none of them has a record.
  sums(dimension, first, last) {
    let sums = null;
    for (let second = first; second <= last; second++) {
      const counts = this.second(dimension, second);
      if (counts) {
        sums ??= new Map();
        for (const [group, count] of counts) {
          sums.set(group, (sums.get(group) || 0) + count);
        }
      }
    }
    return sums;
  }

  #forget() {
    for (const seconds of Object.values(this.counts)) {
      for (const second of seconds.keys()) {
        if (second <= this.newest - this.seconds) {
          seconds.delete(second);
        }
      }
    }
  }
}

// A window's counts with their seconds, of which the newest is the last one's, without the gaps.
function numbered(counts, newest) {
  const first = newest - counts.length + 1;
  return counts.map((count, index) => [first + index, count]).filter(([, count]) => count !== null);
}
