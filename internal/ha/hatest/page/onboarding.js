// The first person of a fresh home becomes its owner.
const form = document.querySelector("form");
const trouble = document.querySelector("[role=alert]");
const clientId = `${location.origin}/`;

async function post(path, body, token) {
  const answer = await fetch(path, { method: "POST", credentials: "same-origin", body: JSON.stringify(body), headers: token ? { authorization: `Bearer ${token}` } : {} });
  const data = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(data.message ?? `Home Assistant answered ${answer.status}`);
  return data;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  trouble.hidden = true;
  try {
    const owner = { client_id: clientId, language: "en", name: form.fullname.value, username: form.username.value, password: form.password.value };
    const { auth_code: code } = await post("/api/onboarding/users", owner);
    const fields = new FormData();
    for (const [name, value] of Object.entries({ client_id: clientId, grant_type: "authorization_code", code })) fields.append(name, value);
    const { access_token: token } = await (await fetch("/auth/token", { method: "POST", credentials: "same-origin", body: fields })).json();
    await post("/api/onboarding/core_config", {}, token);
    await post("/api/onboarding/analytics", {}, token);
    const { auth_code: last } = await post("/api/onboarding/integration", { client_id: clientId, redirect_uri: `${clientId}?auth_callback=1` }, token);
    location.assign(`/?auth_callback=1&storeToken=true&code=${last}`);
  } catch (error) {
    trouble.textContent = error.message;
    trouble.hidden = false;
  }
});
