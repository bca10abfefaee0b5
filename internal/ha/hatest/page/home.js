// The page of the demonstration home: a card for each thing, told by Home Assistant's states.
import { Link } from "/frontend_latest/link.js";

const root = document.documentElement;
const status = document.querySelector("[role=status]");
const trouble = document.querySelector("[role=alert]");
const states = new Map();

/** What each card switches: when it is pressed, what it says, and which services it calls. */
const things = {
  light: { on: "on", says: { on: "On", off: "Off" }, calls: ["turn_on", "turn_off"] },
  input_boolean: { on: "on", says: { on: "On", off: "Off" }, calls: ["turn_on", "turn_off"] },
  lock: { on: "locked", says: { locked: "Locked", unlocked: "Unlocked", open: "Open" }, calls: ["lock", "unlock"] },
  cover: { on: "open", says: { open: "Open", closed: "Closed" }, calls: ["open_cover", "close_cover"] },
};

const link = new Link({
  lost() {
    root.dataset.connected = "false";
    status.textContent = "Connection lost. Reconnecting…";
  },
});

function say(text) {
  trouble.textContent = text;
  trouble.hidden = !text;
}

const cards = [...document.querySelectorAll("button[data-entity]")];

function show() {
  for (const card of cards) {
    const state = states.get(card.dataset.entity);
    if (!state) continue;
    const thing = things[card.dataset.entity.split(".")[0]];
    card.setAttribute("aria-pressed", String(state.s === thing.on));
    card.querySelector(".state").dataset.state = thing.says[state.s] ?? state.s;
    card.disabled = false;
  }
  const degrees = states.get("sensor.outside_temperature");
  if (degrees) document.querySelector("#temperature").textContent = `${degrees.s} ${degrees.a.unit_of_measurement}`;
}

for (const card of cards) {
  card.addEventListener("click", async () => {
    const entity = card.dataset.entity;
    const [domain] = entity.split(".");
    const pressed = card.getAttribute("aria-pressed") === "true";
    say("");
    try {
      await link.call({ type: "call_service", domain, service: things[domain].calls[pressed ? 1 : 0], target: { entity_id: entity } });
    } catch (error) {
      say(`${card.querySelector(".name").textContent}: ${error.message}`);
    }
  });
}

/** Takes an event of subscribe_entities: all, changed, gone. */
function hear({ a, c, r }) {
  if (a) for (const [id, state] of Object.entries(a)) states.set(id, state);
  for (const [id, change] of Object.entries(c ?? {})) {
    const state = states.get(id);
    if (!state) continue;
    const plus = change["+"] ?? {};
    if (plus.s !== undefined) state.s = plus.s;
    state.a = { ...state.a, ...plus.a };
    for (const name of change["-"]?.a ?? []) delete state.a[name];
  }
  for (const id of r ?? []) states.delete(id);
  show();
  root.dataset.connected = "true";
  status.textContent = "Connected";
}

const camera = document.querySelector("#camera");
const picture = camera.querySelector("img");
const cameraID = "camera.demo_camera";

/** A picture now and then by a signed path, as the frontend does. */
async function look() {
  if (camera.getAttribute("aria-pressed") === "true" || document.hidden) return;
  const { path } = await link.call({ type: "auth/sign_path", path: `/api/camera_proxy/${cameraID}`, expires: 60 });
  picture.src = path;
}

camera.addEventListener("click", () => {
  const watching = camera.getAttribute("aria-pressed") !== "true";
  camera.setAttribute("aria-pressed", String(watching));
  if (watching) picture.src = `/api/camera_proxy_stream/${cameraID}?token=${states.get(cameraID)?.a.access_token}`;
  else look().catch(() => {});
});

document.querySelector("#out").addEventListener("click", () => link.signOut());

if ("serviceWorker" in navigator && isSecureContext) navigator.serviceWorker.register("/sw-modern.js").catch(() => {});

/** Says that there is no way to Home Assistant, and tries again in a minute. */
function unable() {
  status.textContent = "Unable to connect";
  const again = document.querySelector("#again");
  again.hidden = false;
  again.addEventListener("click", () => location.reload());
  setTimeout(() => location.reload(), 60_000);
}

try {
  await link.connect();
  link.subscribe({ type: "subscribe_entities" }, hear);
  link.call({ type: "auth/current_user" }).then(({ name }) => (document.querySelector("#person").textContent = name), () => {});
  look().catch(() => {});
  setInterval(() => look().catch(() => {}), 10_000);
} catch {
  unable();
}
