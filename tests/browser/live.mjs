// The walks and the Go tests on real Home Assistant. tests/live/run starts this with the releases.
// Much of it is waiting, so the releases are walked at the same time, each by a process of its own.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, House } from "./lib/house.mjs";
import { Home, repo } from "./lib/home.mjs";
import { real } from "./walks/all.mjs";

for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
const releases = process.argv.slice(2);
if (releases.length === 1) await walk(releases[0]);
else await walkAll();

/** Takes the walks of each release in a process of its own and adds up what they say. */
async function walkAll() {
  const failed = [], sum = { passed: 0, failed: 0 };
  await Promise.all(releases.map(async (release) => {
    const child = spawn(process.execPath, [fileURLToPath(import.meta.url), release], { stdio: ["ignore", "pipe", "inherit"] });
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
      else console.log(`${release.padEnd(9)} | ${line}`);
    }
    const status = await ended;
    if (counted && (status === 0 || status === 1)) return;
    failed.push(`failed: the walks on ${release} ended with ${status}`);
    sum.failed++;
  }));
  for (const line of failed) console.log(line);
  console.log(`${sum.passed} passed, ${sum.failed} failed`);
  process.exit(sum.failed ? 1 : 0);
}

async function walk(release) {
  const house = new House({ out: join(repo, "out/live"), only: (process.env.GATEHOUSE_LIVE_ONLY ?? "").split(" ").filter(Boolean) });
  await house.walk(`the Go tests on Home Assistant ${release}`, (step) => goTests(house, step, release));
  await real(house, release);
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
    const passed = text.match(/^--- PASS/gm)?.length ?? 0;
    const skipped = text.match(/^\s*--- SKIP.*/gm) ?? [];
    console.log(`    ${passed} Go tests passed`);
    expect(code === 0, `go test failed:\n${text.split("\n").filter((line) => !/^=== /.test(line)).slice(-60).join("\n")}`);
    expect(passed > 0, "no Go test ran: none is named Live");
    expect(skipped.length === 0, `skipped: ${skipped.join(" ")}`);
  } finally {
    await home.close();
  }
}
