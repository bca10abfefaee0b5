// A real Home Assistant for the walks: built, started and onboarded by lab/ha, with a second user
// and a dashboard that has one switchable light. What the walks say of its state is read from Home
// Assistant itself, past the gateway.
import { spawn, execFile } from "node:child_process";
import { createWriteStream, existsSync, mkdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { WebSocket } from "ws";
import { until } from "./house.mjs";

export const repo = resolve(dirname(fileURLToPath(import.meta.url)), "../../..");
const labScript = process.env.LAB_HA ?? join(repo, "lab/ha");
const lab = process.env.HA_LAB ?? join(homedir(), ".cache/gatehouse-lab");

// Kept, because a walk may put another in its place.
const { fetch } = globalThis;

/** The releases that every run uses; any other is one argument away. */
export const releases = ["2026.11.0", "2026.2.3"];

/** The light that the walks switch, and where its dashboard is. */
export const light = "light.kitchen_lights";
export const dashboard = "walk-lab";

/** A port of loopback that nothing listens on. */
export function freePort() {
  return new Promise((done, fail) => {
    const server = createServer().once("error", fail);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

export class Home {
  /** Starts a release with a fresh configuration and onboards it; log is a file to write its log to. */
  static async start(version, { log, port } = {}) {
    if (!existsSync(labScript)) throw new Error(`${labScript} is missing: it builds and starts Home Assistant`);
    port ??= await freePort();
    const config = join(lab, "run", `${version}-${port}-${process.pid}`);
    mkdirSync(config, { recursive: true });
    const env = { ...process.env, HA_LAB: lab };
    const home = new Home(version, port, config, { env, log });
    home.#run();
    try {
      const { stdout } = await promisify(execFile)("bash", [labScript, "onboard", home.url], { env, timeout: 300_000 });
      home.owner = JSON.parse(stdout.trim().split("\n").at(-1));
      await home.#furnish();
      return home;
    } catch (error) {
      await home.close();
      throw new Error(`start Home Assistant ${version}${log ? ` (its log: ${log})` : ""}: ${error.message}`, { cause: error });
    }
  }

  #env;
  #log;
  #child;
  #closing = false;
  #atExit = () => this.#signal("SIGKILL");

  constructor(version, port, config, { env, log }) {
    this.version = version;
    this.port = port;
    this.url = `http://127.0.0.1:${port}`;
    this.config = config;
    this.#env = env;
    this.#log = log;
    process.once("exit", this.#atExit);
    this.member = { name: "Anna", username: "anna", password: "tidal lantern seventeen" };
  }

  /** Runs Home Assistant, again whenever it asks to be restarted: that is its exit status 100. */
  #run() {
    const child = spawn("bash", [labScript, "start", this.version, this.config, String(this.port)], { detached: true, stdio: ["ignore", "pipe", "pipe"], env: this.#env });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      if (this.#log) stream.pipe(createWriteStream(this.#log, { flags: "a" }));
      else stream.resume();
    }
    child.once("exit", (code) => {
      if (code === 100 && !this.#closing) this.#run();
      else this.ended = code ?? -1;
    });
  }

  /** Sends a signal to Home Assistant and what it started; false where nothing of it is left. */
  #signal(name) {
    try {
      return process.kill(-this.#child.pid, name);
    } catch {
      return false;
    }
  }

  /** A state as Home Assistant has it. */
  async state(entity) {
    const answer = await fetch(`${this.url}/api/states/${entity}`, { headers: { authorization: `Bearer ${await this.token()}` } });
    if (!answer.ok) throw new Error(`state of ${entity}: ${answer.status}`);
    return (await answer.json()).state;
  }

  /** Calls a service past the gateway. */
  async call(domain, service, data) {
    const answer = await fetch(`${this.url}/api/services/${domain}/${service}`, {
      method: "POST",
      headers: { authorization: `Bearer ${await this.token()}`, "content-type": "application/json" },
      body: JSON.stringify(data),
    });
    if (!answer.ok) throw new Error(`${domain}.${service}: ${answer.status}`);
  }

  /** The refresh tokens of the owner, as Home Assistant lists them: one for each login. */
  async logins() {
    return this.command({ type: "auth/refresh_tokens" });
  }

  /** The owner's access token of the lab's own login, renewed when it is old. */
  async token() {
    this.tokenAt ??= Date.now();
    if (Date.now() - this.tokenAt > 20 * 60_000) {
      const body = new URLSearchParams({ grant_type: "refresh_token", refresh_token: this.owner.refresh_token, client_id: this.owner.client_id });
      this.owner.access_token = (await (await fetch(`${this.url}/auth/token`, { method: "POST", body })).json()).access_token;
      this.tokenAt = Date.now();
    }
    return this.owner.access_token;
  }

  /** One WebSocket command as the owner, past the gateway. */
  async command(message) {
    return (await this.commands([message]))[0];
  }

  async commands(messages) {
    const token = await this.token();
    const results = [];
    return new Promise((done, fail) => {
      const socket = new WebSocket(`ws://127.0.0.1:${this.port}/api/websocket`);
      const sendNext = (id) => socket.send(JSON.stringify({ id, ...messages[id - 1](results) }));
      messages = messages.map((m) => (typeof m === "function" ? m : () => m));
      socket.on("error", fail);
      socket.on("message", (data) => {
        const message = JSON.parse(data);
        if (message.type === "auth_required") socket.send(JSON.stringify({ type: "auth", access_token: token }));
        else if (message.type === "auth_ok") sendNext(1);
        else if (message.type !== "result") return;
        else if (!message.success) fail(new Error(`${JSON.stringify(messages[message.id - 1](results)).slice(0, 80)}: ${message.error.message}`));
        else {
          results.push(message.result);
          if (results.length === messages.length) socket.close(), done(results);
          else sendNext(message.id + 1);
        }
      });
    });
  }

  async #furnish() {
    const { name, username, password } = this.member;
    await this.commands([
      { type: "config/auth/create", name, group_ids: ["system-users"], local_only: false },
      (results) => ({ type: "config/auth_provider/homeassistant/create", user_id: results[0].user.id, username, password }),
      { type: "lovelace/dashboards/create", url_path: dashboard, mode: "storage", title: "Walk", icon: "mdi:walk", show_in_sidebar: true, require_admin: false },
      {
        type: "lovelace/config/save",
        url_path: dashboard,
        config: { title: "Walk", views: [{ title: "Walk", path: "walk", cards: [{ type: "entities", title: "Lights", entities: [light, "input_boolean.lab"] }] }] },
      },
    ]);
    await until(`${light} exists`, () => this.state(light), 60_000, 500);
  }

  /** Stops Home Assistant and removes its configuration. */
  async close() {
    this.#closing = true;
    this.#signal("SIGTERM");
    const gone = () => !this.#signal(0);
    await until("Home Assistant stops", gone, 20_000).catch(() => this.#signal("SIGKILL"));
    await until("Home Assistant is gone", gone);
    process.off("exit", this.#atExit);
    rmSync(this.config, { recursive: true, force: true, maxRetries: 5 });
  }
}
