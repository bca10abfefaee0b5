// A client without a browser, on its own line through TLS: for strangers, scripts and streams.
// Certificate errors are never ignored: the home's root is what it trusts.
import { readFileSync } from "node:fs";
import { Agent, request } from "node:https";
import { connect } from "node:tls";
import { WebSocket } from "ws";

export class Client {
  /** @param {{ url: string, root: string }} gate its URL and the file with its root */
  constructor({ url, root }) {
    this.url = new URL(url);
    this.ca = readFileSync(root);
    this.agent = new Agent({ keepAlive: true, maxSockets: 4, ca: this.ca, servername: this.url.hostname });
  }

  /** Sends one request and reads the whole answer; body is a string, a Buffer or a stream. */
  fetch(path, { method = "GET", headers = {}, body } = {}) {
    return new Promise((done, fail) => {
      const ask = this.open(path, { method, headers }, (answer) => {
        const parts = [];
        answer.on("data", (part) => parts.push(part));
        answer.on("error", fail);
        answer.on("end", () => done({ status: answer.statusCode, headers: answer.headers, text: Buffer.concat(parts).toString("latin1") }));
      });
      ask.on("error", fail);
      if (body?.pipe) body.pipe(ask);
      else ask.end(body);
    });
  }

  /** Sends one request's head; heard gets the answer as it comes. */
  open(path, { method = "GET", headers = {} }, heard) {
    return request({
      agent: this.agent, host: "127.0.0.1", port: this.url.port || 443, method, path,
      headers: { host: this.url.host, ...headers }, setHost: false, timeout: 60_000,
    }, heard);
  }

  /** Sends bytes as they are on a connection of their own and returns what comes back until it ends or is silent. */
  raw(bytes, { silence = 1500, protocols = ["http/1.1"], servername = this.url.hostname } = {}) {
    return new Promise((done) => {
      let heard = "";
      const socket = connect({ host: "127.0.0.1", port: this.url.port || 443, ca: this.ca, servername, ALPNProtocols: protocols, checkServerIdentity: () => undefined }, () => socket.write(bytes));
      const end = () => {
        socket.destroy();
        done(heard);
      };
      socket.setTimeout(silence, end);
      socket.on("data", (part) => (heard += part.toString("latin1")));
      socket.on("error", end);
      socket.on("close", end);
    });
  }

  /** Opens a WebSocket; resolves with it, or with the status that refused it. */
  socket(path, headers = {}) {
    return new Promise((done, fail) => {
      const socket = new WebSocket(`wss://127.0.0.1:${this.url.port || 443}${path}`, { ca: this.ca, servername: this.url.hostname, headers: { host: this.url.host, ...headers } });
      socket.on("open", () => done({ socket }));
      socket.on("unexpected-response", (ask, answer) => {
        answer.resume();
        ask.destroy();
        done({ status: answer.statusCode });
      });
      socket.on("error", fail);
    });
  }

  close() {
    this.agent.destroy();
  }
}
