// A stranger at the door: hundreds of requests, with every credential that a stranger can make up
// or steal from a log, on the paths that Home Assistant serves. A tap on the line to Home Assistant
// shows that not one of them got there.
import { createHmac, randomBytes, randomUUID } from "node:crypto";
import { Client } from "../lib/client.mjs";
import { expect } from "../lib/house.mjs";

const app = "an app's user agent";
const entity = "camera.demo_camera";

// What Home Assistant answers without any authentication (ha-protocol 1.2), and what needs some (1.3).
const open = [
  "/", "/lovelace", "/walk-lab/walk", "/config", "/profile", "/history", "/map", "/auth/authorize", "/onboarding.html", "/manifest.json", "/robots.txt",
  "/sw-modern.js", "/sw-legacy.js", "/service_worker.js", "/static/icons/favicon.ico", "/static/translations/en.json", "/frontend_latest/app.js", "/local/a.txt", "/hacsfiles/a.js", "/hacs",
  "/knx_static/a.js", "/.well-known/change-password", "/.well-known/oauth-authorization-server", "/.well-known/oauth-protected-resource", "/auth/providers", "/auth/external/callback?state=x",
  "/api/onboarding", "/api/onboarding/installation_type", "/api/onboarding/backup/info", `/api/webhook/${"a".repeat(64)}`,
  `/api/camera_proxy/${entity}?token=${"0".repeat(64)}`, `/api/camera_proxy_stream/${entity}?token=${"0".repeat(64)}`, "/api/media_player_proxy/media_player.walkman?token=1",
  "/api/hls/abc/master_playlist.m3u8", "/api/tts_proxy/abc.mp3", "/api/image/serve/0123/original", "/api/brands/integration/hue/icon.png?token=1", "/api/map_tiles/tilejson.json?token=1",
  "/api/hassio/addons/core_ssh/logo", "/api/hassio_ingress/abc/", "/api/telegram_webhooks_1", "/api/alexa/flash_briefings/x", "/api/shelly/ws", "/auth/plex/callback", "/api/spaceapi", "/api/websocket",
];
const closed = [
  "/api/", "/api/config", "/api/components", "/api/states", "/api/states/light.kitchen_lights", "/api/services", "/api/events", "/api/stream", "/api/error_log", "/api/history/period", "/api/logbook",
  "/api/calendars", "/api/conversation/process", "/api/template", "/api/services/light/toggle", "/api/google_assistant", "/api/mobile_app/registrations", "/api/config/config_entries/entry",
  "/api/config/core/check_config", "/api/file_upload", "/api/image/upload", "/api/backup/upload", "/api/backup/download/x?agent_id=backup.local", "/media/local/a.mp4", "/api/prometheus",
  "/api/mcp", "/api/hassio/backups/new/upload", "/auth/link_user", "/api/nothing/of/this/kind",
];
const posted = ["/auth/login_flow", "/auth/login_flow/abc", "/auth/token", "/auth/revoke", "/api/onboarding/users", "/api/onboarding/core_config", "/api/onboarding/backup/upload", `/api/webhook/${"a".repeat(64)}`,
  "/api/services/lock/unlock", "/api/states/light.kitchen_lights", "/api/template", "/api/conversation/process", "/api/mobile_app/registrations", "/api/events/x", "/api/file_upload", "/api/backup/upload"];
const crooked = ["//api/states", "/api/./states", "/api/../api/states", "/%61pi/states", "/api%2fstates", "/api/states/", "/api/states;x=1", "/api\\states", "/API/states", "/api/states%00", "/_gatehouse/../api/states",
  "/_gatehouse/auth/../../api/states", "/_gatehouse/auth/%2e%2e/%2e%2e/api/states", "/_gatehouse/api/..%2f..%2fapi/states", "/_gatehouse/", "/_gatehouse/auth/nothing", "/auth/../api/states", "/static/../api/states",
  "/static/%2e%2e/api/states", "/api/hassio/../states", "/local/../../.storage/auth"];

export async function stranger(house, { home, gate, tap }) {
  await house.walk(`a stranger reaches nothing (${home.version})`, async (step) => {
    const client = new Client(gate);
    const mark = `x${randomBytes(12).toString("hex")}`; // stands in every request, so that it would be seen
    const credentials = await forgeries(home, mark);
    let sent = 0;
    const seen = new Map();
    tap.clear();

    const ask = async (path, options, what) => {
      const headers = { "x-mark": mark, ...options.headers };
      const marked = /[\\\0 ]/.test(path) ? path : `${path}${path.includes("?") ? "&" : "?"}mark=${mark}`;
      let answer;
      if (path.includes("\\")) {
        const text = await client.raw(`${options.method ?? "GET"} ${marked} HTTP/1.1\r\nHost: ${client.url.host}\r\nX-Mark: ${mark}\r\n\r\n`);
        answer = { status: Number(text.slice(9, 12)), headers: {}, text };
      } else answer = await client.fetch(marked, { ...options, headers });
      sent++;
      seen.set(answer.status, (seen.get(answer.status) ?? 0) + 1);
      // An app looks whether its login page answers before it shows it (ha-protocol 5.2): ours does.
      const appLooks = what === app && path.startsWith("/auth/authorize") && answer.status === 200 && answer.text.includes("/_gatehouse/auth/static/");
      const said = `${options.method ?? "GET"} ${path} with ${what}: ${answer.status}`;
      expect([400, 401, 403, 404, 405, 429, 503].includes(answer.status) || appLooks || (path.startsWith("/_gatehouse/") && answer.status < 500), said);
      expect(!answer.headers["www-authenticate"], `${said}, with WWW-Authenticate`);
      expect(!answer.headers.server, `${said}, with Server: ${answer.headers.server}`);
      expect(!answer.headers.location, `${said}, leads to ${answer.headers.location}`);
      expect(!/home.?assistant|aiohttp|\b20\d\d\.\d+\.\d+\b/i.test(answer.text + JSON.stringify(answer.headers)), `${said}, names what is behind: ${answer.text.slice(0, 200)}`);
      return answer;
    };

    await step("every path, with every forged credential", async () => {
      for (const [what, headers, query] of credentials) {
        for (const path of [...open, ...closed]) {
          await ask(query ? `${path}${path.includes("?") ? "&" : "?"}${query}` : path, { headers }, what);
        }
      }
    });
    await step("every method that changes something", async () => {
      for (const path of posted) {
        for (const method of ["POST", "PUT", "DELETE", "PATCH"]) {
          const body = path.includes("login_flow")
            ? JSON.stringify({ client_id: `${gate.url}/`, username: home.owner.username, password: home.owner.password, handler: ["homeassistant", null], redirect_uri: `${gate.url}/`, mark })
            : path === "/auth/token" ? `grant_type=refresh_token&client_id=${encodeURIComponent(home.owner.client_id)}&refresh_token=${home.owner.refresh_token}&mark=${mark}` : `{"mark":"${mark}"}`;
          const type = path === "/auth/token" ? "application/x-www-form-urlencoded" : "application/json";
          await ask(path, { method, body, headers: { "content-type": type, "content-length": Buffer.byteLength(body) } }, "a body");
        }
      }
    });
    await step("other methods", async () => {
      for (const method of ["HEAD", "OPTIONS", "TRACE", "PROPFIND", "BREW"]) {
        for (const path of ["/", "/api/states", "/api/websocket", "/auth/token"]) await ask(path, { method, headers: { origin: gate.url } }, "no credential");
      }
    });
    await step("crooked paths", async () => {
      for (const path of crooked) await ask(path, {}, "no credential");
    });
    await step("sockets, with tokens in the first message", async () => {
      for (const [what, headers, , token] of credentials) {
        const opened = await client.socket(`/api/websocket?mark=${mark}`, { "x-mark": mark, origin: gate.url, ...headers });
        sent++;
        if (!opened.socket) {
          expect([401, 400].includes(opened.status), `socket with ${what}: ${opened.status}`);
          continue;
        }
        const heard = await new Promise((done) => {
          const messages = [];
          opened.socket.on("message", (data) => messages.push(String(data)));
          opened.socket.on("close", () => done(messages));
          opened.socket.on("error", () => done(messages));
          opened.socket.send(JSON.stringify({ type: "auth", access_token: token ?? mark }));
          setTimeout(() => done(messages), 3000);
        });
        opened.socket.terminate();
        expect(!heard.some((m) => m.includes("auth_ok") || m.includes("ha_version")), `socket with ${what} heard ${heard[0]}`);
      }
    });
    await step("another host, and no host", async () => {
      for (const host of ["127.0.0.1", "localhost", "example.com", `${client.url.hostname}:1`, `${client.url.hostname}.`, `x@${client.url.host}`]) {
        const text = await client.raw(`GET /api/states?mark=${mark} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
        sent++;
        expect(!/^HTTP\/1\.1 200/.test(text), `Host: ${host}: ${text.slice(0, 40)}`);
      }
      for (const servername of ["example.com", "localhost", "desk.house.test"]) {
        const text = await client.raw(`GET /api/states?mark=${mark} HTTP/1.1\r\nHost: ${client.url.host}\r\n\r\n`, { servername });
        sent++;
        expect(text === "", `a handshake for ${servername} is answered: ${text.slice(0, 40)}`);
      }
    });

    await step("nothing of it reached Home Assistant", async () => {
      const bytes = tap.bytes();
      expect(!bytes.includes(mark), `the mark reached Home Assistant: ${tap.heads.find((h) => h.text.includes(mark))?.line}`);
      // The gateway's own questions carry no forwarded address; whatever it forwards does.
      const forwarded = tap.heads.filter((head) => head.headers.has("x-forwarded-for"));
      expect(forwarded.length === 0, `forwarded: ${forwarded.slice(0, 3).map((h) => h.line).join("; ")}`);
      for (const secret of [home.owner.password, home.owner.refresh_token]) expect(!bytes.includes(secret), "a secret of the sweep reached Home Assistant");
    });
    client.close();
    console.log(`    ${sent} requests; answers: ${[...seen].map(([status, n]) => `${n} × ${status}`).join(", ")}; the gateway's own to Home Assistant: ${tap.heads.length}`);
    expect(sent > 300, `only ${sent} requests were sent`);
  });
}

/** What a stranger can make up, or have stolen where a log or a link lay open: [what, headers, query, token]. */
async function forgeries(home, mark) {
  const real = await home.token(); // Home Assistant would accept it; no known device was ever given it
  const { iss } = JSON.parse(Buffer.from(real.split(".")[1], "base64url"));
  const forged = jwt({ iss, iat: now(), exp: now() + 1800 }, mark);
  const signed = await home.command({ type: "auth/sign_path", path: "/api/states", expires: 3600 });
  const authSig = new URLSearchParams(signed.path.split("?")[1]).get("authSig");
  const forgedSig = jwt({ iss, path: "/api/states", params: [], iat: now(), exp: now() + 1800 }, mark);
  const bearer = (token) => ({ authorization: `Bearer ${token}` });
  return [
    ["nothing", {}],
    ["a navigation's headers", { accept: "text/html", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document" }],
    ["a random bearer", bearer(randomBytes(32).toString("hex"))],
    ["a forged token with a real issuer", bearer(forged), "", forged],
    ["a token without a signature", bearer(`${Buffer.from('{"alg":"none"}').toString("base64url")}.${forged.split(".")[1]}.`)],
    ["a good token that was never given to a known device", bearer(real), "", real],
    ["two bearers", { authorization: [`Bearer ${forged}`, `Bearer ${real}`] }],
    ["a forged signed path", {}, `authSig=${forgedSig}`],
    ["a good signed path of an unknown device", {}, `authSig=${authSig}`],
    ["a token in the query", {}, `token=${real}&access_token=${real}&api_password=x`],
    ["forwarded addresses", { "x-forwarded-for": "127.0.0.1", "x-real-ip": "127.0.0.1", forwarded: "for=127.0.0.1", "x-forwarded-host": "127.0.0.1", "x-forwarded-proto": "https", "x_forwarded_for": "127.0.0.1", "x-ingress-path": "/", "x-remote-user": "owner" }],
    ["a made-up session", { cookie: `__Host-gatehouse=${randomBytes(32).toString("base64url")}` }],
    ["two sessions", { cookie: `__Host-gatehouse=${randomUUID()}; __Host-gatehouse=${randomUUID()}` }],
    ["an ingress session", { cookie: `ingress_session=${randomBytes(64).toString("hex")}` }],
    [app, { "user-agent": "Home Assistant/2026.8.1-20000 (Android 16; Pixel 9)", ...bearer(forged) }],
  ];
}

const now = () => Math.floor(Date.now() / 1000);

/** A token as Home Assistant makes them, signed with a key that is not Home Assistant's. */
function jwt(claims, key) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const body = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${body}.${createHmac("sha256", key).update(body).digest("base64url")}`;
}
