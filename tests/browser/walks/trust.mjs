// How a device at home is told to trust the house, and sees that it does.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Browser } from "../lib/browser.mjs";
import { Gatehouse } from "../lib/gatehouse.mjs";
import { expect, until } from "../lib/house.mjs";
import { tabTo } from "../lib/keyboard.mjs";
import { Lane } from "../lib/lane.mjs";
import { judgeEverywhere, views } from "./looks.mjs";

const path = "/_gatehouse/auth/trust";
const asks = "/_gatehouse/api/trusted"; // at whatever the house is called besides

const verdict = (page) => page.locator("#check .verdict:visible").getAttribute("id");

/** Waits until the page has made up its mind, and returns what it says. */
async function told(page) {
  await until("the page has looked", async () => (await verdict(page)) !== "checking", 20_000);
  return verdict(page);
}

export async function deviceTrusts(house) {
  await house.walk(`a device at home is told to trust the house`, async (step, evidence) => {
    const lane = Lane.open();
    evidence.push(lane);
    const gate = await Gatehouse.atHome({ log: join(house.out, "trust.log"), lane });
    evidence.push(gate);
    await step("one that goes on in spite of the warning is told that it does not trust it", async () => {
      const browser = await Browser.open({ name: "new", to: lane.house });
      evidence.push(browser);
      const { page } = browser;
      const warned = await page.goto(gate.url + path).then(() => false, (error) => /ERR_CERT_AUTHORITY_INVALID/.test(error.message));
      expect(warned, "the browser did not warn");
      // What a click on "proceed" does: an exception for this host, and for no other.
      // The page of the warning may still be on its way, and would interrupt this.
      await until("the warning is left", () => page.goto("about:blank").then(() => true, () => false));
      const devtools = await browser.context.newCDPSession(page);
      devtools.on("Security.certificateError", ({ eventId, requestURL }) =>
        devtools.send("Security.handleCertificateError", { eventId, action: requestURL.startsWith(gate.url) ? "continue" : "cancel" }).catch(() => {}));
      await devtools.send("Security.enable");
      await devtools.send("Security.setOverrideCertificateErrors", { override: true });
      await page.goto(gate.url + path);
      await page.getByRole("heading", { level: 1, name: "Trust this house" }).waitFor();
      expect((await told(page)) === "no", `it says ${await verdict(page)}`);
      await judgeEverywhere(browser, "trust, not yet", house.out, views, asks);
    });
    const browser = await Browser.open({ name: "trusting", root: gate.root, to: lane.house });
    evidence.push(browser);
    const { page } = browser;
    await step("one that trusts it is told so, without a click too many", async () => {
      await page.goto(gate.url + path);
      expect((await told(page)) === "yes", `it says ${await verdict(page)}`);
      await tabTo(page, page.getByRole("button", { name: "Check again" }), "the button that checks again");
      await page.keyboard.press("Enter");
      expect((await told(page)) === "yes", `checked again, it says ${await verdict(page)}`);
      await judgeEverywhere(browser, "trust", house.out, views, asks);
    });
    await step("the steps of every device", async () => {
      for (const summary of await page.locator("summary").all()) await summary.click();
      await judgeEverywhere(browser, "trust, all devices", house.out, views, asks);
    });
    await step("a small phone, in German", async () => {
      const small = await Browser.open({ name: "german", root: gate.root, to: lane.house, phone: true, locale: "de-DE" });
      evidence.splice(2, 0, small);
      await small.page.setViewportSize({ width: 320, height: 700 });
      await small.page.goto(gate.url + path);
      await small.page.getByRole("heading", { level: 1, name: "Diesem Haus vertrauen" }).waitFor();
      for (const summary of await small.page.locator("summary").all()) await summary.click();
      await small.page.screenshot({ path: join(house.out, "looks-trust-german.png"), fullPage: true });
      expect((await small.page.evaluate(() => document.documentElement.scrollWidth)) <= 320, "it is wider than the phone");
    });
    await step("what is compared and saved is what the machine says", async () => {
      const lines = await page.locator(".fingerprint code").allInnerTexts();
      expect(lines.join("\n") === (await gate.verb("ca", "fingerprint")).text.trim(), `it shows ${lines}`);
      const saved = page.waitForEvent("download");
      await page.locator("section[aria-labelledby=first-title] .button").click();
      const file = await saved;
      expect(file.suggestedFilename() === "gatehouse.pem", `it saves ${file.suggestedFilename()}`);
      expect(readFileSync(await file.path(), "utf8") === readFileSync(gate.root, "utf8"), "it saves something else");
    });
    await step("where the answer tells nothing, neither yes nor no is said", async () => {
      await page.route("**/_gatehouse/api/trusted", (route) => route.fulfill({ status: 404, headers: { "access-control-allow-origin": gate.url } }));
      await page.getByRole("button", { name: "Check again" }).click();
      expect((await told(page)) === "unsure", `it says ${await verdict(page)}`);
      await judgeEverywhere(browser, "trust, not told", house.out, views, asks);
    });
  });
}
