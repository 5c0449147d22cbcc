// A WebSocket that reconnects by itself, with growing pauses while the server is away, but not after it was refused.

const FIRST_WAIT = 500; // ms, twice as long after each attempt in vain
const LONGEST_WAIT = 30_000;
const PATIENCE = 10_000; // ms until the first message, which comes at once
// ms of silence after which the connection counts as dead: the server sends a frame at least every ten seconds.
const SILENCE = 30_000;
const REFUSED = 4403;
const TOO_MANY = 4429;

export class Connection {
  #address;
  #hear;
  #report;
  #socket = null;
  #timer = 0;
  #vain = 0;

  // `hear` is called with each message, `report` with the state of the connection: "live", "lost" or "refused".
  constructor(address, hear, report) {
    this.#address = address;
    this.#hear = hear;
    this.#report = report;
  }

  open() {
    this.#drop();
    this.#socket = new WebSocket(this.#address);
    this.#socket.onmessage = (event) => {
      this.#vain = 0;
      this.#wait(SILENCE, () => this.open());
      this.#report("live");
      this.#hear(JSON.parse(event.data));
    };
    this.#socket.onclose = (event) => this.#lose(event.code);
    this.#wait(PATIENCE, () => this.#lose(0));
  }

  // Reconnects at once instead of after the pause.
  hurry() {
    if (!this.#socket && this.#timer) {
      this.open();
    }
  }

  #lose(code) {
    this.#drop();
    if (code === REFUSED) {
      this.#report("refused");
      return;
    }
    this.#report("lost");
    const wait = code === TOO_MANY ? LONGEST_WAIT : Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.#vain++);
    // Random, so that not all pages reconnect at the same moment.
    this.#wait(wait * (0.5 + Math.random() / 2), () => this.open());
  }

  #drop() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    if (this.#socket) {
      // Its further messages are ignored.
      this.#socket.onmessage = this.#socket.onclose = null;
      this.#socket.close();
      this.#socket = null;
    }
  }

  #wait(time, then) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(then, time);
  }
}
