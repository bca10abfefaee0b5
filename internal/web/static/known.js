// A device of this home that has only moved to another address shows by its own sign-in that it
// is known: in a browser Home Assistant's frontend keeps that, in the companion apps the app does.
// Nothing is typed here, and what is shown leaves neither the device nor the house.

const kept = () => {
  try {
    return JSON.parse(localStorage.getItem('hassTokens'));
  } catch {
    return null;
  }
};

/** What the frontend of this very address keeps. */
async function byBrowser() {
  const sign = kept();
  if (!sign?.refresh_token || !sign.clientId) return false;
  const body = new URLSearchParams({ grant_type: 'refresh_token', client_id: sign.clientId, refresh_token: sign.refresh_token });
  const answer = await fetch('/auth/token', { method: 'POST', body, credentials: 'same-origin', cache: 'no-store', redirect: 'error' });
  return answer.ok;
}

/** What the app keeps: it asks for a token itself, as it does for the frontend. */
function byApp() {
  const wish = { callback: 'externalAuthSetToken', force: true };
  return new Promise((done) => {
    globalThis.externalAuthSetToken = (worked) => done(Boolean(worked));
    if (globalThis.externalApp?.getExternalAuth) globalThis.externalApp.getExternalAuth(JSON.stringify(wish));
    else if (globalThis.webkit?.messageHandlers?.getExternalAuth) globalThis.webkit.messageHandlers.getExternalAuth.postMessage(wish);
    else done(false);
  });
}

// Where that was tried a moment ago and this page is here again, it is of no use.
const tried = Number(sessionStorage.getItem('gatehouse-tried') ?? 0);
if (Date.now() - tried > 60_000) {
  sessionStorage.setItem('gatehouse-tried', String(Date.now()));
  const known = await Promise.any([byBrowser(), byApp()].map(async (way) => (await way) || Promise.reject())).catch(() => false);
  if (known) location.reload();
}
