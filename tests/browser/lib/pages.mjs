// Gatehouse's own pages, as a person uses them: found by what they show, not by how they are made,
// wherever that says it plainly enough.
import { expect, until } from "./house.mjs";
import { tabTo } from "./keyboard.mjs";

const account = "/_gatehouse/auth/";

const heading = (page, text) => page.getByRole("heading", { level: 1, name: text });
const button = (page, name) => page.getByRole("button", { name, exact: true });

/** Goes to an address, also one whose page goes on to another by itself. */
export async function visit(page, url) {
  for (let tries = 1; ; tries++) {
    try {
      return await page.goto(url, { waitUntil: "commit" });
    } catch (error) {
      if (tries === 5 || !/interrupted by another navigation|ERR_ABORTED/.test(error.message)) throw error;
      await page.waitForLoadState().catch(() => {});
    }
  }
}

/** Waits until one of our pages with this title is shown. */
async function sees(page, title, within = 15_000) {
  await heading(page, title).waitFor({ timeout: within });
}

export const seesSignIn = (page, within) => sees(page, "Sign in", within);
export const seesInvitation = (page) => sees(page, /Become the owner|You are invited/);
export const seesHomeDown = (page) => sees(page, "Home Assistant is not answering");
export const seesNotSetUp = (page) => sees(page, "Home Assistant is not set up yet");
export const seesOtherUser = (page, within = 30_000) => sees(page, /somebody else/i, within);
/** Goes on from the page that says that one signed in to Home Assistant as somebody else. */
export const signInAgain = (page) => button(page, "Sign in again").click();
export const refusesInvitation = (page) => sees(page, /invitation|link/i);

/** Takes the owner's invitation with a passkey; returns the recovery codes that are shown. */
export async function becomeOwner(page, name) {
  await sees(page, "Become the owner");
  await page.getByLabel("Your name").fill(name);
  await button(page, "Create a passkey").click();
  return recoveryCodes(page);
}

export async function becomeOwnerByKeyboard(page, name) {
  await sees(page, "Become the owner");
  await tabTo(page, page.getByLabel("Your name"), "the name");
  await page.keyboard.type(name);
  await tabTo(page, button(page, "Create a passkey"), "the passkey's button");
  await page.keyboard.press("Enter");
  return recoveryCodes(page);
}

async function recoveryCodes(page) {
  await sees(page, "Keep your recovery codes");
  expect(await page.evaluate(() => document.activeElement?.tagName === "H1"), "the focus is not on the new page's heading");
  return page.locator("#codes-list li").allInnerTexts();
}

/** Goes on from the recovery page, or from wherever enrolment ended. */
export async function goOn(page, by = "click") {
  const done = page.locator("#codes-done");
  if (!(await done.isVisible())) return;
  if (by === "keyboard") {
    await tabTo(page, done, "the button that goes on");
    await page.keyboard.press("Enter");
  } else await done.click();
  await until("the recovery page is left", () => !page.url().includes("/_gatehouse/"));
}

/** Takes an invitation of an existing person: this browser is remembered, with a passkey if asked for. */
export async function acceptInvitation(page, { passkey = false } = {}) {
  await sees(page, "You are invited");
  await button(page, passkey ? "Create a passkey" : "Just remember this browser").click();
  await until("the invitation is left", async () => !page.url().includes("/_gatehouse/auth/invite/") || (await page.locator("#codes-done").isVisible()));
}

export async function signInWithPasskey(page) {
  await seesSignIn(page);
  await button(page, "Sign in with a passkey").click();
  await leftSignIn(page);
}

export async function signInByKeyboard(page) {
  await tabTo(page, button(page, "Sign in with a passkey"), "the passkey's button");
  await page.keyboard.press("Enter");
  await leftSignIn(page);
}

export async function signInWithCode(page, name, code) {
  await seesSignIn(page);
  await page.getByLabel("Your name").fill(name);
  await page.getByLabel("Code", { exact: true }).fill(code);
  await page.keyboard.press("Enter");
  await leftSignIn(page);
}

const leftSignIn = (page) => until("the sign-in page is left", async () => (await heading(page, "Sign in").count()) === 0);

/** A code that is none, by keyboard: the refusal is said where screen readers hear it. */
export async function wrongCodeByKeyboard(page) {
  await tabTo(page, page.getByLabel("Your name"), "the name");
  await page.keyboard.type("Nobody");
  await tabTo(page, page.getByLabel("Code", { exact: true }), "the code");
  await page.keyboard.type("000000");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").filter({ hasText: "That did not work" }).waitFor();
}

/** Signs out on one's own page. */
export async function signOut(page, gate, by = "click") {
  await visit(page, `${gate.url}${account}`);
  const out = button(page, "Sign out");
  if (by === "keyboard") {
    await tabTo(page, out, "the sign-out button");
    await page.keyboard.press("Enter");
  } else await out.click();
  await seesSignIn(page);
}

/** Asks the known devices to be let in; returns the number that is shown. */
export async function askApproval(page) {
  await seesSignIn(page);
  await button(page, "Ask a device that is already signed in").click();
  const number = page.locator("#number");
  await until("a number is shown", async () => /^\d\d$/.test((await number.innerText()).trim()));
  return Number(await number.innerText());
}

/** Waits until a known device's own page shows a browser that waits. */
export const seesWaiting = (page) => page.locator("#waiting-list .asks").first().waitFor();

/** Answers, on a known device's own page, the browser that waits; confirms that it is its person where that is asked for. */
export async function approve(page, gate, number) {
  await visit(page, `${gate.url}${account}`);
  const row = page.locator("#waiting-list .asks").first();
  await row.waitFor();
  await row.getByRole("textbox").fill(String(number));
  await row.getByRole("button", { name: "Approve" }).click();
  const confirm = page.locator("#confirm-passkey");
  const said = page.locator("#status, #alert").filter({ hasText: /Approved|turned away/ });
  await confirm.or(said).first().waitFor();
  if (await confirm.isVisible()) await confirm.click();
  await said.first().waitFor();
}

export const seesDenied = (page) => page.getByText("The other device said no.").first().waitFor();

/** The browser that asked goes on by itself. */
export const letIn = (page) => until("the waiting ends", async () => (await heading(page, /^(Sign in|Waiting for approval)$/).count()) === 0);
