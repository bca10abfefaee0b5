// The sign-in page.
import { $, ask, during, entitle, fill, say, sentence, words } from './api.js';
import * as passkey from './passkey.js';

const page = $('sign-in').dataset;
const title = $('title').textContent;

/** Goes on to where one was. The page may stand in a cache of Home Assistant's worker under that address: it is taken out first. */
async function goOn() {
  say('status', words.going);
  const there = page.here === 'true' ? location.pathname + location.search + location.hash : page.next;
  try {
    for (const name of await caches.keys()) {
      if (!name.includes('precache')) await (await caches.open(name)).delete(there, { ignoreSearch: true, ignoreVary: true });
    }
  } catch {
    // there are no caches
  }
  if (page.here === 'true') location.reload();
  else location.replace(there);
}

/** Goes on by itself where the page is an old one and the browser is signed in; not for ever, in case something keeps bringing it back. */
async function goOnIfSignedIn() {
  const key = 'gatehouse-went-on';
  const { signed_in: signedIn } = await ask('session').catch(() => ({}));
  if (!signedIn) return;
  const times = JSON.parse(sessionStorage.getItem(key) ?? '[]').filter((t) => Date.now() - t < 20_000);
  if (times.length >= 3) {
    $('continue').hidden = false;
    return;
  }
  sessionStorage.setItem(key, JSON.stringify([...times, Date.now()]));
  await new Promise((done) => setTimeout(done, 500 * times.length));
  await goOn();
}

if (page.passkeys === 'true' && passkey.works) {
  $('by-passkey').hidden = false;
  $('passkey').addEventListener('click', () =>
    during($('passkey'), async () => {
      await ask('sign-in/passkey', await passkey.use(await ask('sign-in/passkey/begin', {})));
      await goOn();
    }));
}

$('by-code').addEventListener('submit', (event) => {
  event.preventDefault();
  during(event.submitter ?? $('by-code'), async () => {
    await ask('sign-in/code', { name: $('name').value, code: $('code').value });
    await goOn();
  }).then((error) => error && $('code').select());
});

// Approval by another device.

let question; // the one that is open

$('or-ask').hidden = $('ask').hidden = false;
$('ask').addEventListener('click', () =>
  during($('ask'), async () => {
    question = await ask('approvals', {});
    $('number').textContent = question.number;
    $('asking-command').textContent = `gatehouse devices approve ${question.code}`;
    const time = new Date(question.expires).toLocaleTimeString(document.documentElement.lang, { hour: 'numeric', minute: '2-digit' });
    $('asking-until').textContent = fill(words.until, { time });
    $('choose').hidden = true;
    $('asking').hidden = false;
    entitle(words.askingTitle);
    say('asking-status', words.waiting);
    poll(question);
  }));

$('asking-cancel').addEventListener('click', () => stopAsking());

function stopAsking(why) {
  question = undefined;
  $('number').textContent = '';
  $('asking').hidden = true;
  $('choose').hidden = false;
  entitle(title);
  if (why) say('alert', why);
  $('ask').focus();
}

/** Asks until there is an answer, or the question is another. */
async function poll(mine) {
  while (question === mine) {
    await new Promise((done) => setTimeout(done, 1500));
    if (question !== mine) return;
    let state;
    try {
      ({ state } = await ask('approvals/poll', { ticket: mine.ticket }));
    } catch (error) {
      if (error.word === 'offline') say('asking-status', sentence(error));
      if (Date.now() > Date.parse(mine.expires)) state = 'gone';
    }
    if (question !== mine) return;
    if (state === 'approved') {
      $('asking-until').hidden = true;
      say('asking-status', words.going);
      await goOn();
      return;
    }
    if (state === 'denied') stopAsking(words.denied);
    if (state === 'gone') stopAsking(words.gone);
  }
}

goOnIfSignedIn();
// A page that the browser kept in memory, for its back button, may be as old.
addEventListener('pageshow', (event) => event.persisted && goOnIfSignedIn());
