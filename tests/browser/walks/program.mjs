// What a known browser's session can do without the browser: the official client library, streams,
// large uploads, and requests that try to say two things at once.
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { Auth, callService, createConnection, ERR_CANNOT_CONNECT, getUser, subscribeEntities } from "home-assistant-js-websocket";
import { WebSocket } from "ws";
import { Client } from "../lib/client.mjs";
import { light } from "../lib/home.mjs";
import { expect, until } from "../lib/house.mjs";

/** known is {cookie, tokens}: a session and the tokens that it was given, as the frontend keeps them. */
export async function officialClient(house, { home, gate, known }) {
  await house.walk(`the official client library goes through (${home.version})`, async (step) => {
    const ca = readFileSync(gate.root);
    const loopback = (host, options, found) => (options.all ? found(null, [{ address: "127.0.0.1", family: 4 }]) : found(null, "127.0.0.1", 4));
    let socket;
    globalThis.WebSocket = class extends WebSocket {
      constructor(url) {
        super(url, { ca, lookup: loopback, headers: { cookie: `__Host-gatehouse=${known.cookie}`, origin: gate.url } });
        socket = this;
      }
    };
    const client = new Client(gate);
    const fetched = globalThis.fetch;
    globalThis.fetch = async (url, { method, body }) => {
      const form = new Response(body);
      const answer = await client.fetch(new URL(url).pathname, {
        method, body: Buffer.from(await form.arrayBuffer()),
        headers: { "content-type": form.headers.get("content-type"), cookie: `__Host-gatehouse=${known.cookie}`, origin: gate.url },
      });
      return new Response(answer.text || null, { status: answer.status });
    };
    try {
      const auth = new Auth({ ...known.tokens }, () => {});
      const connection = await step("connect", () => createConnection({ auth, setupRetry: 2 }));
      let states = {};
      const subscribed = subscribeEntities(connection, (now) => (states = now));
      await step("subscribe to entities", () => until("the light is there", () => states[light]));
      await step("who am I", async () => expect((await getUser(connection)).name === known.haUser, "another user"));
      const toggled = async () => {
        const before = states[light].state;
        await callService(connection, "light", "toggle", {}, { entity_id: light });
        await until("the change arrives", () => states[light].state !== before);
        expect((await home.state(light)) === states[light].state, "Home Assistant says otherwise");
      };
      await step("call a service", toggled);
      await step("ping", () => connection.ping());
      await step("a hundred commands at once", async () => {
        const all = await Promise.all(Array.from({ length: 100 }, () => connection.sendMessagePromise({ type: "get_states" })));
        expect(all.every((answer) => answer.length > 50), "an answer is missing");
      });
      await step("the line breaks: it connects again by itself", async () => {
        const first = socket;
        socket.terminate();
        await until("another socket is ready", () => socket !== first && connection.connected, 15_000);
        await toggled();
      });
      await step("an access token that ran out is renewed", async () => {
        const before = auth.data.access_token;
        await auth.refreshAccessToken();
        expect(auth.data.access_token && auth.data.access_token !== before, "no new token");
        connection.reconnect(true);
        await until("connected with it", () => connection.connected, 15_000);
        await toggled();
      });
      subscribed();
      connection.close();
      await step("with the token but without the cookie: refused", async () => {
        globalThis.WebSocket = class extends WebSocket {
          constructor(url) {
            super(url, { ca, lookup: loopback, headers: { origin: gate.url } });
          }
        };
        const refused = await createConnection({ auth, setupRetry: 0 }).then(() => "connected", (code) => code);
        expect(refused === ERR_CANNOT_CONNECT, `it says ${refused}`);
      });
    } finally {
      globalThis.fetch = fetched;
      client.close();
    }
  });
}

/** Server-sent events and a camera's stream come as they happen. */
export async function streams(house, { home, gate, known }) {
  const headers = { cookie: `__Host-gatehouse=${known.cookie}`, authorization: `Bearer ${known.tokens.access_token}` };
  await house.walk(`streams are not held back (${home.version})`, async (step) => {
    const client = new Client(gate);
    await step("an event arrives as it happens", async () => {
      let heard = "";
      const ask = client.open("/api/stream?restrict=state_changed", { headers }, (answer) => {
        heard += `${answer.statusCode}\n`;
        answer.on("data", (part) => (heard += part));
        answer.on("error", () => {});
      });
      ask.on("error", () => {});
      ask.end();
      await until("the stream opens", () => heard.includes("ping"));
      expect(heard.startsWith("200"), `the stream: ${heard.slice(0, 20)}`);
      await home.call("light", "toggle", { entity_id: light });
      await until("the change is heard", () => heard.includes(light), 2000);
      ask.destroy();
    });
    await step("a camera's pictures follow each other", async () => {
      const camera = await home.command({ type: "get_states" }).then((all) => all.find((s) => s.entity_id === "camera.demo_camera"));
      let length = 0, frames = 0, status, type;
      const ask = client.open(`/api/camera_proxy_stream/camera.demo_camera?token=${camera.attributes.access_token}`, { headers: { cookie: headers.cookie } }, (answer) => {
        status = answer.statusCode;
        type = answer.headers["content-type"];
        answer.on("data", (part) => {
          length += part.length;
          frames += part.toString("latin1").split("--frameboundary").length - 1;
        });
        answer.on("error", () => {});
      });
      ask.on("error", () => {});
      ask.end();
      await until("two pictures", () => frames >= 2).catch((error) => {
        throw new Error(`${error.message}: ${status} ${type}, ${length} bytes`);
      });
      expect(status === 200 && type.startsWith("multipart/x-mixed-replace"), `the stream: ${status} ${type}`);
      ask.destroy();
    });
    client.close();
  });
}

/** A backup of size bytes goes up and comes back; the gateway's memory stays where it was. */
export async function backup(house, { home, gate, known, size, bound = 64 << 20 }) {
  const headers = { cookie: `__Host-gatehouse=${known.cookie}`, authorization: `Bearer ${known.tokens.access_token}` };
  await house.walk(`a backup of ${Math.round(size / (1 << 20))} MiB is streamed (${home.version})`, async (step) => {
    const client = new Client(gate);
    const before = gate.memory();
    let most = before;
    const watch = setInterval(() => (most = Math.max(most, gate.memory())), 50);
    try {
      const slug = randomBytes(4).toString("hex");
      const { head, tail } = backupFile(slug, size, home.version);
      await step("upload", async () => {
        const boundary = `b${randomBytes(8).toString("hex")}`;
        const open = Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="${slug}.tar"\r\nContent-Type: application/x-tar\r\n\r\n`);
        const close = Buffer.from(`\r\n--${boundary}--\r\n`);
        const length = open.length + head.length + size + tail.length + close.length;
        const answer = await new Promise((done, fail) => {
          const ask = client.open("/api/backup/upload?agent_id=backup.local", { method: "POST", headers: { ...headers, "content-type": `multipart/form-data; boundary=${boundary}`, "content-length": length } }, (heard) => {
            let text = "";
            heard.on("data", (part) => (text += part));
            heard.on("end", () => done({ status: heard.statusCode, text }));
          });
          ask.setTimeout(300_000);
          ask.on("error", fail);
          ask.write(open);
          ask.write(head);
          const block = Buffer.alloc(1 << 20);
          let left = size;
          const more = () => {
            while (left > 0) {
              const part = block.subarray(0, Math.min(left, block.length));
              left -= part.length;
              if (!ask.write(part)) return ask.once("drain", more);
            }
            ask.write(tail);
            ask.end(close);
          };
          more();
        });
        expect(answer.status === 201, `the upload is answered ${answer.status}: ${answer.text.slice(0, 200)}`);
      });
      const id = await step("Home Assistant has it, whole", async () => {
        const { backups } = await home.command({ type: "backup/info" });
        const found = backups.find((b) => b.name === `Walk ${slug}`);
        expect(found, `not among ${backups.length} backups`);
        const stored = Object.values(found.agents)[0]?.size;
        expect(stored === head.length + size + tail.length, `it has ${stored} bytes`);
        return found.backup_id;
      });
      await step("download", async () => {
        const length = await new Promise((done, fail) => {
          const ask = client.open(`/api/backup/download/${id}?agent_id=backup.local`, { headers }, (heard) => {
            let n = 0;
            if (heard.statusCode !== 200) return fail(new Error(`the download is answered ${heard.statusCode}`));
            heard.on("data", (part) => (n += part.length));
            heard.on("end", () => done(n));
            heard.on("error", fail);
          });
          ask.on("error", fail);
          ask.end();
        });
        expect(length === head.length + size + tail.length, `${length} bytes came back`);
      });
      await home.command({ type: "backup/delete", backup_id: id });
    } finally {
      clearInterval(watch);
      client.close();
    }
    console.log(`    the gateway's memory: ${mib(before)} before, ${mib(most)} at most`);
    expect(most - before < bound, `the gateway grew by ${mib(most - before)}`);
  });
}

const mib = (n) => `${(n / (1 << 20)).toFixed(1)} MiB`;

/** A backup as Home Assistant knows them: a tar with its description and a file of size zero bytes between head and tail. */
function backupFile(slug, size, version) {
  const about = Buffer.from(JSON.stringify({
    slug, version: 2, name: `Walk ${slug}`, date: "2026-11-24T12:00:00.000000+00:00", type: "partial", supervisor_version: "", extra: {}, homeassistant: { version, exclude_database: true },
    compressed: false, protected: false, crypto: null, repositories: [], folders: [], addons: [], docker: {},
  }));
  const padding = (n) => Buffer.alloc((512 - (n % 512)) % 512);
  return { head: Buffer.concat([tarHead("./backup.json", about.length), about, padding(about.length), tarHead("./padding.bin", size)]), tail: Buffer.concat([padding(size), Buffer.alloc(1024)]) };
}

/** One header of a tar file (POSIX.1-1988 ustar). */
function tarHead(name, size) {
  const head = Buffer.alloc(512);
  head.write(name, 0);
  head.write("0000644\0", 100);
  head.write("0000000\0", 108);
  head.write("0000000\0", 116);
  head.write(`${size.toString(8).padStart(11, "0")}\0`, 124);
  head.write("00000000000\0", 136);
  head.write("        ", 148);
  head.write("0", 156);
  head.write("ustar\x0000", 257);
  const sum = head.reduce((all, byte) => all + byte, 0);
  head.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return head;
}

/** Requests that two readers might read differently, from a device that is let in: refused whole, and what hides in them never gets anywhere. */
export async function doubleTalk(house, { home, gate, known, tap }) {
  await house.walk(`a known device cannot say two things at once (${home.version})`, async (step) => {
    const client = new Client(gate);
    const mark = `x${randomBytes(12).toString("hex")}`;
    const always = `Host: ${client.url.host}\r\nCookie: __Host-gatehouse=${known.cookie}\r\nAuthorization: Bearer ${known.tokens.access_token}\r\n`;
    const hidden = `GET /api/states/light.hidden_${mark} HTTP/1.1\r\n${always}\r\n`;
    const post = (headers, body) => `POST /api/template HTTP/1.1\r\n${always}${headers}\r\n${body}`;
    const get = (target, extra = "") => `GET ${target} HTTP/1.1\r\n${always}${extra}\r\n`;
    const shapes = {
      "two lengths": post("Content-Length: 0\r\nContent-Length: 5\r\n", hidden),
      "a length that is a list": post("Content-Length: 0, 5\r\n", hidden),
      "an empty length": post("Content-Length:\r\n", hidden),
      "a signed length": post("Content-Length: +5\r\n", hidden),
      "a length and chunks": post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", `0\r\n\r\n${hidden}`),
      "chunks, spelled otherwise": post("Transfer-Encoding: xchunked\r\n", `0\r\n\r\n${hidden}`),
      "chunks twice": post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", `0\r\n\r\n${hidden}`),
      "a space before the colon": post("Transfer-Encoding : chunked\r\nContent-Length: 0\r\n", `0\r\n\r\n${hidden}`),
      "a folded header": get("/api/config", "X-A: b\r\n c\r\n") + hidden,
      "a bare line feed": `GET /api/config HTTP/1.1\n${always}\r\n${hidden}`,
      "a bare carriage return": get("/api/config", "X-A: b\rTransfer-Encoding: chunked\r\n") + hidden,
      "a chunk size with a sign": post("Transfer-Encoding: chunked\r\n", `+0\r\n\r\n${hidden}`),
      "a chunk that ends wrongly": post("Transfer-Encoding: chunked\r\n", `1\r\nabc\r\n0\r\n\r\n${hidden}`),
      "the absolute form": get(`https://${client.url.host}/api/config`) + hidden,
      "another house in the absolute form": get("http://127.0.0.1/api/config") + hidden,
      "the authority form": `CONNECT ${client.url.host} HTTP/1.1\r\n${always}\r\n${hidden}`,
      "two hosts": get("/api/config", "Host: example.com\r\n") + hidden,
      "an old version": `GET /api/config HTTP/1.0\r\n${always}\r\n${hidden}`,
      "an underscore in a header": get("/api/config", "X_Forwarded_For: 10.0.0.1\r\nContent_Length: 5\r\n"),
      "a null byte in a header": get("/api/config", "X-A: a\0b\r\n") + hidden,
      "a giant header": get("/api/config", `X-A: ${"a".repeat(100_000)}\r\n`) + hidden,
      "a thousand headers": get("/api/config", "X-A: b\r\n".repeat(1000)) + hidden,
      "an encoded slash": get("/api%2fconfig") + hidden,
      "an encoded dot": get("/api/%2e%2e/api/config") + hidden,
      "an encoded letter": get("/%61pi/config") + hidden,
      "a double slash": get("//api/config") + hidden,
      "a fragment": get("/api/config#x") + hidden,
      "a tab in the request line": `GET\t/api/config HTTP/1.1\r\n${always}\r\n${hidden}`,
      "an expectation that nobody has": get("/api/config", "Expect: 200-maybe\r\n") + hidden,
    };
    tap.clear();
    for (const [what, bytes] of Object.entries(shapes)) {
      await step(what, async () => {
        const answer = await client.raw(bytes, { silence: 700 });
        const answers = answer.match(/HTTP\/1\.1 \d\d\d/g) ?? [];
        expect(answers.length <= 1, `${answers.length} answers: ${answers}`);
        if (!what.startsWith("an underscore")) expect(!/HTTP\/1\.1 [25]/.test(answer), `answered ${answers}`);
      });
    }
    expect(!tap.bytes().includes(mark), "a hidden request reached Home Assistant");
    expect(!/x_forwarded_for|content_length/i.test(tap.bytes().toString("latin1")), "a header with an underscore reached Home Assistant");
    await step("two honest requests on one connection are two", async () => {
      const answer = await client.raw(get("/api/config") + get(`/api/states/light.hidden_${mark}`), { silence: 1500 });
      const answers = answer.match(/HTTP\/1\.1 \d\d\d/g) ?? [];
      expect(answers.length === 2 && answers[0].endsWith("200") && answers[1].endsWith("404"), `answered ${answers}`);
      expect(tap.bytes().includes(mark), "the tap does not see what goes by");
    });
    await step("exactly one forwarded address, ours", async () => {
      tap.clear();
      await client.raw(get("/api/config", "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\nX-Forwarded-Proto: http\r\nForwarded: for=9.9.9.9\r\nX-Real-IP: 1.2.3.4\r\nX-Forwarded-Host: evil.example\r\n"), { silence: 1000 });
      const head = tap.heads.find((h) => h.line.startsWith("GET /api/config"));
      expect(head, "the request did not get through");
      const of = (name) => head.text.split("\r\n").filter((line) => line.toLowerCase().startsWith(`${name}:`));
      expect(of("x-forwarded-for").length === 1 && of("x-forwarded-for")[0].split(": ")[1] === "127.0.0.1", `${of("x-forwarded-for")}`);
      expect(of("x-forwarded-proto").join() === of("x-forwarded-proto")[0] && of("x-forwarded-proto")[0].endsWith("https"), `${of("x-forwarded-proto")}`);
      expect(of("forwarded").length + of("x-real-ip").length === 0 && !head.text.includes("evil.example"), "a forged header got through");
      expect(!head.text.includes("__Host-gatehouse"), "our cookie went to Home Assistant");
      expect(of("host")[0] === `Host: ${client.url.host}` || of("host")[0].toLowerCase() === `host: ${client.url.host}`, `${of("host")}`);
    });
    client.close();
  });
}
