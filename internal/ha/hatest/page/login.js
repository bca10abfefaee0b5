// Home Assistant's login flow: who you are, a code where one is asked for, then back to who sent you.
const query = new URLSearchParams(location.search);
const form = document.querySelector("form");
const trouble = document.querySelector("[role=alert]");
const steps = { init: document.querySelector("#init"), mfa: document.querySelector("#mfa") };
const keep = document.querySelector("#keep");
const said = {
  invalid_auth: "Invalid username or password",
  invalid_code: "Invalid authentication code",
  too_many_retry: "Too many tries. Start again.",
  login_expired: "The login took too long. Start again.",
};
const clientId = query.get("client_id");
const redirect = query.get("redirect_uri");
let flow;

function say(text) {
  trouble.textContent = text;
  trouble.hidden = !text;
}

/** One request of the flow; the browser's frontend sends JSON as text/plain too. */
async function post(path, body) {
  const answer = await fetch(path, { method: "POST", credentials: "same-origin", body: JSON.stringify(body) });
  const data = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(data.message ?? `Home Assistant answered ${answer.status}`), { status: answer.status });
  return data;
}

function show(data) {
  if (data.type === "create_entry") {
    const back = new URL(redirect);
    back.searchParams.set("code", data.result);
    if (query.has("state")) back.searchParams.set("state", query.get("state"));
    if (keep.checked) back.searchParams.set("storeToken", "true");
    location.assign(back);
    return;
  }
  if (data.type === "abort") {
    say(said[data.reason] ?? data.reason);
    return begin(false);
  }
  flow = data.flow_id;
  for (const [name, step] of Object.entries(steps)) {
    step.hidden = name !== data.step_id;
    step.disabled = name !== data.step_id;
  }
  if (data.errors?.base) say(said[data.errors.base] ?? data.errors.base);
  const first = steps[data.step_id].querySelector("input:not([type=checkbox])");
  if (data.step_id === "mfa") first.value = "";
  first.focus();
}

async function begin(quiet = true) {
  if (quiet) say("");
  const challenged = query.has("code_challenge") && { code_challenge: query.get("code_challenge"), code_challenge_method: query.get("code_challenge_method") };
  try {
    const { providers, preselect_remember_me: remember } = await (await fetch("/auth/providers", { credentials: "same-origin" })).json();
    keep.checked ||= remember;
    show(await post("/auth/login_flow", { client_id: clientId, redirect_uri: redirect, handler: [providers[0].type, providers[0].id], ...challenged }));
  } catch (error) {
    say(error.message);
  }
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const step = steps.mfa.hidden ? "init" : "mfa";
  const fields = step === "init" ? { username: form.username.value, password: form.password.value } : { code: form.code.value };
  const button = steps[step].querySelector("button");
  button.disabled = true;
  say("");
  try {
    show(await post(`/auth/login_flow/${flow}`, { client_id: clientId, ...fields }));
  } catch (error) {
    say(error.message);
    if (error.status === 404 || error.status === 403) await begin(false);
  } finally {
    button.disabled = false;
  }
});

if (clientId && redirect) begin();
else say("This address belongs to an app that wants to sign in. Open your home's own page instead.");
