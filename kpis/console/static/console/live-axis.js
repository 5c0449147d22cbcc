// The time axis of the last minutes, in Unix seconds: it ends at the newest record, and advances by the clock while no
// newer one arrives. It records the spans without a connection.

const LATE = 60; // seconds that the newest record may lag behind the end before the axis goes back to it

export class Axis {
  cuts = []; // { start, end }; the end is null as long as there is no connection
  heard = null; // the end when the last message arrived
  #newest = null;
  #since = 0; // the time of that (ms of the page's clock)
  #isStill = false;

  // The axis's last second; null before the first message.
  get end() {
    if (this.#newest === null || this.#isStill) {
      return this.#newest;
    }
    return this.#newest + Math.floor((performance.now() - this.#since) / 1000);
  }

  // The axis as it is now, which the clock does not advance; `heard` is the second up to which values are known.
  still(heard) {
    const still = new Axis();
    still.cuts = this.cuts.map((cut) => ({ ...cut }));
    still.heard = heard;
    still.#newest = this.end;
    still.#isStill = true;
    return still;
  }

  // The server has sent its newest second.
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
