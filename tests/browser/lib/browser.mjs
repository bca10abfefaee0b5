// A person's browser: Debian's Chromium with a profile folder of its own that trusts the home's
// root as a person would (imported into the profile's certificate store; certificate errors are
// never ignored), and a virtual authenticator that answers as a phone's or laptop's passkey does.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { Line } from "./line.mjs";

const chromiumPath = process.env.CHROMIUM ?? "/usr/bin/chromium";

const flags = [
  "--no-sandbox", // the tests run as root in containers
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
// localhost too goes by the line
const byLine = (line) => ["--proxy-bypass-list=<-loopback>", `--proxy-server=http://${line.address}`];

export class Browser {
  /**
   * Opens a browser that has never been here.
   * @param {{ name: string, root?: string, phone?: boolean, dark?: boolean, passkeys?: boolean, userAgent?: string }} options
   *   name is for messages; root is a PEM file to trust; without it nothing but the public roots is.
   *   userAgent is what an app's web view says instead. direct is for plain HTTP at localhost, which the line does not know.
   *   to is the address where every name is, if not loopback.
   *   locale is the language that the browser asks for.
   */
  static async open({ name, root, phone = false, dark = false, passkeys = true, userAgent, direct = false, to, locale = "en-US" }) {
    const home = mkdtempSync(join(tmpdir(), "gatehouse-browser-"));
    if (root) trust(home, root);
    const line = await Line.open(to);
    const context = await chromium.launchPersistentContext(join(home, "profile"), {
      executablePath: chromiumPath,
      headless: true,
      args: [...flags, ...(direct ? [] : byLine(line))],
      // Chromium finds the certificate store below HOME.
      env: { ...process.env, HOME: home, XDG_CONFIG_HOME: join(home, "config"), XDG_CACHE_HOME: join(home, "cache"), XDG_DATA_HOME: join(home, "data") },
      viewport: phone ? { width: 390, height: 844 } : { width: 1280, height: 900 },
      hasTouch: phone,
      colorScheme: dark ? "dark" : "light",
      locale,
      userAgent,
      serviceWorkers: "allow",
    });
    context.setDefaultTimeout(15_000);
    const browser = new Browser(name, home, line, context);
    browser.page = context.pages()[0] ?? (await context.newPage());
    await browser.#watch(browser.page, passkeys);
    return browser;
  }

  constructor(name, home, line, context) {
    this.name = name;
    this.home = home;
    this.line = line; // cut() takes the browser offline, mend() brings it back
    this.context = context;
    this.log = []; // what the page and its sockets did, for after a failure
    this.sockets = new Set(); // WebSockets that are open now, as the browser itself sees them
  }

  /** Another tab of the same browser, with the passkeys of the first. */
  async tab() {
    const page = await this.context.newPage();
    const first = this.devtools, id = this.authenticatorId;
    await this.#watch(page, true);
    const { credentials } = await first.send("WebAuthn.getCredentials", { authenticatorId: id });
    for (const credential of credentials) {
      await this.devtools.send("WebAuthn.addCredential", { authenticatorId: this.authenticatorId, credential });
    }
    return page;
  }

  /** How many passkeys the authenticator holds. */
  async passkeys() {
    return (await this.devtools.send("WebAuthn.getCredentials", { authenticatorId: this.authenticatorId })).credentials.length;
  }

  /** Our session cookie, or undefined. */
  async cookie(url) {
    return (await this.context.cookies(url)).find((c) => c.name === "__Host-gatehouse")?.value;
  }

  /** Keeps pictures and the log below prefix. */
  async keep(prefix) {
    writeFileSync(`${prefix}-${this.name}.log`, this.log.join("\n"));
    for (const [n, page] of this.context.pages().entries()) {
      await page.screenshot({ path: `${prefix}-${this.name}-${n}.png`, timeout: 5000 }).catch(() => {});
      const text = await page.evaluate(() => `${location.href}\n${document.body?.innerText}`).catch((e) => `${e}`);
      writeFileSync(`${prefix}-${this.name}-${n}.txt`, text);
    }
  }

  async close() {
    await this.context.close();
    await this.line.close();
    rmSync(this.home, { recursive: true, force: true, maxRetries: 5 });
  }

  async #watch(page, passkeys) {
    const note = (text) => this.log.push(`${new Date().toISOString().slice(11, 23)} ${text}`);
    page.on("console", (m) => note(`console ${m.type()}: ${m.text()}`));
    page.on("pageerror", (e) => note(`page error: ${e.message}`));
    page.on("framenavigated", (f) => f === page.mainFrame() && note(`at ${redact(f.url())}`));
    page.on("domcontentloaded", () => note("page loaded"));
    page.on("response", (r) => r.status() >= 400 && note(`${r.status()} ${r.request().method()} ${redact(r.url())}`));
    page.on("requestfailed", (r) => note(`failed ${redact(r.url())}: ${r.failure()?.errorText}`));
    page.on("websocket", (socket) => {
      this.sockets.add(socket);
      note(`socket opens ${redact(socket.url())}`);
      socket.on("close", () => {
        this.sockets.delete(socket);
        note("socket closed");
      });
    });
    this.devtools = await this.context.newCDPSession(page);
    // The sockets of the page before are gone with it; the browser does not say so.
    this.devtools.on("Page.frameNavigated", ({ frame }) => frame.parentId || this.sockets.clear());
    await this.devtools.send("Page.enable");
    if (!passkeys) return;
    await this.devtools.send("WebAuthn.enable");
    ({ authenticatorId: this.authenticatorId } = await this.devtools.send("WebAuthn.addVirtualAuthenticator", {
      options: {
        protocol: "ctap2",
        transport: "internal",
        hasResidentKey: true,
        hasUserVerification: true,
        isUserVerified: true,
        automaticPresenceSimulation: true,
      },
    }));
  }
}

/** Imports a root into the certificate store of a home folder. */
function trust(home, root) {
  for (const store of [join(home, ".pki", "nssdb"), join(home, "data", "pki", "nssdb")]) {
    mkdirSync(store, { recursive: true });
    execFileSync("certutil", ["-d", `sql:${store}`, "-N", "--empty-password"]);
    execFileSync("certutil", ["-d", `sql:${store}`, "-A", "-t", "C,,", "-n", "gatehouse", "-i", root]);
  }
}

/** Leaves out what may open a door: fragments, queries, long random words. */
const redact = (url) => url.replace(/[?#].*$/, "").replace(/[A-Za-z0-9_-]{24,}/g, "…");
