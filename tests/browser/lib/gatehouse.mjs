// bin/gatehouse under test: the demonstration home, or serve in front of a home of the lab. The
// verbs are the binary's own; nothing of the program is reached in any other way.
import { execFile, spawn } from "node:child_process";
import { createWriteStream, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { freePort, repo } from "./home.mjs";
import { until } from "./house.mjs";

const binary = process.env.GATEHOUSE ?? join(repo, "bin/gatehouse");

export class Gatehouse {
  /** The demonstration home; log is the file for what it says. */
  static async demo({ log }) {
    const port = await freePort();
    const gate = new Gatehouse({ log, dir: mkdtempSync(join(tmpdir(), "gatehouse-demo-")) });
    gate.args = ["demo", "--json", "--listen", `127.0.0.1:${port}`, "--ssh-listen", `127.0.0.1:${await freePort()}`];
    gate.env.XDG_RUNTIME_DIR = gate.dir;
    const said = await gate.#run(true);
    gate.url = said.url.replace(/\/$/, "");
    gate.ownerLink = said.owner_link;
    gate.root = said.root_pem_file;
    return gate;
  }

  /** The gateway of a real home, reached as https://house.test. */
  static async serve({ log, haUrl, extra = "" }) {
    const dir = mkdtempSync(join(tmpdir(), "gatehouse-serve-"));
    const port = await freePort();
    const gate = new Gatehouse({ log, dir });
    const config = join(dir, "gatehouse.toml");
    mkdirSync(join(dir, "state"), { mode: 0o700 });
    writeFileSync(config, `[home]\nname = "house.test"\nha_url = "${haUrl}"\n\n[doors.https]\nlisten = "127.0.0.1:${port}"\n\n[state]\ndir = "${join(dir, "state")}"\n${extra}`, { mode: 0o600 });
    gate.config = config;
    gate.args = ["serve", "--config", config];
    gate.url = `https://house.test:${port}`;
    await gate.#run(false);
    gate.root = join(dir, "root.pem");
    writeFileSync(gate.root, (await gate.verb("ca", "export")).text);
    return gate;
  }

  /** A gateway at home: the door lan alone, in the network that a lane leads to, as https://house.lan. */
  static async atHome({ log, lane }) {
    const gate = new Gatehouse({ log, dir: mkdtempSync(join(tmpdir(), "gatehouse-home-")) });
    gate.config = join(gate.dir, "gatehouse.toml");
    mkdirSync(join(gate.dir, "state"), { mode: 0o700 });
    writeFileSync(gate.config, `[home]\nha_url = "http://127.0.0.1:1"\n\n[doors.lan]\nlisten = ":8443"\nnames = ["house.lan"]\n\n[state]\ndir = "${join(gate.dir, "state")}"\n`, { mode: 0o600 });
    gate.within = lane.within;
    gate.host = lane.house;
    gate.args = ["serve", "--config", gate.config];
    gate.url = "https://house.lan:8443";
    await gate.#run(false);
    gate.root = join(gate.dir, "root.pem");
    writeFileSync(gate.root, (await gate.verb("ca", "export")).text);
    return gate;
  }

  constructor({ log, dir }) {
    this.dir = dir;
    this.log = log;
    this.env = { ...process.env, NO_COLOR: "1" };
    this.last = () => this.ended === undefined && this.child?.kill("SIGKILL");
    process.once("exit", this.last);
  }

  /** A verb of the command line: {text, json} of its standard output; fails when it does not exit with 0. */
  async verb(...args) {
    const at = this.config ? ["--config", this.config] : [];
    const { stdout } = await promisify(execFile)(binary, [...args, ...at], { env: this.env, timeout: 20_000 });
    let json;
    try {
      json = JSON.parse(stdout);
    } catch {
      // Not every verb prints JSON.
    }
    return { text: stdout, json };
  }

  /** The resident memory of the process, in bytes. */
  memory() {
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${this.child.pid}/status`, "utf8"))[1]) * 1024;
  }

  /** Ends the process as a power cut would. */
  async kill() {
    this.child.kill("SIGKILL");
    await until("the gateway is gone", () => this.ended !== undefined);
  }

  /** Starts it again on the same state. */
  async restart() {
    if (this.ended === undefined) await this.#stop();
    await this.#run(false);
  }

  async close() {
    await this.#stop();
    process.off("exit", this.last);
    rmSync(this.dir, { recursive: true, force: true });
  }

  async #run(wantsJSON) {
    this.ended = undefined;
    let out = "";
    const [program, ...args] = [...(this.within ?? []), binary, ...this.args];
    const child = spawn(program, args, { env: this.env, stdio: ["ignore", "pipe", "pipe"] });
    this.child = child;
    const log = createWriteStream(this.log, { flags: "a" });
    child.stderr.pipe(log, { end: false });
    child.stdout.on("data", (part) => {
      out += part;
      if (!wantsJSON) log.write(part);
    });
    child.once("exit", (code, signal) => (this.ended = code ?? signal));
    const begun = Date.now();
    const answer = await until(`${binary} ${this.args[0]} is ready (its log: ${this.log})`, async () => {
      if (this.ended !== undefined) return "ended";
      if (wantsJSON) return JSON.parse(out);
      return (await this.#listens()) || undefined;
    }, 20_000, 20).catch((error) => {
      child.kill();
      throw error;
    });
    if (answer === "ended") throw new Error(`gatehouse ${this.args[0]} ended with ${this.ended}; its log is ${this.log}`);
    this.readyAfter = Date.now() - begun;
    return answer;
  }

  async #listens() {
    const { connect } = await import("node:net");
    const { port } = new URL(this.url);
    return new Promise((done) => {
      const socket = connect(Number(port), this.host ?? "127.0.0.1", () => {
        socket.destroy();
        done(true);
      }).on("error", () => done(false));
    });
  }

  async #stop() {
    if (this.ended !== undefined) return;
    this.child.kill("SIGTERM");
    await until("the gateway stops", () => this.ended !== undefined, 10_000).catch(() => this.child.kill("SIGKILL"));
  }
}
