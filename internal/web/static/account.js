// One's own page.
import { $, ask, during, fill, say, sentence, words } from './api.js';
import * as passkey from './passkey.js';
import { showApp, showCodes } from './secrets.js';

const page = $('account').dataset;
const canUse = page.passkeys === 'true' && passkey.works;
const said = 'gatehouse-said'; // kept over the reload that shows a change

/** Does what needs fresh proof: asks for it where the house wants it, and does it again. */
async function proven(work) {
  try {
    return await work();
  } catch (error) {
    if (error.word !== 'not-fresh') throw error;
  }
  await confirmed();
  return work();
}

/** Resolves when the person has confirmed that it is them; rejects where they would not. */
function confirmed() {
  const dialog = $('confirm');
  return new Promise((resolve, reject) => {
    const proof = async (button, work) => {
      // The dialog's own work: the button that opened it is still at its own.
      button.setAttribute('aria-disabled', 'true');
      say('confirm-alert', '');
      try {
        await work();
        resolve();
        dialog.close();
      } catch (error) {
        say('confirm-alert', sentence(error));
        $('confirm-code').select();
      } finally {
        button.removeAttribute('aria-disabled');
      }
    };
    $('confirm-by-passkey').hidden = !canUse;
    $('confirm-code').value = '';
    say('confirm-alert', '');
    $('confirm-passkey').onclick = () =>
      proof($('confirm-passkey'), async () => ask('sign-in/passkey', await passkey.use(await ask('sign-in/passkey/begin', {}))));
    $('confirm-form').onsubmit = (event) => {
      event.preventDefault();
      proof(event.submitter ?? $('confirm-form'), () => ask('account/confirm', { code: $('confirm-code').value }));
    };
    $('confirm-cancel').onclick = () => dialog.close();
    dialog.onclose = () => reject(new DOMException('', 'AbortError'));
    dialog.showModal();
  });
}

/** Runs what a button does; a person who cancels is told nothing. */
const act = (button, work) =>
  during(button, async () => {
    try {
      await work();
    } catch (error) {
      if (error.word === 'signed-out') location.reload();
      if (error.name !== 'AbortError') throw error;
    }
  });

/** Shows the page again, with word of what was done. */
function again(text) {
  sessionStorage.setItem(said, text);
  location.reload();
}
say('status', sessionStorage.getItem(said));
sessionStorage.removeItem(said);

for (const time of document.querySelectorAll('time')) {
  time.textContent = new Date(time.dateTime).toLocaleString(document.documentElement.lang, { dateStyle: 'medium', timeStyle: 'short' });
}

// Passkeys.

if (canUse) {
  $('add-passkey').hidden = page.prove !== 'true';
  $('add-passkey').addEventListener('click', () =>
    act($('add-passkey'), async () => {
      const begun = await proven(() => ask('account/passkey/begin', {}));
      await ask('account/passkey', await passkey.create(begun));
      again(words.added);
    }));
}

for (const button of document.querySelectorAll('.remove')) {
  button.hidden = false;
  button.addEventListener('click', () => {
    $('removing-do').onclick = () => {
      $('removing').close();
      act(button, async () => {
        await proven(() => ask('account/passkey/remove', { id: button.dataset.id }));
        again(words.removed);
      });
    };
    $('removing').showModal();
  });
}
$('removing-cancel').addEventListener('click', () => $('removing').close());

// Authenticator app.

let ceremony;
$('change-app').hidden = page.prove !== 'true';
$('change-app').addEventListener('click', () =>
  act($('change-app'), async () => {
    const app = await proven(() => ask('account/totp/begin', {}));
    ceremony = app.id;
    showApp(app);
    $('change-app').hidden = true;
    $('by-app').hidden = false;
    $('app-code').focus();
  }));
$('app-cancel').addEventListener('click', () => {
  $('by-app').hidden = true;
  $('change-app').hidden = false;
  $('change-app').focus();
});
$('by-app').addEventListener('submit', (event) => {
  event.preventDefault();
  act(event.submitter ?? $('by-app'), async () => {
    await proven(() => ask('account/totp', { id: ceremony, code: $('app-code').value }));
    again(words.appChanged);
  });
});

// Recovery codes.

$('new-codes').hidden = $('new-codes-hint').hidden = page.prove !== 'true';
$('new-codes').addEventListener('click', () =>
  act($('new-codes'), async () => {
    const { recovery } = await proven(() => ask('account/recovery', {}));
    $('new-codes').hidden = $('new-codes-hint').hidden = true;
    showCodes(recovery);
    $('codes-list').focus();
  }));
$('codes-done').addEventListener('click', () => location.reload());

// Browsers that ask to be let in.

$('waiting').hidden = false;
const rows = new Map(); // by id

async function look() {
  let waiting;
  try {
    ({ waiting } = await ask('approvals/waiting'));
  } catch (error) {
    if (error.word === 'signed-out') location.reload();
    return;
  }
  const asking = new Set(waiting.map((w) => w.id));
  for (const [id, row] of rows) {
    if (asking.has(id) || row.contains(document.activeElement)) continue;
    row.remove();
    rows.delete(id);
  }
  for (const w of waiting) if (!rows.has(w.id)) add(w);
  $('waiting-none').hidden = rows.size > 0;
}

function add(w) {
  const row = $('waiting-row').content.firstElementChild.cloneNode(true);
  const form = row.querySelector('form');
  const number = form.elements.number;
  row.querySelector('.name').textContent = w.name;
  form.setAttribute('aria-label', fill(words.asks, w));
  row.querySelector('.from').textContent = fill(words.from, w);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (!/^\d\d$/.test(number.value)) {
      say('alert', words.needNumber);
      number.setAttribute('aria-invalid', 'true');
      number.focus();
      return;
    }
    number.removeAttribute('aria-invalid');
    decide(row, w, event.submitter ?? form, Number(number.value), words.approved);
  });
  row.querySelector('.deny').addEventListener('click', (event) => decide(row, w, event.currentTarget, undefined, words.turned));
  rows.set(w.id, row);
  $('waiting-list').append(row);
  say('status', fill(words.asks, w));
}

async function decide(row, w, button, number, text) {
  await act(button, async () => {
    try {
      await proven(() => ask('approvals/answer', { id: w.id, number }));
      say('status', text);
    } catch (error) {
      if (!['number', 'gone'].includes(error.word)) throw error;
      $('title').focus();
      await look();
      throw error;
    }
    $('title').focus();
    await look();
  });
}

(async () => {
  for (;;) {
    if (!document.hidden) await look();
    await new Promise((done) => setTimeout(done, 3000));
  }
})();
