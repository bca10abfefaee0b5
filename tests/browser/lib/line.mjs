// A browser's line to the world: a proxy that knows CONNECT alone, leads every name to one address,
// loopback unless another is said, and can be cut and mended. TLS passes through it untouched.
import { createServer, connect } from "node:net";

export class Line {
  static async open(to = "127.0.0.1") {
    const line = new Line();
    line.to = to;
    line.server = createServer((near) => line.#join(near));
    await new Promise((done, fail) => line.server.once("error", fail).listen(0, "127.0.0.1", done));
    line.address = `127.0.0.1:${line.server.address().port}`;
    return line;
  }

  constructor() {
    this.isCut = false;
    this.ends = new Set();
  }

  /** Drops what is open and refuses what comes, like a cable that is pulled. */
  cut() {
    this.isCut = true;
    for (const end of this.ends) end.destroy();
  }

  mend() {
    this.isCut = false;
  }

  async close() {
    this.cut();
    await new Promise((done) => this.server.close(done));
  }

  #join(near) {
    this.#keep(near);
    if (this.isCut) return near.destroy();
    let head = "";
    const read = (chunk) => {
      head += chunk.toString("latin1");
      const end = head.indexOf("\r\n\r\n");
      if (end < 0) return;
      near.off("data", read);
      near.pause();
      const port = /^CONNECT [^ :]+:(\d+) HTTP/.exec(head)?.[1];
      if (!port) return near.end("HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n");
      const far = connect(Number(port), this.to, () => {
        near.write("HTTP/1.1 200 OK\r\n\r\n");
        far.write(Buffer.from(head.slice(end + 4), "latin1"));
        near.pipe(far);
        far.pipe(near);
      });
      this.#keep(far);
      near.on("close", () => far.destroy());
      far.on("close", () => near.destroy());
    };
    near.on("data", read);
  }

  #keep(end) {
    this.ends.add(end);
    end.setNoDelay(true);
    end.on("error", () => {});
    end.on("close", () => this.ends.delete(end));
  }
}
