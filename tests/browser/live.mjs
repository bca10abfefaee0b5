// The walks and the Go tests on real Home Assistant. tests/live/run starts this with the releases.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { expect, House } from "./lib/house.mjs";
import { Home, repo } from "./lib/home.mjs";
import { real } from "./walks/all.mjs";

const house = new House({ out: join(repo, "out/live"), only: (process.env.GATEHOUSE_LIVE_ONLY ?? "").split(" ").filter(Boolean) });
for (const release of process.argv.slice(2)) {
  await house.walk(`the Go tests on Home Assistant ${release}`, (step) => goTests(step, release));
  await real(house, release);
}
process.exit(house.close());

/** Runs the Go tests that want a real Home Assistant, on one of their own: they change its settings. */
async function goTests(step, release) {
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
      const child = spawn("go", ["test", "./internal/ha/...", "-run", "Live", "-count=1", "-v"], { cwd: repo, env });
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
