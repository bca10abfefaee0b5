// The demonstration home. It lives inside the program under test, so what it says of its state is
// asked by the page that is signed in to it.
import { cachesAreClean, controlled, worker } from "./frontend.mjs";
import { until } from "./house.mjs";

export class DemoHome {
  version = "demo";
  owner = { name: "Demo", username: "demo", password: "demo" };
  member = { name: "Anna", username: "anna", password: "anna" };

  /** The owner's logins, as the home lists them: one for each refresh token. Asked by a signed-in page. */
  logins(page) {
    return page.evaluate(() => new Promise((done, fail) => {
      const socket = new WebSocket(`wss://${location.host}/api/websocket`);
      const { access_token } = JSON.parse(localStorage.getItem("hassTokens"));
      socket.onopen = () => socket.send(JSON.stringify({ type: "auth", access_token }));
      socket.onerror = () => fail(new Error("no socket"));
      socket.onmessage = ({ data }) => {
        const message = JSON.parse(data);
        if (message.type === "auth_ok") socket.send(JSON.stringify({ id: 1, type: "auth/refresh_tokens" }));
        if (message.type === "auth_invalid") fail(new Error("auth_invalid"));
        if (message.id === 1) socket.close(), done(message.result);
      };
    }));
  }
}

/** The demonstration home's own page, which stands in for Home Assistant's frontend. */
const light = "Kitchen light";
const button = (page) => page.getByRole("button", { name: light, exact: true });

async function state(page) {
  return page.evaluate(async (name) => {
    const { access_token } = JSON.parse(localStorage.getItem("hassTokens"));
    const answer = await fetch("/api/states", { headers: { authorization: `Bearer ${access_token}` } });
    return (await answer.json()).find((s) => s.attributes.friendly_name === name).state;
  }, light);
}

const connected = (page) => page.evaluate(() => document.documentElement.dataset.connected === "true");

export const demoFrontend = {
  path: "/",
  settled: 16_000,
  backWithin: 15_000,
  connected, worker, controlled, cachesAreClean,
  tokens: (page) => page.evaluate(() => JSON.parse(localStorage.getItem("hassTokens") ?? "null")),
  seesLogin: (page) => page.getByLabel("Username").waitFor(),
  async logIn(page, { username, password }) {
    await page.getByLabel("Username").fill(username);
    await page.getByLabel("Password").fill(password);
    const keep = page.getByLabel("Keep me logged in");
    if (!(await keep.isChecked())) await keep.check();
    await page.getByRole("button", { name: "Log in" }).click();
  },
  async atHome(page, within = 15_000) {
    await page.getByRole("heading", { name: "Demo home" }).waitFor({ timeout: within });
    await until("the page is connected", () => connected(page), within);
  },
  async toggle(page) {
    const before = await state(page);
    await button(page).click();
    await until("the home has it switched", async () => (await state(page)) !== before);
    const pressed = String((await state(page)) === "on");
    await until("the page shows it", async () => (await button(page).getAttribute("aria-pressed")) === pressed);
  },
  async follows(page) {
    const next = (await state(page)) === "on" ? "off" : "on";
    await page.evaluate(async ([name, service]) => {
      const { access_token } = JSON.parse(localStorage.getItem("hassTokens"));
      const headers = { authorization: `Bearer ${access_token}`, "content-type": "application/json" };
      const entity = (await (await fetch("/api/states", { headers })).json()).find((s) => s.attributes.friendly_name === name).entity_id;
      await fetch(`/api/services/light/${service}`, { method: "POST", headers, body: JSON.stringify({ entity_id: entity }) });
    }, [light, `turn_${next}`]);
    await until("the page shows it", async () => (await button(page).getAttribute("aria-pressed")) === String(next === "on"));
  },
};
