// Who has SSH: the house's pages through ssh -N -L, in Chromium, without a sign-in at the gate.
import { execFileSync, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { Browser } from "../lib/browser.mjs";
import { freePort } from "../lib/home.mjs";
import { expect, until } from "../lib/house.mjs";

/** start starts a gateway with the door ssh. */
export async function throughSSH(house, { start, home, frontend, title }) {
  await house.walk(`a browser comes through ssh -N -L (${title})`, async (step, evidence) => {
    const gate = await start();
    evidence.push({ close: () => gate.close() });
    const key = join(gate.dir, "id_ed25519");
    const near = await freePort();
    const url = `http://localhost:${near}`;
    let tunnel, device;
    evidence.push({ close: async () => tunnel?.kill() });
    await step("a key is made, and known", async () => {
      execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "desk", "-f", key]);
      await gate.verb("people", "add", "Anna");
      const { json } = await gate.verb("invite", "Anna", "--ssh", `${key}.pub`, "--json");
      device = json.device.id;
      const host = (await gate.verb("doors", "ssh", "--json")).json;
      writeFileSync(join(gate.dir, "known_hosts"), host.known_hosts[0].replace(/^\S+/, `[127.0.0.1]:${host.port}`) + "\n");
      tunnel = spawn("ssh", ["-F", "none", "-o", `UserKnownHostsFile=${join(gate.dir, "known_hosts")}`, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-i", key, "-p", String(host.port),
        "-N", "-L", `127.0.0.1:${near}:localhost:8123`, "-l", "anna", "127.0.0.1"], { stdio: ["ignore", "ignore", "inherit"] });
    });
    await until("the tunnel's near end", () => new Promise((done) => {
      const socket = connect(near, "127.0.0.1", () => (socket.destroy(), done(true))).on("error", () => done(false));
    }));
    const browser = await Browser.open({ name: "ssh", root: gate.root, passkeys: false, direct: true });
    evidence.push(browser);
    const { page } = browser;
    await step("the house is there at once, with Home Assistant's own login", async () => {
      const answer = await page.goto(`${url}${frontend.path}`);
      expect(answer.status() === 200, `answered ${answer.status()}`);
      await frontend.seesLogin(page);
      await frontend.logIn(page, home.owner);
      await frontend.atHome(page);
    });
    await step("a light is switched, and Home Assistant agrees", () => frontend.toggle(page, home));
    await step("a change elsewhere arrives", () => frontend.follows(page, home));
    await step("reloaded", async () => {
      await page.reload();
      await frontend.atHome(page);
    });
    expect((await browser.cookie(url)) === undefined, "there is a session's cookie");
    await step("another site's page gets nothing by it", async () => {
      const other = await browser.context.newPage();
      await other.route("http://127.0.0.1:9/", (route) => route.fulfill({ contentType: "text/html", body: "<p>another site" }));
      await other.goto("http://127.0.0.1:9/");
      const seen = await other.evaluate(async (url) => {
        const answer = await fetch(`${url}/api/webhook/x`, { method: "POST", mode: "no-cors" }).catch((e) => e);
        const framed = await new Promise((done) => {
          const image = new Image();
          image.onload = () => done("shown");
          image.onerror = () => done("not shown");
          image.src = `${url}/static/icons/favicon-192x192.png`;
        });
        return [answer.type ?? String(answer), framed];
      }, url);
      expect(seen[0] !== "basic" && seen[1] === "not shown", `it sees ${seen}`);
      await other.close();
    });
    await step("the device is revoked: the tunnel ends, and the page knows", async () => {
      await gate.verb("devices", "revoke", device);
      await until("ssh has ended", () => tunnel.exitCode !== null);
      await until("the page notices", async () => !(await frontend.connected(page)), 20_000);
    });
  });
}
