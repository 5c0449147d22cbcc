// A WebSocket that comes back by itself, ever less often while the server is away, and never where it is not wanted.

const FIRST_WAIT = 500; // ms, twice as long after each attempt in vain
const LONGEST_WAIT = 30_000;
const PATIENCE = 10_000; // ms until the first message, which comes at once
// ms of silence after which the line is dead: the server says every ten seconds that there is nothing new.
const SILENCE = 30_000;
const REFUSED = 4403;
const TOO_MANY = 4429;

export class Connection {
  #address;
  #hear;
  #tell;
  #socket = null;
  #timer = 0;
  #vain = 0;

  // `hear` is given each message, `tell` what becomes of the connection: "live", "lost" or "refused".
  constructor(address, hear, tell) {
    this.#address = address;
    this.#hear = hear;
    this.#tell = tell;
  }

  open() {
    this.#drop();
    this.#socket = new WebSocket(this.#address);
    this.#socket.onmessage = (event) => {
      this.#vain = 0;
      this.#wait(SILENCE, () => this.open());
      this.#tell("live");
      this.#hear(JSON.parse(event.data));
    };
    this.#socket.onclose = (event) => this.#lose(event.code);
    this.#wait(PATIENCE, () => this.#lose(0));
  }

  // Tries at once instead of when it is time.
  hurry() {
    if (!this.#socket && this.#timer) {
      this.open();
    }
  }

  #lose(code) {
    this.#drop();
    if (code === REFUSED) {
      this.#tell("refused");
      return;
    }
    this.#tell("lost");
    const wait = code === TOO_MANY ? LONGEST_WAIT : Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.#vain++);
    // Not all pages of a server that comes back ask it in the same moment.
    this.#wait(wait * (0.5 + Math.random() / 2), () => this.open());
  }

  #drop() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    if (this.#socket) {
      // Whatever it still has to say is of no interest.
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
