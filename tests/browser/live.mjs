// The walks and the Go tests on real Home Assistant. tests/live/run starts this with the releases.
// Much of it is waiting, so much of it is done at the same time, each by a process of its own.
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, House } from "./lib/house.mjs";
import { Home, repo } from "./lib/home.mjs";
import { real } from "./walks/all.mjs";

for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
// What is done on a release: its Go tests, its walks.
const parts = ["go", "walks"];
const words = process.argv.slice(2);
if (parts.includes(words[0])) await work(words[0], words[1]);
else await workAll(words);

/** Does everything on all releases and adds up what is said. */
async function workAll(releases) {
  const failed = [], sum = { passed: 0, failed: 0 };
  /** Does one part on a release, in a process of its own. */
  const one = async (part, release) => {
    const child = spawn(process.execPath, [fileURLToPath(import.meta.url), part, release], { stdio: ["ignore", "pipe", "inherit"] });
    process.once("exit", () => child.kill());
    const ended = new Promise((done) => child.once("close", done));
    let counted = false;
    for await (const line of createInterface({ input: child.stdout })) {
      const count = /^(\d+) passed, (\d+) failed$/.exec(line);
      if (count) {
        counted = true;
        sum.passed += Number(count[1]);
        sum.failed += Number(count[2]);
      } else if (line.startsWith("failed: ")) failed.push(line);
      else console.log(`${release.padEnd(9)} ${part.padEnd(5)} | ${line}`);
    }
    const status = await ended;
    if (counted && (status === 0 || status === 1)) return;
    failed.push(`failed: ${part} on ${release} ended with ${status}`);
    sum.failed++;
  };
  // The first release's Go tests are the longest by far: its walks do not wait for them.
  await Promise.all(releases.map(async (release, nth) => {
    if (nth === 0) await Promise.all(parts.map((part) => one(part, release)));
    else for (const part of parts) await one(part, release);
  }));
  for (const line of failed) console.log(line);
  console.log(`${sum.passed} passed, ${sum.failed} failed`);
  process.exit(sum.failed ? 1 : 0);
}

async function work(part, release) {
  const house = new House({ out: join(repo, "out/live"), only: (process.env.GATEHOUSE_LIVE_ONLY ?? "").split(" ").filter(Boolean) });
  if (part === "go") await house.walk(`the Go tests on Home Assistant ${release}`, (step) => goTests(house, step, release));
  else await real(house, release);
  process.exit(house.close());
}

/** Runs the Go tests that want a real Home Assistant, on one of their own: they change its settings. */
async function goTests(house, step, release) {
  const home = await step("start Home Assistant", () => Home.start(release, { log: join(house.out, `home-assistant-${release}-go.log`) }));
  try {
    const env = {
      ...process.env,
      GATEHOUSE_LIVE_HA: home.url,
      GATEHOUSE_LIVE_VERSION: release,
      GATEHOUSE_LIVE_CONFIG: home.config,
      GATEHOUSE_LIVE_USERNAME: home.owner.username,
      GATEHOUSE_LIVE_PASSWORD: home.owner.password,
      GATEHOUSE_LIVE_TOKEN: home.owner.access_token,
    };
    const { code, text } = await step("go test -run Live", () => new Promise((done, fail) => {
      let text = "";
      const child = spawn("go", ["test", "./internal/ha/...", "./internal/gateway/...", "./cmd/gatehouse/...", "-run", "Live", "-count=1", "-v"], { cwd: repo, env });
      for (const stream of [child.stdout, child.stderr]) stream.on("data", (part) => (text += part));
      child.on("error", fail);
      child.on("exit", (code) => done({ code, text }));
    }));
    writeFileSync(join(house.out, `go-${release}.txt`), text);
    const failed = [...text.matchAll(/^\s*--- FAIL: (\S+)/gm)].map((line) => line[1]);
    const passed = text.match(/^--- PASS/gm)?.length ?? 0;
    const skipped = text.match(/^\s*--- SKIP.*/gm) ?? [];
    console.log(`    ${passed} Go tests passed`);
    expect(code === 0, `go test failed: ${failed.join(" ") || "no test says why"}\n${text.split("\n").filter((line) => !/^=== /.test(line)).slice(-60).join("\n")}`);
    expect(passed > 0, "no Go test ran: none is named Live");
    expect(skipped.length === 0, `skipped: ${skipped.join(" ")}`);
  } finally {
    await home.close();
  }
}
