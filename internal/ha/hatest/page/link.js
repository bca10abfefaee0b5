// Tokens and the socket, handled as Home Assistant's own frontend handles them.

const store = "hassTokens";
const clientId = `${location.origin}/`;

/** Thrown where the tokens are worth nothing any more. */
export class InvalidAuth extends Error {}

let tokens = null; // those of this page
let keeps = true; // whether they outlive it

function read() {
  try {
    return JSON.parse(localStorage.getItem(store));
  } catch {
    return null;
  }
}

function save(next) {
  tokens = next;
  if (next === null) localStorage.removeItem(store);
  else if (keeps) localStorage.setItem(store, JSON.stringify(next));
}

/** One request to /auth/token, as a multipart form. */
async function ask(fields) {
  const form = new FormData();
  form.append("client_id", clientId);
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  const answer = await fetch("/auth/token", { method: "POST", credentials: "same-origin", body: form });
  if (answer.status === 400 || answer.status === 403) throw new InvalidAuth("the tokens are not accepted");
  if (!answer.ok) throw new Error(`/auth/token: ${answer.status}`);
  const got = await answer.json();
  return { ...tokens, ...got, hassUrl: location.origin, clientId, expires: Date.now() + got.expires_in * 1000 };
}

const base64url = (bytes) => btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

/** A code challenge, where Home Assistant offers that and the page may use cryptography. */
async function challenge() {
  if (!crypto.subtle) return {};
  try {
    const about = await (await fetch("/.well-known/oauth-authorization-server", { credentials: "same-origin" })).json();
    if (!about.code_challenge_methods_supported?.includes("S256")) return {};
  } catch {
    return {};
  }
  const verifier = base64url(crypto.getRandomValues(new Uint8Array(32)));
  sessionStorage.setItem("hassCodeVerifier", verifier);
  const sum = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  return { code_challenge: base64url(new Uint8Array(sum)), code_challenge_method: "S256" };
}

/** Leaves for the login page; never returns. */
async function logIn() {
  const back = new URL(location.href);
  for (const name of ["code", "state", "storeToken"]) back.searchParams.delete(name);
  back.searchParams.set("auth_callback", "1");
  const query = new URLSearchParams({
    response_type: "code", redirect_uri: back.href, client_id: clientId,
    state: btoa(JSON.stringify({ hassUrl: location.origin, clientId })), ...(await challenge()),
  });
  location.replace(`/auth/authorize?${query}`);
  return new Promise(() => {});
}

/** Gets tokens: from the code in the address, from where they are kept, or by a login. */
async function ready() {
  const here = new URL(location.href);
  const code = here.searchParams.get("code");
  if (here.searchParams.has("auth_callback")) {
    keeps = here.searchParams.get("storeToken") === "true";
    const verifier = sessionStorage.getItem("hassCodeVerifier");
    sessionStorage.removeItem("hassCodeVerifier");
    for (const name of ["auth_callback", "code", "state", "storeToken"]) here.searchParams.delete(name);
    history.replaceState(null, "", here);
    if (code) {
      try {
        save(await ask({ grant_type: "authorization_code", code, ...(verifier && { code_verifier: verifier }) }));
        return;
      } catch (error) {
        if (!(error instanceof InvalidAuth)) throw error;
      }
    }
  }
  tokens ??= read();
  if (!tokens) await logIn();
}

/** Makes the access token a fresh one where it is about to end. */
async function refresh() {
  if (Date.now() < tokens.expires - 10_000) return;
  save(await ask({ grant_type: "refresh_token", refresh_token: tokens.refresh_token }));
}

/** Opens a socket and walks its handshake. */
async function open() {
  await refresh();
  return new Promise((done, fail) => {
    const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/api/websocket`);
    let refused = false;
    socket.onopen = () => socket.send(JSON.stringify({ type: "auth", access_token: tokens.access_token }));
    socket.onclose = () => fail(refused ? new InvalidAuth("auth_invalid") : new Error("no connection"));
    socket.onmessage = ({ data }) => {
      const { type } = JSON.parse(data);
      if (type === "auth_invalid") {
        refused = true;
        socket.close();
      }
      if (type === "auth_ok") done(socket);
    };
  });
}

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** The line to Home Assistant. It comes back by itself, after 0, 1, 2, 3, 4, 5, 5… seconds. */
export class Link {
  #socket;
  #next = 1;
  #waiting = new Map(); // id → how its result is handed over
  #subscriptions = []; // begun anew on each socket
  #closed = false;

  constructor({ lost }) {
    this.lost = lost;
  }

  /** Connects for the first time: tokens that are refused are thrown away, and a login is asked for. */
  async connect() {
    await ready();
    try {
      this.#use(await open());
    } catch (error) {
      if (!(error instanceof InvalidAuth)) throw error;
      save(null);
      await logIn();
    }
  }

  #use(socket) {
    this.#socket = socket;
    this.#next = 1;
    this.#waiting.clear();
    socket.onmessage = ({ data }) => {
      const got = JSON.parse(data);
      for (const message of Array.isArray(got) ? got : [got]) this.#waiting.get(message.id)?.(message);
    };
    socket.onclose = () => this.#comeBack();
    this.call({ type: "supported_features", features: { coalesce_messages: 1 } }).catch(() => {});
    for (const [command, heard] of this.#subscriptions) this.#begin(command, heard);
  }

  async #comeBack() {
    for (const told of this.#waiting.values()) told({ type: "result", success: false, error: { message: "Connection lost" } });
    this.#waiting.clear();
    if (this.#closed) return;
    this.lost();
    for (let tries = 0; ; tries++) {
      await sleep(Math.min(tries, 5) * 1000);
      try {
        this.#use(await open());
        return;
      } catch (error) {
        if (error instanceof InvalidAuth) {
          location.reload();
          return;
        }
      }
    }
  }

  #send(command, told) {
    const id = this.#next++;
    this.#waiting.set(id, told);
    this.#socket.send(JSON.stringify({ id, ...command }));
    return id;
  }

  /** One command; resolves with its result. */
  call(command) {
    return new Promise((done, fail) => {
      const id = this.#send(command, ({ success, result, error }) => {
        this.#waiting.delete(id);
        if (success) done(result);
        else fail(new Error(error.message));
      });
    });
  }

  #begin(command, heard) {
    this.#send(command, (message) => message.type === "event" && heard(message.event));
  }

  /** A command that goes on telling, on every socket that comes. */
  subscribe(command, heard) {
    this.#subscriptions.push([command, heard]);
    this.#begin(command, heard);
  }

  /** Ends the login, here and at Home Assistant. */
  async signOut() {
    const form = new FormData();
    form.append("token", tokens.refresh_token);
    await fetch("/auth/revoke", { method: "POST", credentials: "same-origin", body: form }).catch(() => {});
    save(null);
    this.#closed = true;
    this.#socket.close();
    location.href = "/";
  }
}
