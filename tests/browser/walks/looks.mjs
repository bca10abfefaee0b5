// How our own pages look and behave: on a phone and a desk, light and dark, by keyboard alone, and
// under axe's rules. Home Assistant's pages are not ours to judge.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { Browser } from "../lib/browser.mjs";
import { demoFrontend } from "../lib/demo.mjs";
import { Gatehouse } from "../lib/gatehouse.mjs";
import { expect, until } from "../lib/house.mjs";
import * as pages from "../lib/pages.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** On a phone and at a desk, by day and by night: [phone, dark]. */
export const views = [[true, false], [true, true], [false, false], [false, true]];

/** start makes a fresh gate: the walk uses its owner's link up. */
export async function ourPages(house, { start, title }) {
  for (const [phone, dark] of views) {
    const device = `${phone ? "phone" : "desk"}, ${dark ? "dark" : "light"}`;
    await house.walk(`our pages on a ${device}, by keyboard alone (${title})`, async (step, evidence) => {
      const gate = await start();
      const browser = await Browser.open({ name: phone ? "phone" : "desk", root: gate.root, phone, dark });
      evidence.push(browser, gate);
      const { page } = browser;
      const judge = (what) => judgePage(browser, { what, dark, phone, out: house.out });
      await step("sign-in page", async () => {
        await page.goto(`${gate.url}/`);
        await pages.seesSignIn(page);
        await judge("sign in");
      });
      await step("a wrong recovery code is said without a reload", async () => {
        await pages.wrongCodeByKeyboard(page);
        await judge("sign in, refused");
      });
      const number = await step("a known device is asked", async () => {
        const number = await pages.askApproval(page);
        await judge("asking");
        return number;
      });
      await step("an invitation that is none", async () => {
        await page.goto(gate.ownerLink.replace(/.{4}$/, "aaaa"));
        await pages.refusesInvitation(page);
        await judge("no invitation");
      });
      await step("the owner's link", async () => {
        await page.goto("about:blank");
        await page.goto(gate.ownerLink);
        await pages.seesInvitation(page);
        await judge("invitation");
      });
      await step("become the owner by keyboard", async () => {
        await pages.becomeOwnerByKeyboard(page, "Robin");
        await judge("recovery codes");
      });
      await step("sign out and in again by keyboard", async () => {
        await pages.goOn(page, "keyboard");
        await demoFrontend.seesLogin(page); // the home's page has gone on to its login by itself
        await pages.signOut(page, gate, "keyboard");
        await judge("signed out");
        await page.goto(`${gate.url}/`);
        await pages.seesSignIn(page);
        await pages.signInByKeyboard(page);
        await demoFrontend.seesLogin(page);
      });
      await step("one's own page, and who asks there", async () => {
        await pages.visit(page, `${gate.url}/_gatehouse/auth/`);
        await pages.seesWaiting(page);
        await judge("account");
        await page.locator("#confirm").evaluate((dialog) => dialog.showModal());
        await judge("account, confirming");
        await page.keyboard.press("Escape");
        await pages.approve(page, gate, number);
        await judge("account, approved");
      });
      await step("a page that is none", async () => {
        const answer = await page.goto(`${gate.url}/nothing.of.this.kind/here`);
        expect(answer.status() === 404, `answered ${answer.status()}`);
        await judge("not found");
      });
    });
  }
}

/** What the companion apps' web views say that they are (ha-protocol 5.2), the client id that each signs in for, and where it waits for the code. */
const apps = {
  Android: {
    userAgent: "Mozilla/5.0 (Linux; Android 16; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/140.0.0.0 Mobile Safari/537.36 Home Assistant/2026.8.1-20000 (Android 16; Pixel 9)",
    client: "https://home-assistant.io/android",
  },
  iOS: {
    userAgent: "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Mobile/HomeAssistant, like Safari",
    client: "https://home-assistant.io/iOS",
  },
};

/** An app's web view asks a phone that is known, which is given the number; each page on a phone's screen by day and by night. */
export async function appsAsk(house, { start, title }) {
  for (const [app, { userAgent, client }] of Object.entries(apps)) {
    await house.walk(`the web view of ${app}'s app asks, and a phone lets it in (${title})`, async (step, evidence) => {
      const gate = await start();
      const owner = await Browser.open({ name: "owner", root: gate.root, phone: true });
      const view = await Browser.open({ name: "view", root: gate.root, phone: true, passkeys: false, userAgent });
      evidence.push(owner, view, gate);
      const judge = (browser, what) => judgeEverywhere(browser, what, house.out, views.filter(([phone]) => phone));
      await step("the owner's phone", async () => {
        await owner.page.goto(gate.ownerLink);
        await pages.becomeOwner(owner.page, "Robin");
        await pages.goOn(owner.page);
        await demoFrontend.seesLogin(owner.page);
      });
      const login = `${gate.url}/auth/authorize?response_type=code&client_id=${encodeURIComponent(client)}&redirect_uri=homeassistant%3A%2F%2Fauth-callback`;
      await step("the app is shown the sign-in page in place of the login, without passkeys and without an error", async () => {
        const answer = await view.page.goto(login);
        expect(answer.status() === 200, `answered ${answer.status()}`);
        await pages.seesSignIn(view.page);
        expect(!(await view.page.getByRole("button", { name: "Sign in with a passkey" }).isVisible()), "a passkey is offered");
        await judge(view, `app sign in ${app.toLowerCase()}`);
      });
      const number = await step("it asks, and shows a number", async () => {
        const number = await pages.askApproval(view.page);
        await judge(view, `app asking ${app.toLowerCase()}`);
        return number;
      });
      await step("the phone is asked for the number", async () => {
        await pages.visit(owner.page, `${gate.url}/_gatehouse/auth/`);
        await pages.seesWaiting(owner.page);
        await judge(owner, `approving app ${app.toLowerCase()}`);
      });
      await step("the number lets it in, to where it was going", async () => {
        await pages.approve(owner.page, gate, number);
        await judge(owner, `approved app ${app.toLowerCase()}`);
        await pages.letIn(view.page);
        await demoFrontend.seesLogin(view.page);
        expect(view.page.url() === login, `at ${view.page.url()}`);
      });
      await step("it is known as an app", async () => {
        const { json } = await gate.verb("devices", "--json");
        expect(json.devices.some((d) => d.kind === "app"), `known are ${JSON.stringify(json)}`);
      });
    });
  }
}

/** What stands in for Home Assistant where it is not to be shown: before it is set up, and while it is away. */
export async function standIns(house) {
  await house.walk("Home Assistant is not set up yet, is away, and is back", async (step, evidence) => {
    let done = false;
    const home = await smallHome(() => done);
    const gate = await Gatehouse.serve({ log: join(house.out, "stand-ins.log"), haUrl: home.url });
    const browser = await Browser.open({ name: "owner", root: gate.root });
    evidence.push(browser, gate, home);
    const { page } = browser;
    await step("not set up: nobody is let near it", async () => {
      await page.goto((await gate.verb("invite", "--owner", "--json")).json.link);
      await pages.becomeOwner(page, "Robin");
      await pages.goOn(page);
      await pages.seesNotSetUp(page);
      await judgeEverywhere(browser, "not set up", house.out);
    });
    await step("set up: it is shown", async () => {
      done = true;
      await until("it is shown", async () => (await page.goto(`${gate.url}/`)).status() === 200, 15_000, 500);
    });
    await step("away: the page says so", async () => {
      await home.leave();
      await page.goto(`${gate.url}/some/where`);
      await pages.seesHomeDown(page);
      await judgeEverywhere(browser, "away", house.out);
    });
    await step("back: the page goes on by itself", async () => {
      await home.comeBack();
      await page.getByRole("heading", { name: "Small home" }).waitFor({ timeout: 30_000 });
      expect(page.url() === `${gate.url}/some/where`, `at ${page.url()}`);
    });
  });
}

/** A server that is like Home Assistant in this alone: it says whether it is set up, and has a page. */
async function smallHome(done) {
  const server = createServer((ask, answer) => {
    if (ask.url === "/api/onboarding") return answer.setHeader("Content-Type", "application/json").end(JSON.stringify([{ step: "user", done: done() }]));
    answer.setHeader("Content-Type", "text/html").end("<!doctype html><title>Small home</title><h1>Small home</h1>");
  });
  const listen = (port) => new Promise((listening) => server.listen(port, "127.0.0.1", listening));
  await listen(0);
  const { port } = server.address();
  const close = () => new Promise((closed) => {
    server.close(closed);
    server.closeAllConnections();
  });
  return { url: `http://127.0.0.1:${port}`, leave: close, comeBack: () => listen(port), close };
}

/** Judges the page that is shown in every view, or in some. */
export async function judgeEverywhere(browser, what, out, where = views, asks) {
  const { page } = browser;
  const size = page.viewportSize();
  for (const [phone, dark] of where) {
    await page.setViewportSize(phone ? { width: 390, height: 844 } : { width: 1280, height: 900 });
    await page.emulateMedia({ colorScheme: dark ? "dark" : "light" });
    await until("the colours have changed", () => page.evaluate(() => !document.getAnimations().some((a) => a instanceof CSSTransition)));
    await judgePage(browser, { what, dark, phone, out, asks });
  }
  await page.setViewportSize(size);
  await page.emulateMedia({ colorScheme: null });
}

/** Judges the page that is shown: axe's serious rules, nothing wider than the screen, the wanted colours, targets large enough. */
async function judgePage({ page, log }, { what, dark, phone, out, asks }) {
  const width = phone ? 390 : 1280;
  await page.screenshot({ path: join(out, `looks-${what.replace(/[^a-z]+/g, "-")}-${phone ? "phone" : "desk"}-${dark ? "dark" : "light"}.png`), fullPage: true });
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  const serious = violations.filter((v) => ["serious", "critical"].includes(v.impact));
  for (const v of violations) log.push(`axe ${v.impact} ${v.id}: ${v.nodes.map((n) => n.target.join(" ")).join("; ")}`);
  expect(serious.length === 0, `${what}: axe: ${serious.map((v) => `${v.id}: ${v.help} (${v.nodes.map((n) => n.target.join(" ")).join("; ")})`).join(" | ")}`);
  const page_ = await page.evaluate(() => ({
    scroll: document.documentElement.scrollWidth,
    background: getComputedStyle(document.body).backgroundColor === "rgba(0, 0, 0, 0)" ? getComputedStyle(document.documentElement).backgroundColor : getComputedStyle(document.body).backgroundColor,
    title: document.title,
    lang: document.documentElement.lang,
    headings: document.querySelectorAll("h1").length,
    small: [...document.querySelectorAll("button, input:not([type=hidden]), select, summary")].filter((e) => e.checkVisibility() && e.getBoundingClientRect().height < 40 && !["checkbox", "radio"].includes(e.type)).map((e) => e.outerHTML.slice(0, 80)),
    foreign: performance.getEntriesByType("resource").map((e) => e.name).filter((name) => !name.startsWith(location.origin)),
  }));
  page_.foreign = page_.foreign.filter((name) => !asks || !name.endsWith(asks));
  expect(page_.scroll <= width, `${what}: ${page_.scroll} pixels wide on ${width}`);
  const [r, g, b] = page_.background.match(/[\d.]+/g).map(Number);
  expect((r + g + b) / 3 < 128 === dark, `${what}: the background is ${page_.background} in the ${dark ? "dark" : "light"}`);
  expect(page_.title && page_.lang === "en" && page_.headings === 1, `${what}: title "${page_.title}", lang "${page_.lang}", ${page_.headings} first headings`);
  expect(page_.small.length === 0, `${what}: hard to hit: ${page_.small}`);
  expect(page_.foreign.length === 0, `${what}: from elsewhere: ${page_.foreign}`);
}
