// Home Assistant's own frontend, as a person uses it.
import { dashboard } from "./home.mjs";
import { expect, until } from "./house.mjs";

/** Where the walks switch their light. */
const row = (page) => page.locator("hui-toggle-entity-row", { hasText: "Kitchen" });

/** Waits for Home Assistant's login page. */
const seesLogin = (page) => page.waitForSelector("ha-auth-flow input[name=username]", { timeout: 30_000 });

/** Fills in Home Assistant's login page and lets it remember the login. */
async function logIn(page, { username, password }) {
  await seesLogin(page);
  await page.fill("input[name=username]", username);
  await page.fill("input[name=password]", password);
  const keep = page.locator("ha-auth-flow ha-checkbox, ha-auth-flow mwc-checkbox").first();
  if ((await keep.count()) && !(await keep.evaluate((box) => box.checked))) await keep.click();
  await page.keyboard.press("Enter");
}

/** Waits until the dashboard shows live states. */
async function atHome(page, within = 30_000) {
  await row(page).waitFor({ timeout: within });
  await until("the frontend is connected", () => connected(page), within);
}

/** Whether the frontend has a socket that Home Assistant answers. */
const connected = (page) => page.evaluate(() => document.querySelector("home-assistant")?.hass?.connected === true);

/** Clicks the light's switch and sees, in Home Assistant itself, that it happened. */
async function toggle(page, home, entity) {
  const before = await home.state(entity);
  await row(page).locator("ha-entity-toggle").click();
  await until(`${entity} is no longer ${before} in Home Assistant`, async () => (await home.state(entity)) !== before);
}

/** Sees that a change made elsewhere arrives on the page. */
async function follows(page, home, entity) {
  const now = await home.state(entity);
  const next = now === "on" ? "off" : "on";
  await home.call("light", `turn_${next}`, { entity_id: entity });
  await until(`the page shows ${entity} ${next}`, () =>
    page.evaluate(([id]) => document.querySelector("home-assistant").hass.states[id].state, [entity]).then((state) => state === next));
}

/** Waits until Home Assistant's service worker is active, and has had the time to be used. */
export async function worker(page, within = 90_000) {
  await until("the service worker is active", () =>
    page.evaluate(async () => (await navigator.serviceWorker.getRegistration())?.active?.state === "activated"), within, 250);
}

/** Whether the page is served by the worker. */
export const controlled = (page) => page.evaluate(() => Boolean(navigator.serviceWorker.controller));

/** Home Assistant's tokens, as its frontend keeps them. */
const tokens = (page) => page.evaluate(() => JSON.parse(localStorage.getItem("hassTokens") ?? "null"));

/** Looks through every cache of the origin and fails if anything of ours, or a page in a script's place, is in it. */
export async function cachesAreClean(page) {
  const found = await page.evaluate(async () => {
    const bad = [];
    let entries = 0;
    for (const name of await caches.keys()) {
      const cache = await caches.open(name);
      for (const request of await cache.keys()) {
        entries++;
        const response = await cache.match(request, { ignoreVary: true });
        const path = new URL(request.url).pathname;
        const type = response?.headers.get("content-type") ?? "";
        const text = response && /text|script|json/.test(type) ? await response.text() : "";
        if (path.startsWith("/_gatehouse/")) bad.push(`${name}: ${path}`);
        else if (/\/_gatehouse\/|Gatehouse/.test(text)) bad.push(`${name}: ${path} holds our page`);
        else if (type.includes("text/html") && /\.[a-z0-9]+$/.test(path) && !path.endsWith(".html")) bad.push(`${name}: ${path} is a page`);
        else if ([401, 403, 503].includes(response?.status)) bad.push(`${name}: ${path} is a ${response.status}`);
        else if (response?.type === "opaqueredirect") bad.push(`${name}: ${path} is a redirect`);
      }
    }
    return { bad, entries };
  });
  expect(found.bad.length === 0, `in the worker's caches: ${found.bad.slice(0, 5).join("; ")}`);
  return found.entries;
}

/** Goes to panels whose code is loaded only then, and sees each of them come up. */
async function lookAround(page, gate) {
  for (const panel of ["history", "config", "map"]) {
    await page.goto(`${gate.url}/${panel}`);
    await until(`the panel ${panel} comes up`, () => page.evaluate((name) => {
      const main = document.querySelector("home-assistant")?.shadowRoot?.querySelector("home-assistant-main")?.shadowRoot;
      const shown = main?.querySelector("partial-panel-resolver")?.lastElementChild;
      if (!shown || /loading|error/i.test(shown.tagName) || !location.pathname.startsWith(`/${name}`)) return false;
      return Boolean(shown.childElementCount || shown.shadowRoot?.childElementCount);
    }, panel), 20_000);
  }
}

/** Signs out with the frontend's own button, on the profile page. */
async function logOut(page, gate) {
  await page.goto(`${gate.url}/profile`);
  await page.locator(":is(ha-profile-dashboard, ha-profile-section-general) ha-button").filter({ hasText: "Log out" }).click();
  await page.locator("dialog-box ha-button").filter({ hasText: "Log out" }).click();
}

/** The frontend of a real home; entity is the light that is switched. */
export const realFrontend = (entity) => ({
  path: `/${dashboard}/walk`,
  settled: 16_000, // an auth_invalid within 15 s of a page's navigation would cost a login, so none is sent
  backWithin: 15_000,
  seesLogin, logIn, logOut, atHome, connected, worker, controlled, tokens, lookAround,
  toggle: (page, home) => toggle(page, home, entity),
  follows: (page, home) => follows(page, home, entity),
  cachesAreClean,
});
