// Which walks are taken where.
import { join } from "node:path";
import { demoFrontend, DemoHome } from "../lib/demo.mjs";
import { realFrontend } from "../lib/frontend.mjs";
import { Gatehouse } from "../lib/gatehouse.mjs";
import { freePort, Home, light } from "../lib/home.mjs";
import { Tap } from "../lib/tap.mjs";
import { homeRests, leavesHome, ownersFirstDay, powerCut, secondBrowser, sessionEnds } from "./days.mjs";
import { appsAsk, ourPages, standIns } from "./looks.mjs";
import { backup, doubleTalk, officialClient, streams } from "./program.mjs";
import { throughSSH } from "./ssh.mjs";
import { stranger } from "./stranger.mjs";
import { deviceTrusts } from "./trust.mjs";

/** The walks through the demonstration home. */
export async function demo(house) {
  const gate = await Gatehouse.demo({ log: join(house.out, "demo.log") });
  try {
    console.log(`the demonstration home is ready after ${gate.readyAfter} ms`);
    await ourPages(house, { start: () => Gatehouse.demo({ log: join(house.out, "demo-looks.log") }), title: "demo" });
    await appsAsk(house, { start: () => Gatehouse.demo({ log: join(house.out, "demo-apps.log") }), title: "demo" });
    await standIns(house);
    await deviceTrusts(house);
    await throughSSH(house, { start: () => Gatehouse.demo({ log: join(house.out, "demo-ssh.log") }), home: new DemoHome(), frontend: demoFrontend, title: "demo" });
    const at = { home: new DemoHome(), gate, frontend: demoFrontend, title: "demo" };
    const owner = await ownersFirstDay(house, at);
    if (!owner) return;
    try {
      await sessionEnds(house, { ...at, owner });
      await secondBrowser(house, { ...at, owner });
    } finally {
      await owner.close();
    }
  } finally {
    await gate.close();
  }
}

/** The walks through a real home. */
export async function real(house, release) {
  let home, tap, gate;
  const started = await house.walk(`Home Assistant ${release} and the gateway in front of it`, async (step) => {
    home = await step("start Home Assistant", () => Home.start(release, { log: join(house.out, `home-assistant-${release}.log`) }));
    tap = await Tap.open(home.port);
    home.pause = () => tap.cut();
    home.resume = () => tap.mend();
    gate = await step("start the gateway", () => Gatehouse.serve({ log: join(house.out, `gatehouse-${release}.log`), haUrl: tap.url }));
  }, { needed: true });
  const at = { home, gate, tap, frontend: realFrontend(light), title: release };
  let owner;
  try {
    if (!started) return;
    owner = await ownersFirstDay(house, at);
    if (!owner) return;
    await sessionEnds(house, { ...at, owner });
    const known = { cookie: await owner.cookie(gate.url), tokens: await at.frontend.tokens(owner.page), haUser: "Owner" };
    await officialClient(house, { ...at, known });
    await streams(house, { ...at, known });
    await doubleTalk(house, { ...at, known });
    await backup(house, { ...at, known, size: Number(process.env.GATEHOUSE_LIVE_SIZE ?? 1024) << 20 });
    await secondBrowser(house, { ...at, owner });
    await leavesHome(house, { ...at, owner });
    await homeRests(house, { ...at, owner });
    await powerCut(house, { ...at, owner });
    await throughSSH(house, { ...at, start: async () => Gatehouse.serve({ log: join(house.out, `gatehouse-${release}-ssh.log`), haUrl: tap.url, extra: `[doors.ssh]\nlisten = "127.0.0.1:${await freePort()}"\n` }) });
    await owner.close(); // a known browser asks for this and that by itself
    owner = undefined;
    await stranger(house, at);
  } finally {
    await owner?.close();
    await gate?.close();
    await tap?.close();
    await home?.close();
  }
}
