// The days of a house: its owner's first, a second browser's, the end of a session, of a device,
// and of Home Assistant itself. Each walk is what people do and see, in Chromium.
import { Browser } from "../lib/browser.mjs";
import { expect, until } from "../lib/house.mjs";
import * as pages from "../lib/pages.mjs";
import { judgeEverywhere } from "./looks.mjs";

/** The owner's first day. Returns the browser, which stays open, or undefined when the walk failed. */
export async function ownersFirstDay(house, { home, gate, frontend, title }) {
  let owner;
  const done = await house.walk(`the owner's first day (${title})`, async (step, evidence) => {
    const link = gate.ownerLink ?? (await gate.verb("invite", "--owner", "--json")).json.link;
    owner = await Browser.open({ name: "owner", root: gate.root });
    evidence.push({ keep: (prefix) => owner.keep(prefix) });
    const { page } = owner;
    await step("a stranger's navigation shows the sign-in page on the same address", async () => {
      const answer = await page.goto(`${gate.url}${frontend.path}`);
      expect(answer.status() === 401 && !answer.headers()["www-authenticate"], `answered ${answer.status()}`);
      await pages.seesSignIn(page);
      expect(page.url() === `${gate.url}${frontend.path}`, `it went to ${page.url()}`);
    });
    const codes = await step("the owner's link, a name, a passkey", async () => {
      await page.goto(link);
      return pages.becomeOwner(page, "Robin");
    });
    expect(codes.length === 10 && new Set(codes).size === 10, `${codes.length} recovery codes`);
    owner.recovery = codes;
    expect((await owner.passkeys()) === 1, "the authenticator holds no passkey");
    await step("the link works once", async () => {
      const other = await Browser.open({ name: "late", root: gate.root });
      evidence.push(other);
      await other.page.goto(link);
      await pages.refusesInvitation(other.page);
      await other.close();
      evidence.pop();
    });
    await step("on to the house, and Home Assistant's own login", async () => {
      await pages.goOn(page);
      await frontend.seesLogin(page);
      await pages.visit(page, `${gate.url}${frontend.path}`);
      await frontend.logIn(page, home.owner);
      await frontend.atHome(page);
    });
    await step("a light is switched, and Home Assistant agrees", () => frontend.toggle(page, home));
    await step("a change elsewhere arrives", () => frontend.follows(page, home));
    await step("the service worker is active", () => frontend.worker?.(page));
    for (const time of ["once", "twice"]) {
      await step(`reloaded ${time}, with the worker`, async () => {
        await page.reload();
        await frontend.atHome(page);
        if (frontend.worker) expect(await frontend.controlled(page), "the worker does not serve the page");
        await frontend.toggle(page, home);
      });
    }
    await step("offline, and back by itself", async () => {
      owner.line.cut();
      await until("the page notices", async () => !(await frontend.connected(page)), 20_000);
      owner.line.mend();
      await frontend.atHome(page, 30_000);
      await frontend.toggle(page, home);
    });
    await step("offline, reloaded, and back", async () => {
      owner.line.cut();
      await page.reload().catch(() => {});
      await until("the browser's own error page is shown", () => page.url().startsWith("chrome-error:"));
      owner.line.mend();
      await page.goto(`${gate.url}${frontend.path}`);
      await frontend.atHome(page);
    });
    await step("nothing of ours is in the worker's caches", () => frontend.cachesAreClean?.(page));
    await step("sign out: the house is shut, also to this browser", async () => {
      await pages.signOut(page, gate);
      await page.goto(`${gate.url}${frontend.path}`);
      await pages.seesSignIn(page);
    });
    await step("sign in with the passkey: straight to where one was, without Home Assistant's login", async () => {
      await pages.signInWithPasskey(page);
      await frontend.atHome(page);
      expect(new URL(page.url()).pathname === frontend.path, `at ${page.url()}`);
      await frontend.toggle(page, home);
    });
  }, { needed: true });
  if (done) return owner;
  await owner?.close();
  return undefined;
}

/** A session ends while its page is open; the person comes back to the sign-in page by itself, and after it to where they were. */
export async function sessionEnds(house, { home, gate, frontend, owner, title }) {
  await house.walk(`a session that ends brings its person back (${title})`, async (step, evidence) => {
    evidence.push({ keep: (prefix) => owner.keep(prefix) });
    const { page } = owner;
    const logins = async () => (await home.logins(page)).length;
    await page.goto(`${gate.url}${frontend.path}`);
    await frontend.atHome(page);
    await frontend.worker?.(page);
    await page.reload();
    await frontend.atHome(page);
    const before = await logins();
    const backIn = async () => {
      await pages.signInWithPasskey(page);
      await frontend.atHome(page);
      expect(new URL(page.url()).pathname === frontend.path, `at ${page.url()}`);
      await frontend.toggle(page, home);
      expect((await logins()) === before, "it took a new Home Assistant login");
      await frontend.cachesAreClean?.(page);
    };
    await step("the page is left open long enough to be more than loading", () => page.waitForTimeout(frontend.settled));
    for (const round of ["", ", a second time"]) {
      await step(`ended on a live page${round}: the sign-in page by itself`, async () => {
        const begun = Date.now();
        await endSession(gate, owner);
        await pages.seesSignIn(page, frontend.backWithin);
        console.log(`    sign-in page after ${Date.now() - begun} ms`);
      });
      await step(`signed in: straight to where one was${round}`, backIn);
      if (!round) await page.waitForTimeout(frontend.settled);
    }
    await step("ended while the page is loaded: a reload shows the sign-in page", async () => {
      await endSession(gate, owner);
      await page.reload().catch(() => {});
      await pages.seesSignIn(page, frontend.backWithin);
    });
    await step("signed in after it", backIn);
    await step("ended while nobody looks: opened again, served from the worker", async () => {
      await page.goto("about:blank");
      await endSession(gate, owner);
      await page.goto(`${gate.url}${frontend.path}`).catch(() => {});
      await pages.seesSignIn(page, frontend.backWithin);
    });
    await step("signed in after that", backIn);
    if (frontend.lookAround) await step("History, Settings and Map work: no page in a script's place", () => frontend.lookAround(page, gate));
  });
}

/** Signing out of Home Assistant itself ends the session here too: the next person at the screen is asked who they are. */
export async function leavesHome(house, { home, gate, frontend, owner, title }) {
  if (!frontend.logOut) return;
  await house.walk(`signing out of Home Assistant signs out here (${title})`, async (step, evidence) => {
    evidence.push({ keep: (prefix) => owner.keep(prefix) });
    const { page } = owner;
    await step("the frontend's own button", async () => {
      await frontend.logOut(page, gate);
      await until("the session is over", async () => (await page.evaluate(() => fetch("/_gatehouse/api/session").then((r) => r.json())).catch(() => ({}))).signed_in === false);
      await page.goto(`${gate.url}${frontend.path}`);
      await pages.seesSignIn(page, frontend.backWithin);
    });
    await step("sign in, and Home Assistant asks for its login again", async () => {
      await pages.signInWithPasskey(page);
      await frontend.logIn(page, home.owner);
      await frontend.atHome(page);
    });
  });
}

/** A second browser: refused, invited, let in; another by number matching; revoked. */
export async function secondBrowser(house, { home, gate, frontend, owner, title }) {
  await house.walk(`a second browser is refused, invited, let in, revoked (${title})`, async (step, evidence) => {
    evidence.push({ keep: (prefix) => owner.keep(prefix) });
    await gate.verb("people", "add", "Anna", "--role", "member", "--ha-user", home.member.username);
    const anna = await Browser.open({ name: "anna", root: gate.root });
    evidence.push(anna);
    await step("refused", async () => {
      await anna.page.goto(`${gate.url}${frontend.path}`);
      await pages.seesSignIn(anna.page);
    });
    await step("invited, and let in", async () => {
      const { link } = (await gate.verb("invite", "Anna", "--json")).json;
      await anna.page.goto(link);
      await pages.acceptInvitation(anna.page);
      await pages.goOn(anna.page);
      await frontend.seesLogin(anna.page);
      await pages.visit(anna.page, `${gate.url}${frontend.path}`);
    });
    await step("signing in to Home Assistant as the owner is refused, and said", async () => {
      await frontend.logIn(anna.page, home.owner);
      await pages.seesOtherUser(anna.page);
      await judgeEverywhere(anna, "somebody else", house.out);
    });
    await step("as herself it works", async () => {
      await pages.signInAgain(anna.page);
      await frontend.seesLogin(anna.page);
      await pages.visit(anna.page, `${gate.url}${frontend.path}`);
      await frontend.logIn(anna.page, home.member);
      await frontend.atHome(anna.page);
      await frontend.toggle(anna.page, home);
    });
    await step("revoked: the socket is gone in under a second, and the page comes back to the sign-in page", async () => {
      await frontend.worker?.(anna.page);
      await anna.page.reload();
      await frontend.atHome(anna.page);
      await anna.page.waitForTimeout(frontend.settled);
      const device = await deviceOf(gate, "Anna");
      const sockets = [...anna.sockets.keys()];
      expect(sockets.length > 0, "no socket is open");
      const begun = Date.now();
      const gone = Promise.all(sockets.map((s) => s.isClosed() || s.waitForEvent("close", { timeout: 5000 }))).then(() => Date.now() - begun);
      await gate.verb("devices", "revoke", device.id);
      const took = await gone;
      console.log(`    ${sockets.length} sockets gone ${took} ms after the verb was started`);
      expect(took < 1000, `gone after ${took} ms`);
      await pages.seesSignIn(anna.page, frontend.backWithin);
    });
    await step("its tokens and its cookie are worth nothing now", async () => {
      await anna.page.reload().catch(() => {});
      await pages.seesSignIn(anna.page, frontend.backWithin);
    });
  });

  await house.walk(`a browser is let in from a known one by a matching number (${title})`, async (step, evidence) => {
    evidence.push({ keep: (prefix) => owner.keep(prefix) });
    const tablet = await Browser.open({ name: "tablet", root: gate.root });
    evidence.push(tablet);
    await tablet.page.goto(`${gate.url}${frontend.path}`);
    await step("a wrong number lets nobody in", async () => {
      const number = await pages.askApproval(tablet.page);
      await pages.approve(owner.page, gate, number === 99 ? 98 : number + 1);
      await pages.seesDenied(tablet.page);
    });
    await step("the right number does", async () => {
      await tablet.page.goto(`${gate.url}${frontend.path}`);
      const number = await pages.askApproval(tablet.page);
      await pages.approve(owner.page, gate, number);
      await pages.letIn(tablet.page);
      await frontend.logIn(tablet.page, home.owner);
      await frontend.atHome(tablet.page);
      await frontend.toggle(tablet.page, home);
    });
  });
}

/** Home Assistant goes away and comes back; the gateway stays and says so. */
export async function homeRests(house, { home, gate, frontend, owner, title }) {
  if (!home.pause) return;
  await house.walk(`Home Assistant is down for a while (${title})`, async (step, evidence) => {
    evidence.push({ keep: (prefix) => owner.keep(prefix) });
    const { page } = owner;
    await step("the page says so", async () => {
      await home.pause();
      await page.goto(`${gate.url}${frontend.path}`);
      await pages.seesHomeDown(page);
    });
    await step("and recovers by itself", async () => {
      await home.resume();
      await frontend.atHome(page, 60_000);
    });
  });
}

/** The gateway is killed in the middle and started again: everybody is known still. */
export async function powerCut(house, { home, gate, frontend, owner, title }) {
  await house.walk(`a power cut forgets nobody (${title})`, async (step, evidence) => {
    evidence.push({ keep: (prefix) => owner.keep(prefix) });
    const { page } = owner;
    await page.goto(`${gate.url}${frontend.path}`);
    await frontend.atHome(page);
    await step("killed and started again: the page comes back by itself", async () => {
      await gate.kill();
      await until("the page notices", async () => !(await frontend.connected(page)), 20_000);
      await gate.restart();
      console.log(`    ready after ${gate.readyAfter} ms`);
      await frontend.atHome(page, 30_000);
      await frontend.toggle(page, home);
    });
  });
}

/** Ends the session that a browser has now, as the verb does. */
async function endSession(gate, browser) {
  const person = browser.person ?? "Robin";
  const { json } = await gate.verb("sessions", "--json");
  const live = json.sessions.filter((s) => s.person === person && !s.ended).sort((a, b) => b.created.localeCompare(a.created));
  expect(live.length > 0, `no live session of ${person}`);
  for (const session of live) await gate.verb("sessions", "end", session.id);
}

async function deviceOf(gate, person) {
  const { json } = await gate.verb("devices", "--json");
  const device = json.devices.find((d) => d.person === person && !d.revoked_at);
  expect(device, `no device of ${person}: ${JSON.stringify(json).slice(0, 300)}`);
  return device;
}
