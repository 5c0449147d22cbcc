// The time axis of the last minutes, in Unix seconds: it ends at the newest record, and goes on by the clock while no
// newer one is heard of. It knows which of its spans had no connection.

const LATE = 60; // seconds that the newest record may lag behind the end before the axis goes back to it

export class Axis {
  cuts = []; // { start, end }; the end is null as long as there is no connection
  heard = null; // the end when something was last heard
  #newest = null;
  #since = 0; // when it was (ms of the page's clock)

  // The axis's last second; null before anything is known.
  get end() {
    return this.#newest === null ? null : this.#newest + Math.floor((performance.now() - this.#since) / 1000);
  }

  // The server has told its newest second.
  follow(newest) {
    const end = this.end;
    if (end === null || newest > end || newest < end - LATE) {
      this.#newest = newest;
      this.#since = performance.now();
    }
    this.heard = this.end;
    const last = this.cuts.at(-1);
    if (last?.end === null) {
      last.end = this.heard;
    }
  }

  // The connection is lost.
  cut() {
    if (this.heard !== null && this.cuts.at(-1)?.end !== null) {
      this.cuts.push({ start: this.heard, end: null });
    }
  }

  forget(before) {
    this.cuts = this.cuts.filter((cut) => cut.end === null || cut.end > before);
  }
}
