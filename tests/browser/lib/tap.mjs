// A tap on the line between the gateway and Home Assistant: forwards every byte and keeps the head
// of each request that goes by, so that a walk can say what reached Home Assistant and what did not.
import { createServer, connect } from "node:net";

export class Tap {
  /** Listens on a port of its own and forwards to 127.0.0.1:port. */
  static async open(port) {
    const tap = new Tap();
    tap.server = createServer((near) => (tap.isCut ? near.destroy() : tap.#join(near, connect(port, "127.0.0.1"))));
    await new Promise((done, fail) => tap.server.once("error", fail).listen(0, "127.0.0.1", done));
    tap.url = `http://127.0.0.1:${tap.server.address().port}`;
    return tap;
  }

  constructor() {
    this.heads = []; // {line, headers: Map of lower-case names, text}, one a request
    this.sent = []; // every byte that went to Home Assistant, as it came
    this.lines = new Set();
  }

  /** Forgets what went by so far. */
  clear() {
    this.heads.length = 0;
    this.sent.length = 0;
  }

  /** Everything that went to Home Assistant since clear. */
  bytes() {
    return Buffer.concat(this.sent);
  }

  /** Home Assistant is gone: drops what is open and what comes. */
  cut() {
    this.isCut = true;
    for (const socket of this.lines) socket.destroy();
  }

  mend() {
    this.isCut = false;
  }

  async close() {
    for (const socket of this.lines) socket.destroy();
    await new Promise((done) => this.server.close(done));
  }

  #join(near, far) {
    let tail = "";
    for (const socket of [near, far]) {
      this.lines.add(socket);
      socket.setNoDelay(true);
      socket.on("error", () => {});
      socket.on("close", () => {
        this.lines.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    near.on("data", (chunk) => {
      this.sent.push(chunk);
      tail += chunk.toString("latin1");
      // A head ends with an empty line. What looks like a head inside a body is kept too: the tap
      // may see too much, never too little.
      for (let end; (end = tail.indexOf("\r\n\r\n")) >= 0; tail = tail.slice(end + 4)) this.#head(tail.slice(0, end));
      tail = tail.slice(-65536);
    });
    near.pipe(far);
    far.pipe(near);
  }

  #head(text) {
    const start = text.search(/[A-Z]+ \S+ HTTP\/1\.[01]\r\n/);
    if (start < 0) return;
    const [line, ...rest] = text.slice(start).split("\r\n");
    const headers = new Map(rest.map((header) => [header.slice(0, header.indexOf(":")).toLowerCase(), header.slice(header.indexOf(":") + 1).trim()]));
    this.heads.push({ line, headers, text });
  }
}
