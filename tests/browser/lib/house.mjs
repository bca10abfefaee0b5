// The register of walks: runs them one after the other, says how each ended and keeps what
// helps to understand a failure (screenshots, logs) in a folder of its own.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export class House {
  #only;
  #passed = 0;
  #failed = [];

  /**
   * @param {{ out: string, only?: string[] }} options out is the folder for evidence; only holds
   *   words of which a walk's title must contain one.
   */
  constructor({ out, only = [] }) {
    this.out = out;
    this.#only = only;
    mkdirSync(out, { recursive: true });
  }

  /**
   * Runs one walk. body gets a step function: `await step("what a person does", async () => …)`.
   * A failed step ends its walk; the other walks go on. evidence, a list that the body fills with
   * objects that have keep(prefix), is asked for pictures after a failure.
   * A walk that others begin from is needed whatever the words.
   */
  async walk(title, body, { needed = false } = {}) {
    if (!needed && this.#only.length && !this.#only.some((word) => title.includes(word))) return true;
    const started = Date.now();
    const evidence = [];
    let at = "start";
    const step = async (what, act) => {
      at = what;
      const begun = Date.now();
      const result = await act();
      console.log(`    ${what} (${Date.now() - begun} ms)`);
      return result;
    };
    console.log(`=== ${title}`);
    try {
      await body(step, evidence);
      this.#passed++;
      console.log(`ok  ${title} (${seconds(started)} s)`);
      return true;
    } catch (error) {
      this.#failed.push(`${title}: at: ${at}: ${String(error.message ?? error).split("\n")[0]}`);
      console.log(`FAILED ${title}, at: ${at} (${seconds(started)} s)\n${indent(error.stack ?? error)}`);
      await this.#keep(title, evidence, error);
      return false;
    } finally {
      for (const thing of evidence.reverse()) await thing.close?.().catch(() => {});
    }
  }

  /** Prints the closing line and returns the exit status. */
  close() {
    for (const title of this.#failed) console.log(`failed: ${title}`);
    console.log(`${this.#passed} passed, ${this.#failed.length} failed`);
    return this.#failed.length ? 1 : 0;
  }

  async #keep(title, evidence, error) {
    const prefix = join(this.out, title.replace(/[^a-z0-9]+/gi, "-").slice(0, 80));
    writeFileSync(`${prefix}.txt`, String(error.stack ?? error));
    for (const [n, thing] of evidence.entries()) await thing.keep?.(`${prefix}-${n}`).catch(() => {});
    console.log(`    kept: ${prefix}*`);
  }
}

const seconds = (since) => ((Date.now() - since) / 1000).toFixed(1);
const indent = (text) => String(text).replace(/^/gm, "    ");

/** Waits until probe returns something true, and returns that; fails with what after within ms. */
export async function until(what, probe, within = 10_000, every = 50) {
  const deadline = Date.now() + within;
  let last;
  for (;;) {
    try {
      // A page that goes elsewhere in the middle may leave a probe without an answer for ever.
      const value = await inTime(probe(), Math.max(1000, deadline - Date.now()));
      if (value) return value;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) throw new Error(`${what}: not within ${within} ms${last ? ` (${last.message})` : ""}`);
    await new Promise((wake) => setTimeout(wake, every));
  }
}

/** What a promise comes to, within ms. */
function inTime(promise, ms) {
  let timer;
  const late = new Promise((_, fail) => (timer = setTimeout(() => fail(new Error("no answer")), ms)));
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Fails with what unless it holds. */
export function expect(holds, what) {
  if (!holds) throw new Error(what);
}
