// How our own pages look and behave: on a phone and a desk, light and dark, by keyboard alone, and
// under axe's rules. Home Assistant's pages are not ours to judge.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Browser } from "../lib/browser.mjs";
import { expect, until } from "../lib/house.mjs";
import * as pages from "../lib/pages.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** start makes a fresh gate: the walk uses its owner's link up. */
export async function ourPages(house, { start, title }) {
  for (const [phone, dark] of [[true, false], [true, true], [false, false], [false, true]]) {
    const device = `${phone ? "phone" : "desk"}, ${dark ? "dark" : "light"}`;
    await house.walk(`our pages on a ${device}, by keyboard alone (${title})`, async (step, evidence) => {
      const gate = await start();
      const browser = await Browser.open({ name: phone ? "phone" : "desk", root: gate.root, phone, dark });
      evidence.push(browser, gate);
      const { page } = browser;
      const judge = (what) => judgePage(browser, { what, dark, width: phone ? 390 : 1280, out: `${house.out}/looks-${what.replace(/[^a-z]+/g, "-")}-${device.replace(", ", "-")}.png` });
      await step("sign-in page", async () => {
        await page.goto(`${gate.url}/`);
        await pages.seesSignIn(page);
        await judge("sign in");
      });
      await step("a wrong recovery code is said without a reload", async () => {
        await pages.wrongCodeByKeyboard(page);
        await judge("sign in, refused");
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
        await pages.signOut(page, gate, "keyboard");
        await judge("signed out");
        await page.goto(`${gate.url}/`);
        await pages.seesSignIn(page);
        await pages.signInByKeyboard(page);
        await until("let in", async () => (await page.evaluate(() => fetch("/manifest.json").then((r) => r.status))) === 200);
      });
      await step("a page that is none", async () => {
        const answer = await page.goto(`${gate.url}/nothing.of.this.kind/here`);
        expect(answer.status() === 404, `answered ${answer.status()}`);
        await judge("not found");
      });
    });
  }
}

/** Judges the page that is shown: axe's serious rules, nothing wider than the screen, the wanted colours, targets large enough. */
async function judgePage({ page, log }, { what, dark, width, out }) {
  await page.screenshot({ path: out, fullPage: true });
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
  expect(page_.scroll <= width, `${what}: ${page_.scroll} pixels wide on ${width}`);
  const [r, g, b] = page_.background.match(/[\d.]+/g).map(Number);
  expect((r + g + b) / 3 < 128 === dark, `${what}: the background is ${page_.background} in the ${dark ? "dark" : "light"}`);
  expect(page_.title && page_.lang === "en" && page_.headings === 1, `${what}: title "${page_.title}", lang "${page_.lang}", ${page_.headings} first headings`);
  expect(page_.small.length === 0, `${what}: hard to hit: ${page_.small}`);
  expect(page_.foreign.length === 0, `${what}: from elsewhere: ${page_.foreign}`);
}
